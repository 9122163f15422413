/** Replies, valid and not, as bytes, and what a parser is to make of them. */

import assert from "node:assert"
import { Buffer } from "node:buffer"
import { ReplyParser } from "../../src/http/ReplyParser.js"
import wireRaft from "../fixtures/wire-raft.json" with { type: "json" }
import wireV1 from "../fixtures/wire-v1.json" with { type: "json" }
import wireV2 from "../fixtures/wire-v2.json" with { type: "json" }

export type Reply = readonly [status: number, body: string]

export interface Outcome {
  readonly replies: ReadonlyArray<Reply>
  /** Whether the last of the replies was told to be the connection's last. */
  readonly closed: boolean
  readonly violation: string | undefined
  /** The places of the replies that were too large, and what is told of them. */
  readonly tooLarge: ReadonlyArray<readonly [place: number, detail: string]>
}

export interface Setting {
  readonly awaiting?: number
  readonly maxBodyBytes?: number
  /** Whether the other side closes after the bytes. */
  readonly end?: boolean
}

export const maxBodyBytes = 1 << 20

/** What a new parser makes of the parts. Bytes after a violation are pushed as well: nothing may come of them. */
export const parse = (parts: Iterable<Buffer>, setting: Setting = {}): Outcome => {
  const replies: Array<Reply> = []
  let closed = false
  let violation: string | undefined
  const tooLarge: Array<readonly [number, string]> = []
  const parser = new ReplyParser(
    {
      onReply: (status, body, isLast) => {
        if (closed || violation !== undefined) assert.fail("a reply after the end")
        replies.push([status, body])
        closed = isLast
      },
      onTooLarge: (detail) => {
        if (closed || violation !== undefined) assert.fail("a reply after the end")
        tooLarge.push([replies.length, detail])
      }
    },
    setting.maxBodyBytes ?? maxBodyBytes
  )
  parser.outstanding = setting.awaiting ?? 1
  for (const part of parts) {
    const found = parser.push(part)
    if (found !== undefined && violation !== undefined) assert.fail("a second violation")
    violation ??= found?.detail
  }
  if (setting.end === true && violation === undefined) parser.end()
  assert.strictEqual(parser.outstanding, (setting.awaiting ?? 1) - replies.length)
  return { replies, closed, violation, tooLarge }
}

export const split = (bytes: Buffer, cuts: ReadonlyArray<number>): ReadonlyArray<Buffer> =>
  [0, ...cuts].map((cut, i) => bytes.subarray(cut, cuts[i] ?? bytes.length))

export const lines = (...text: ReadonlyArray<string>) => `${text.join("\r\n")}\r\n\r\n`

export const withLength = (body: string, head = "HTTP/1.1 200 OK") =>
  `${lines(head, `Content-Length: ${Buffer.byteLength(body)}`)}${body}`

export const chunkedHead = lines("HTTP/1.1 200 OK", "Transfer-Encoding: chunked")

export const chunk = (body: string, extension = "") =>
  `${Buffer.byteLength(body).toString(16)}${extension}\r\n${body}\r\n`

export interface Valid {
  readonly bytes: string
  readonly reply: Reply
  /** Whether it is the connection's last. Default: no. */
  readonly close?: true
  /** Whether only the end of the connection ends it. Default: no. */
  readonly end?: true
  /** Why it is accepted although undici refuses it. Absent where undici accepts it as well. */
  readonly looser?: string
}

export const valid: Readonly<Record<string, Valid>> = {
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

export const inTwoChunks = Buffer.concat([
  Buffer.from(`${chunkedHead}1\r\n`),
  Buffer.from([0xc3]),
  Buffer.from("\r\n1\r\n"),
  Buffer.from([0xa9]),
  Buffer.from("\r\n0\r\n\r\n")
])

export const validCases = Object.entries(valid).map(([name, { bytes, close, end, looser, reply }]) => ({
  name,
  looser,
  bytes: bytes === "" ? inTwoChunks : Buffer.from(bytes),
  end: end === true,
  outcome: { replies: [reply], closed: close === true, violation: undefined, tooLarge: [] } satisfies Outcome
}))

export const manyLines = (count: number, text: string) => `${text}\r\n`.repeat(count)

export interface Invalid {
  readonly bytes: string
  readonly violation: RegExp
  /** The replies before it. Default: none. */
  readonly replies?: ReadonlyArray<Reply>
  readonly awaiting?: number
  /** Why it is refused although undici accepts it. Absent where undici refuses it as well. */
  readonly stricter?: string
}

export const secondGuess = "the answer is whole, and what follows has no question: whoever is asked next would get it"
export const lenient = "no server of ours writes it, and servers and proxies disagree on what it means"

export const invalid: Readonly<Record<string, Invalid>> = {
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

export const invalidCases = Object.entries(invalid).map(
  ([name, { awaiting, bytes, replies, stricter, violation }]) => ({
    name,
    bytes: Buffer.from(bytes, "latin1"),
    awaiting: awaiting ?? 1,
    replies: replies ?? [],
    violation,
    stricter
  })
)

/** The exchanges of the fixtures as replies of a Go server, with a length and in chunks. */
export const recorded = [...wireV1, ...wireV2, ...wireRaft].flatMap(({ body, contentType, status }) => {
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

/** A xorshift generator: the same numbers in each run, and faster than FastCheck's where a million are needed. */
export const random = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
