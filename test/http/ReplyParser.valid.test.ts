import assert from "node:assert"
import { Buffer } from "node:buffer"
import { describe, expect, it } from "@effect/vitest"
import { lines, maxBodyBytes, parse, type Reply, recorded, split, validCases } from "./reply-cases.js"

describe("valid replies", () => {
  it.each(validCases)("$name", ({ bytes, end, outcome }) => {
    expect(parse([bytes], { end })).toEqual(outcome)
  })

  it.each(validCases)("$name, in two reads split anywhere, and byte by byte", ({ bytes, end, outcome }) => {
    for (let cut = 1; cut < bytes.length; cut++) assert.deepStrictEqual(parse(split(bytes, [cut]), { end }), outcome)
    const bytewise = Array.from(bytes, (byte) => Buffer.of(byte))
    expect(parse(bytewise, { end })).toEqual(outcome)
  })

  it("one after the other, each after each, on one connection", () => {
    const stay = validCases.filter(({ outcome }) => !outcome.closed)
    for (const first of stay) {
      for (const second of validCases) {
        const bytes = Buffer.concat([first.bytes, second.bytes])
        const outcome = { ...second.outcome, replies: [...first.outcome.replies, ...second.outcome.replies] }
        for (const parts of [[bytes], [first.bytes, second.bytes]]) {
          assert.deepStrictEqual(
            [first.name, second.name, parse(parts, { awaiting: 2, end: second.end })],
            [first.name, second.name, outcome]
          )
        }
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
        assert.deepStrictEqual([name, parse([bytes.subarray(0, length)], { end: true })], [name, none])
      }
      expect(parse([bytes], { end: true })).toEqual(outcome)
    }
  })

  it("recorded replies, split anywhere", () => {
    for (const { bytes, reply } of recorded) {
      const outcome = { replies: [reply], closed: false, violation: undefined, tooLarge: [] }
      for (let cut = 0; cut <= bytes.length; cut++) assert.deepStrictEqual(parse(split(bytes, [cut])), outcome)
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
