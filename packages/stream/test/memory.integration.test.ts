import { assert, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

it("streams a million lines in a heap of 96 MB", { timeout: 120_000 }, () => {
  const program = fileURLToPath(new URL("fixtures/million.ts", import.meta.url))
  const { status, stderr, stdout } = spawnSync(process.execPath, ["--max-old-space-size=96", program], {
    encoding: "utf8"
  })
  assert.strictEqual(status, 0, stderr)
  assert.deepInclude(JSON.parse(stdout), { read: 1_000_000, created: 999_000, rejected: 1000 })
})
