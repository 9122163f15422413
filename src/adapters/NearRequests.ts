/**
 * The requests of a near cache that are under way: gets of a key at the same time share one. A request belongs to none of
 * them. It goes on while any of them waits, and ends with the last, so that nobody waits for longer than one command takes.
 *
 * A write of the key detaches its requests: nobody joins them any more, and what they find is not held.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"
import { type KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { Json } from "../model/Json.js"

/** What came of one key. */
export type Found = Exit.Exit<Option.Option<Json>, NoMoreServers | KeyError>

/** What nodes are asked together: it ends when nobody waits for any of its requests. */
interface Batch {
  callers: number
  fiber: Fiber.Fiber<void> | undefined
  isOver: boolean
}

/** A request of one key. */
interface Request {
  readonly key: string
  /** Tells apart the requests of a key that must not be shared. */
  readonly variant: string
  readonly batch: Batch
  readonly listeners: Set<() => void>
  detached: boolean
  found: Found | undefined
}

/** What a near cache does for its requests. */
export interface NearRequestsOptions {
  /** Starts work that no caller waits for. */
  readonly fork: (work: Effect.Effect<void>) => Effect.Effect<Fiber.Fiber<void>>
  /** Whether what one caller has started may end without a word, since its own request has: then nothing is shared. */
  readonly isolatesCallers: boolean
  /** Holds what was found. */
  readonly hold: (key: string, value: Option.Option<Json>, holdFor: number) => void
}

/** How keys are asked. */
export interface Ask {
  readonly variant: string
  /** What is found is held for so many milliseconds at most. */
  readonly holdFor: number
  /** Asks nodes for keys, and tells of each result; it may be told of more than once. */
  readonly ask: (keys: ReadonlyArray<string>, onFound: (index: number, found: Found) => void) => Effect.Effect<void>
}

/** The client was closed. */
const closed: Found = Exit.fail(new NoMoreServers({ failures: [] }))

export class NearRequests {
  readonly #requests = new Map<string, Array<Request>>()

  constructor(private readonly options: NearRequestsOptions) {}

  /** What is found for each key, in their order: by a request that is under way, or by one for all others together. */
  get(keys: ReadonlyArray<string>, ask: Ask): Effect.Effect<ReadonlyArray<Found>> {
    const { fork, isolatesCallers } = this.options
    return Effect.uninterruptibleMask((restore) => {
      const batch: Batch = { callers: 0, fiber: undefined, isOver: false }
      const own: Array<Request> = []
      const requests = keys.map((key) => {
        const current = isolatesCallers
          ? undefined
          : this.#requests.get(key)?.find(({ variant }) => variant === ask.variant)
        if (current !== undefined) return current
        const request = this.#add(key, ask.variant, batch)
        own.push(request)
        return request
      })
      if (isolatesCallers) return Effect.zipRight(restore(this.#run(own, batch, ask)), settled(requests))
      const batches = new Set(requests.map((request) => request.batch))
      for (const joined of batches) joined.callers++
      const waited = Effect.ensuring(restore(settled(requests)), this.#leave(batches))
      if (own.length === 0) return waited
      return Effect.flatMap(fork(this.#run(own, batch, ask)), (fiber) => {
        batch.fiber = fiber
        return waited
      })
    })
  }

  /** The key is written. */
  write(key: string): void {
    for (const request of this.#requests.get(key) ?? []) request.detached = true
    this.#requests.delete(key)
  }

  /** {@link write} of every key. */
  writeAll(): void {
    for (const key of this.#requests.keys()) this.write(key)
  }

  #run(requests: ReadonlyArray<Request>, batch: Batch, { ask, holdFor }: Ask): Effect.Effect<void> {
    const settle = (request: Request | undefined, found: Found) => {
      if (request === undefined || request.found !== undefined) return
      if (Exit.isSuccess(found) && !request.detached) this.options.hold(request.key, found.value, holdFor)
      request.found = found
      this.#remove(request)
      for (const listener of request.listeners) listener()
    }
    return Effect.onExit(
      ask(
        requests.map(({ key }) => key),
        (index, found) => settle(requests[index], found)
      ),
      (exit) =>
        Effect.sync(() => {
          batch.isOver = true
          // What is left was interrupted, or is a defect.
          const rest = Exit.isFailure(exit) && !Exit.isInterrupted(exit) ? Exit.failCause(exit.cause) : closed
          for (const request of requests) settle(request, rest)
        })
    )
  }

  /** Who waits no longer, or has what it waited for. */
  #leave(batches: ReadonlySet<Batch>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const abandoned: Array<Fiber.Fiber<void>> = []
      for (const batch of batches) {
        batch.callers--
        if (batch.callers > 0 || batch.isOver || batch.fiber === undefined) continue
        abandoned.push(batch.fiber)
        for (const requests of this.#requests.values()) {
          for (const request of requests) if (request.batch === batch) this.write(request.key)
        }
      }
      return Effect.forEach(abandoned, Fiber.interruptFork, { discard: true })
    })
  }

  #add(key: string, variant: string, batch: Batch): Request {
    const request: Request = { key, variant, batch, listeners: new Set(), detached: false, found: undefined }
    const others = this.#requests.get(key)
    if (others === undefined) this.#requests.set(key, [request])
    else others.push(request)
    return request
  }

  #remove(request: Request): void {
    const requests = this.#requests.get(request.key)
    const at = requests?.indexOf(request) ?? -1
    if (requests === undefined || at < 0) return
    if (requests.length === 1) this.#requests.delete(request.key)
    else requests.splice(at, 1)
  }
}

/** Waits until all requests have found something. */
const settled = (requests: ReadonlyArray<Request>): Effect.Effect<ReadonlyArray<Found>> =>
  Effect.async((resume) => {
    const open = new Set(requests.filter(({ found }) => found === undefined))
    const result = () => Effect.succeed(requests.map(({ found }) => found ?? closed))
    if (open.size === 0) return resume(result())
    const listeners = Array.from(open, (request) => {
      const listener = () => {
        open.delete(request)
        if (open.size === 0) resume(result())
      }
      request.listeners.add(listener)
      return () => request.listeners.delete(listener)
    })
    return Effect.sync(() => {
      for (const stop of listeners) stop()
    })
  })
