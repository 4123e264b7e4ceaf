/** The way in: says so where Node.js is too old for what comes next, and has Node keep what it compiles for the next start. */
import * as module from "node:module"

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`error: tokenbatch needs Node.js 22.19 or newer; this is ${process.versions.node}.\n`)
  process.exit(2)
}

module.enableCompileCache()
await import("./main.ts")
