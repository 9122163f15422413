// Nothing here is run: that it compiles, or does not, is the test.
// @effect-diagnostics floatingEffect:off
import type { Persistence } from "@effect/experimental"
import type { KeyValueStore } from "@effect/platform"
import { describe, expectTypeOf, it } from "@effect/vitest"
import {
  Context,
  Effect,
  type Either,
  type Layer,
  type Option,
  type ParseResult,
  Request,
  RequestResolver,
  Schema
} from "effect"
import {
  type DeleteResult,
  type GetOrElseOptions,
  GhostDB,
  type Json,
  type JsonEncoded,
  type KeyError,
  NearCache,
  type NoMoreServers,
  Resolver,
  type Store,
  type StoreResult
} from "effect-ghostdb"
import * as GhostDBKeyValueStore from "effect-ghostdb/KeyValueStore"
import * as GhostDBPersistence from "effect-ghostdb/Persistence"

class User extends Schema.Class<User>("User")({ id: Schema.Number, name: Schema.optional(Schema.String) }) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class Database extends Context.Tag("Database")<Database, unknown>() {}
class Cipher extends Context.Tag("Cipher")<Cipher, unknown>() {}
const Secret = Schema.transformOrFail(Schema.String, Schema.Number, {
  decode: (text) => Effect.as(Cipher, text.length),
  encode: (count) => Effect.as(Cipher, "x".repeat(count))
})

type ParseError = ParseResult.ParseError
declare const fetchUser: Effect.Effect<User, NotFound | "down", Database>

describe("a store", () => {
  const users = GhostDB.forSchema(User)
  const lenient = GhostDB.forSchema(User, { onDecodeError: "miss" })
  const exact = GhostDB.forSchema(User, { expiry: "exact", onDecodeError: "miss" })
  const secrets = GhostDB.forSchema(Secret)

  it("get fails with a ParseError, unless that is a miss", () => {
    expectTypeOf(users.get).toEqualTypeOf<
      (key: string) => Effect.Effect<Option.Option<User>, NoMoreServers | KeyError | ParseError, GhostDB>
    >()
    expectTypeOf(lenient.get("1")).toEqualTypeOf<
      Effect.Effect<Option.Option<User>, NoMoreServers | KeyError, GhostDB>
    >()
    expectTypeOf(users.request("1")).toEqualTypeOf(users.get("1"))
    expectTypeOf(lenient.request("1")).toEqualTypeOf(lenient.get("1"))
    // What is not known before it runs can be either.
    const either = GhostDB.forSchema(User, { onDecodeError: "miss" as "miss" | "fail" })
    expectTypeOf(either.get("1")).toEqualTypeOf(users.get("1"))
  })

  it("put and add take the schema's values only, and can fail to encode them", () => {
    expectTypeOf(lenient.put).toEqualTypeOf<typeof users.put>()
    expectTypeOf(users.add("1", new User({ id: 1 }))).toEqualTypeOf<
      Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, GhostDB>
    >()
    // @ts-expect-error
    users.put("1", { id: "1" })
    // @ts-expect-error
    users.add("1")
    expectTypeOf(users.delete("1")).toEqualTypeOf<Effect.Effect<DeleteResult, NoMoreServers | KeyError, GhostDB>>()
  })

  it("what the schema needs, its methods need", () => {
    expectTypeOf(secrets.get("1")).toEqualTypeOf<
      Effect.Effect<Option.Option<number>, NoMoreServers | KeyError | ParseError, GhostDB | Cipher>
    >()
    expectTypeOf(secrets.put("1", 2)).toEqualTypeOf<
      Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, GhostDB | Cipher>
    >()
    expectTypeOf(secrets.delete("1")).toEqualTypeOf<Effect.Effect<DeleteResult, NoMoreServers | KeyError, GhostDB>>()
    expectTypeOf(secrets.getOrElse("1", Effect.as(Database, 1))).toEqualTypeOf<
      Effect.Effect<number, KeyError | ParseError, GhostDB | Cipher | Database>
    >()
  })

  it("getOrElse fails as the effect does, and as the options say", () => {
    type Lookup<E> = Effect.Effect<User, E, GhostDB | Database>
    expectTypeOf(users.getOrElse("1", fetchUser)).toEqualTypeOf<Lookup<NotFound | "down" | KeyError | ParseError>>()
    expectTypeOf(lenient.getOrElse("1", fetchUser, { ttl: 5, lock: true })).toEqualTypeOf<
      Lookup<NotFound | "down" | KeyError>
    >()
    expectTypeOf(lenient.getOrElse("1", fetchUser, { onOutage: "fail" })).toEqualTypeOf<
      Lookup<NotFound | "down" | KeyError | NoMoreServers>
    >()
    expectTypeOf(
      exact.getOrElse("1", Effect.succeed(new User({ id: 1 })), {
        staleFor: "1 minute",
        failure: { schema: NotFound, ttl: 5 },
        ttl: (user) => user.id
      })
    ).toEqualTypeOf<Effect.Effect<User, NotFound | KeyError, GhostDB>>()
    // @ts-expect-error not a User
    users.getOrElse("1", Effect.succeed({ id: "1" }))
  })

  it("what needs exact expiry is refused without", () => {
    // @ts-expect-error needs a store with expiry: "exact"
    users.getOrElse("1", fetchUser, { staleFor: "1 minute" })
    // @ts-expect-error needs a store with expiry: "exact"
    users.getOrElse("1", fetchUser, { failure: { schema: NotFound, ttl: 5 } })
    // @ts-expect-error needs expiry: "exact"
    fetchUser.pipe(GhostDB.cached("1", { schema: User, staleFor: "1 minute" }))
    // @ts-expect-error no such option
    exact.getOrElse("1", fetchUser, { stalefor: "1 minute" })
    // @ts-expect-error no such option
    GhostDB.forSchema(User, { prefx: "user:", ttl: 5 })
  })

  it("cached, in a pipe, is getOrElse", () => {
    expectTypeOf(fetchUser.pipe(GhostDB.cached("1", { schema: User }))).toEqualTypeOf(users.getOrElse("1", fetchUser))
    expectTypeOf(
      fetchUser.pipe(GhostDB.cached("1", { schema: User, onDecodeError: "miss", onOutage: "fail", lock: true, ttl: 5 }))
    ).toEqualTypeOf(lenient.getOrElse("1", fetchUser, { onOutage: "fail" }))
    expectTypeOf(
      Effect.succeed(1).pipe(
        GhostDB.cached("1", {
          schema: Schema.Number,
          expiry: "exact",
          staleFor: "1 minute",
          failure: { schema: NotFound, ttl: 5 }
        })
      )
    ).toEqualTypeOf<Effect.Effect<number, NotFound | KeyError | ParseError, GhostDB>>()
  })

  it("the encoded side of a schema must be JSON", () => {
    GhostDB.forSchema(Schema.Struct({ at: Schema.Date, tags: Schema.Array(Schema.NullOr(Schema.String)) }))
    GhostDB.forSchema(Schema.Struct({ a: Schema.optional(Schema.Struct({ b: Schema.optional(Schema.Number) })) }))
    GhostDB.forSchema(Schema.Union(User, Schema.Tuple(Schema.Literal("none"), Schema.Number)))
    GhostDB.forSchema(Schema.Option(User))
    GhostDB.forSchema(Schema.ReadonlyMap({ key: Schema.String, value: User }))
    GhostDB.forSchema(Schema.Record({ key: Schema.String, value: Schema.Boolean }))
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Schema<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => Tree)) })
    GhostDB.forSchema(Tree)
    // @ts-expect-error the encoded side of the schema must be JSON
    GhostDB.forSchema(Schema.Struct({ at: Schema.DateFromSelf }))
    // @ts-expect-error
    GhostDB.forSchema(Schema.BigIntFromSelf)
    // @ts-expect-error
    GhostDB.forSchema(Schema.UndefinedOr(Schema.String))
    // @ts-expect-error
    GhostDB.forSchema(Schema.Array(Schema.UndefinedOr(Schema.String)))
    // @ts-expect-error
    GhostDB.forSchema(Schema.Struct({ a: Schema.UndefinedOr(Schema.String) }))
    // @ts-expect-error
    GhostDB.forSchema(Schema.Unknown)
    // @ts-expect-error
    fetchUser.pipe(GhostDB.cached("1", { schema: Schema.DateFromSelf }))
    // @ts-expect-error
    exact.getOrElse("1", fetchUser, { failure: { schema: Schema.DateFromSelf, ttl: 5 } })
  })
})

describe("a store of a Schema.Class", () => {
  const users = GhostDB.forSchema(User, { prefix: "user:", ttl: "5 minutes" })
  class Admin extends User.extend<Admin>("Admin")({ rights: Schema.Array(Schema.String) }) {}
  const ada = new User({ id: 1 })
  const plain = { id: 1, name: "Ada" }

  it("takes its instances, and those of its subclasses", () => {
    users.put("1", ada)
    users.add("1", new Admin({ id: 1, rights: [] }), 60)
    users.putMany([["1", ada]])
    users.addMany(new Map([["1", new Admin({ id: 1, rights: [] })]]), { ttl: 60 })
    users.getOrElse("1", Effect.succeed(ada))
    users.getOrElse("1", (previous) => Effect.orElse(previous, () => fetchUser))
    users.getOrElse("1", Effect.die("a defect"))
    users.getOrElse("1", Effect.fail("no user"))
    users.getOrElseMany(["1"], (ids) => Effect.succeed(ids.map((id) => [id, new User({ id: Number(id) })] as const)))
    fetchUser.pipe(GhostDB.cached("1", { schema: User }))
    expectTypeOf(users.get("1")).toEqualTypeOf<
      Effect.Effect<Option.Option<User>, NoMoreServers | KeyError | ParseError, GhostDB>
    >()
  })

  it("refuses a plain object, which the class could not encode", () => {
    // @ts-expect-error no instance
    users.put("1", { id: 1 })
    // @ts-expect-error no instance
    users.put("1", plain)
    // @ts-expect-error a copy by spreading is no instance
    users.put("1", { ...ada, id: 2 })
    // @ts-expect-error no instance
    users.add("1", plain)
    // @ts-expect-error no instance
    users.putMany([["1", plain]])
    // @ts-expect-error no instance
    users.addMany([["1", plain]])
    // @ts-expect-error no instance
    users.getOrElse("1", Effect.succeed(plain))
    // @ts-expect-error no instance
    users.getOrElse("1", () => Effect.succeed({ id: 1 }))
    // @ts-expect-error no instance
    users.getOrElseMany(["1"], (ids) => Effect.succeed(ids.map((id) => [id, plain] as const)))
    // @ts-expect-error no instance
    Effect.succeed(plain).pipe(GhostDB.cached("1", { schema: User }))
    class Point extends Schema.TaggedClass<Point>()("Point", { at: Schema.mutable(Schema.Array(Schema.Number)) }) {}
    const points = GhostDB.forSchema(Point)
    points.put("1", new Point({ at: [1, 2] }))
    // @ts-expect-error no instance
    points.put("1", { _tag: "Point", at: [1, 2] })
  })

  it("other schemas take what has their type", () => {
    const structs = GhostDB.forSchema(Schema.Struct({ id: Schema.Number }))
    structs.put("1", { id: 1 })
    structs.put("1", ada)
    structs.getOrElse("1", Effect.succeed({ id: 1, more: true }))
    structs.putMany([["1", { id: 1 }]])
    // @ts-expect-error no such member
    structs.put("1", { id: 1, nam: "Ada" })
    const dates = GhostDB.forSchema(Schema.Date)
    dates.put("1", new Date())
  })

  it("is a Store, whoever writes its type", () => {
    const store: Store<User> = users
    const save = <A>(store: Store<A>, value: A) => store.put("1", value)
    save(store, ada)
    save(users, ada)
  })
})

describe("functions that are generic in the schema", () => {
  it("ask for JsonEncoded and hand it on", () => {
    const storeOf = <A, I>(schema: Schema.Schema<A, I> & JsonEncoded<I>, prefix: string) =>
      GhostDB.forSchema(schema, { prefix, ttl: "5 minutes" })
    expectTypeOf(storeOf(User, "u:").get("1")).toEqualTypeOf<
      Effect.Effect<Option.Option<User>, NoMoreServers | KeyError | ParseError, GhostDB>
    >()
    const remember = <A, I, E, R>(
      schema: Schema.Schema<A, I> & JsonEncoded<I>,
      effect: Effect.Effect<A, E, R>,
      options?: GetOrElseOptions<A, "server">
    ) => GhostDB.forSchema(schema, { onDecodeError: "miss" }).getOrElse("1", effect, options)
    expectTypeOf(remember(Schema.Number, Effect.succeed(1), { ttl: "1 minute" })).toMatchTypeOf<
      Effect.Effect<number, unknown, GhostDB>
    >()
    // @ts-expect-error the encoded side must be JSON
    storeOf(Schema.DateFromSelf, "d:")
  })
})

describe("many keys", () => {
  it("each key has its result, or its error", () => {
    type Results<A, E> = ReadonlyMap<string, Either.Either<A, E>>
    expectTypeOf(GhostDB.getMany(["a"])).toEqualTypeOf<
      Effect.Effect<Results<Option.Option<Json>, NoMoreServers | KeyError>, never, GhostDB>
    >()
    expectTypeOf(GhostDB.putMany([["a", 1]], { ttl: 5 })).toEqualTypeOf<
      Effect.Effect<Results<StoreResult, NoMoreServers | KeyError>, never, GhostDB>
    >()
    expectTypeOf(GhostDB.addMany([["a", 1]], { ttl: 5 })).toEqualTypeOf<
      Effect.Effect<Results<StoreResult, NoMoreServers | KeyError>, never, GhostDB>
    >()
    expectTypeOf(GhostDB.getSomes(["a"])).toEqualTypeOf<
      Effect.Effect<ReadonlyMap<string, Json>, NoMoreServers | KeyError, GhostDB>
    >()
    expectTypeOf(GhostDB.forSchema(User, { onDecodeError: "miss" }).getSomes(["a"])).toEqualTypeOf<
      Effect.Effect<ReadonlyMap<string, User>, NoMoreServers | KeyError, GhostDB>
    >()
    expectTypeOf(GhostDB.deleteMany(new Set(["a"]))).toEqualTypeOf<
      Effect.Effect<Results<DeleteResult, NoMoreServers | KeyError>, never, GhostDB>
    >()
    expectTypeOf(GhostDB.forSchema(User).getMany(["a"])).toEqualTypeOf<
      Effect.Effect<Results<Option.Option<User>, NoMoreServers | KeyError | ParseError>, never, GhostDB>
    >()
    interface Quote {
      readonly price: number
    }
    GhostDB.putMany(new Map<string, Quote>())
    // @ts-expect-error
    GhostDB.putMany([["a", () => 1]])
    // @ts-expect-error
    GhostDB.putMany([["a", undefined]])
  })
})

describe("what stands on the cache", () => {
  it("Resolver.cached keeps the request's types", () => {
    class NameOf extends Request.TaggedClass("NameOf")<string, NotFound, { readonly id: number }> {}
    const resolver = RequestResolver.fromEffect((_: NameOf) => Effect.succeed("name"))
    const names = GhostDB.forSchema(Schema.String)
    const cached = Resolver.cached(resolver, { store: names, key: ({ id }) => String(id) })
    expectTypeOf(Effect.request(new NameOf({ id: 1 }), cached)).toEqualTypeOf<
      Effect.Effect<string, NotFound, GhostDB>
    >()
    // @ts-expect-error the store has other values than the requests
    Resolver.cached(resolver, { store: GhostDB.forSchema(Schema.Number), key: () => "" })
  })

  it("the layers need a client and nothing else", () => {
    expectTypeOf(GhostDBKeyValueStore.layer({ prefix: "a" })).toEqualTypeOf<
      Layer.Layer<KeyValueStore.KeyValueStore, never, GhostDB>
    >()
    expectTypeOf(GhostDBPersistence.layer()).toEqualTypeOf<
      Layer.Layer<Persistence.BackingPersistence, never, GhostDB>
    >()
    expectTypeOf(GhostDBPersistence.layerResult({ prefix: "a" })).toEqualTypeOf<
      Layer.Layer<Persistence.ResultPersistence, never, GhostDB>
    >()
    expectTypeOf(NearCache.layer({ capacity: 1, ttl: 1 })).toEqualTypeOf<
      Layer.Layer<GhostDB | NearCache, never, GhostDB>
    >()
    // @ts-expect-error a store has a name
    GhostDBKeyValueStore.layer()
  })
})
