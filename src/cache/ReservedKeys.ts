/** Keys that this package makes beside those of its users. A near cache must pass them by. */

const lockSuffix = "#lock"
const generationSuffix = "#generation"

/** Where the lock of a key stands. */
export const lock = (key: string): string => `${key}${lockSuffix}`

/** Where the generation of a namespace stands. */
export const generation = (namespace: string): string => `${namespace}${generationSuffix}`

/** Whether it is such a key. */
export const isReserved = (key: string): boolean => key.endsWith(lockSuffix) || key.endsWith(generationSuffix)
