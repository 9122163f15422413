import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { isIPv4, isIPv6 } from "node:net"
import { inspect } from "node:util"
import { FetchHttpClient, FileSystem, Path, Error as PlatformError } from "@effect/platform"
import { NodeContext, NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import {
  Array as Arr,
  Deferred,
  Effect,
  Either,
  FastCheck,
  Fiber,
  Logger,
  Option,
  Queue,
  Schedule,
  Stream,
  TestClock
} from "effect"
import * as Parse from "../../src/discovery/Parse.js"
import type * as Watched from "../../src/discovery/Watched.js"
import * as WatchFile from "../../src/discovery/WatchFile.js"
import * as WatchUrl from "../../src/discovery/WatchUrl.js"
import { NodesFileError } from "../../src/model/GhostDBError.js"
import { parseAddress } from "../../src/model/NodeAddress.js"

const failure = <A>(result: Either.Either<A, NodesFileError>): NodesFileError => Either.getOrThrow(Either.flip(result))

const good = [
  ["IPv4", "10.0.0.1"],
  ["IPv4 with a port", "10.0.0.1:7991"],
  ["the lowest port", "10.0.0.1:1"],
  ["the highest port", "10.0.0.1:65535"],
  ["the lowest IPv4", "0.0.0.0"],
  ["the highest IPv4", "255.255.255.255"],
  ["one label", "localhost"],
  ["a host name", "cache-1.example.com"],
  ["a host name with a port", "cache-1.example.com:80"],
  ["capitals", "Cache-1.Example.COM"],
  ["underscores", "_cache_1._tcp.example"],
  ["a label that starts with digits", "3com.example"],
  ["hexadecimal digits", "cafe"],
  ["numbers before the last label", "web.1.k3f9"],
  ["a name of the root", "cache.example.com."],
  ["a label of 63", `${"a".repeat(63)}.example`],
  ["IPv6", "[2001:db8::1]"],
  ["IPv6 with a port", "[2001:db8::1]:7991"],
  ["the IPv6 loopback", "[::1]"],
  ["no group at all", "[::]"],
  ["IPv6 in full", "[1:2:3:4:5:6:7:8]"],
  ["IPv6 with IPv4 in it", "[::ffff:10.0.0.1]"]
] as const

const bad = [
  ["an octet over 255", "10.0.0.256", /IPv4/],
  ["three octets", "1.2.3", /IPv4/],
  ["five octets", "1.2.3.4.5", /IPv4/],
  ["a leading zero", "10.0.0.01", /IPv4/],
  ["one number", "2130706433", /IPv4/],
  ["a hexadecimal number", "0x7f000001", /IPv4/],
  ["a name that ends in a number", "cache.1", /IPv4/],
  ["IPv4 of the root", "10.0.0.1.", /IPv4/],
  ["port 0", "10.0.0.1:0", /port/],
  ["port 65536", "10.0.0.1:65536", /port/],
  ["a port with a leading zero", "10.0.0.1:07991", /port/],
  ["a port with a sign", "10.0.0.1:+80", /port/],
  ["a negative port", "10.0.0.1:-1", /port/],
  ["a fraction of a port", "10.0.0.1:79.91", /port/],
  ["a named port", "10.0.0.1:http", /port/],
  ["an empty port", "10.0.0.1:", /port/],
  ["an empty port of IPv6", "[::1]:", /port/],
  ["no host", ":7991", /host is missing/],
  ["IPv6 without brackets", "::1", /brackets/],
  ["IPv6 without brackets, in full", "2001:db8:0:0:0:0:0:1", /brackets/],
  ["two ports", "10.0.0.1:80:81", /brackets/],
  ["an open bracket", "[::1", /\[address\]/],
  ["something after the bracket", "[::1]7991", /\[address\]/],
  ["two brackets", "[[::1]]", /\[address\]/],
  ["IPv4 in brackets", "[10.0.0.1]", /not an IPv6/],
  ["a name in brackets", "[localhost]", /not an IPv6/],
  ["nothing in brackets", "[]", /not an IPv6/],
  ["nine groups", "[1:2:3:4:5:6:7:8:9]", /not an IPv6/],
  ["a group of five digits", "[12345::]", /not an IPv6/],
  ["two gaps", "[1::2::3]", /not an IPv6/],
  ["three colons", "[1:::2]", /not an IPv6/],
  ["IPv4 in the middle", "[::10.0.0.1:1]", /not an IPv6/],
  ["a zone", "[fe80::1%eth0]", /not an IPv6/],
  ["a label that starts with a hyphen", "-cache.example", /host name/],
  ["a label that ends with a hyphen", "cache-.example", /host name/],
  ["an empty label", "cache..example", /host name/],
  ["a dot alone", ".", /host name/],
  ["a label of 64", `${"a".repeat(64)}.example`, /host name/],
  ["a name of 254", `${"a.".repeat(126)}aa`, /253/],
  ["no ASCII", "caché.example", /host name/],
  ["an exclamation mark", "cache!", /host name/],
  ["two addresses", "10.0.0.1 10.0.0.2", /one address/],
  ["two addresses and a comma", "10.0.0.1,10.0.0.2", /one address/],
  ["a tab inside", "10.0.0.1\t:7991", /one address/],
  ["a URL", "http://10.0.0.1:7991", /scheme/],
  ["a path", "10.0.0.1:7991/put", /path/],
  ["a user", "me@10.0.0.1", /user/],
  ["UTF-16", "1\u00000\u0000.\u0000x", /UTF-8/],
  ["no text", "\ufffd\ufffd", /UTF-8/]
] as const

const validAddress = FastCheck.tuple(
  FastCheck.oneof(
    FastCheck.ipV4(),
    FastCheck.domain(),
    FastCheck.ipV6().map((address) => `[${address}]`)
  ),
  FastCheck.option(FastCheck.integer({ min: 1, max: 65535 }), { nil: undefined })
).map(([host, port]) => ({
  host: host.replace(/^\[|\]$/g, ""),
  port,
  text: port === undefined ? host : `${host}:${port}`
}))

const blanks = FastCheck.stringOf(FastCheck.constantFrom(" ", "\t"), { maxLength: 3 })

describe("parse", () => {
  for (const [what, address] of good) {
    it(`accepts ${what}: ${address.slice(0, 40)}`, () => {
      const expected = Either.right({ nodes: [address], warnings: [] })
      assert.deepStrictEqual(Parse.parse("gdb.conf", address), expected)
      assert.deepStrictEqual(Parse.validate([address]), expected)
    })
  }

  for (const [what, address, reason] of bad) {
    it(`refuses ${what}: ${JSON.stringify(address.slice(0, 40))}`, () => {
      const text = `  ${address} # the second`
      const error = failure(Parse.parse("gdb.conf", `10.9.9.9\n\n${text}\n10.9.9.8`))
      assert.instanceOf(error, NodesFileError)
      assert.deepStrictEqual(
        [error.file, error.line, error.text],
        ["gdb.conf", 3, text.length > 200 ? `${text.slice(0, 200)}…` : text]
      )
      assert.match(error.reason, reason)
      assert.include(error.message, "gdb.conf:3: ")
      assert.match(failure(Parse.validate(["10.9.9.9", address])).reason, reason)
    })
  }

  it("accepts blanks, empty lines, comments, every line end and a byte-order mark", () => {
    assert.deepStrictEqual(
      Parse.parse(
        "f",
        "\ufeff# the cluster\r\n\r\n  10.0.0.1 \t\r10.0.0.2:80#old\n\t\n[::1] # new # newer\n \u00a0cache"
      ),
      Either.right({ nodes: ["10.0.0.1", "10.0.0.2:80", "[::1]", "cache"], warnings: [] })
    )
    assert.deepStrictEqual(Parse.parse("f", "\ufeff10.0.0.1"), Either.right({ nodes: ["10.0.0.1"], warnings: [] }))
  })

  it("counts lines of every kind", () => {
    for (const end of ["\n", "\r\n", "\r"]) {
      const error = failure(Parse.parse("f", `10.0.0.1${end}${end}#${end}no good${end}`))
      assert.deepStrictEqual([error.line, error.text], [4, "no good"])
    }
  })

  it("does not take the byte-order mark for a part of the line", () => {
    assert.strictEqual(failure(Parse.parse("f", "\ufeff!")).text, "!")
  })

  it("refuses a file without a node", () => {
    for (const content of ["", "\ufeff", "\n\n", "# 10.0.0.1", " \r\n\t"]) {
      assert.deepStrictEqual(
        Parse.parse("gdb.conf", content),
        Either.left(new NodesFileError({ file: "gdb.conf", reason: "no node in it" }))
      )
    }
  })

  it("drops duplicates with a warning", () => {
    const { nodes, warnings } = Either.getOrThrow(
      Parse.parse("f", "10.0.0.1\n10.0.0.2\n 10.0.0.1 # again\n10.0.0.1:7991\nCACHE\ncache\n10.0.0.1")
    )
    assert.deepStrictEqual(nodes, ["10.0.0.1", "10.0.0.2", "10.0.0.1:7991", "CACHE", "cache"])
    assert.deepStrictEqual(
      warnings.map(({ line, text }) => [line, text]),
      [
        [3, " 10.0.0.1 # again"],
        [7, "10.0.0.1"]
      ]
    )
    assert.match(warnings[0]!.reason, /line 1/)
  })

  it.prop(
    "gives back what was rendered",
    {
      lines: FastCheck.uniqueArray(FastCheck.tuple(validAddress, blanks, blanks, FastCheck.boolean()), {
        minLength: 1,
        selector: ([{ text }]) => text
      }),
      end: FastCheck.constantFrom("\n", "\r\n", "\r"),
      start: FastCheck.constantFrom("", "\ufeff", "\n", "#\n")
    },
    ({ end, lines, start }) => {
      const content = lines.map(([{ text }, before, after, comment]) => before + text + after + (comment ? "# it" : ""))
      assert.deepStrictEqual(
        Parse.parse("f", start + content.join(end)),
        Either.right({ nodes: lines.map(([{ text }]) => text), warnings: [] })
      )
      for (const [{ host, port, text }] of lines) {
        assert.deepStrictEqual(parseAddress(text, 7991), { host, port: port ?? 7991 })
      }
    }
  )

  const ipLike = (characters: string) =>
    FastCheck.stringOf(FastCheck.constantFrom(...characters), { minLength: 1, maxLength: 20 })

  it.prop("agrees with node:net on IPv4", { text: FastCheck.oneof(ipLike("0129."), FastCheck.ipV4()) }, ({ text }) => {
    assert.strictEqual(Either.isRight(Parse.parse("f", text)), isIPv4(text))
  })

  it.prop(
    "agrees with node:net on IPv6",
    {
      text: FastCheck.oneof(
        ipLike("1aF:"),
        ipLike("1:.0"),
        FastCheck.ipV6(),
        // one character taken out, or put in
        FastCheck.tuple(
          FastCheck.ipV6(),
          FastCheck.nat(40),
          FastCheck.nat(1),
          FastCheck.constantFrom("", ":", "1", ".")
        ).map(([address, at, out, put]) => address.slice(0, at) + put + address.slice(at + out))
      )
    },
    ({ text }) => {
      assert.strictEqual(Either.isRight(Parse.parse("f", `[${text}]`)), isIPv6(text), text)
    },
    { fastCheck: { numRuns: 1000 } }
  )

  it.prop("never throws, and blames the line", { content: FastCheck.fullUnicodeString() }, ({ content }) => {
    Either.match(Parse.parse("f", content), {
      onLeft: ({ line, text }) =>
        assert.strictEqual(text, line === undefined ? undefined : content.split(/\r\n|\n|\r/)[line - 1]),
      onRight: ({ nodes }) => assert.isAbove(nodes.length, 0)
    })
  })
})

describe("validate", () => {
  it("names the list and the place in it", () => {
    assert.deepStrictEqual(
      (({ file, line, text }) => [file, line, text])(failure(Parse.validate(["10.0.0.1", "1.2.3"]))),
      ["nodes", 2, "1.2.3"]
    )
    assert.strictEqual(failure(Parse.validate([], "GHOSTDB_NODES")).message, "GHOSTDB_NODES: no node in it")
  })

  it("refuses comments and empty entries, trims and drops duplicates", () => {
    assert.strictEqual(failure(Parse.validate(["10.0.0.1", " "])).line, 2)
    assert.strictEqual(failure(Parse.validate(["10.0.0.1#"])).line, 1)
    const { nodes, warnings } = Either.getOrThrow(Parse.validate([" 10.0.0.1", "10.0.0.1 "]))
    assert.deepStrictEqual(nodes, ["10.0.0.1"])
    assert.strictEqual(warnings[0]?.line, 2)
  })
})

describe("parseAddress", () => {
  it("splits host and port", () => {
    assert.deepStrictEqual(parseAddress("10.0.0.1", 7991), { host: "10.0.0.1", port: 7991 })
    assert.deepStrictEqual(parseAddress("cache:80", 7991), { host: "cache", port: 80 })
    assert.deepStrictEqual(parseAddress("[::1]", 7991), { host: "::1", port: 7991 })
    assert.deepStrictEqual(parseAddress("[::1]:80", 7991), { host: "::1", port: 80 })
  })
})

/** A queue of what is logged, and the layer that fills it. */
const makeLogs = Effect.map(Queue.unbounded<string>(), (lines) => ({
  lines,
  layer: Logger.replace(
    Logger.defaultLogger,
    Logger.make(({ logLevel, message }) => lines.unsafeOffer(`${logLevel.label} ${Arr.ensure(message).join(" ")}`))
  )
}))

/** Waits for a line like this one. */
const logged = (lines: Queue.Dequeue<string>, pattern: RegExp) =>
  Stream.fromQueue(lines).pipe(
    Stream.filter((line) => pattern.test(line)),
    Stream.runHead,
    Effect.flatten
  )

/** Runs a source's changes into a queue, its logs into another. */
const observe = <R>(source: Effect.Effect<Watched.Watched, NodesFileError, R>) =>
  Effect.gen(function* () {
    const logs = yield* makeLogs
    const { changes, nodes } = yield* Effect.provide(source, logs.layer)
    const seen = yield* Queue.unbounded<ReadonlyArray<string>>()
    yield* changes.pipe(
      Stream.runForEach((nodes) => Queue.offer(seen, nodes)),
      Effect.provide(logs.layer),
      Effect.forkScoped
    )
    return { nodes, seen, lines: logs.lines }
  })

const never: Schedule.Schedule<unknown> = Schedule.stop

describe("watchFile", () => {
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
  const byEvents = (file: string) => observe(WatchFile.watchFile(file, { debounce: "5 millis", poll: never }))

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
      const { changes, nodes } = yield* WatchFile.watchFile(file, { debounce: 0, poll: never })
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
      const observing = yield* observe(WatchFile.watchFile(file, { debounce: 0, poll: never })).pipe(
        Effect.provideService(FileSystem.FileSystem, slow),
        Effect.fork
      )
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
          WatchFile.watchFile(all.file, { debounce: "5 millis", poll: Schedule.spaced("50 millis") })
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

describe("watchUrl", () => {
  type Reply = (response: ServerResponse, request: IncomingMessage) => void

  const text =
    (content: string, etag?: string): Reply =>
    (response, request) => {
      if (etag !== undefined) response.setHeader("ETag", etag)
      if (etag !== undefined && request.headers["if-none-match"] === etag) response.writeHead(304).end()
      else response.end(content)
    }

  const endless = (response: ServerResponse): void => {
    while (!response.destroyed && response.write("#".repeat(65536))) {}
    if (!response.destroyed) response.once("drain", () => endless(response))
  }

  const status =
    (code: number): Reply =>
    (response) =>
      response.writeHead(code, { Location: "/elsewhere" }).end("10.6.6.6")

  /** A server on loopback: `reply` is what it does now, `requests` what it got, `closed` each reply that is over. */
  const server = Effect.gen(function* () {
    const requests = yield* Queue.unbounded<IncomingMessage>()
    const closed = yield* Queue.unbounded<void>()
    const state: { reply: Reply } = { reply: text("10.0.0.1") }
    const http = yield* Effect.acquireRelease(
      Effect.async<Server>((resume) => {
        const http = createServer((request, response) => {
          requests.unsafeOffer(request)
          response.on("close", () => closed.unsafeOffer(undefined))
          state.reply(response, request)
        })
        http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
      }),
      (http) =>
        Effect.async<void>((resume) => {
          http.close(() => resume(Effect.void))
          http.closeAllConnections()
        })
    )
    const address = http.address()
    const host = `127.0.0.1:${address !== null && typeof address === "object" ? address.port : 0}`
    return { host, url: `http://${host}/nodes`, requests, closed, state }
  })

  /** For tests that let time pass while a request is under way. */
  const patient = { timeout: "1000 days" } as const

  /** Lets polls happen until something comes. */
  const polling = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.raceFirst(effect, Effect.forever(TestClock.adjust("30 seconds")))

  for (const [client, layer] of [
    ["undici", NodeHttpClient.layerUndici],
    ["fetch", FetchHttpClient.layer]
  ] as const) {
    describe(client, () => {
      it.scoped("polls, and honours the ETag", () =>
        Effect.gen(function* () {
          const { requests, state, url } = yield* server
          const tag = Effect.map(Queue.take(requests), ({ headers }) => headers["if-none-match"])
          state.reply = text("10.0.0.1", '"1"')
          const { lines, nodes, seen } = yield* observe(WatchUrl.watchUrl(url, patient))
          assert.deepStrictEqual(nodes, ["10.0.0.1"])
          assert.strictEqual(yield* tag, undefined)
          for (const _ of [1, 2, 3]) {
            assert.strictEqual(yield* polling(tag), '"1"')
          }
          state.reply = text("10.0.0.1\n10.0.0.2", 'W/"2"')
          assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.1", "10.0.0.2"])
          state.reply = text("10.0.0.3")
          assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.3"])
          const tags = Arr.map(
            Arr.fromIterable(yield* Queue.takeAll(requests)),
            ({ headers }) => headers["if-none-match"]
          )
          assert.deepStrictEqual(Arr.dedupe(tags), ['"1"', 'W/"2"'])
          assert.isUndefined(yield* polling(tag))
          assert.deepStrictEqual(Arr.fromIterable(yield* Queue.takeAll(lines)), [])
        }).pipe(Effect.provide(layer))
      )

      it.scoped("polls every 30 seconds", () =>
        Effect.gen(function* () {
          const { requests, url } = yield* server
          yield* observe(WatchUrl.watchUrl(url))
          yield* Queue.take(requests)
          yield* TestClock.adjust("29999 millis")
          assert.strictEqual(yield* Queue.size(requests), 0)
          yield* TestClock.adjust("1 millis")
          yield* Queue.take(requests)
        }).pipe(Effect.provide(layer))
      )

      const troubles: ReadonlyArray<readonly [what: string, reply: Reply, reason: RegExp]> = [
        ["HTTP 500", status(500), /HTTP 500/],
        ["HTTP 404", status(404), /HTTP 404/],
        ["HTTP 206", status(206), /HTTP 206/],
        ["304 to no ETag", status(304), /HTTP 304/],
        ["a reset", (response) => response.destroy(), /cannot be fetched: /],
        [
          "a reply cut short",
          (response) => response.writeHead(200, { "Content-Length": 99 }).write("10", () => response.destroy()),
          /cannot be fetched: /
        ],
        ["an endless reply", (response) => endless(response), /over 1048576 bytes/],
        ["what does not parse", text("<html>"), /:1: .*"<html>"/],
        ["no node", text("\n"), /no node in it/]
      ]
      for (const [what, reply, reason] of troubles) {
        it.scoped(`keeps the nodes on ${what}`, () =>
          Effect.gen(function* () {
            const { closed, lines, requests, seen, state, url } = yield* Effect.gen(function* () {
              const all = yield* server
              return { ...all, ...(yield* observe(WatchUrl.watchUrl(all.url, patient))) }
            })
            yield* Queue.takeAll(requests)
            yield* Queue.take(closed)
            state.reply = reply
            assert.match(
              yield* polling(Queue.take(lines)),
              new RegExp(`^WARN ${url}.*${reason.source}.*; the nodes stay as they are$`)
            )
            // the same again is not logged again
            yield* polling(Queue.takeN(closed, 3))
            state.reply = text("10.0.0.2")
            assert.deepStrictEqual(yield* polling(Queue.take(seen)), ["10.0.0.2"])
            assert.deepStrictEqual(Arr.fromIterable(yield* Queue.takeAll(lines)), [])
            state.reply = reply
            const error = yield* Effect.flip(WatchUrl.watchUrl(url))
            assert.match(error.message, reason)
            assert.strictEqual(error.file, url)
          }).pipe(Effect.provide(layer))
        )
      }

      it.scoped("gives up a request that takes too long", () =>
        Effect.gen(function* () {
          const { closed, requests, state, url } = yield* server
          for (const reply of [() => {}, (response: ServerResponse) => response.write("10.0.0.1")]) {
            state.reply = reply
            const watching = yield* Effect.fork(Effect.flip(WatchUrl.watchUrl(url)))
            yield* Queue.take(requests)
            yield* TestClock.adjust("9999 millis")
            assert.isNull(watching.unsafePoll())
            yield* TestClock.adjust("1 millis")
            assert.strictEqual((yield* Fiber.join(watching)).message, `${url}: no reply within 10s`)
            yield* Queue.take(closed)
          }
        }).pipe(Effect.provide(layer))
      )

      it.scoped("shows neither credentials nor the query", () =>
        Effect.gen(function* () {
          const { host, lines, requests, seen, state, url } = yield* Effect.gen(function* () {
            const all = yield* server
            const source = `http://us%65r:s%C3%A9cret@${all.host}/nodes?token=s%2bcret&a=s+cret#s-cret`
            const watching = observe(WatchUrl.watchUrl(source, patient)).pipe(Effect.withSpan("test"))
            return { ...all, url: source, ...(yield* watching) }
          })
          const request = yield* Queue.take(requests)
          assert.strictEqual(request.url, "/nodes?token=s%2bcret&a=s+cret")
          const credentials = Buffer.from("user:sécret").toString("base64")
          assert.strictEqual(request.headers.authorization, `Basic ${credentials}`)
          // no span was made of it, so none holds the URL
          assert.isUndefined(request.headers.traceparent)
          const secret = /user|us%65r|s%C3|sécret|cret|token|dXNlcj/
          for (const reply of [status(403), text("!"), text("10.0.0.1\n10.0.0.1\n10.0.0.2")]) {
            state.reply = reply
            const line = yield* polling(Queue.take(lines))
            assert.include(line, `http://${host}/nodes`)
            assert.notMatch(line, secret)
          }
          assert.deepStrictEqual(yield* Queue.take(seen), ["10.0.0.1", "10.0.0.2"])
          state.reply = (response) => response.destroy()
          assert.notMatch(yield* polling(Queue.take(lines)), secret)
          const error = yield* Effect.flip(WatchUrl.watchUrl(url))
          for (const shown of [error.message, String(error), JSON.stringify(error), inspect(error, { depth: 9 })]) {
            assert.include(shown, `http://${host}/nodes`)
            assert.notMatch(shown, secret)
          }
        }).pipe(Effect.provide(layer))
      )

      it.scoped("says why no connection could be made", () =>
        Effect.gen(function* () {
          const { url } = yield* Effect.scoped(server)
          assert.strictEqual(
            (yield* Effect.flip(WatchUrl.watchUrl(url))).message,
            `${url}: cannot be fetched: ECONNREFUSED`
          )
        }).pipe(Effect.provide(layer))
      )
    })
  }

  it.effect("refuses what is no URL, without showing it", () =>
    Effect.gen(function* () {
      for (const url of [
        "http://user:secret@:99999/x",
        "http://",
        "http://a b/?secret",
        "ftp://secret.example/",
        "secret"
      ]) {
        const { message } = yield* Effect.flip(WatchUrl.watchUrl(url))
        assert.strictEqual(message, "nodes URL: not a valid http or https URL")
      }
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )

  it("tells a URL from a path", () => {
    assert.deepStrictEqual(
      ["http://a/b", "HTTPS://a", "gdb.conf", "/etc/http://a", "./http:", "file:///a"].map(WatchUrl.isUrl),
      [true, true, false, false, false, false]
    )
  })
})
