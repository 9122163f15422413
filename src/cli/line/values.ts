/** What stands on the command line as text and is something else: times, sizes, lifetimes, the mix of a load. Pure. */

import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import type { Ttl } from "../../model/Ttl.js"

/** `Left` says in a few words what was expected. */
export type Parser<A> = (text: string) => Either.Either<A, string>

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

const amount = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/

const isUnit = (text: string): text is keyof typeof units => text in units

const millis = (text: string): number => {
  const [, number = "", unit = "s"] = amount.exec(text) ?? []
  return isUnit(unit) && number !== "" ? Number(number) * units[unit] : Number.NaN
}

/** A time longer than 0: `300ms`, `5s`, `2m`, `1h`, or seconds. */
export const duration: Parser<Duration.Duration> = (text) => {
  const value = millis(text)
  return value > 0 && Number.isFinite(value)
    ? Either.right(Duration.millis(value))
    : Either.left("a time such as 300ms, 5s, 2m, 1h, or a number of seconds")
}

/** A lifetime of entries: `5m`, whole seconds, or -1 forever. */
export const ttl: Parser<Ttl> = (text) => {
  if (text === "-1") return Either.right(-1)
  const value = millis(text)
  return value > 0 && Number.isSafeInteger(Math.ceil(value / 1000)) && (value % 1000 === 0 || /[a-z]$/.test(text))
    ? Either.right(Duration.millis(value))
    : Either.left("a lifetime such as 90s, 5m, 2h, 7d, whole seconds, or -1 forever")
}

/** A whole number in a range, both ends in it. */
export const whole =
  (min: number, max: number): Parser<number> =>
  (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    return value >= min && value <= max
      ? Either.right(value)
      : Either.left(`a whole number from ${min}${max === Number.MAX_SAFE_INTEGER ? "" : ` to ${max}`}`)
  }

/** One of some words. */
export const oneOf =
  <const A extends string>(...words: ReadonlyArray<A>): Parser<A> =>
  (text) =>
    Either.fromNullable(
      words.find((word) => word === text),
      () => `one of ${words.join(", ")}`
    )

/** Bytes, up to `max`: `100`, `4k`, `1m`. */
export const size =
  (max: number): Parser<number> =>
  (text) => {
    const [, number = "", unit = ""] = /^(\d{1,9})([km]?)$/i.exec(text) ?? []
    const value = Number(number) * ({ "": 1, k: 1024, m: 1024 ** 2 }[unit.toLowerCase()] ?? 1)
    return number !== "" && value <= max
      ? Either.right(value)
      : Either.left(`bytes such as 100, 4k or 1m, ${max} at most`)
  }

/** The commands that a load is made of. */
export const operations = ["get", "put", "add", "delete"] as const

/** One of {@link operations}. */
export type Operation = (typeof operations)[number]

/** How much of a load each command is, as weights. At least one is above 0. */
export type Mix = { readonly [operation in Operation]: number }

const isOperation = (text: string): text is Operation => operations.some((operation) => operation === text)

/** The mix of a load: `get=80,put=20`. Weights need not add up to 100; a command that is left out has none. */
export const mix: Parser<Mix> = (text) => {
  const wrong = Either.left(`weights such as get=80,put=20, of ${operations.join(", ")}`)
  const weights: { [operation in Operation]: number } = { get: 0, put: 0, add: 0, delete: 0 }
  for (const part of text.split(",")) {
    const [, name = "", weight = ""] = /^(\w+)=(\d{1,4})$/.exec(part) ?? []
    if (!isOperation(name)) return wrong
    weights[name] = Number(weight)
  }
  return operations.some((operation) => weights[operation] > 0) ? Either.right(weights) : wrong
}
