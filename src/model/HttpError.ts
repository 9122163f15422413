/** What an error of an HTTP client says: its own words may hold secrets, the URL among them. */
import * as Predicate from "effect/Predicate"

/** What went wrong, in one word: `Transport`, `Decode`, `EmptyBody`, … */
export const reasonOf = (error: unknown): string => {
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : undefined
  const tag = Predicate.hasProperty(reason, "_tag") ? reason._tag : reason
  return Predicate.isString(tag) ? tag.replace(/Error$/, "") : "unknown"
}

/** The error behind it. */
export const causeOf = (error: unknown): unknown => {
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : undefined
  const holder = Predicate.hasProperty(reason, "cause") ? reason : error
  return Predicate.hasProperty(holder, "cause") ? holder.cause : undefined
}

/** A system's error code such as ECONNREFUSED. */
export const codeOf = (error: unknown): string | undefined => {
  if (Predicate.hasProperty(error, "code") && Predicate.isString(error.code)) return error.code
  const cause = causeOf(error)
  return cause === undefined ? undefined : codeOf(cause)
}
