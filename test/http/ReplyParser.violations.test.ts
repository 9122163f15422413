import assert from "node:assert"
import { Buffer } from "node:buffer"
import { describe, expect, it } from "@effect/vitest"
import { chunkedHead, invalidCases, lines, type Outcome, parse, split, withLength } from "./reply-cases.js"

describe("violations", () => {
  it.each(invalidCases)("$name", ({ awaiting, bytes, replies, violation }) => {
    const outcome = parse([bytes], { awaiting, end: true })
    expect(outcome).toEqual({ replies, closed: false, violation: expect.stringMatching(violation), tooLarge: [] })
    expect(parse([bytes, Buffer.from(withLength("more"))], { awaiting, end: true })).toEqual(outcome)
  })

  it.each(invalidCases.filter(({ bytes }) => bytes.length < 500))("$name, split anywhere", (violationCase) => {
    const { awaiting, bytes } = violationCase
    const outcome = parse([bytes], { awaiting })
    for (let cut = 1; cut < bytes.length; cut++)
      assert.deepStrictEqual(parse(split(bytes, [cut]), { awaiting }), outcome)
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
