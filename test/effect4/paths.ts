/** Where the second package is made, and of what. */
import { fileURLToPath } from "node:url"

/** The project's folder, with a slash at its end. */
export const root = fileURLToPath(new URL("../../", import.meta.url))

/** The folder of the second package. */
export const target = fileURLToPath(new URL("../../dist-effect4", import.meta.url))

/** Files written for Effect 4, which take the place of their namesakes. */
export const replacing = fileURLToPath(new URL("./replace", import.meta.url))
