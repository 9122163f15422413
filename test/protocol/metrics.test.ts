import { describe, it } from "@effect/vitest"
import { assertInstanceOf, deepStrictEqual, strictEqual } from "@effect/vitest/utils"
import type { Dialect } from "../../src/model/Dialect.js"
import { SnitchMetrics, WatchdogMetrics } from "../../src/model/Metrics.js"
import * as Dialects from "../../src/protocol/Dialects.js"
import type { Decoded } from "../../src/protocol/Protocol.js"
import { dialects, reply, rowsIn } from "./wire.js"

const answerOf = <A>(decoded: Decoded<A>) => (decoded.ok ? decoded.answer : undefined)

describe("metrics", () => {
  const bodyOf = {
    v1: (rows: string) => JSON.stringify({ Message: rows }),
    v2: (rows: string) => `{"Gobj":{"Key":"","Value":${rows},"TTL":-1},"Status":1,"Message":"OK","Error":""}`,
    raft: (rows: string) => `{"Gobj":{"Key":"","Value":${rows},"TTL":"-1"},"Status":1,"Message":"OK","Error":""}`
  }
  const decode = (dialect: Dialect, rows: string) => {
    const protocol = Dialects.forDialect(dialect)
    return {
      snitch: answerOf(protocol.getSnitchMetrics.decode(reply(bodyOf[dialect](rows)))),
      watchdog: answerOf(protocol.getWatchdogMetrics.decode(reply(bodyOf[dialect](rows))))
    }
  }

  it("are rows of every recorded field", () => {
    for (const dialect of dialects) {
      const system = rowsIn("raft", "getSysMetrics")
      const { snitch } = decode(dialect, JSON.stringify(system))
      strictEqual(system.length, 7)
      deepStrictEqual(
        snitch?.map((row) => ({ ...row })),
        system
      )
      for (const row of snitch ?? []) assertInstanceOf(row, SnitchMetrics)
      const application = rowsIn("v2", "getAppMetrics")
      const { watchdog } = decode(dialect, JSON.stringify(application))
      strictEqual(application.length, 4)
      deepStrictEqual(
        watchdog?.map((row) => ({ ...row })),
        application
      )
      for (const row of watchdog ?? []) assertInstanceOf(row, WatchdogMetrics)
    }
  })

  it("that are missing or null are 0, an unknown one is passed over", () => {
    for (const dialect of dialects) {
      const { snitch, watchdog } = decode(
        dialect,
        '[{},{"Timestamp":null,"Alloc":null,"CacheMiss":null,"NumGC":2,"GetRequests":7,"Tomorrow":{"a":1}}]'
      )
      deepStrictEqual(snitch, [new SnitchMetrics({}), new SnitchMetrics({ NumGC: 2 })])
      deepStrictEqual(watchdog, [new WatchdogMetrics({}), new WatchdogMetrics({ GetRequests: 7 })])
      strictEqual(snitch?.[0]?.Alloc, 0)
      strictEqual(snitch?.[0]?.Timestamp, "")
    }
  })

  it("are none before the first interval", () => {
    for (const dialect of dialects) {
      for (const rows of ["null", "[]"]) deepStrictEqual(decode(dialect, rows), { snitch: [], watchdog: [] })
    }
  })

  it("that are no rows of numbers are a bad reply", () => {
    for (const dialect of dialects) {
      for (const rows of [
        "{}",
        "1",
        '"[]"',
        "[null]",
        "[[]]",
        "[1]",
        '[{"Timestamp":1}]',
        '[{"Alloc":"1","CacheMiss":"1"}]',
        '[{},{"NumGC":true,"Stored":true}]'
      ]) {
        deepStrictEqual(decode(dialect, rows), { snitch: undefined, watchdog: undefined }, `${dialect} ${rows}`)
      }
    }
  })
})
