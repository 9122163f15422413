/** The monotonic clock. Every duration of the client is measured by it: the wall clock may be set while a command runs. */
import type * as Clock from "effect/Clock"

/** Milliseconds of the monotonic clock. Only differences mean something. */
export const unsafeNow = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6
