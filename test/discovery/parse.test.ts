import { isIPv4, isIPv6 } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Either, FastCheck } from "effect"
import * as Parse from "../../src/discovery/Parse.js"
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
