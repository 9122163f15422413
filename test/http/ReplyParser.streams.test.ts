import { Buffer } from "node:buffer"
import { setImmediate } from "node:timers/promises"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { ReplyParser } from "../../src/http/ReplyParser.js"
import {
  chunk,
  chunkedHead,
  lines,
  maxBodyBytes,
  type Outcome,
  parse,
  random,
  recorded,
  split,
  validCases,
  withLength
} from "./reply-cases.js"

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
    { fastCheck: { numRuns: 1000 } }
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

  it("no mixed answers in a million replies", async () => {
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
      // Whoever waits for this process has his turn.
      await setImmediate()
    }
    expect(received).toBe(total)
    expect(mixed).toBe(0)
    expect(parser.outstanding).toBe(0)
  })
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
