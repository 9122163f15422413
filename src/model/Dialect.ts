import * as Schema from "effect/Schema"

/**
 * The dialects of GhostDB's servers: `v1` (server 1.0), `v2` (server 2.0), `raft` (2021).
 *
 * @category models
 * @since 0.1.0
 */
export const Dialect = Schema.Literal("v1", "v2", "raft")

/**
 * @see the constant of the same name
 *
 * @category models
 * @since 0.1.0
 */
export type Dialect = typeof Dialect.Type
