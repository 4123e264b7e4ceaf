// Removes what was built and what the tools keep between runs; the installation stays.
import { readdirSync, rmSync } from "node:fs"
import { fileURLToPath } from "node:url"

const root = new URL("../", import.meta.url)
const remove = (/** @type {string} */ path) =>
  rmSync(fileURLToPath(new URL(path, root)), { recursive: true, force: true })

for (const name of readdirSync(new URL("packages/", root))) remove(`packages/${name}/dist`)
for (const path of [
  "node_modules/.cache",
  "node_modules/.vite",
  "node_modules/.vitest",
  ".tokenbatch-demo",
  "dist-packages"
])
  remove(path)
