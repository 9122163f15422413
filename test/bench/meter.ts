/** Takes the measures of one round, inside the process that is measured. */
import type { Sample } from "./load.js"

/** The time of one operation in so many is taken: often enough for a p99, too seldom to cost anything. */
const stride = 13

/** What is measured in a process of its own. */
export interface Contestant {
  /** How many operations one counts for: the keys of a batch. Default 1. */
  readonly weight?: number
  /** One operation, for its result. */
  readonly once: () => Promise<unknown>
  /** Keeps the load's operations in flight until the meter is done. */
  readonly run: (meter: Meter) => Promise<unknown>
}

export class Meter {
  done = false
  private ops = 0
  private next = 1
  private readonly latencies: Array<number> = []
  private readonly deadline: number
  private readonly cpu = process.cpuUsage()
  private readonly startedAt = performance.now()
  private sample: Sample | undefined

  constructor(
    millis: number,
    private readonly weight = 1
  ) {
    this.deadline = this.startedAt + millis
  }

  /** An operation begins: the time, or 0 where it is not taken. */
  begin(): number {
    this.next -= 1
    if (this.next > 0) return 0
    this.next = this.weight === 1 ? stride : 1
    return performance.now()
  }

  /** An operation that began at `startedAt` has ended. */
  end(startedAt: number): void {
    if (this.done) return
    this.ops += this.weight
    if (startedAt === 0) return
    const now = performance.now()
    this.latencies.push(now - startedAt)
    if (now < this.deadline) return
    this.done = true
    const { system, user } = process.cpuUsage(this.cpu)
    this.latencies.sort((a, b) => a - b)
    const percentile = (share: number) =>
      1000 * (this.latencies[Math.floor(this.latencies.length * share)] ?? Number.NaN)
    this.sample = {
      opsPerSecond: (1000 * this.ops) / (now - this.startedAt),
      cpuMicros: (user + system) / this.ops,
      p50: percentile(0.5),
      p99: percentile(0.99)
    }
  }

  get result(): Sample {
    if (this.sample === undefined) throw new Error("the round has not ended")
    return this.sample
  }
}

const run = async (contestant: Contestant, millis: number): Promise<Sample> => {
  const meter = new Meter(millis, contestant.weight)
  await contestant.run(meter)
  return meter.result
}

/** One round. Its first third is not measured: a process that has waited for its turn has a small heap and cold caches. */
export const measure = async (contestant: Contestant, millis: number): Promise<Sample> => {
  await run(contestant, millis / 3)
  return run(contestant, millis)
}

/** Rounds whose results do not count, until so much CPU time is used: on a busy machine that takes longer. */
export const warmUp = async (contestant: Contestant, cpuMillis: number): Promise<void> => {
  const startedAt = performance.now()
  const before = process.cpuUsage()
  for (;;) {
    await run(contestant, 100)
    const { system, user } = process.cpuUsage(before)
    if (user + system > 1000 * cpuMillis || performance.now() - startedAt > 20 * cpuMillis) return
  }
}
