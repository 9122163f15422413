import { Buffer } from "node:buffer"
import * as Net from "node:net"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { Undici } from "@effect/platform-node"
import { describe, expect, it } from "@effect/vitest"
import { Effect, FastCheck } from "effect"
import { ReplyParser } from "../../src/http/ReplyParser.js"
import wireRaft from "../fixtures/wire-raft.json" with { type: "json" }
import wireV1 from "../fixtures/wire-v1.json" with { type: "json" }
import wireV2 from "../fixtures/wire-v2.json" with { type: "json" }

type Reply = readonly [status: number, body: string]

interface Outcome {
  readonly replies: ReadonlyArray<Reply>
  /** Whether the last of the replies was told to be the connection's last. */
  readonly closed: boolean
  readonly violation: string | undefined
  /** The places of the replies that were too large, and what is told of them. */
  readonly tooLarge: ReadonlyArray<readonly [place: number, detail: string]>
}

interface Setting {
  readonly awaiting?: number
  readonly maxBodyBytes?: number
  /** Whether the other side closes after the bytes. */
  readonly end?: boolean
}

const maxBodyBytes = 1 << 20

/** What a new parser makes of the parts. Bytes after a violation are pushed as well: nothing may come of them. */
const parse = (parts: Iterable<Buffer>, setting: Setting = {}): Outcome => {
  const replies: Array<Reply> = []
  let closed = false
  let violation: string | undefined
  const tooLarge: Array<readonly [number, string]> = []
  const parser = new ReplyParser(
    {
      onReply: (status, body, isLast) => {
        if (closed || violation !== undefined) expect.unreachable("a reply after the end")
        replies.push([status, body])
        closed = isLast
      },
      onTooLarge: (detail) => {
        if (closed || violation !== undefined) expect.unreachable("a reply after the end")
        tooLarge.push([replies.length, detail])
      }
    },
    setting.maxBodyBytes ?? maxBodyBytes
  )
  parser.outstanding = setting.awaiting ?? 1
  for (const part of parts) {
    const found = parser.push(part)
    if (found !== undefined && violation !== undefined) expect.unreachable("a second violation")
    violation ??= found?.detail
  }
  if (setting.end === true && violation === undefined) parser.end()
  expect(parser.outstanding).toBe((setting.awaiting ?? 1) - replies.length)
  return { replies, closed, violation, tooLarge }
}

const split = (bytes: Buffer, cuts: ReadonlyArray<number>): ReadonlyArray<Buffer> =>
  [0, ...cuts].map((cut, i) => bytes.subarray(cut, cuts[i] ?? bytes.length))

const lines = (...text: ReadonlyArray<string>) => `${text.join("\r\n")}\r\n\r\n`

const withLength = (body: string, head = "HTTP/1.1 200 OK") =>
  `${lines(head, `Content-Length: ${Buffer.byteLength(body)}`)}${body}`

const chunkedHead = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")

const chunk = (body: string, extension = "") => `${Buffer.byteLength(body).toString(16)}${extension}\r\n${body}\r\n`

interface Valid {
  readonly bytes: string
  readonly reply: Reply
  /** Whether it is the connection's last. Default: no. */
  readonly close?: true
  /** Whether only the end of the connection ends it. Default: no. */
  readonly end?: true
  /** Why it is accepted although undici refuses it. Absent where undici accepts it as well. */
  readonly looser?: string
}

const valid: Readonly<Record<string, Valid>> = {
  "a length": { bytes: withLength("hello"), reply: [200, "hello"] },
  "an empty body": { bytes: withLength(""), reply: [200, ""] },
  "leading zeros in a length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 0005")}hello`,
    reply: [200, "hello"]
  },
  "no reason": { bytes: withLength("hello", "HTTP/1.1 200 "), reply: [200, "hello"] },
  "no reason, no blank": { bytes: withLength("hello", "HTTP/1.1 200"), reply: [200, "hello"] },
  "a long reason": { bytes: withLength("hello", "HTTP/1.1 500 Something went\twrong"), reply: [500, "hello"] },
  "an unusual status": { bytes: withLength("hello", "HTTP/1.1 299 Odd"), reply: [299, "hello"] },
  "a redirect": { bytes: lines("HTTP/1.1 302 Found", "Location: /x", "Content-Length: 0"), reply: [302, ""] },
  "capitals and blanks in headers": {
    bytes: `${lines("HTTP/1.1 200 OK", "CONTENT-length: \t 5 ", "X-Empty:", "x:y:z")}hello`,
    reply: [200, "hello"]
  },
  "a tab behind the length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5\t")}hello`,
    reply: [200, "hello"],
    looser: "RFC 9110, 5.5: blanks around a value are no part of it, and a tab is one"
  },
  "bytes over 127 in a header": {
    bytes: `${lines("HTTP/1.1 200 OK", "X-Name: é à", "Content-Length: 5")}hello`,
    reply: [200, "hello"]
  },
  "headers after the length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5", "X: 5", "Y: 6")}hello`,
    reply: [200, "hello"]
  },
  "a body in UTF-8": { bytes: withLength("é 日本語 😀"), reply: [200, "é 日本語 😀"] },
  "a body that looks like replies": { bytes: withLength(withLength("hello")), reply: [200, withLength("hello")] },
  "a head in a body of chunks": {
    bytes: `${chunkedHead}${chunk(withLength("x"))}0\r\n\r\n`,
    reply: [200, withLength("x")]
  },
  chunks: { bytes: `${chunkedHead}${chunk("he")}${chunk("llo")}0\r\n\r\n`, reply: [200, "hello"] },
  "a character in two chunks": {
    bytes: "", // made below: its halves are no strings
    reply: [200, "é"]
  },
  "no chunk but the last": { bytes: `${chunkedHead}0\r\n\r\n`, reply: [200, ""] },
  "capitals in Transfer-Encoding": {
    bytes: `${lines("HTTP/1.1 200 OK", "TRANSFER-ENCODING:\tChunked ")}${chunk("hello")}0\r\n\r\n`,
    reply: [200, "hello"]
  },
  "a chunk size with zeros and capitals": {
    bytes: `${chunkedHead}00A\r\n0123456789\r\n000\r\n\r\n`,
    reply: [200, "0123456789"]
  },
  "chunk extensions": {
    bytes: `${chunkedHead}${chunk("hel", ";a=b")}${chunk("lo", ';c="d e"')}0;last\r\n\r\n`,
    reply: [200, "hello"]
  },
  trailers: {
    bytes: `${chunkedHead}${chunk("hello")}0\r\n${lines("Expires: never", "X-Sum: 1")}`,
    reply: [200, "hello"]
  },
  "no content": { bytes: lines("HTTP/1.1 204 No Content"), reply: [204, ""] },
  "not modified": { bytes: lines("HTTP/1.1 304 Not Modified"), reply: [304, ""] },
  "not modified, with the length of what was not": {
    bytes: lines("HTTP/1.1 304 Not Modified", "Content-Length: 5"),
    reply: [304, ""],
    looser: "RFC 9110, 8.6: the length is that of the reply to the same request without a condition"
  },
  "an interim reply": { bytes: `${lines("HTTP/1.1 102 Processing")}${withLength("hello")}`, reply: [200, "hello"] },
  "an interim reply that continues": {
    bytes: `${lines("HTTP/1.1 100 Continue")}${withLength("hello")}`,
    reply: [200, "hello"],
    looser: "RFC 9110, 15.2: a client must be able to read interim replies that it has not expected"
  },
  "sixteen interim replies": {
    bytes: `${lines("HTTP/1.1 103 Early Hints", "Link: </x>").repeat(16)}${withLength("hello")}`,
    reply: [200, "hello"]
  },
  "Connection: close": {
    bytes: `${lines("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 5")}hello`,
    reply: [200, "hello"],
    close: true
  },
  "close among other options": {
    bytes: `${lines("HTTP/1.1 200 OK", "Connection: x , CLOSE,y", "Content-Length: 5")}hello`,
    reply: [200, "hello"],
    close: true
  },
  "close in a second Connection": {
    bytes: `${lines("HTTP/1.1 200 OK", "Connection: x", "Content-Length: 5", "Connection: close")}hello`,
    reply: [200, "hello"],
    close: true
  },
  "Connection: closer": {
    bytes: `${lines("HTTP/1.1 200 OK", "Connection: closer, disclose", "Content-Length: 5")}hello`,
    reply: [200, "hello"]
  },
  "Connection: close with chunks": {
    bytes: `${lines("HTTP/1.1 200 OK", "Connection: close", "Transfer-Encoding: chunked")}${chunk("hello")}0\r\n\r\n`,
    reply: [200, "hello"],
    close: true
  },
  "HTTP/1.0": { bytes: withLength("hello", "HTTP/1.0 200 OK"), reply: [200, "hello"], close: true },
  "HTTP/1.0 that stays": {
    bytes: `${lines("HTTP/1.0 200 OK", "Connection: Keep-Alive", "Content-Length: 5")}hello`,
    reply: [200, "hello"]
  },
  "a body until the end": { bytes: `${lines("HTTP/1.1 200 OK")}hello`, reply: [200, "hello"], close: true, end: true },
  "an empty body until the end": { bytes: lines("HTTP/1.0 200 OK"), reply: [200, ""], close: true, end: true },
  "a body until the end, whatever keep-alive says": {
    bytes: `${lines("HTTP/1.0 200 OK", "Connection: keep-alive")}hello`,
    reply: [200, "hello"],
    close: true,
    end: true
  }
}

const inTwoChunks = Buffer.concat([
  Buffer.from(`${chunkedHead}1\r\n`),
  Buffer.from([0xc3]),
  Buffer.from("\r\n1\r\n"),
  Buffer.from([0xa9]),
  Buffer.from("\r\n0\r\n\r\n")
])

const validCases = Object.entries(valid).map(([name, { bytes, close, end, looser, reply }]) => ({
  name,
  looser,
  bytes: bytes === "" ? inTwoChunks : Buffer.from(bytes),
  end: end === true,
  outcome: { replies: [reply], closed: close === true, violation: undefined, tooLarge: [] } satisfies Outcome
}))

const manyLines = (count: number, text: string) => `${text}\r\n`.repeat(count)

interface Invalid {
  readonly bytes: string
  readonly violation: RegExp
  /** The replies before it. Default: none. */
  readonly replies?: ReadonlyArray<Reply>
  readonly awaiting?: number
  /** Why it is refused although undici accepts it. Absent where undici refuses it as well. */
  readonly stricter?: string
}

const secondGuess = "the answer is whole, and what follows has no question: whoever is asked next would get it"
const lenient = "no server of ours writes it, and servers and proxies disagree on what it means"

const invalid: Readonly<Record<string, Invalid>> = {
  "no HTTP": { bytes: "SSH-2.0-OpenSSH_9.2\r\n", violation: /no HTTP/ },
  "a TLS alert": { bytes: "\x15\x03\x01\x00\x02\x02\x46", violation: /no HTTP/ },
  "HTTP/2": { bytes: "HTTP/2 200 OK\r\n\r\n", violation: /no HTTP/ },
  "HTTP/1.2": { bytes: withLength("hello", "HTTP/1.2 200 OK"), violation: /no HTTP/ },
  "a small http": { bytes: withLength("hello", "http/1.1 200 OK"), violation: /no HTTP/ },
  "an empty line before the reply": {
    bytes: `\r\n${withLength("hello")}`,
    violation: /no HTTP/,
    stricter: "it may be the end of another reply"
  },
  "two blanks before the status": { bytes: withLength("hello", "HTTP/1.1  200 OK"), violation: /status line/ },
  "a status of two digits": { bytes: withLength("hello", "HTTP/1.1 20 OK"), violation: /status line/ },
  "a status of four digits": { bytes: withLength("hello", "HTTP/1.1 2000 OK"), violation: /status line/ },
  "a status below 100": {
    bytes: withLength("hello", "HTTP/1.1 099 OK"),
    violation: /status line/
  },
  "no blank after the status": { bytes: withLength("hello", "HTTP/1.1 200OK"), violation: /status line/ },
  "a control byte in the reason": {
    bytes: withLength("hello", "HTTP/1.1 200 O\x01K"),
    violation: /status line/,
    stricter: lenient
  },
  "an empty length": { bytes: lines("HTTP/1.1 200 OK", "Content-Length: "), violation: /Content-Length/ },
  "a signed length": { bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: +5")}hello`, violation: /Content-Length/ },
  "a negative length": { bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: -5")}hello`, violation: /Content-Length/ },
  "a fraction as length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5.0")}hello`,
    violation: /Content-Length/
  },
  "a hexadecimal length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 0x5")}hello`,
    violation: /Content-Length/
  },
  "two numbers as length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5 5")}hello`,
    violation: /Content-Length/
  },
  "a list of lengths": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5, 5")}hello`,
    violation: /Content-Length/
  },
  "a no-break space in the length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5\xa0")}hello`,
    violation: /Content-Length/
  },
  "a huge length": {
    bytes: `${lines("HTTP/1.1 200 OK", `Content-Length: ${"9".repeat(30)}`)}hello`,
    violation: /Content-Length/
  },
  "a length that is too large to be discarded": {
    bytes: lines("HTTP/1.1 200 OK", `Content-Length: ${64 * maxBodyBytes + 1}`),
    violation: /more than 1048576 bytes/
  },
  "a doubled length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5", "content-length: 5")}hello`,
    violation: /more than one Content-Length/
  },
  "two lengths": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5", "Content-Length: 6")}hello!`,
    violation: /more than one Content-Length/
  },
  "a length and chunks": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length: 5", "Transfer-Encoding: chunked")}${chunk("hello")}0\r\n\r\n`,
    violation: /both/
  },
  "chunks and a length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Length: 5")}${chunk("hello")}0\r\n\r\n`,
    violation: /both/
  },
  "an unknown coding": {
    bytes: `${lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip")}hello`,
    violation: /Transfer-Encoding/,
    stricter: "a body that is not decoded is no answer"
  },
  "a coding before chunked": {
    bytes: `${lines("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked")}${chunk("hello")}0\r\n\r\n`,
    violation: /Transfer-Encoding/,
    stricter: "a body that is not decoded is no answer"
  },
  "chunked twice": {
    bytes: `${lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")}${chunk("hello")}0\r\n\r\n`,
    violation: /Transfer-Encoding/,
    stricter: lenient
  },
  "chunks in HTTP/1.0": {
    bytes: `${lines("HTTP/1.0 200 OK", "Transfer-Encoding: chunked")}${chunk("hello")}0\r\n\r\n`,
    violation: /HTTP\/1\.0/,
    stricter: "RFC 9112, 6.1: its framing is to be treated as faulty"
  },
  "no content with a body": {
    bytes: `${lines("HTTP/1.1 204 No Content", "Content-Length: 5")}hello`,
    violation: /body with status 204/
  },
  "no content in chunks": {
    bytes: `${lines("HTTP/1.1 204 No Content", "Transfer-Encoding: chunked")}0\r\n\r\n`,
    violation: /body with status 204/,
    stricter: "RFC 9112, 6.1: it has no body, and must not say how one ends"
  },
  "an interim reply with a body": {
    bytes: `${lines("HTTP/1.1 103 Early Hints", "Content-Length: 5")}hello${withLength("hello")}`,
    violation: /body with status 103/
  },
  "a switch of protocols": {
    bytes: lines("HTTP/1.1 101 Switching Protocols", "Connection: upgrade", "Upgrade: x"),
    violation: /interim/
  },
  "interim replies without end": {
    bytes: `${lines("HTTP/1.1 102 Processing").repeat(17)}${withLength("hello")}`,
    violation: /interim/,
    stricter: "they could go on for ever"
  },
  "a folded header": {
    bytes: `${lines("HTTP/1.1 200 OK", "X: a", " b", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a folded length": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length:", " 5")}hello`,
    violation: /Content-Length/
  },
  "a blank before the colon": {
    bytes: `${lines("HTTP/1.1 200 OK", "Content-Length : 5")}hello`,
    violation: /header/
  },
  "a blank before the name": {
    bytes: `${lines("HTTP/1.1 200 OK", " X: a", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a header without a name": {
    bytes: `${lines("HTTP/1.1 200 OK", ": a", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a header without a colon": {
    bytes: `${lines("HTTP/1.1 200 OK", "X", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a control byte in a name": {
    bytes: `${lines("HTTP/1.1 200 OK", "X\x01: a", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a control byte in a value": {
    bytes: `${lines("HTTP/1.1 200 OK", "X: a\x01", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a NUL in a value": {
    bytes: `${lines("HTTP/1.1 200 OK", "X: a\0b", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a bare CR in a value": {
    bytes: `${lines("HTTP/1.1 200 OK", "X: a\rb", "Content-Length: 5")}hello`,
    violation: /header/
  },
  "a bare LF after the status line": {
    bytes: "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
    violation: /status line/
  },
  "a bare LF after a header": {
    bytes: "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 5\r\n\r\nhello",
    violation: /header/
  },
  "a head without end": {
    bytes: `HTTP/1.1 200 OK\r\n${manyLines(2000, "X: 1234567890")}`,
    violation: /head of more than 16384 bytes/
  },
  "one endless header": { bytes: `HTTP/1.1 200 OK\r\nX: ${"x".repeat(20_000)}`, violation: /head of more than 16384/ },
  "a large head": {
    bytes: `HTTP/1.1 200 OK\r\n${manyLines(3000, "X: 1234567")}Content-Length: 5\r\n\r\nhello`,
    violation: /head of more than 16384 bytes/
  },
  "bytes without a request": {
    bytes: withLength("hello"),
    awaiting: 0,
    violation: /no request/,
    stricter: secondGuess
  },
  "a second reply to one request": {
    bytes: withLength("hello") + withLength("again"),
    replies: [[200, "hello"]],
    violation: /no request/,
    stricter: secondGuess
  },
  "a body longer than its length": {
    bytes: `${withLength("hello")}!`,
    replies: [[200, "hello"]],
    violation: /no request/,
    stricter: secondGuess
  },
  "a body longer than its length, before a reply": {
    bytes: `${withLength("hello")}!${withLength("again")}`,
    replies: [[200, "hello"]],
    awaiting: 2,
    violation: /no HTTP/,
    stricter: secondGuess
  },
  "an empty chunk size": { bytes: `${chunkedHead}\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a signed chunk size": { bytes: `${chunkedHead}+5\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a chunk size with a prefix": { bytes: `${chunkedHead}0x5\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a chunk size of letters": { bytes: `${chunkedHead}xyz\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a blank before a chunk size": { bytes: `${chunkedHead} 5\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a huge chunk size": { bytes: `${chunkedHead}${"f".repeat(17)}\r\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "a control byte in a chunk extension": {
    bytes: `${chunkedHead}5;a=\x01\r\nhello\r\n0\r\n\r\n`,
    violation: /chunk size/
  },
  "a bare LF after a chunk size": { bytes: `${chunkedHead}5\nhello\r\n0\r\n\r\n`, violation: /chunk size/ },
  "an endless chunk extension": {
    bytes: `${chunkedHead}5;${"x".repeat(2000)}\r\nhello\r\n0\r\n\r\n`,
    violation: /overlong/,
    stricter: "a line that nobody reads need not be long"
  },
  "a chunk longer than its size": { bytes: `${chunkedHead}4\r\nhello\r\n0\r\n\r\n`, violation: /chunk/ },
  "a chunk shorter than its size": { bytes: `${chunkedHead}6\r\nhello\r\n0\r\n\r\n`, violation: /chunk/ },
  "a bare LF after a chunk": { bytes: `${chunkedHead}5\r\nhello\n0\r\n\r\n`, violation: /chunk/ },
  "chunks over the limit": {
    bytes: `${chunkedHead}${chunk("x".repeat(maxBodyBytes))}1\r\n`,
    violation: /more than 1048576 bytes/
  },
  "a chunk over the limit": {
    bytes: `${chunkedHead}${(maxBodyBytes + 1).toString(16)}\r\n`,
    violation: /more than 1048576 bytes/
  },
  "a malformed trailer": { bytes: `${chunkedHead}${chunk("hello")}0\r\nX\r\n\r\n`, violation: /header/ },
  "a folded trailer": {
    bytes: `${chunkedHead}${chunk("hello")}0\r\n${lines("X: a", " b")}`,
    violation: /header/
  },
  "trailers without end": {
    bytes: `${chunkedHead}${chunk("hello")}0\r\n${manyLines(100, "X: y")}\r\n`,
    violation: /trailers/,
    stricter: "they could go on for ever"
  }
}

const invalidCases = Object.entries(invalid).map(([name, { awaiting, bytes, replies, stricter, violation }]) => ({
  name,
  bytes: Buffer.from(bytes, "latin1"),
  awaiting: awaiting ?? 1,
  replies: replies ?? [],
  violation,
  stricter
}))

/** The exchanges of the fixtures as replies of a Go server, with a length and in chunks. */
const recorded = [...wireV1, ...wireV2, ...wireRaft].flatMap(({ body, contentType, status }) => {
  const fields = [
    ...(contentType === null ? [] : [`Content-Type: ${contentType}`]),
    "Date: Mon, 01 Jan 2024 00:00:00 GMT"
  ]
  const first = `HTTP/1.1 ${status} Reason`
  const half = body.slice(0, body.length >> 1)
  const other = body.slice(half.length)
  return [
    `${lines(first, ...fields, `Content-Length: ${Buffer.byteLength(body)}`)}${body}`,
    `${lines(first, ...fields, "Transfer-Encoding: chunked")}${half === "" ? "" : chunk(half)}${other === "" ? "" : chunk(other)}0\r\n\r\n`
  ].map((text) => ({ bytes: Buffer.from(text), reply: [status, body] as const }))
})

describe("valid replies", () => {
  it.each(validCases)("$name", ({ bytes, end, outcome }) => {
    expect(parse([bytes], { end })).toEqual(outcome)
  })

  it.each(validCases)("$name, in two reads split anywhere, and byte by byte", ({ bytes, end, outcome }) => {
    for (let cut = 1; cut < bytes.length; cut++) expect(parse(split(bytes, [cut]), { end })).toEqual(outcome)
    const bytewise = Array.from(bytes, (byte) => Buffer.of(byte))
    expect(parse(bytewise, { end })).toEqual(outcome)
  })

  it("one after the other, each after each, on one connection", () => {
    const stay = validCases.filter(({ outcome }) => !outcome.closed)
    for (const first of stay) {
      for (const second of validCases) {
        const bytes = Buffer.concat([first.bytes, second.bytes])
        const outcome = { ...second.outcome, replies: [...first.outcome.replies, ...second.outcome.replies] }
        expect(parse([bytes], { awaiting: 2, end: second.end }), `${first.name}, ${second.name}`).toEqual(outcome)
        expect(parse([first.bytes, second.bytes], { awaiting: 2, end: second.end })).toEqual(outcome)
      }
    }
  })

  it("what follows the connection's last reply is not read", () => {
    const bytes = Buffer.from(`${lines("HTTP/1.1 200 OK", "Connection: close", "Content-Length: 5")}hello`)
    const outcome = { replies: [[200, "hello"]], closed: true, violation: undefined, tooLarge: [] }
    expect(parse([Buffer.concat([bytes, bytes, Buffer.from("garbage")])], { awaiting: 3 })).toEqual(outcome)
    expect(parse([bytes, Buffer.from("garbage")], { awaiting: 3 })).toEqual(outcome)
  })

  it("a body cut off by the end of the connection is no reply", () => {
    const none = { replies: [], closed: false, violation: undefined, tooLarge: [] }
    for (const { bytes, end, name, outcome } of validCases) {
      if (end) continue
      for (let length = 0; length < bytes.length; length++) {
        expect(parse([bytes.subarray(0, length)], { end: true }), `${name}, ${length} bytes`).toEqual(none)
      }
      expect(parse([bytes], { end: true })).toEqual(outcome)
    }
  })

  it("recorded replies, split anywhere", () => {
    for (const { bytes, reply } of recorded) {
      const outcome = { replies: [reply], closed: false, violation: undefined, tooLarge: [] }
      for (let cut = 0; cut <= bytes.length; cut++) expect(parse(split(bytes, [cut]))).toEqual(outcome)
    }
  })

  it("a head that differs in its length alone, or in all but its length", () => {
    const bodies = ["", "a", "b".repeat(9), "c".repeat(10), "d".repeat(99), "e".repeat(100), "f", ""]
    const heads = ["HTTP/1.1 200 OK", "HTTP/1.1 201 OK", "HTTP/1.1 200 Ok"]
    const fields = [[], ["X: 1"], ["X: 12"]]
    const replies = bodies.flatMap((body) =>
      heads.flatMap((head) =>
        fields.flatMap((before) =>
          fields.map((after): [string, Reply] => [
            `${lines(head, ...before, `Content-Length: ${body.length}`, ...after)}${body}`,
            [Number(head.slice(9, 12)), body]
          ])
        )
      )
    )
    const bytes = Buffer.from(replies.map(([text]) => text).join(""))
    expect(parse([bytes], { awaiting: replies.length })).toEqual({
      replies: replies.map(([, reply]) => reply),
      closed: false,
      violation: undefined,
      tooLarge: []
    })
  })

  it("a head whose value for another length would be a violation", () => {
    const good = `${lines("HTTP/1.1 200 OK", "Content-Length: 5", "X: y")}hello`
    for (const length of [
      "",
      "-5",
      "5 5",
      "5,5",
      "0x5",
      "9".repeat(16),
      "5\r\nContent-Length: 5",
      `${64 * maxBodyBytes + 1}`
    ]) {
      const bad = `${lines("HTTP/1.1 200 OK", `Content-Length: ${length}`, "X: y")}hello`
      const { replies, violation } = parse([Buffer.from(good + bad)], { awaiting: 2 })
      expect(replies).toEqual([[200, "hello"]])
      expect(violation, length).toBeDefined()
    }
  })
})

describe("violations", () => {
  it.each(invalidCases)("$name", ({ awaiting, bytes, replies, violation }) => {
    const outcome = parse([bytes], { awaiting, end: true })
    expect(outcome).toEqual({ replies, closed: false, violation: expect.stringMatching(violation), tooLarge: [] })
    expect(parse([bytes, Buffer.from(withLength("more"))], { awaiting, end: true })).toEqual(outcome)
  })

  it.each(invalidCases.filter(({ bytes }) => bytes.length < 500))("$name, split anywhere", (violationCase) => {
    const { awaiting, bytes } = violationCase
    const outcome = parse([bytes], { awaiting })
    for (let cut = 1; cut < bytes.length; cut++) expect(parse(split(bytes, [cut]), { awaiting })).toEqual(outcome)
    expect(
      parse(
        Array.from(bytes, (byte) => Buffer.of(byte)),
        { awaiting }
      )
    ).toEqual(outcome)
  })

  it("a violation behind good replies leaves them as they are", () => {
    const good = Buffer.from(withLength("good"))
    for (const { awaiting, bytes, name, replies, violation } of invalidCases) {
      if (awaiting === 0) continue
      const outcome = parse([Buffer.concat([good, good, bytes])], { awaiting: awaiting + 2 })
      expect(outcome, name).toEqual({
        replies: [[200, "good"], [200, "good"], ...replies],
        closed: false,
        violation: expect.stringMatching(violation),
        tooLarge: []
      })
    }
  })

  it("a body until the end of the connection that is over the limit", () => {
    const head = Buffer.from(lines("HTTP/1.1 200 OK"))
    const part = Buffer.alloc(400, "x")
    expect(parse([head, part, part], { maxBodyBytes: 800, end: true }).replies).toEqual([[200, "x".repeat(800)]])
    expect(parse([head, part, part], { maxBodyBytes: 799, end: true })).toEqual({
      replies: [],
      closed: false,
      violation: "a reply of more than 799 bytes",
      tooLarge: []
    })
  })

  it("a reply of a length over the limit is read to its end, and those behind it are what they are", () => {
    const large = withLength("0123456789".repeat(10))
    const bytes = Buffer.from(withLength("a") + large + withLength("b") + large + large + withLength("c"))
    const outcome: Outcome = {
      replies: [
        [200, "a"],
        [200, ""],
        [200, "b"],
        [200, ""],
        [200, ""],
        [200, "c"]
      ],
      closed: false,
      violation: undefined,
      tooLarge: [1, 3, 4].map((place) => [place, "a reply of more than 99 bytes"])
    }
    const setting = { maxBodyBytes: 99, awaiting: 6 }
    expect(parse([bytes], setting)).toEqual(outcome)
    for (let cut = 1; cut < bytes.length; cut++) expect(parse(split(bytes, [cut]), setting)).toEqual(outcome)
    const bytewise = Array.from(bytes, (byte) => Buffer.of(byte))
    expect(parse(bytewise, setting)).toEqual(outcome)
  })

  it("the limits are exact, however the bytes arrive", () => {
    const head = (length: number) => {
      const start = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: "
      return Buffer.from(`${start}${"x".repeat(length - start.length)}\r\n\r\nhello`)
    }
    const size = (length: number) =>
      Buffer.from(`${chunkedHead}5;${"x".repeat(length - 2)}\r\nhello\r\n0\r\n${lines("X: y")}`)
    for (const [make, max] of [
      [head, 16 * 1024],
      [size, 1024]
    ] as const) {
      for (const [length, replies] of [
        [max, 1],
        [max + 1, 0]
      ] as const) {
        const bytes = make(length)
        const outcome = parse([bytes])
        expect(outcome.replies.length).toBe(replies)
        expect(outcome.violation === undefined).toBe(replies === 1)
        const around = bytes.indexOf("\r\n", length - 4)
        for (let cut = around - 5; cut < around + 6; cut++) expect(parse(split(bytes, [cut]))).toEqual(outcome)
      }
    }
  })
})

/** A xorshift generator: the same numbers in each run, and faster than FastCheck's where a million are needed. */
const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

describe("streams of replies", () => {
  const reply = FastCheck.oneof(
    FastCheck.constantFrom(...validCases.filter(({ outcome }) => !outcome.closed)).map(({ bytes, outcome }) => ({
      bytes,
      replies: outcome.replies
    })),
    FastCheck.constantFrom(...recorded).map(({ bytes, reply }) => ({ bytes, replies: [reply] }))
  )
  const pipeline = FastCheck.array(reply, { minLength: 1, maxLength: 12 })

  const cutsOf = (length: number) =>
    FastCheck.array(FastCheck.nat({ max: length }), { maxLength: 20 }).map((cuts) => cuts.sort((a, b) => a - b))

  it.prop(
    "pipelines in any pieces are the replies they were made of",
    [
      pipeline.chain((replies) => {
        const bytes = Buffer.concat(replies.map((one) => one.bytes))
        return FastCheck.record({
          replies: FastCheck.constant(replies),
          parts: cutsOf(bytes.length).map((cuts) => split(bytes, cuts))
        })
      })
    ],
    ([{ parts, replies }]) => {
      expect(parse(parts, { awaiting: replies.length })).toEqual({
        replies: replies.flatMap((one) => one.replies),
        closed: false,
        violation: undefined,
        tooLarge: []
      })
    },
    { fastCheck: { numRuns: 500 } }
  )

  type Mutation = readonly [kind: "change" | "insert" | "remove" | "double", at: number, byte: number]

  const mutate = (bytes: Buffer, mutations: ReadonlyArray<Mutation>): Buffer => {
    let mutated: Buffer = bytes
    for (const [kind, fraction, byte] of mutations) {
      const at = Math.floor(fraction * mutated.length)
      const before = mutated.subarray(0, at)
      const removed = kind === "change" || kind === "remove" ? 1 : 0
      const added =
        kind === "remove" ? Buffer.alloc(0) : kind === "double" ? mutated.subarray(at, at + 8) : Buffer.of(byte)
      mutated = Buffer.concat([before, added, mutated.subarray(at + removed)])
    }
    return mutated
  }

  const mutation: FastCheck.Arbitrary<Mutation> = FastCheck.tuple(
    FastCheck.constantFrom<Array<Mutation[0]>>("change", "insert", "remove", "double"),
    FastCheck.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    FastCheck.oneof(FastCheck.nat({ max: 255 }), FastCheck.constantFrom(...Buffer.from("\r\n :;,0159afHxk\t")))
  )

  it.prop(
    "damaged bytes never throw, never make more replies than were asked for, nor other ones before the damage",
    [
      FastCheck.tuple(pipeline, FastCheck.array(mutation, { minLength: 1, maxLength: 4 })).chain(
        ([replies, mutations]) => {
          const whole = Buffer.concat(replies.map((one) => one.bytes))
          const bytes = mutate(whole, mutations)
          return FastCheck.record({
            replies: FastCheck.constant(replies),
            whole: FastCheck.constant(whole),
            bytes: FastCheck.constant(bytes),
            cuts: cutsOf(bytes.length),
            end: FastCheck.boolean()
          })
        }
      )
    ],
    ([{ bytes, cuts, end, replies, whole }]) => {
      const awaiting = replies.length
      const outcome = parse(split(bytes, cuts), { awaiting, end })
      expect(outcome.replies.length).toBeLessThanOrEqual(awaiting)
      expect(parse([bytes], { awaiting, end })).toEqual(outcome)
      const damagedAt = whole.findIndex((byte, i) => byte !== bytes[i])
      let size = 0
      const intact = replies.filter((one) => {
        size += one.bytes.length
        return damagedAt === -1 || size <= damagedAt
      })
      const before = intact.flatMap((one) => one.replies)
      expect(outcome.replies.slice(0, before.length)).toEqual(before)
    },
    { fastCheck: { numRuns: 3000 } }
  )

  it.prop(
    "noise makes no replies",
    [FastCheck.uint8Array({ minLength: 1, maxLength: 200 }), FastCheck.nat({ max: 200 })],
    ([noise, at]) => {
      const cut = Math.min(at, noise.length)
      const outcome = parse(split(Buffer.from(noise), [cut]), { awaiting: 3, end: true })
      expect(outcome.replies).toEqual([])
    },
    { fastCheck: { numRuns: 1000 } }
  )

  it("no mixed answers in a million replies", () => {
    const total = 1_000_000
    const next = random(20_240_229)
    const paddings = Array.from({ length: 257 }, (_, i) => (i % 50 === 49 ? "é😀" : "x").repeat(i % 61))
    const bodyOf = (n: number) => `{"n":${n},"p":"${paddings[n % 257]}"}`
    const encode = (n: number): string => {
      const body = bodyOf(n)
      return n % 11 === 0
        ? `${chunkedHead}${chunk(body)}0\r\n\r\n`
        : n % 97 === 0
          ? `${lines("HTTP/1.1 103 Early Hints")}${withLength(body)}`
          : withLength(body)
    }
    let received = 0
    let mixed = 0
    const parser = new ReplyParser(
      {
        onReply: (_, body, isLast) => {
          if (isLast || body !== bodyOf(received)) mixed++
          received++
        },
        onTooLarge: () => expect.unreachable()
      },
      maxBodyBytes
    )
    for (let sent = 0; sent < total; sent += 1000) {
      let text = ""
      for (let n = sent; n < sent + 1000; n++) text += encode(n)
      const bytes = Buffer.from(text)
      parser.outstanding += 1000
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + next(next(4) === 0 ? 40 : 20_000)
        if (parser.push(bytes.subarray(at, at + length)) !== undefined) expect.unreachable()
        at += length
      }
    }
    expect(received).toBe(total)
    expect(mixed).toBe(0)
    expect(parser.outstanding).toBe(0)
  }, 30_000)
})

describe("large replies", () => {
  const megabytes = 10
  const large = "é0123456789日😀".repeat(Math.ceil((megabytes * 1024 * 1024) / 19))
  const setting = { maxBodyBytes: 32 * 1024 * 1024 }

  const pieces = (bytes: Buffer, most: number): ReadonlyArray<Buffer> => {
    const next = random(7)
    const parts: Array<Buffer> = []
    for (let at = 0; at < bytes.length; ) {
      const length = 1 + next(most)
      parts.push(bytes.subarray(at, at + length))
      at += length
    }
    return parts
  }

  const isLarge = (outcome: Outcome) => {
    expect(outcome.violation).toBeUndefined()
    expect(outcome.replies.length).toBe(1)
    expect(outcome.replies[0]?.[1] === large).toBe(true)
  }

  it("with a length, in many parts", () => {
    isLarge(parse(pieces(Buffer.from(withLength(large)), 65_536), setting))
    isLarge(parse(pieces(Buffer.from(withLength(large)), 300), setting))
  })

  it("until the end of the connection", () => {
    const bytes = Buffer.from(`${lines("HTTP/1.1 200 OK")}${large}`)
    isLarge(parse(pieces(bytes, 1000), { ...setting, end: true }))
  })

  it("in chunks", () => {
    const bytes = Buffer.from(large)
    const chunks: Array<Buffer> = [Buffer.from(chunkedHead)]
    for (const part of pieces(bytes, 5000)) {
      chunks.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n"))
    }
    const whole = Buffer.concat([...chunks, Buffer.from("0\r\n\r\n")])
    isLarge(parse(pieces(whole, 65_536), setting))
    isLarge(parse(pieces(whole, 500), setting))
  })

  it("a body in chunks of one byte takes no more than its size in memory", () => {
    const count = 300_000
    const bytes = Buffer.from(`${chunkedHead}${"1\r\nx\r\n".repeat(count)}0\r\n\r\n`)
    const parts = pieces(bytes, 65_536)
    const last = parts.at(-1) ?? bytes
    const bodies: Array<string> = []
    const parser = new ReplyParser(
      { onReply: (_, body) => void bodies.push(body), onTooLarge: () => expect.unreachable() },
      count
    )
    parser.outstanding = 1
    setFlagsFromString("--expose-gc")
    const collect: () => void = runInNewContext("gc")
    const used = () => {
      collect()
      return process.memoryUsage().heapUsed
    }
    const before = used()
    for (const part of parts.slice(0, -1)) parser.push(part)
    // Kept as so many views of what was read, it would be more than 20 MB.
    expect(used() - before).toBeLessThan(1_000_000)
    parser.push(last)
    expect(bodies).toEqual(["x".repeat(count)])
  })

  it("a head and a body byte by byte", () => {
    const start = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: "
    const head = Buffer.from(`${start}${"x".repeat(16 * 1024 - start.length)}\r\n\r\nhello`)
    expect(
      parse(
        Array.from(head, (byte) => Buffer.of(byte)),
        {}
      ).replies
    ).toEqual([[200, "hello"]])
    const body = "0123456789".repeat(50_000)
    const whole = Buffer.from(`${chunkedHead}${chunk(body)}0\r\n\r\n`)
    expect(
      parse(
        Array.from(whole, (byte) => Buffer.of(byte)),
        {}
      ).replies
    ).toEqual([[200, body]])
  })
})

describe("against undici", () => {
  type Answer = { readonly status: number; readonly body: string } | { readonly refused: string }

  /** What undici makes of the bytes as the reply to a POST, the connection closed behind them. */
  const ask = (bytes: Buffer): Effect.Effect<Answer> =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.async<Net.Server>((resume) => {
          const server = Net.createServer((socket) => {
            socket.on("error", () => {})
            socket.once("data", () => socket.end(bytes))
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
      )
      const client = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const address = server.address()
          const port = typeof address === "object" && address !== null ? address.port : 0
          return new Undici.Client(`http://127.0.0.1:${port}`, { maxResponseSize: maxBodyBytes })
        }),
        (client) => Effect.promise(() => client.destroy())
      )
      return yield* Effect.promise(() =>
        client
          .request({ path: "/get", method: "POST", body: "{}" })
          .then(async ({ body, statusCode }): Promise<Answer> => ({ status: statusCode, body: await body.text() }))
          .catch((error): Answer => ({ refused: String(error) }))
      )
    }).pipe(Effect.scoped)

  it.live("valid replies: the same status and the same body, but for those with a reason to be looser", () =>
    Effect.gen(function* () {
      const cases = [
        ...validCases.map(({ bytes, looser, name, outcome }) => ({ name, bytes, reply: outcome.replies[0], looser })),
        ...recorded.map(({ bytes, reply }) => ({ name: bytes.toString(), bytes, reply, looser: undefined }))
      ]
      const answers = yield* Effect.forEach(cases, ({ bytes }) => ask(bytes), { concurrency: 16 })
      cases.forEach(({ looser, name, reply }, i) => {
        const refused = { refused: expect.any(String) }
        expect(answers[i], name).toEqual(looser === undefined ? { status: reply?.[0], body: reply?.[1] } : refused)
      })
    })
  )

  it.live("violations: refused by both, but for those with a reason to be stricter", () =>
    Effect.gen(function* () {
      const answers = yield* Effect.forEach(invalidCases, ({ bytes }) => ask(bytes), { concurrency: 16 })
      const stricter = invalidCases.filter((_, i) => !("refused" in (answers[i] ?? {}))).map(({ name }) => name)
      expect(stricter).toEqual(invalidCases.filter((one) => one.stricter !== undefined).map(({ name }) => name))
    })
  )
})
