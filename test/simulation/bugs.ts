/** Bugs as changes of the sources, one of which is planted at a time: the simulation has to find each. */

/** A change of the sources: text that is there, and what takes its place. */
export interface Change {
  readonly file: string
  readonly find: string
  readonly put: string
}

/** A bug by its name. */
export interface Bug {
  readonly name: string
  readonly changes: ReadonlyArray<Change>
}

/** The bugs. Their texts must be those of the sources as they are. */
export const bugs: ReadonlyArray<Bug> = [
  {
    name: "the clock of an attempt starts when the command is made",
    changes: [
      {
        file: "src/http/ConnectionPool.ts",
        find: "    if (urgent) this.queue.putBack([request])\n",
        put: "    request.writtenAt = this.endpoint.now()\n    if (urgent) this.queue.putBack([request])\n"
      },
      { file: "src/http/RequestQueue.ts", find: "      request.writtenAt = now\n", put: "" },
      {
        file: "src/http/Connection.ts",
        find: "this.progressAt <= since && request.writtenAt <= since",
        put: "request.writtenAt <= since"
      }
    ]
  },
  {
    name: "a success does not clear the failures before it",
    changes: [
      {
        file: "src/cluster/ClusterState.ts",
        find: "state === undefined || state.consecutiveFailures === 0",
        put: "state === undefined || state.consecutiveFailures >= 0"
      }
    ]
  },
  {
    name: "a reply is handed to the wrong request",
    changes: [
      {
        file: "src/http/Connection.ts",
        find: "    const request = this.inFlight.shift()\n    if (request !== undefined) {\n      this.replyTime",
        put: "    let request = this.inFlight.shift()\n    while (request?.isSettled === true) request = this.inFlight.shift()\n    if (request !== undefined) {\n      this.replyTime"
      }
    ]
  },
  {
    name: "a leader whose connection was reset is trusted when it is back",
    changes: [
      {
        file: "src/cluster/ClusterState.ts",
        find: "  return leaderLost(updateReset(self, state, state), node)",
        put: "  return updateReset(self, state, state)"
      }
    ]
  },
  {
    name: "a lock is never released",
    changes: [{ file: "src/cache/Lock.ts", find: "      added = true\n", put: "" }]
  },
  {
    name: "a deadline needs an interruption to end a command",
    changes: [
      {
        file: "src/client/Failover.ts",
        find: "  const { deadline, recorder } = command\n",
        put: "  const { recorder } = command\n  const deadline = Number.POSITIVE_INFINITY\n"
      },
      {
        file: "src/client/Failover.ts",
        find: "  ).pipe(\n    Effect.tap((answer)",
        put: "  ).pipe(\n    Effect.timeoutFail({\n      duration: Math.max(command.deadline - now(env), 0),\n      onTimeout: () => new NoMoreServers({ failures: [] })\n    }),\n    Effect.tap((answer)"
      }
    ]
  },
  {
    name: "requests are in flight without a bound",
    changes: [
      {
        file: "src/transport/SocketTransport.ts",
        find: "pipelining: settings.pipelining",
        put: "pipelining: Number.POSITIVE_INFINITY"
      }
    ]
  },
  {
    name: "a write does not detach the call that is under way",
    changes: [
      {
        file: "src/cache/Calls.ts",
        find: "    let before: Effect.Effect<void> | undefined\n",
        put: "    let before: Effect.Effect<void> | undefined\n    if (key !== '') return undefined\n"
      }
    ]
  },
  {
    name: "an interruption is swallowed",
    changes: [
      {
        file: "src/client/Execute.ts",
        find: "return env.exchange(node, request.command, exchange, deadline, caller)",
        put: "return Effect.uninterruptible(env.exchange(node, request.command, exchange, deadline, undefined))"
      }
    ]
  },
  {
    name: "what was in flight on a lost connection is sent again without a word",
    changes: [
      {
        file: "src/http/Connection.ts",
        find: "  private onClosedByNode(): void {\n",
        put: "  private onClosedByNode(): void {\n    const again = [...this.inFlight]\n    this.inFlight.clear()\n    if (again.length > 0) this.owner.onUnprocessed(again)\n"
      },
      {
        file: "src/http/Connection.ts",
        find: '    const { detail, reason } = failureOfSystemError(error, "Unreachable")\n',
        put: '    const again = [...this.inFlight]\n    this.inFlight.clear()\n    if (again.length > 0) this.owner.onUnprocessed(again)\n    const { detail, reason } = failureOfSystemError(error, "Unreachable")\n'
      }
    ]
  }
]

/**
 * The sources that a bug changes, as they are with it. `read` gives a file as it is. Throws where the text to be changed
 * does not stand in its file exactly once.
 */
export const planted = ({ changes, name }: Bug, read: (file: string) => string): ReadonlyMap<string, string> => {
  const sources = new Map<string, string>()
  for (const { file, find, put } of changes) {
    const source = sources.get(file) ?? read(file)
    const times = source.split(find).length - 1
    if (times !== 1) throw new Error(`${name}: ${file} must hold this once, and holds it ${times} times:\n${find}`)
    sources.set(
      file,
      source.replace(find, () => put)
    )
  }
  return sources
}
