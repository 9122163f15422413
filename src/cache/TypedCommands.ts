/** The commands of a store on one key: entries instead of JSON. */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { ParseError } from "effect/ParseResult"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { DeleteResult, GhostDBService, StoreResult } from "../model/GhostDBService.js"
import { Ttl } from "../model/Ttl.js"
import * as EntryStore from "./EntryStore.js"
import * as Freshness from "./Freshness.js"
import * as PerClient from "./PerClient.js"
import * as Stamps from "./Stamps.js"

/** A write of the user's. A client tells of its own by itself. */
const told = <A, E, R>(db: GhostDBService, key: string, write: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const state = PerClient.of(db)
  return state.shared.tellsWrites ? write : state.writing(key, write)
}

/** The value of a key. None where there is none, it has expired, or it is a remembered failure. */
export const find = <A, R>(
  db: GhostDBService,
  key: string,
  entries: EntryStore.EntryStore<A, R>,
  { onDecodeError }: Freshness.Freshness<A>
): Effect.Effect<Option.Option<A>, NoMoreServers | KeyError | ParseError, R> =>
  Effect.gen(function* () {
    const found = yield* entries.find(db, key)
    if (Option.isNone(found)) return Option.none()
    const now = yield* Clock.currentTimeMillis
    const verdict = Freshness.judge(found.value, now, { failureLifetime: 0, refreshAhead: 0, staleFor: 0 }, 1)
    if (verdict._tag === "Broken") return onDecodeError === "fail" ? yield* verdict.error : Option.none()
    if (verdict._tag !== "Fresh") return Option.none()
    return yield* EntryStore.recoverDecode(onDecodeError, entries.decode(verdict.entry.json))
  })

/** Stores a value as the store's options say, for its own TTL if one is given. */
export const write = <A, R>(
  db: GhostDBService,
  command: "put" | "add",
  key: string,
  value: A,
  ttl: Ttl | undefined,
  entries: EntryStore.EntryStore<A, R>,
  freshness: Freshness.Freshness<A>
): Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, R> =>
  Effect.gen(function* () {
    const lifetime = ttl === undefined ? freshness.lifetimeOf(value) : Ttl.toMillis(ttl)
    if (lifetime === 0) return "NOT_STORED"
    const json = yield* entries.encode(key, value)
    const tags = freshness.tagsOf(value)
    const write = entries.write(db[command], key, json, {
      lifetime: yield* Freshness.jittered(lifetime, freshness),
      staleFor: freshness.staleFor,
      loadedAt: Stamps.loadedAt(db, yield* Stamps.begin(db), entries.stampKeys(tags)),
      tags,
      took: 0
    })
    return yield* told(db, key, write)
  })

/** Removes a key. */
export const remove = (db: GhostDBService, key: string): Effect.Effect<DeleteResult, NoMoreServers | KeyError> =>
  told(db, key, db.delete(key))

/** Whether what stands under a key is there for the server only: it has expired, was ended, or is a failure. */
const isOver = <A, R>(
  db: GhostDBService,
  key: string,
  entries: EntryStore.EntryStore<A, R>
): Effect.Effect<boolean, NoMoreServers | KeyError> =>
  Effect.zipWith(entries.find(db, key), Clock.currentTimeMillis, (found, now) =>
    Option.exists(found, ({ entry, isEnded }) =>
      Option.exists(Either.getRight(entry), ({ _tag, expiresAt }) => isEnded || _tag === "Failure" || expiresAt <= now)
    )
  )

/** Adds a value in the place of one that is over; `NOT_STORED` where what stands there is not. */
export const replace = <A, R>(
  db: GhostDBService,
  key: string,
  value: A,
  ttl: Ttl | undefined,
  entries: EntryStore.EntryStore<A, R>,
  freshness: Freshness.Freshness<A>
): Effect.Effect<StoreResult, NoMoreServers | KeyError | ParseError, R> =>
  Effect.flatMap(isOver(db, key, entries), (isOver) =>
    isOver
      ? Effect.zipRight(remove(db, key), write(db, "add", key, value, ttl, entries, freshness))
      : Effect.succeed("NOT_STORED")
  )
