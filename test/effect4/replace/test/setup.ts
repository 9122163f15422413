/** Replaced, since the tests' own `it` is not changed by `layer`: there is nothing to restore. */
