import { Effect, Random } from "effect"

/** Runs an effect in which all random numbers are this one, from 0 to 1. */
export const always = (number: number) => Effect.withRandom(Random.fixed([number]))
