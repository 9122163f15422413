/** A seeded source of random numbers: the same seed gives the same numbers on every machine. */

/** A stream of random numbers. */
export interface Random {
  /** A number from 0 to 1, 1 excluded. */
  readonly next: () => number
  /** A whole number of at least `from` and at most `to`. */
  readonly int: (from: number, to: number) => number
  /** A number of at least `from` and less than `to`. */
  readonly between: (from: number, to: number) => number
  /** Whether something of this probability happens. */
  readonly chance: (probability: number) => boolean
  /** One of the values, which are not empty. */
  readonly pick: <A>(values: ReadonlyArray<A>) => A
  /** One of the values by its weight. */
  readonly weighted: <A>(values: ReadonlyArray<readonly [weight: number, value: A]>) => A
}

/** A hash of a text, by which independent streams are named. */
export const hash = (text: string): number => {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * The stream of a seed that has this name. Streams of other names are independent of it, so that leaving one part of a
 * scenario out does not change the others.
 */
export const make = (seed: number, name: string): Random => {
  // sfc32, by Chris Doty-Humphrey.
  let [a, b, c, d] = [hash(name), seed >>> 0, hash(`${seed}:${name}`), 1]
  const word = (): number => {
    const t = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    return t >>> 0
  }
  for (let i = 0; i < 12; i++) word()
  const next = () => word() / 4294967296
  const pick = <A>(values: ReadonlyArray<A>): A => {
    const value = values[Math.floor(next() * values.length)]
    if (value === undefined) throw new Error("nothing to pick from")
    return value
  }
  return {
    next,
    int: (from, to) => from + Math.floor(next() * (to - from + 1)),
    between: (from, to) => from + next() * (to - from),
    chance: (probability) => next() < probability,
    pick,
    weighted: (values) => {
      let rest = next() * values.reduce((sum, [weight]) => sum + weight, 0)
      for (const [weight, value] of values) {
        rest -= weight
        if (rest < 0) return value
      }
      return pick(values)[1]
    }
  }
}
