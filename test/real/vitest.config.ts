import { defineConfig } from "vitest/config"
import base from "../../vitest.config.js"

export default defineConfig({
  resolve: base.resolve ?? {},
  test: {
    include: ["test/real/**/*.real.ts"],
    setupFiles: ["./test/setup.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    fileParallelism: false
  }
})
