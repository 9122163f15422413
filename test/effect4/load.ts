/**
 * One edition under load, as a process of its own: the arguments are a node's address and the rounds. In each round, for
 * each scenario, a line of JSON with its name, how often it was done a second, and the CPU time of one in microseconds.
 * It is written in the forms that both editions have.
 */
import { Effect, Layer, Schema } from "effect"
import { Client, GhostDB, SocketTransport } from "effect-ghostdb"

const [node = "", rounds = "1"] = process.argv.slice(2)
const keys = Array.from({ length: 1000 }, (_, index) => `ratio-${index}`)
const numbers = GhostDB.forSchema(Schema.Number, { prefix: "ratio:" })

/** Each with how many commands it is. */
const scenarios: Readonly<Record<string, readonly [count: number, effect: Effect.Effect<unknown, unknown, GhostDB>]>> =
  {
    "get, 64 in flight": [
      20_000,
      Effect.forEach(
        [...Array(20).keys()].flatMap(() => keys),
        (key) => GhostDB.get(key),
        {
          concurrency: 64,
          discard: true
        }
      )
    ],
    "getMany of 1,000 keys": [
      20_000,
      Effect.forEach([...Array(20).keys()], () => GhostDB.getMany(keys), { discard: true })
    ],
    "getOrElse, a hit": [
      10_000,
      Effect.forEach(
        [...Array(10).keys()].flatMap(() => keys),
        () => numbers.getOrElse("hit", Effect.succeed(1)),
        { concurrency: 64, discard: true }
      )
    ]
  }

const measure = (name: string, count: number, effect: Effect.Effect<unknown, unknown, GhostDB>) =>
  Effect.gen(function* () {
    const [start, cpu] = [performance.now(), process.cpuUsage()]
    yield* effect
    const { system, user } = process.cpuUsage(cpu)
    const perSecond = (count / (performance.now() - start)) * 1000
    console.log(JSON.stringify({ name, perSecond, cpu: (user + system) / count }))
  })

const program = Effect.gen(function* () {
  for (const key of keys) yield* GhostDB.put(key, { symbol: "AMZN", price: 3107.3 })
  yield* numbers.put("hit", 1)
  for (let round = 0; round < Number(rounds); round++) {
    for (const [name, [count, effect]] of Object.entries(scenarios)) yield* measure(name, count, effect)
  }
})

const layer = Layer.provide(Client.layer({ nodes: [node], spans: "never" }), SocketTransport.layer)

await Effect.runPromise(Effect.provide(program, layer))
