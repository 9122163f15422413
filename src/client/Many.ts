/**
 * One command on many keys, as one operation. The keys of a node go to it in few writes; replies are read as they come,
 * without a fiber for each. What cannot go that way takes the path of a single command: the node's dialect is unknown,
 * an attempt failed, there is no node. Once a few such keys have shown what is the matter, the others go by that.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Tracer from "effect/Tracer"
import type { KeyResult } from "../cache/ManyKeys.js"
import * as ClusterState from "../cluster/ClusterState.js"
import type { Reply } from "../model/Exchange.js"
import { type Fault, KeyError, type NodeFailure, NoMoreServers } from "../model/GhostDBError.js"
import * as Dialects from "../protocol/Dialects.js"
import type * as Protocol from "../protocol/Protocol.js"
import * as FiberServices from "../telemetry/FiberServices.js"
import * as Telemetry from "../telemetry/Telemetry.js"
import {
  type Environment,
  elapsed,
  type FirstAttempt,
  isRefused,
  keyError,
  now,
  oversizeBytes,
  warnOversized
} from "./Command.js"
import { keyCommand, routeKey, runKeyed } from "./Execute.js"
import { runWithFailover } from "./Failover.js"

/** What is asked of each key. */
export interface Batch<A> {
  readonly operation: Telemetry.Operation
  readonly access: "read" | "write"
  readonly keys: ReadonlyArray<string>
  /** Called for each attempt and for its reply. */
  readonly toRequest: (protocol: Protocol.Protocol, index: number) => Protocol.Request<A>
  /** Told of results before all are there. */
  readonly onResult?: ((index: number, result: KeyResult<A>) => void) | undefined
}

/** So many keys take the path of a single command at a time. */
const maxSingles = 64

/**
 * Runs a command on many keys: the result of each, in their order. It never fails. A value that is not JSON is a defect,
 * after which the keys that are left are not sent.
 */
export const runMany = <A>(env: Environment, batch: Batch<A>): Effect.Effect<ReadonlyArray<KeyResult<A>>> =>
  Effect.withFiberRuntime((fiber) => {
    const { keys, operation } = batch
    const [key] = keys
    if (key === undefined) return Effect.succeed([])
    if (keys.length === 1) {
      const single = runKeyed(env, env.recorder(operation), key, batch.access, (protocol) =>
        batch.toRequest(protocol, 0)
      )
      return Effect.map(Effect.either(single), (result) => [result])
    }
    return env.isTraced(fiber)
      ? traced(batch, (span) => new Run(env, batch, span).results)
      : new Run(env, batch, undefined).results
  })

/** A batch with a span. Each kind of event is told once for a node, not once for a key. */
const traced = <A>(
  { keys, operation }: Batch<A>,
  use: (span: Pick<Tracer.Span, "event">) => Effect.Effect<ReadonlyArray<KeyResult<A>>>
): Effect.Effect<ReadonlyArray<KeyResult<A>>> =>
  Effect.useSpan(
    `ghostdb ${Telemetry.batchOf(operation)}`,
    {
      kind: "client",
      captureStackTrace: false,
      attributes: {
        "db.system.name": "ghostdb",
        "db.operation.name": Telemetry.batchOf(operation),
        "db.operation.batch.size": keys.length
      }
    },
    (span) => {
      const told = new Set<string>()
      const event: Tracer.Span["event"] = (name, time, attributes) => {
        const kind = `${name} ${attributes?.["server.address"]} ${attributes?.["error.type"]}`
        if (told.has(kind)) return
        told.add(kind)
        span.event(name, time, attributes)
      }
      return Effect.map(use({ event }), (results) => {
        const failed = results.find(Either.isLeft)
        if (failed !== undefined) span.attribute("error.type", failed.left._tag)
        return results
      })
    }
  )

/** A node, as far as the batch has to do with it. */
interface Node {
  readonly node: string
  /** The place of its last reply among the outcomes of the batch. */
  repliedAt: number
}

/** Keys that go to one node together. */
interface Group {
  readonly to: Node
  readonly protocol: Protocol.Protocol
  readonly indices: Array<number>
}

/** An attempt that failed, and its place among the outcomes of the batch. */
interface Failed extends FirstAttempt {
  readonly at: number
}

/** A key that takes the path of a single command. */
interface Single {
  readonly index: number
  readonly failed: Failed | undefined
}

/** One batch under way. */
class Run<A> {
  private readonly startedAt: number
  private readonly deadline: number
  private readonly recorder: Telemetry.BatchRecorder
  private readonly outcomes: Array<KeyResult<A>>
  /** Keys that have no result and are not under way. */
  private pending: Array<number>
  /** Of those, the ones whose attempt failed. */
  private readonly failed = new Map<number, Failed>()
  private readonly nodes = new Map<string, Node>()
  /** How many are under way. */
  private open = 0
  private outcomeCount = 0
  private readonly withdrawals: Array<() => void> = []
  /** Nodes that were doubted and have replied. */
  private readonly redeemed = new Set<string>()
  /** What the log and the cluster are to be told. */
  private readonly untold: Array<Effect.Effect<void>> = []
  private readonly errors = new Map<string, NoMoreServers>()
  /** What a single command has failed with. */
  private lastError: NoMoreServers | undefined
  /** What keys without any node to go to have failed with, and the state in which that was found. */
  private exhausted: { readonly error: NoMoreServers; readonly deaths: number } | undefined
  private defect: { readonly defect: unknown } | undefined
  private wake: (() => void) | undefined
  /** Failures that others' replies have outdated are counted one after the other. */
  private readonly oneByOne = Effect.unsafeMakeSemaphore(1)

  constructor(
    private readonly env: Environment,
    private readonly batch: Batch<A>,
    private readonly span: Pick<Tracer.Span, "event"> | undefined
  ) {
    this.startedAt = now(env)
    this.deadline = this.startedAt + env.settings.deadline
    this.recorder = env.batchRecorder(batch.operation)
    this.outcomes = new Array(batch.keys.length)
    this.pending = []
    for (let index = 0; index < batch.keys.length; index++) {
      const error = keyError(this.key(index))
      if (error === undefined) this.pending.push(index)
      else this.fail(index, error)
    }
  }

  get results(): Effect.Effect<ReadonlyArray<KeyResult<A>>> {
    return Effect.onError(this.proceed, () =>
      Effect.sync(() => {
        for (const withdraw of this.withdrawals) withdraw()
      })
    )
  }

  /** Sends what can be sent, sees to what cannot, and goes on until all keys have their results. */
  private readonly proceed: Effect.Effect<ReadonlyArray<KeyResult<A>>> = Effect.suspend(() => {
    if (this.defect !== undefined) return Effect.die(this.defect.defect)
    if (this.redeemed.size > 0 || this.untold.length > 0) return Effect.zipRight(this.tell, this.proceed)
    if (this.pending.length > 0) {
      const { groups, singles } = this.route()
      const post = Effect.forEach(groups.values(), (group) => this.post(group), { discard: true })
      const sent = groups.size === 0 ? Effect.void : Effect.uninterruptible(post)
      return Effect.zipRight(
        singles.length === 0 ? sent : Effect.zipRight(sent, this.runSingles(singles)),
        this.proceed
      )
    }
    if (this.open > 0) return Effect.zipRight(this.change, this.proceed)
    this.recorder.ended(elapsed(this.env, this.startedAt))
    return Effect.succeed(this.outcomes)
  })

  /** Waits until there is something to do. */
  private readonly change = Effect.async<void>((resume) => {
    if (this.open === 0 || this.hasWork) return resume(Effect.void)
    this.wake = () => {
      this.wake = undefined
      resume(Effect.void)
    }
  })

  private get hasWork(): boolean {
    return this.pending.length > 0 || this.redeemed.size > 0 || this.untold.length > 0 || this.defect !== undefined
  }

  /** Where what is pending goes now. What has to wait for others stays pending. */
  private route(): { readonly groups: ReadonlyMap<string, Group>; readonly singles: ReadonlyArray<Single> } {
    const groups = new Map<string, Group>()
    const singles: Array<Single> = []
    const indices = this.pending
    this.pending = []
    if (now(this.env) >= this.deadline) {
      for (const index of indices) this.expire(index)
      return { groups, singles }
    }
    const time = now(this.env)
    const state = this.env.cluster.unsafeState()
    /** Nodes whose dialect a single command is about to find out. */
    const greeted = new Set<string>()
    for (const index of indices) {
      const key = this.key(index)
      const failed = this.failed.get(index)
      const to = routeKey(this.env, state, key, this.batch.access, time)
      if (to === "no node" && this.exhausted?.deaths === state.deaths) {
        this.fail(index, this.exhausted.error)
        continue
      }
      if (typeof to === "string" || to.dialect === undefined || failed?.node === to.node) {
        // What is gone is each key's own node, of which another key's fate says nothing.
        const isFirst =
          typeof to === "string" ? to === "gone" || !greeted.has(to) : failed !== undefined || !greeted.has(to.node)
        greeted.add(typeof to === "string" ? to : to.node)
        if (isFirst && singles.length < maxSingles) singles.push({ index, failed })
        else this.pending.push(index)
        continue
      }
      if (this.batch.access === "write") this.env.cluster.writing(key, to)
      else if (to.dialect === "raft") this.env.cluster.renewLease(time)
      if (failed !== undefined) this.failOver(index, failed)
      const protocol = Dialects.forDialect(to.dialect)
      if (isRefused(key, protocol)) {
        this.fail(index, new KeyError({ key, reason: "Empty" }))
        continue
      }
      let group = groups.get(to.node)
      if (group === undefined) {
        group = { to: this.nodeOf(to.node), protocol, indices: [] }
        groups.set(to.node, group)
      }
      group.indices.push(index)
    }
    return { groups, singles }
  }

  /** Sends the keys of a node. */
  private post(group: Group): Effect.Effect<void> {
    const { env } = this
    const { indices, protocol, to } = group
    const size = indices.length
    this.open += size
    env.attempts.attempted(to.node, size)
    this.addEvent("attempt", { "server.address": to.node, "db.operation.batch.size": size })
    const { command } = this.batch.toRequest(protocol, indices[0] ?? 0)
    const exchanges = {
      size,
      body: (at: number) => this.encode(group, indices[at] ?? 0),
      onReply: (at: number, reply: Reply) => this.onReply(group, indices[at] ?? 0, reply),
      onFault: (at: number, fault: Fault) => this.onFault(group, indices[at] ?? 0, fault)
    }
    return Effect.map(env.postMany(to.node, command, exchanges, this.deadline), (withdraw) => {
      this.withdrawals.push(withdraw)
    })
  }

  private encode({ protocol }: Group, index: number) {
    const request = this.batch.toRequest(protocol, index)
    try {
      const body = request.encode()
      const oversize = oversizeBytes(body, this.env.settings.maxRequestBytes)
      if (oversize === undefined) return body
      this.tellLater(warnOversized(this.env, request.command, this.key(index), oversize))
      this.succeed(index, request.whenTooLarge)
    } catch (defect) {
      this.defect = { defect }
    }
    this.end()
    return undefined
  }

  private onReply({ protocol, to }: Group, index: number, reply: Reply): void {
    const decoded = this.batch.toRequest(protocol, index).decode(reply)
    if (!decoded.ok) {
      this.attemptFailed(to, protocol, index, decoded.fault)
      return
    }
    to.repliedAt = ++this.outcomeCount
    this.succeed(index, decoded.answer)
    // As things are now: other commands may have failed since this one was sent.
    if (this.env.cluster.isDoubted(to.node)) this.redeemed.add(to.node)
    this.end()
  }

  private onFault({ protocol, to }: Group, index: number, fault: Fault): void {
    this.attemptFailed(to, protocol, index, fault)
  }

  private attemptFailed({ node }: Node, { dialect }: Protocol.Protocol, index: number, fault: Fault): void {
    this.failed.set(index, { node, dialect, fault, at: ++this.outcomeCount })
    this.pending.push(index)
    this.end()
  }

  /** One is no longer under way. */
  private end(): void {
    this.open -= 1
    if (this.open === 0 || this.hasWork) this.wake?.()
  }

  private get tell(): Effect.Effect<void> {
    const redeemed = [...this.redeemed]
    const untold = this.untold.splice(0)
    this.redeemed.clear()
    return Effect.zipRight(
      Effect.forEach(redeemed, this.env.cluster.succeeded, { discard: true }),
      Effect.all(untold, { discard: true })
    )
  }

  private runSingles(singles: ReadonlyArray<Single>): Effect.Effect<void> {
    return Effect.forEach(singles, (single) => this.runSingle(single), { concurrency: "unbounded", discard: true })
  }

  /** The path of a single command, from where the key has got. */
  private runSingle({ failed, index }: Single): Effect.Effect<void> {
    const { access, operation, toRequest } = this.batch
    const recorder: Telemetry.Recorder = { operation, succeeded: () => {}, failed: () => {} }
    const command = keyCommand(this.env, {
      recorder,
      key: this.key(index),
      access,
      toRequest: (protocol) => toRequest(protocol, index),
      startedAt: this.startedAt
    })
    this.failed.delete(index)
    const hadNode = this.env.cluster.unsafeState().counts.live > 0
    return Effect.match(
      runWithFailover(failed === undefined ? this.env : this.forgiving(failed), command, failed, this.span),
      {
        onFailure: (error) => {
          this.fail(index, error)
          if (error._tag === "KeyError") return
          this.lastError = error
          const { counts, deaths } = this.env.cluster.unsafeState()
          if (!hadNode && counts.live === 0) this.exhausted = { error, deaths }
        },
        onSuccess: (answer) => this.succeed(index, answer)
      }
    )
  }

  /**
   * A node that has answered other keys since is not failing: of such failures no two count in a row, as they would not had
   * the commands come one by one.
   */
  private forgiving({ at, node: failedOn }: Failed): Environment {
    const { cluster } = this.env
    const failed: typeof cluster.failed = (node, ...rest) =>
      node === failedOn && this.nodeOf(node).repliedAt > at
        ? this.oneByOne.withPermits(1)(Effect.zipRight(cluster.succeeded(node), cluster.failed(node, ...rest)))
        : cluster.failed(node, ...rest)
    return { ...this.env, cluster: { ...cluster, failed } }
  }

  /** The key's node is dead or leads no longer, as others have found: another one is tried. */
  private failOver(index: number, { fault, node }: Failed): void {
    this.failed.delete(index)
    this.env.attempts.failed(node, fault.reason)
    this.env.attempts.failedOver()
    const attributes = { "server.address": node, "error.type": fault.reason }
    this.addEvent("attempt failed", attributes)
    this.addEvent("failover", attributes)
  }

  /** The deadline has passed before the key had a result. Keys of one failure share the error, and count once. */
  private expire(index: number): void {
    const { cluster, settings } = this.env
    const failed = this.failed.get(index)
    if (failed === undefined) {
      this.lastError ??= new NoMoreServers({ failures: ClusterState.deaths(cluster.unsafeState()) })
      this.fail(index, this.lastError)
      return
    }
    const { fault, node } = failed
    this.env.attempts.failed(node, fault.reason)
    let error = this.errors.get(`${node} ${fault.reason}`)
    if (error === undefined) {
      const detail = `no answer within the deadline of ${settings.deadline} ms`
      const failure: NodeFailure =
        fault.reason === "QueueTimeout"
          ? { node, reason: fault.reason, detail: fault.detail }
          : { node, reason: "Deadline", detail }
      error = new NoMoreServers({ failures: [failure] })
      this.errors.set(`${node} ${fault.reason}`, error)
      if (fault.reason === "Deadline" || fault.reason === "AttemptTimeout") {
        this.tellLater(cluster.unanswered(node))
      }
      if (fault.reason !== "Deadline") this.tellLater(cluster.timedOut(node, fault))
    }
    this.fail(index, error)
  }

  /** Something that takes an effect, and that the batch waits for. */
  private tellLater(effect: Effect.Effect<void>): void {
    this.untold.push(effect)
  }

  private succeed(index: number, answer: A): void {
    this.outcomes[index] = Either.right(answer)
    this.batch.onResult?.(index, this.outcomes[index])
    this.recorder.succeeded(answer)
  }

  private fail(index: number, error: NoMoreServers | KeyError): void {
    this.outcomes[index] = Either.left(error)
    this.batch.onResult?.(index, this.outcomes[index])
    this.recorder.failed(error._tag)
  }

  private nodeOf(node: string): Node {
    let known = this.nodes.get(node)
    if (known === undefined) {
      known = { node, repliedAt: 0 }
      this.nodes.set(node, known)
    }
    return known
  }

  private key(index: number): string {
    // Every index is one of a key.
    return this.batch.keys[index] as string
  }

  private addEvent(event: string, attributes: Record<string, unknown>): void {
    this.span?.event(event, FiberServices.unixNanos(this.env.clock), attributes)
  }
}
