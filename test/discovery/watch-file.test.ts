import { FileSystem, Path, Error as PlatformError } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, Deferred, Effect, Fiber, Option, Queue, Schedule, Stream, TestClock } from "effect"
import * as WatchFile from "../../src/discovery/WatchFile.js"
import { logged, makeLogs, never, observe, unconfirmed } from "./observe.js"

describe.concurrent("watchFile", () => {
  const files = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped()
    const file = path.join(directory, "gdb.conf")
    const write = (content: string) => fs.writeFileString(file, content)
    const replace = (content: string) =>
      Effect.zipRight(fs.writeFileString(`${file}.new`, content), fs.rename(`${file}.new`, file))
    return { fs, path, directory, file, write, replace }
  })

  /** Observes a file by events alone. */
  const byEvents = (file: string) =>
    observe(WatchFile.watchFile(file, { ...unconfirmed, debounce: "5 millis", poll: never }))

  /**
   * Nothing tells when the system's watch is in place. Once two changes were seen it is, because the start of the stream
   * brings at most one. Leaves the file with the node `start`.
   */
  const warmUp = <E>(
    seen: Queue.Dequeue<ReadonlyArray<string>>,
    change: (content: string) => Effect.Effect<void, E, never>
  ) =>
    Effect.iterate(0, {
      while: (changes) => changes < 2 || Option.getOrElse(seen.unsafeSize(), () => 0) < 2,
      body: (changes) => Effect.delay(Effect.as(change(`warm-up-${changes}x`), changes + 1), "20 millis")
    }).pipe(
      Effect.zipRight(change("start")),
      Effect.zipRight(
        Stream.fromQueue(seen).pipe(
          Stream.takeUntil(([node]) => node === "start"),
          Stream.runDrain
        )
      )
    )

  const watching = Effect.gen(function* () {
    const { directory, file, fs, path, replace, write } = yield* files
    yield* write("start")
    const { lines, nodes, seen } = yield* byEvents(file)
    assert.deepStrictEqual(nodes, ["start"])
    yield* warmUp(seen, replace)
    return { fs, path, directory, write, replace, file, seen, lines }
  })

  it.scopedLive("sees the file rewritten in place", () =>
    Effect.gen(function* () {
      const { seen, write } = yield* watching
      yield* write("10.0.0.1\n10.0.0.2")
      assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.1", "10.0.0.2"])
      yield* write("10.0.0.2")
      assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.2"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sees the file replaced by rename, again and again", () =>
    Effect.gen(function* () {
      const { replace, seen } = yield* watching
      for (const node of ["a", "b", "c"]) {
        yield* replace(node)
        assert.deepStrictEqual(yield* Queue.take(seen), [node])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("does not report what changes no address", () =>
    Effect.gen(function* () {
      const { directory, fs, path, replace, seen } = yield* watching
      yield* replace("  start # with a comment")
      yield* fs.writeFileString(path.join(directory, "another"), "a")
      yield* replace("start\n\n")
      yield* replace("start\nb")
      assert.deepStrictEqual(yield* Queue.take(seen), ["start", "b"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("keeps the nodes of a file that vanishes, until it comes back", () =>
    Effect.gen(function* () {
      const { file, fs, lines, replace, seen } = yield* watching
      yield* fs.remove(file)
      assert.match(yield* logged(lines, /cannot be read/), /^WARN .*gdb\.conf: .*; the nodes stay as they are$/)
      yield* replace("back")
      assert.deepStrictEqual(yield* Queue.take(seen), ["back"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("keeps the nodes when the file does not parse, and says so once", () =>
    Effect.gen(function* () {
      const { directory, fs, lines, path, replace, seen } = yield* watching
      yield* replace("10.0.0.1\n10.0.0.256")
      assert.match(yield* logged(lines, /256/), /^WARN .*gdb\.conf:2: .*"10\.0\.0\.256"; the nodes stay/)
      // events that make it be read again
      for (const name of ["a", "b", "c"]) {
        yield* fs.writeFileString(path.join(directory, name), name)
      }
      yield* replace("10.0.0.1\n10.0.0.256")
      yield* replace("10.0.0.1")
      assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.1"])
      assert.deepStrictEqual(
        Arr.filter(yield* Queue.takeAll(lines), (line) => line.includes("256")),
        []
      )
      yield* replace("10.0.0.256")
      assert.match(yield* logged(lines, /256/), /gdb\.conf:1/)
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("logs duplicates", () =>
    Effect.gen(function* () {
      const { lines, replace, seen } = yield* watching
      yield* replace("10.0.0.1\n10.0.0.1")
      assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.1"])
      assert.match(
        yield* logged(lines, /dropped/),
        /^WARN .*gdb\.conf:2: line 1 has this address: dropped: "10\.0\.0\.1"$/
      )
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("ends a storm of rewrites with the last one", () =>
    Effect.gen(function* () {
      const { replace, seen, write } = yield* watching
      for (let i = 1; i <= 50; i++) {
        yield* i % 3 === 0 ? write("no node!") : i % 3 === 1 ? write(`node-${i}x`) : replace(`node-${i}x`)
      }
      const reported = yield* Stream.fromQueue(seen).pipe(
        Stream.takeUntil(([node]) => node === "node-50x"),
        Stream.runCollect
      )
      for (const nodes of reported) {
        assert.match(nodes.join(), /^node-\d+x$/)
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sees a ConfigMap swapped", () =>
    Effect.gen(function* () {
      const { directory, file, fs, path } = yield* files
      // gdb.conf -> ..data/gdb.conf and ..data -> ..1, as the kubelet lays it out
      let version = 0
      const swap = Effect.fnUntraced(function* (content: string) {
        version++
        yield* fs.makeDirectory(path.join(directory, `..${version}`))
        yield* fs.writeFileString(path.join(directory, `..${version}`, "gdb.conf"), content)
        yield* fs.symlink(`..${version}`, path.join(directory, "..data_tmp"))
        yield* fs.rename(path.join(directory, "..data_tmp"), path.join(directory, "..data"))
        if (version > 1) yield* fs.remove(path.join(directory, `..${version - 1}`), { recursive: true })
      })
      yield* swap("first")
      yield* fs.symlink(path.join("..data", "gdb.conf"), file)
      const { nodes, seen } = yield* byEvents(file)
      assert.deepStrictEqual(nodes, ["first"])
      yield* warmUp(seen, swap)
      for (const node of ["a", "b", "c"]) {
        yield* swap(node)
        assert.deepStrictEqual(yield* Queue.take(seen), [node])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("sees the file behind a symbolic link replaced", () =>
    Effect.gen(function* () {
      const link = yield* files
      const target = yield* files
      yield* target.write("first")
      yield* link.fs.symlink(target.file, link.file)
      const { seen } = yield* byEvents(link.file)
      yield* warmUp(seen, target.replace)
      for (const node of ["a", "b", "c"]) {
        yield* target.replace(node)
        assert.deepStrictEqual(yield* Queue.take(seen), [node])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("loses nothing between the call and the start of the stream", () =>
    Effect.gen(function* () {
      const { file, write } = yield* files
      yield* write("before")
      const { changes, nodes } = yield* WatchFile.watchFile(file, { ...unconfirmed, debounce: "0 millis", poll: never })
      yield* write("between")
      assert.deepStrictEqual(nodes, ["before"])
      for (const _ of [1, 2]) {
        assert.deepStrictEqual(yield* Effect.flatten(Stream.runHead(changes)), ["between"])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("an event during a read causes another read", () =>
    Effect.gen(function* () {
      const { file, fs, write } = yield* files
      yield* write("old")
      const events = yield* Queue.unbounded<FileSystem.WatchEvent>()
      const reads = yield* Queue.unbounded<Deferred.Deferred<string>>()
      const slow: FileSystem.FileSystem = {
        ...fs,
        watch: () => Stream.fromQueue(events),
        readFileString: () =>
          Effect.flatMap(Deferred.make<string>(), (read) =>
            Effect.zipRight(Queue.offer(reads, read), Deferred.await(read))
          )
      }
      const observing = yield* observe(
        WatchFile.watchFile(file, { ...unconfirmed, debounce: "0 millis", poll: never })
      ).pipe(Effect.provideService(FileSystem.FileSystem, slow), Effect.fork)
      yield* Deferred.succeed(yield* Queue.take(reads), "old")
      const started = yield* Queue.take(reads)
      for (const _ of Arr.range(1, 100)) {
        yield* Queue.offer(events, FileSystem.WatchEventUpdate({ path: "gdb.conf" }))
      }
      yield* Deferred.succeed(started, "old")
      yield* Deferred.succeed(yield* Queue.take(reads), "new")
      const { seen } = yield* Fiber.join(observing)
      assert.deepStrictEqual(yield* Queue.take(seen), ["new"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scoped("logs a watch that fails, sets it up again, and reads without events", () =>
    Effect.gen(function* () {
      const { directory, file, fs, write } = yield* files
      yield* write("a")
      const watches = yield* Queue.unbounded<string>()
      const error = new PlatformError.SystemError({ reason: "Unknown", module: "FileSystem", method: "watch" })
      const outcomes = [Stream.fail(error), Stream.fail(error), Stream.die(new Error("no watch left")), Stream.empty]
      const failing: FileSystem.FileSystem = {
        ...fs,
        watch: (path) => Stream.unwrap(Effect.map(Queue.offer(watches, path), () => outcomes.shift() ?? Stream.never))
      }
      const { lines, seen } = yield* Effect.provideService(
        observe(WatchFile.watchFile(file)),
        FileSystem.FileSystem,
        failing
      )
      for (const _ of [1, 2, 3, 4]) {
        assert.strictEqual(yield* Queue.take(watches), yield* fs.realPath(directory))
        yield* TestClock.adjust("1 second")
      }
      yield* Queue.take(watches)
      const messages = Arr.fromIterable(yield* Queue.takeAll(lines))
      assert.lengthOf(messages, 2)
      assert.match(messages[0]!, /^WARN .*gdb\.conf: watching failed, trying again: Unknown: FileSystem\.watch/)
      assert.match(messages[1]!, /no watch left/)
      yield* write("a\nb")
      yield* TestClock.adjust("30 seconds")
      yield* Queue.take(watches)
      // the debounce, which begins some time after the watch
      const reported = yield* Effect.race(Queue.take(seen), Effect.forever(TestClock.adjust("100 millis")))
      assert.deepStrictEqual(reported, ["a", "b"])
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("survives its directory", () =>
    Effect.gen(function* () {
      const { directory, file, fs, lines, seen, write } = yield* Effect.gen(function* () {
        const all = yield* files
        yield* all.write("a")
        const observed = yield* observe(
          WatchFile.watchFile(all.file, { ...unconfirmed, debounce: "5 millis", poll: Schedule.spaced("50 millis") })
        )
        return { ...all, ...observed }
      })
      yield* fs.remove(directory, { recursive: true })
      yield* logged(lines, /cannot be read/)
      yield* fs.makeDirectory(directory)
      yield* write("b")
      assert.deepStrictEqual(yield* Queue.take(seen), ["b"])
      assert.isTrue(yield* fs.exists(file))
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("fails when the file is not there, is no file, or does not parse at first", () =>
    Effect.gen(function* () {
      const { directory, file, write } = yield* files
      for (const read of [Effect.asVoid(WatchFile.watchFile(file)), Effect.asVoid(WatchFile.readFile(file))]) {
        const error = yield* Effect.flip(read)
        assert.strictEqual(error.file, file)
        assert.match(error.message, /gdb\.conf: cannot be read: ENOENT/)
      }
      assert.match((yield* Effect.flip(WatchFile.watchFile(directory))).message, /cannot be read: EISDIR/)
      yield* write("10.0.0.1\n1.2.3\n")
      for (const read of [Effect.asVoid(WatchFile.watchFile(file)), Effect.asVoid(WatchFile.readFile(file))]) {
        const { line, text } = yield* Effect.flip(read)
        assert.deepStrictEqual([line, text], [2, "1.2.3"])
      }
    }).pipe(Effect.provide(NodeContext.layer))
  )

  it.scopedLive("reads once", () =>
    Effect.gen(function* () {
      const { file, write } = yield* files
      const logs = yield* makeLogs
      yield* write("\ufeff10.0.0.1\n10.0.0.2\n10.0.0.1")
      const { nodes } = yield* Effect.provide(WatchFile.readFile(file), logs.layer)
      assert.deepStrictEqual(nodes, ["10.0.0.1", "10.0.0.2"])
      assert.match(yield* Queue.take(logs.lines), /gdb\.conf:3/)
    }).pipe(Effect.provide(NodeContext.layer))
  )
})
