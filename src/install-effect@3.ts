// Every entry point imports this file first (`entries.mjs`). Where `effect` is missing, or is Effect 4, which has no such module, the
// runtime's message names this file, and so what to install.
import "effect/Either"
