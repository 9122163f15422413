/**
 * Virtual time: events in the order of (time, phase, sequence), and between two events everything that is ready runs.
 * While a world runs, what Node.js would do by itself is done here: ticks, immediates, sockets and random numbers. That
 * all happens within one synchronous call, so that nothing of the machine's own timing can get in.
 */
import { createRequire, syncBuiltinESMExports } from "node:module"
import type * as Net from "node:net"
import { ReadyTasks } from "./Fibers.js"
import type * as Random from "./Random.js"

/** The phase of an event among those of one time, as in the event loop of Node.js. */
export const phase = { timer: 0, io: 1, check: 2 } as const

/** @see the constant of the same name */
export type Phase = (typeof phase)[keyof typeof phase]

/** An event that has not happened yet. */
export interface Event {
  readonly time: number
  readonly phase: Phase
  readonly sequence: number
  /** Undefined once it has happened or was cancelled. */
  run: (() => void) | undefined
}

const before = (a: Event, b: Event): boolean =>
  a.time !== b.time ? a.time < b.time : a.phase !== b.phase ? a.phase < b.phase : a.sequence < b.sequence

/** What makes a world give up: so much work for one event, or altogether, is a loop without end. */
const limits = { tasksOfAnEvent: 2_000_000, events: 20_000_000 }

/** The world's time, in milliseconds from 0 on, and its work. */
export class VirtualTime {
  now = 0
  events = 0
  readonly tasks = new ReadyTasks()
  private readonly heap: Array<Event> = []
  private sequence = 0
  private ticks: Array<() => void> = []

  /** Runs a function at a time that is not past. */
  at(time: number, when: Phase, run: () => void): Event {
    const event: Event = { time: Math.max(time, this.now), phase: when, sequence: this.sequence++, run }
    let at = this.heap.length
    this.heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      const other = this.heap[parent]
      if (other === undefined || !before(event, other)) break
      this.heap[at] = other
      at = parent
    }
    this.heap[at] = event
    return event
  }

  /** Runs a function before anything else, as `process.nextTick` does. */
  nextTick(run: () => void): void {
    this.ticks.push(run)
  }

  /** Runs events until that time, or until there is none. */
  runUntil(end: number): void {
    this.drain()
    for (let next = this.heap[0]; next !== undefined && next.time <= end; next = this.heap[0]) {
      this.pop()
      const { run } = next
      if (run === undefined) continue
      next.run = undefined
      if (++this.events > limits.events) throw new Error("a loop without end: too many events")
      this.now = next.time
      run()
      this.drain()
    }
    this.now = Math.max(this.now, end)
  }

  /** Runs what is ready: ticks first, then the tasks of fibers, as often as these make others. */
  private drain(): void {
    let done = 0
    while (this.ticks.length > 0 || !this.tasks.isEmpty) {
      const ticks = this.ticks
      if (ticks.length > 0) {
        this.ticks = []
        for (const tick of ticks) tick()
        done += ticks.length
      } else {
        done += this.tasks.run()
      }
      if (done > limits.tasksOfAnEvent) throw new Error("a loop without end: too many tasks of one event")
    }
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      let least = heap[child]
      if (least === undefined) break
      const right = heap[child + 1]
      if (right !== undefined && before(right, least)) {
        least = right
        child++
      }
      if (!before(least, last)) break
      heap[at] = least
      at = child
    }
    heap[at] = last
  }
}

/** What a running world does in the place of Node.js. */
export interface Host {
  readonly connect: (options: Net.TcpNetConnectOpts) => Net.Socket
  readonly nextTick: (run: () => void) => void
  readonly setImmediate: (run: () => void) => void
  /** What `Math.random` gives. Of its own: Effect takes one for each object that it hashes, which a trace has more of. */
  readonly random: Random.Random
  /** What random UUIDs are made of. */
  readonly uuids: Random.Random
}

let host: Host | undefined

const real = {
  nextTick: process.nextTick,
  queueMicrotask: globalThis.queueMicrotask,
  setImmediate: globalThis.setImmediate,
  setTimeout: globalThis.setTimeout,
  random: Math.random
}

const uuid = (random: Random.Random): `${string}-${string}-${string}-${string}-${string}` => {
  const digits = (length: number) => Array.from({ length }, () => random.int(0, 15).toString(16)).join("")
  return `${digits(8)}-${digits(4)}-4${digits(3)}-8${digits(3)}-${digits(12)}`
}

let installed = false

/** The hooks stay installed, and do nothing of their own while no world runs. */
const install = (): void => {
  if (installed) return
  installed = true
  const require = createRequire(import.meta.url)
  const net: { connect: (...args: ReadonlyArray<unknown>) => unknown } = require("node:net")
  const connect = net.connect
  net.connect = (...args) =>
    // The transport gives one record, of these types.
    host === undefined ? connect(...args) : host.connect(args[0] as Net.TcpNetConnectOpts)
  process.nextTick = (run: (...args: Array<unknown>) => void, ...args: Array<unknown>) =>
    host === undefined ? real.nextTick(run, ...args) : host.nextTick(() => run(...args))
  globalThis.queueMicrotask = (run) => (host === undefined ? real.queueMicrotask(run) : host.nextTick(run))
  const immediate = (run: (...args: Array<unknown>) => void, ...args: Array<unknown>) =>
    host === undefined ? real.setImmediate(run, ...args) : host.setImmediate(() => run(...args))
  globalThis.setImmediate = Object.assign(immediate, real.setImmediate) as typeof setImmediate
  const timeout = (...args: Parameters<typeof setTimeout>) => {
    if (host !== undefined) throw new Error("a real timer in a simulation")
    return real.setTimeout(...args)
  }
  globalThis.setTimeout = Object.assign(timeout, real.setTimeout) as typeof setTimeout
  const randomUUID = globalThis.crypto.randomUUID.bind(globalThis.crypto)
  globalThis.crypto.randomUUID = () => (host === undefined ? randomUUID() : uuid(host.uuids))
  Math.random = () => (host === undefined ? real.random() : host.random.next())
  syncBuiltinESMExports()
}

/** Runs a function with `host` in the place of Node.js. */
export const within = <A>(own: Host, run: () => A): A => {
  install()
  const outer = host
  host = own
  try {
    return run()
  } finally {
    host = outer
  }
}
