/**
 * Both editions against one node in a third process, in turns: `npm run ratios:effect4`, after `npm run build:effect4`. For
 * each scenario the median over the pairs of processes: the rate and the CPU time of Effect 4 over those of Effect 3.
 */
import { execFile } from "node:child_process"
import { cpSync } from "node:fs"
import { join } from "node:path"
import process from "node:process"
import { promisify } from "node:util"
import { Effect } from "effect"
import { NodeServer } from "effect-ghostdb"
import { root, target } from "./paths.js"

interface Measured {
  readonly name: string
  readonly perSecond: number
  readonly cpu: number
}

const pairs = 7

/** What a process measures; its first round warms it up. */
const load = async (folder: string, file: string, node: string): Promise<ReadonlyArray<Measured>> => {
  const { stdout } = await promisify(execFile)(process.execPath, ["--import", "tsx", file, node, "2"], { cwd: folder })
  const lines = stdout.trim().split("\n")
  return lines.slice(lines.length / 2).map((line) => JSON.parse(line))
}

const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0

const program = Effect.gen(function* () {
  const { address } = yield* NodeServer.make()
  cpSync(new URL("./load.ts", import.meta.url), join(target, "load.ts"))
  const ratios = new Map<string, Array<{ readonly rate: number; readonly cpu: number }>>()
  for (let pair = 0; pair < pairs; pair++) {
    const [three, four] = yield* Effect.promise(
      async () => [await load(root, "test/effect4/load.ts", address), await load(target, "load.ts", address)] as const
    )
    for (const [at, { cpu, name, perSecond }] of three.entries()) {
      const other = four[at]
      if (other?.name !== name) throw new Error(`${name} was not measured on Effect 4`)
      const measured = ratios.get(name) ?? []
      ratios.set(name, [...measured, { rate: other.perSecond / perSecond, cpu: other.cpu / cpu }])
    }
  }
  for (const [name, measured] of ratios) {
    const [rate, cpu] = [median(measured.map(({ rate }) => rate)), median(measured.map(({ cpu }) => cpu))]
    console.log(`${name}: rate ${rate.toFixed(2)}, CPU ${cpu.toFixed(2)}`)
  }
})

await Effect.runPromise(Effect.scoped(program))
