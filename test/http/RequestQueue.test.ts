import { describe, expect, it } from "@effect/vitest"
import { Deque } from "../../src/http/Deque.js"
import { PendingRequest, RequestQueue } from "../../src/http/RequestQueue.js"

const unblocked = Number.POSITIVE_INFINITY

const setting = () => {
  const ends: Array<readonly [string, unknown]> = []
  const queue = new RequestQueue()
  const inFlight = new Deque<PendingRequest>()
  const push = (name: string, deadline = 100, body: string | Uint8Array | (() => string | undefined) = name) => {
    const requester = {
      payload: () => (typeof body === "function" ? body() : body),
      settle: (_: number, outcome: unknown) => void ends.push([name, outcome])
    }
    const request = new PendingRequest("", requester, 0, deadline)
    queue.push(request)
    return request
  }
  return { ends, queue, inFlight, push }
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

  it("what is withdrawn, withheld or too late is not in it", () => {
    const { ends, inFlight, push, queue } = setting()
    queue.withdraw(push("withdrawn"))
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

  it("withdrawn requests do not pile up", () => {
    const { push, queue } = setting()
    for (let i = 0; i < 100_000; i++) queue.withdraw(push("x"))
    expect(queue.length).toBeLessThan(3000)
  })
})
