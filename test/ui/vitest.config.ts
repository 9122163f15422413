/** The tests of the page, which need a browser: `npm run test:ui`. */
import { mergeConfig } from "vitest/config"
import base from "../../vitest.config.js"

export default {
  ...mergeConfig(base, {}),
  test: { include: ["test/ui/**/*.browser.ts"], testTimeout: 120_000, hookTimeout: 120_000 }
}
