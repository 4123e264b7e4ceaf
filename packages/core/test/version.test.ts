import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { version } from "@tokenbatch/core/version"

it("is the version of every package", () => {
  for (const name of ["core", "stream", "sandbox", "cli"]) {
    const manifest = JSON.parse(readFileSync(new URL(`../../${name}/package.json`, import.meta.url), "utf8"))
    assert.strictEqual(manifest.version, version)
  }
})
