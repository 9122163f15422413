/** Bugs that are planted in a copy of the package, one at a time: the simulation has to find each. */
import { spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** A change of the sources: text that is there, and what takes its place. */
interface Change {
  readonly file: string
  readonly find: string
  readonly put: string
}

interface Bug {
  readonly name: string
  readonly changes: ReadonlyArray<Change>
}

const bugs: ReadonlyArray<Bug> = [
  {
    name: "the clock of an attempt starts when the command is made",
    changes: [
      {
        file: "src/http/ConnectionPool.ts",
        find: "    this.queue.push(request)\n    this.connect()\n",
        put: "    request.writtenAt = this.endpoint.now()\n    this.queue.push(request)\n    this.connect()\n"
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
        find: "    const request = this.inFlight.shift()\n    if (request !== undefined) request.settle({ status, body })",
        put: "    let request = this.inFlight.shift()\n    while (request?.isSettled === true) request = this.inFlight.shift()\n    if (request !== undefined) request.settle({ status, body })"
      }
    ]
  },
  {
    name: "a leader whose connection was reset is trusted when it is back",
    changes: [
      {
        file: "src/cluster/ClusterState.ts",
        find: "const leader = self.leader === next.node && !canLead(next) ? undefined : self.leader",
        put: "const leader = self.leader"
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
        find: "  ).pipe(\n    Effect.tapBoth({",
        put: "  ).pipe(\n    Effect.timeoutFail({\n      duration: Math.max(command.deadline - now(env), 0),\n      onTimeout: () => new NoMoreServers({ failures: [] })\n    }),\n    Effect.tapBoth({"
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
        find: "Effect.matchEffect(outgoing.post(node, deadline), {",
        put: "Effect.matchEffect(Effect.uninterruptible(outgoing.post(node, deadline)), {"
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

const root = fileURLToPath(new URL("../..", import.meta.url))

const change = (folder: string, { file, find, put }: Change): void => {
  const path = join(folder, file)
  const source = readFileSync(path, "utf8")
  if (source.split(find).length !== 2) throw new Error(`${file} does not hold once: ${find}`)
  writeFileSync(
    path,
    source.replace(find, () => put)
  )
}

/** The first seed that breaks a promise in a copy with the bug, as the simulation tells it. */
const find = ({ changes, name }: Bug, seeds: number): string | undefined => {
  const folder = mkdtempSync(join(tmpdir(), "ghostdb-planted-"))
  try {
    for (const part of ["src", "test/simulation", "package.json", "tsconfig.json"]) {
      cpSync(join(root, part), join(folder, part), { recursive: true })
    }
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"))
    for (const one of changes) change(folder, one)
    const { stderr, stdout } = spawnSync(
      process.execPath,
      ["--import", "tsx", "test/simulation/main.ts", "--brief", "--seeds", String(seeds)],
      { cwd: folder, encoding: "utf8" }
    )
    if (stderr !== "") throw new Error(`${name}: ${stderr}`)
    return /^seed .*$/m.exec(stdout)?.[0]
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Plants each bug and says which seed finds it. True where all of them were found. */
export const plant = (seeds: number): boolean => {
  let missed = 0
  for (const bug of bugs) {
    const found = find(bug, seeds)
    if (found === undefined) missed++
    console.log(`| ${bug.name} | ${found ?? `not found in ${seeds} seeds`} |`)
  }
  return missed === 0
}
