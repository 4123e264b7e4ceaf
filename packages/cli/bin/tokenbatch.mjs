#!/usr/bin/env -S node --max-semi-space-size=4 --initial-old-space-size=32 --heap-growing-percent=50
// In a checkout: runs what was built, where that is newer than the sources, and the sources themselves otherwise.
import { existsSync, readdirSync, statSync } from "node:fs"

const packages = new URL("../../", import.meta.url)
const built = new URL("../dist/tokenbatch.mjs", import.meta.url)

const newestSource = () =>
  Math.max(
    ...readdirSync(packages).flatMap((name) => {
      const src = new URL(`${name}/src/`, packages)
      return existsSync(src) ? readdirSync(src).map((file) => statSync(new URL(file, src)).mtimeMs) : []
    })
  )

if (existsSync(built) && statSync(built).mtimeMs >= newestSource()) {
  await import(built.href)
} else if (process.features.typescript) {
  await import("../src/launch.ts")
} else {
  process.stderr.write(
    `error: from its sources, tokenbatch needs Node.js 22.19 or newer; this is ${process.versions.node}.\n` +
      "Run node_modules/.bin/tokenbatch, which has one, or `npm start`.\n"
  )
  process.exitCode = 2
}
