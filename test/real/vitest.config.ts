import { defineConfig } from "vitest/config"
import base from "../../vitest.config.js"

export default defineConfig({
  resolve: base.resolve ?? {},
  test: { include: ["test/real/**/*.real.ts"], testTimeout: 120_000, hookTimeout: 120_000, fileParallelism: false }
})
