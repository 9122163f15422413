import * as Effect from "effect/Effect"
import type { KeyError, NoMoreServers } from "../model/GhostDBError.js"
import type { GhostDBService } from "../model/GhostDBService.js"
import * as ReservedKeys from "./ReservedKeys.js"
import * as Stamps from "./Stamps.js"

/** Ends all entries with one of the tags, by a stamp for each. */
export const expire = (db: GhostDBService, tags: Iterable<string>): Effect.Effect<void, NoMoreServers | KeyError> =>
  Effect.suspend(() =>
    Effect.forEach(new Set(tags), (tag) => Stamps.renewLater(db, ReservedKeys.tag(tag)), {
      concurrency: 16,
      discard: true
    })
  )
