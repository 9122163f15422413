import { describe, expect, it } from "@effect/vitest"
import { Deque } from "../../src/http/Deque.js"
import { PendingRequest, RequestQueue } from "../../src/http/RequestQueue.js"

const unblocked = Number.POSITIVE_INFINITY

const setting = () => {
  const ends: Array<readonly [string, unknown]> = []
  const queue = new RequestQueue()
  const inFlight = new Deque<PendingRequest>()
  const gone = new Set<string>()
  const push = (name: string, deadline = 100, body: string | Uint8Array | (() => string | undefined) = name) => {
    const requester = {
      payload: () => (typeof body === "function" ? body() : body),
      isWanted: () => !gone.has(name),
      settle: (_: number, outcome: unknown) => void ends.push([name, outcome])
    }
    queue.push(new PendingRequest("", requester, 0, deadline))
  }
  return { ends, queue, inFlight, gone, push }
}

describe("RequestQueue", () => {
  it("a batch is in order, as many as asked for, and ends with a body of bytes", () => {
    const { inFlight, push, queue } = setting()
    push("a")
    push("b")
    push("c", 100, new Uint8Array(3))
    push("d")
    expect(queue.take(1, 0, inFlight)).toEqual({ requests: 1, text: "1\r\n\r\na", bytes: undefined })
    expect(queue.take(9, 0, inFlight)).toEqual({ requests: 2, text: "1\r\n\r\nb3\r\n\r\n", bytes: new Uint8Array(3) })
    expect(queue.take(9, 5, inFlight)?.text).toBe("1\r\n\r\nd")
    expect(queue.take(9, 5, inFlight)).toBeUndefined()
    expect([...inFlight].map(({ writtenAt }) => writtenAt)).toEqual([0, 0, 0, 5])
  })

  it("what nobody waits for, is withheld or too late is not in it", () => {
    const { ends, gone, inFlight, push, queue } = setting()
    push("gone")
    gone.add("gone")
    push("withheld", 100, () => undefined)
    push("late", 10)
    push("sent")
    expect(queue.take(9, 10, inFlight)?.text).toBe("4\r\n\r\nsent")
    expect(ends).toEqual([["late", expect.objectContaining({ reason: "QueueTimeout" })]])
  })

  it("what could not be answered in time gives its turn to what can", () => {
    const { ends, inFlight, push, queue } = setting()
    push("hopeless", 60)
    push("in time", 61)
    expect(queue.take(9, 10, inFlight, 50)?.text).toBe("7\r\n\r\nin time")
    expect(ends).toEqual([["hopeless", expect.objectContaining({ reason: "QueueTimeout" })]])
  })

  it("a deadline that passes while the process is blocked is Overloaded", () => {
    const { ends, push, queue } = setting()
    push("before", 10)
    push("meanwhile", 20)
    push("after", 2000)
    queue.expire({ now: 1000, blockedSince: 15 })
    expect(ends).toEqual([
      ["before", expect.objectContaining({ reason: "QueueTimeout" })],
      ["meanwhile", { reason: "Overloaded", detail: "this process was blocked for 985 ms" }]
    ])
    expect([queue.length, queue.nextDeadline]).toEqual([1, 2000])
    queue.expire({ now: 3000, blockedSince: unblocked })
    expect([queue.length, queue.nextDeadline]).toEqual([0, unblocked])
  })

  it("what the node has not processed is put back at the front, in its order", () => {
    const { inFlight, push, queue } = setting()
    for (const name of ["a", "b", "c"]) push(name)
    queue.take(2, 0, inFlight)
    queue.putBack([...inFlight])
    expect(queue.take(9, 0, inFlight)?.text).toBe("1\r\n\r\na1\r\n\r\nb1\r\n\r\nc")
  })

  it("requests that nobody waits for do not pile up", () => {
    const { gone, inFlight, push, queue } = setting()
    gone.add("gone")
    for (let i = 0; i < 100_000; i++) push(i % 100 === 0 ? "kept" : "gone")
    expect(queue.length).toBeLessThan(5000)
    expect(queue.nextDeadline).toBe(100)
    expect(queue.take(2000, 0, inFlight)?.requests).toBe(1000)
  })

  it("a long queue is looked through a few times and not at each request", () => {
    let looks = 0
    const queue = new RequestQueue()
    const requester = { payload: () => "", isWanted: () => ++looks > 0, settle: () => {} }
    for (let i = 0; i < 100_000; i++) queue.push(new PendingRequest("", requester, 0, 100))
    expect(looks).toBeLessThan(300_000)
  })
})

describe("Deque", () => {
  it("retains what it is to keep, in order, wherever it begins", () => {
    const deque = new Deque<number>()
    for (let i = 0; i < 12; i++) deque.push(i)
    for (let i = 0; i < 10; i++) deque.shift()
    for (let i = 12; i < 22; i++) deque.push(i)
    deque.retain((item) => item % 2 === 1)
    expect([...deque]).toEqual([11, 13, 15, 17, 19, 21])
    deque.push(22)
    expect([deque.shift(), deque.length]).toEqual([11, 6])
    deque.retain(() => false)
    expect([deque.shift(), deque.length]).toEqual([undefined, 0])
  })
})
