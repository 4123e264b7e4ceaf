#!/usr/bin/env -S node --max-semi-space-size=4
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

await import(
  existsSync(built) && statSync(built).mtimeMs >= newestSource() ? built : new URL("../src/launch.ts", import.meta.url)
)
