/** The process of one contender under one load: warms up, tells that it is ready, then runs a round for each message. */
import * as Schema from "effect/Schema"
import { type Contender, contenders } from "./contenders.js"
import { keys, Load, type Sample, valueOf } from "./load.js"
import { type Contestant, measure, warmUp } from "./meter.js"

const load = Schema.decodeUnknownSync(Schema.parseJson(Load))(process.argv[2])
const known: Readonly<Record<string, Contender>> = contenders
const contender = known[load.contender]
if (contender === undefined) throw new Error(`no contender ${load.contender}`)

const make = async (load: Load): Promise<Contestant> => {
  const contestant = await contender.make(load)
  // A batch has checked its results itself.
  if (contestant.weight !== undefined) return contestant
  const expected = load.command === "get" ? valueOf(load.bytes) : "STORED"
  for (let i = 0; i < keys.length; i++) {
    if ((await contestant.once()) !== expected) throw new Error(`${load.contender} answers wrongly`)
  }
  return contestant
}

// Servers of other kinds hold nothing yet.
if (contender.peer !== undefined && load.command === "get" && load.batch === 1) await make({ ...load, command: "put" })
const contestant = await make(load)

const send = (message: Sample | "ready") => process.send?.(message)

await warmUp(contestant, Number(process.argv[3]))
process.on("message", (millis: number) => void measure(contestant, millis).then(send))
process.on("disconnect", () => process.exit())
send("ready")
