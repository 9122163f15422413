/** What a load consists of: which command comes next, and on which key. Pure. */
import type { Mix, Operation } from "../../line/values.js"
import { operations } from "../../line/values.js"

/** How often keys are used: all alike, few of them most of the time, or those in the middle more than those at the ends. */
export const distributions = ["uniform", "zipf", "gaussian"] as const

/** One of {@link distributions}. */
export type Distribution = (typeof distributions)[number]

/** A number from 0 on and below 1. */
export type Uniform = () => number

// As YCSB has it: the most used of 1,000 keys gets one command in eight.
const zipfExponent = 0.99

const zipf = (size: number, uniform: Uniform): (() => number) => {
  const cumulated = new Float64Array(size)
  let sum = 0
  for (let i = 0; i < size; i++) {
    sum += 1 / (i + 1) ** zipfExponent
    cumulated[i] = sum
  }
  return () => {
    const wanted = uniform() * sum
    let low = 0
    let high = size - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cumulated[middle]! <= wanted) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** The mean is the middle key; three standard deviations reach the first and the last. */
const gaussian =
  (size: number, uniform: Uniform): (() => number) =>
  () => {
    for (;;) {
      const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
      const index = Math.floor(size / 2 + (normal * size) / 6)
      if (index >= 0 && index < size) return index
    }
  }

/** Picks the index of a key, from 0 on and below `size`. */
export const keyPicker = (distribution: Distribution, size: number, uniform: Uniform): (() => number) => {
  switch (distribution) {
    case "uniform":
      return () => Math.floor(uniform() * size)
    case "zipf":
      return zipf(size, uniform)
    case "gaussian":
      return gaussian(size, uniform)
  }
}

/** Picks commands, each as often as it weighs. */
export const operationPicker = (mix: Mix, uniform: Uniform): (() => Operation) => {
  const commands = operations.filter((operation) => mix[operation] > 0)
  const total = commands.reduce((sum, operation) => sum + mix[operation], 0)
  return () => {
    let left = uniform() * total
    for (const operation of commands) {
      left -= mix[operation]
      if (left < 0) return operation
    }
    return commands[0] ?? "get"
  }
}
