import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    projects: ["packages/*", "docs", "benchmarks/flow"],
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000
  }
})
