import { defineConfig } from "vitest/config"

export default defineConfig({
  test: { name: "docs", include: ["**/*.test.ts"], testTimeout: 120_000, hookTimeout: 30_000 }
})
