// Nothing here is run: that it compiles, or does not, is the test.
// @effect-diagnostics floatingEffect:off
import { describe, expectTypeOf, it } from "@effect/vitest"
import { type Brand, Chunk, Duration, Effect, Option, Schema } from "effect"
import {
  GhostDB,
  type GhostDBService,
  type Json,
  type KeyError,
  type NoMoreServers,
  type StoreResult
} from "effect-ghostdb"

type Keyed<A, R = never> = Effect.Effect<A, NoMoreServers | KeyError, R>

declare const service: GhostDBService

interface Draft {
  readonly title?: string | undefined
  readonly author?: { readonly name?: string | undefined } | undefined
}

interface Person {
  readonly name: string
  age: number
  readonly email?: string
  readonly tags: ReadonlyArray<string>
  readonly address: { street: string; readonly geo: readonly [number, number] } | null
}

interface Tree {
  readonly value: number
  readonly children: ReadonlyArray<Tree>
}

type Shape =
  | { readonly kind: "circle"; readonly radius: number }
  | { readonly kind: "square"; readonly side: number; readonly label?: string }

interface Circle {
  readonly kind: "circle"
  readonly radius: number
}
interface Square {
  readonly kind: "square"
  readonly side: number
}

enum Level {
  Low,
  High
}
enum Colour {
  Red = "red",
  Blue = "blue"
}

type UserId = string & Brand.Brand<"UserId">
type Cents = number & Brand.Brand<"Cents">

class Point {
  constructor(
    readonly x: number,
    readonly y: number
  ) {}
}

class Account {
  constructor(readonly balance: number) {}
  isEmpty() {
    return this.balance === 0
  }
}

class Quote extends Schema.Class<Quote>("Quote")({ symbol: Schema.String, price: Schema.Number }) {}

declare const person: Person
declare const tree: Tree
declare const json: Json

describe("put and add accept", () => {
  it("what JSON can hold", () => {
    GhostDB.put("k", null)
    GhostDB.put("k", "text")
    GhostDB.put("k", 1.5)
    GhostDB.put("k", true as boolean)
    GhostDB.put("k", [])
    GhostDB.put("k", {})
    GhostDB.put("k", [1, "2", null, [true, { a: [] }]])
    GhostDB.put("k", { a: 1, b: { c: [null] } })
    GhostDB.put("k", json)
    GhostDB.put("k", [json, { json }])
    GhostDB.add("k", { a: 1, b: { c: [null] } })
    service.put("k", json)
    service.add("k", [json])
  })

  it("interfaces, which have no index signature, alone and within", () => {
    GhostDB.put("k", person)
    GhostDB.add("k", person)
    service.put("k", person)
    GhostDB.put("k", [person])
    GhostDB.put("k", {} as Draft)
    GhostDB.put("k", [{ draft: {} as Draft }])
    GhostDB.put("k", { person, all: { people: [person] } })
    GhostDB.put("k", tree)
    GhostDB.put("k", new Map([["a", person]]).get("a") ?? null)
  })

  it("arrays, tuples and records, readonly or not", () => {
    GhostDB.put("k", [person] as ReadonlyArray<Person>)
    GhostDB.put("k", [person, 1] as readonly [Person, number])
    GhostDB.put("k", [1, "a"] as [number, string?])
    GhostDB.put("k", [1, person, person] as [number, ...Array<Person>])
    GhostDB.put("k", { a: person } as Record<string, Person>)
    GhostDB.put("k", { a: person } as { readonly [id: string]: Person })
    GhostDB.put("k", [1, 2] as const)
    GhostDB.put("k", { a: [1, { b: "c" }] } as const)
  })

  it("unions, enums, literals and brands", () => {
    GhostDB.put("k", { kind: "circle", radius: 1 } as Shape)
    GhostDB.put("k", {} as Circle | Square)
    GhostDB.put("k", {} as Circle | Array<Square> | null | "none")
    GhostDB.put("k", Level.High)
    GhostDB.put("k", Colour.Red as Colour)
    GhostDB.put("k", {} as { readonly level: Level; readonly colour: Colour })
    GhostDB.put("k", "a" as "a" | "b")
    GhostDB.put("k", "u1" as UserId)
    GhostDB.put("k", {} as { readonly id: UserId; readonly price: Cents; readonly person: Person })
    GhostDB.put("k", {} as Person & Brand.Brand<"Adult">)
  })

  it("generics that are known to be JSON", () => {
    const store = <A extends Json>(value: A) => GhostDB.put("k", value)
    const storeAll = <A extends Json>(values: ReadonlyArray<A>) => GhostDB.add("k", values)
    const storeIn = <A extends Json>(value: A) => service.put("k", { value })
    expectTypeOf(store(1)).toEqualTypeOf<Keyed<StoreResult, GhostDB>>()
    expectTypeOf(storeAll([1])).toEqualTypeOf<Keyed<StoreResult, GhostDB>>()
    expectTypeOf(storeIn(1)).toEqualTypeOf<Keyed<StoreResult>>()
  })

  it("instances of classes that are nothing but data", () => {
    GhostDB.put("k", new Point(1, 2))
    GhostDB.put("k", new Quote({ symbol: "AMZN", price: 1 }))
    GhostDB.put("k", [new Quote({ symbol: "AMZN", price: 1 })])
  })

  it("what a schema encodes to", () => {
    const Holding = Schema.Struct({ quote: Quote, since: Schema.Date, note: Schema.optional(Schema.String) })
    const encoded = Schema.encodeSync(Schema.Struct({ quote: Quote, since: Schema.Date }))
    GhostDB.put("k", encoded({ quote: new Quote({ symbol: "AMZN", price: 1 }), since: new Date(0) }))
    expectTypeOf<typeof Holding.Encoded.note>().toEqualTypeOf<string | undefined>()
  })
})

describe("put and add refuse", () => {
  it("undefined", () => {
    // @ts-expect-error
    GhostDB.put("k", undefined)
    // @ts-expect-error
    GhostDB.add("k", undefined)
    // @ts-expect-error
    service.put("k", undefined)
    // @ts-expect-error
    service.add("k", undefined)
    // @ts-expect-error
    GhostDB.put("k", "a" as string | undefined)
    // @ts-expect-error
    GhostDB.put("k", [1].at(0))
    // @ts-expect-error
    GhostDB.put("k", Effect.runSync(Effect.void))
    // @ts-expect-error
    GhostDB.put("k")
  })

  it("undefined within", () => {
    // @ts-expect-error
    GhostDB.put("k", { a: undefined })
    // @ts-expect-error
    GhostDB.put("k", [undefined])
    // @ts-expect-error
    GhostDB.put("k", {} as { readonly a: string | undefined })
    interface Loose {
      readonly a: string
      readonly b: number | undefined
    }
    // @ts-expect-error
    GhostDB.put("k", {} as Loose)
    // @ts-expect-error
    GhostDB.put("k", [{}] as ReadonlyArray<Loose>)
    // @ts-expect-error
    GhostDB.put("k", {} as Readonly<Record<string, number | undefined>>)
    // @ts-expect-error
    GhostDB.put("k", [] as ReadonlyArray<number | undefined>)
    // @ts-expect-error
    GhostDB.put("k", [undefined] as readonly [(number | undefined)?])
    // @ts-expect-error
    GhostDB.put("k", {} as { readonly a?: undefined | bigint })
  })

  it("bigints, symbols and functions, alone and within", () => {
    // @ts-expect-error
    GhostDB.put("k", 1n)
    // @ts-expect-error
    GhostDB.add("k", 1n)
    // @ts-expect-error
    service.put("k", 1n)
    // @ts-expect-error
    GhostDB.put("k", {} as bigint)
    // @ts-expect-error
    GhostDB.put("k", {} as bigint | string)
    // @ts-expect-error
    GhostDB.put("k", { a: { b: [1n] } })
    // @ts-expect-error
    GhostDB.put("k", Symbol())
    // @ts-expect-error
    GhostDB.put("k", Symbol.iterator)
    // @ts-expect-error
    GhostDB.put("k", [Symbol()])
    // @ts-expect-error
    GhostDB.put("k", () => 1)
    // @ts-expect-error
    GhostDB.put("k", { a: 1, f: (n: number) => n })
    // @ts-expect-error
    GhostDB.put("k", person.tags.map)
    // @ts-expect-error
    GhostDB.put("k", Point)
  })

  it("objects that JSON would empty or change", () => {
    // @ts-expect-error
    GhostDB.put("k", new Date())
    // @ts-expect-error
    GhostDB.put("k", { at: new Date() })
    // @ts-expect-error
    GhostDB.put("k", new Map([["a", 1]]))
    // @ts-expect-error
    GhostDB.put("k", new Set([1]))
    // @ts-expect-error
    GhostDB.put("k", [new Map<string, string>()])
    // @ts-expect-error
    GhostDB.put("k", new Map([["a", 1]]).keys() as Iterable<string>)
    // @ts-expect-error
    GhostDB.put("k", new Uint8Array(1))
    // @ts-expect-error
    GhostDB.put("k", /a/)
    // @ts-expect-error
    GhostDB.put("k", new Error("no"))
    // @ts-expect-error
    GhostDB.put("k", Promise.resolve(1))
    // @ts-expect-error
    GhostDB.put("k", new Account(1))
    // @ts-expect-error
    GhostDB.put("k", { account: new Account(1) })
    // @ts-expect-error
    GhostDB.put("k", Option.some(1))
    // @ts-expect-error
    GhostDB.put("k", Chunk.of(1))
    // @ts-expect-error
    GhostDB.put("k", Effect.succeed(1))
    // @ts-expect-error
    GhostDB.put("k", Duration.seconds(1))
    // @ts-expect-error
    GhostDB.put("k", GhostDB.get("k"))
  })

  it("what nothing is known of", () => {
    // @ts-expect-error
    GhostDB.put("k", {} as unknown)
    // @ts-expect-error
    GhostDB.put("k", [{}] as ReadonlyArray<unknown>)
    // @ts-expect-error
    GhostDB.put("k", {} as Record<string, unknown>)
    // @ts-expect-error
    GhostDB.put("k", {} as object)
    // @ts-expect-error
    const store = <A>(value: A) => GhostDB.put("k", value)
    expectTypeOf(store).toBeFunction()
  })
})
