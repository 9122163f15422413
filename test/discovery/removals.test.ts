import { FileSystem, Error as PlatformError } from "@effect/platform"
import { NodePath } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Effect, Layer, Option, Queue, Stream, TestClock } from "effect"
import * as WatchFile from "../../src/discovery/WatchFile.js"
import { observe } from "./observe.js"

const all = Arr.makeBy(5, (i) => `10.0.0.${i}`)

/** A nodes file without a disk: `write` changes it and tells those who watch; undefined is no file. */
const scripted = Effect.gen(function* () {
  const events = yield* Queue.unbounded<FileSystem.WatchEvent>()
  let content: string | undefined = all.join("\n")
  const missing = new PlatformError.SystemError({ reason: "NotFound", module: "FileSystem", method: "readFile" })
  const platform = Layer.merge(
    NodePath.layer,
    FileSystem.layerNoop({
      realPath: Effect.succeed,
      watch: () => Stream.fromQueue(events),
      readFileString: () =>
        Effect.suspend(() => (content === undefined ? Effect.fail(missing) : Effect.succeed(content)))
    })
  )
  const write = (text: string | undefined) =>
    Effect.suspend(() => {
      content = text
      return Queue.offer(events, FileSystem.WatchEventUpdate({ path: "gdb.conf" }))
    })
  const { seen } = yield* Effect.provide(observe(WatchFile.watchFile("/gdb.conf")), platform)
  yield* TestClock.adjust("1 second")
  /** The lists since the last look, each sorted. */
  const lists = Effect.map(Queue.takeAll(seen), (lists) => Arr.map(Arr.fromIterable(lists), (list) => [...list].sort()))
  return { write, lists }
})

/** Writes line by line, with a pause after each. */
const byLines = (write: (text: string) => Effect.Effect<unknown>, lines: ReadonlyArray<string>, pause: number) =>
  Effect.forEach(
    lines,
    (_, i) => Effect.zipRight(write(lines.slice(0, i + 1).join("\n")), TestClock.adjust(`${pause} millis`)),
    { discard: true }
  )

describe.concurrent("removals from a nodes file", () => {
  for (const pause of [50, 400, 1000, 1900]) {
    it.scoped(`a file that is written line by line every ${pause} ms is never shorter than it was`, () =>
      Effect.gen(function* () {
        const { lists, write } = yield* scripted
        yield* write("")
        yield* TestClock.adjust(`${pause} millis`)
        yield* byLines(write, all, pause)
        yield* TestClock.adjust("1 minute")
        for (const list of yield* lists) assert.deepStrictEqual(list, all)
      })
    )
  }

  it.scoped("lines are added as they come; what the new file lacks goes when it is complete", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      const next = ["10.0.0.1", "10.0.0.7", "10.0.0.8"]
      yield* byLines(write, next, 1000)
      assert.deepStrictEqual(yield* lists, [
        // the order alone
        all,
        [...all, "10.0.0.7"],
        [...all, "10.0.0.7", "10.0.0.8"]
      ])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* lists, [])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* lists, [next])
    })
  )

  for (const [what, between] of [
    ["truncated, then rewritten", ["", all.slice(0, 1).join("\n")]],
    ["empty for a moment", [""]],
    ["moved away by an editor, then written", [undefined, "", all.slice(0, 2).join("\n")]],
    ["cut in the middle of a line", ["10.0.0.0\n10.0."]]
  ] as const) {
    it.scoped(`a file that is ${what}`, () =>
      Effect.gen(function* () {
        const { lists, write } = yield* scripted
        for (let round = 0; round < 3; round++) {
          for (const content of between) yield* Effect.zipRight(write(content), TestClock.adjust("1500 millis"))
          yield* write(all.join("\n"))
          yield* TestClock.adjust("1500 millis")
        }
        yield* TestClock.adjust("1 minute")
        for (const list of yield* lists) assert.deepStrictEqual(list, all)
      })
    )
  }

  it.scoped("a file that is written a few characters at a time: no beginning of an address is taken for a node", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      const names = ["10.0.0.2", "10.0.0.23:7991", "10.0.0.234", "cache-1.internal"]
      const text = `${names.join("\n")}\n`
      const nodes = [...names].sort()
      yield* write(text)
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(Arr.last(yield* lists), Option.some(nodes))
      for (const step of [1, 3, 7]) {
        for (let at = 0; at < text.length; at += step) {
          yield* write(text.slice(0, at))
          yield* TestClock.adjust("300 millis")
        }
        yield* write(text)
        yield* TestClock.adjust("1 minute")
      }
      for (const list of yield* lists) assert.deepStrictEqual(list, nodes)
    })
  )

  it.scoped("a node that another begins with is added at once, where that is not what is being written", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      yield* write("10.0.0.12\n")
      yield* TestClock.adjust("1 minute")
      yield* lists
      // There is more of the line, or the longer one is still there.
      yield* write("10.0.0.12\n10.0.0.1")
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* lists, [["10.0.0.1", "10.0.0.12"]])
      yield* write("10.0.0.1\n10.0.0.12")
      yield* TestClock.adjust("1 minute")
      yield* lists
      yield* write("10.0.0.12")
      yield* TestClock.adjust("1 minute")
      yield* lists
      yield* write("10.0.0.1\n")
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* lists, [["10.0.0.1", "10.0.0.12"]])
      // An end of the line that never comes is waited for as a removal is.
      yield* TestClock.adjust("1 minute")
      yield* write("10.0.0.123\n")
      yield* TestClock.adjust("1 minute")
      yield* lists
      yield* write("10.0.0.12")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* lists, [])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* lists, [["10.0.0.12"]])
    })
  )

  it.scoped("a short file that cannot be read in between is read anew before a node goes", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      yield* write("10.0.0.0")
      yield* TestClock.adjust("1500 millis")
      yield* write(undefined)
      yield* TestClock.adjust("10 seconds")
      yield* write("10.0.0.0")
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        Arr.filter(yield* lists, (list) => list.length < all.length),
        []
      )
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* lists, [["10.0.0.0"]])
    })
  )

  it.scoped("events of other files in the directory neither hasten nor put off a removal", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      const short = all.slice(1).join("\n")
      for (let i = 0; i < 20; i++) yield* Effect.zipRight(write(short), TestClock.adjust("100 millis"))
      assert.deepStrictEqual(
        Arr.filter(yield* lists, (list) => list.length < all.length),
        []
      )
      for (let i = 0; i < 5; i++) yield* Effect.zipRight(write(short), TestClock.adjust("100 millis"))
      assert.deepStrictEqual(yield* lists, [all.slice(1)])
    })
  )

  it.scoped("in a file that never rests, a node goes 30 seconds after it was last there", () =>
    Effect.gen(function* () {
      const { lists, write } = yield* scripted
      const change = (i: number) =>
        Effect.zipRight(write([...all.slice(1), `10.0.1.${i}`].join("\n")), TestClock.adjust("1 second"))
      for (let i = 0; i < 29; i++) yield* change(i)
      assert.isTrue((yield* lists).every((list) => list.includes("10.0.0.0")))
      for (let i = 29; i < 32; i++) yield* change(i)
      assert.isFalse((yield* lists).at(-1)?.includes("10.0.0.0"))
    })
  )
})
