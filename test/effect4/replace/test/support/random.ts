/** Replaced, since Effect 4 has no random numbers that are given. */
import { Effect, Random } from "effect"

/** Runs an effect in which all random numbers are this one, from 0 to 1. */
export const always = (number: number) =>
  Effect.provideService(Random.Random, { nextIntUnsafe: () => 0, nextDoubleUnsafe: () => number })
