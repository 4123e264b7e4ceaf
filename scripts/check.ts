/** Everything that can be checked without running the program: all steps are run, and any that fails fails the check. */
import { spawnSync } from "node:child_process"

const steps = [
  ["format", "oxfmt", "--check"],
  ["lint and import rule", "oxlint", "--deny-warnings"],
  ["types", "tsc", "--build", "--pretty"],
  ["unused files, exports and dependencies", "knip", "--treat-config-hints-as-errors"]
] as const

const failed = steps.filter(([title, command, ...args]) => {
  console.log(`\n== ${title}: ${[command, ...args].join(" ")}`)
  return spawnSync(command, args, { stdio: "inherit", shell: process.platform === "win32" }).status !== 0
})

console.log(failed.length === 0 ? "\nAll checks passed." : `\nFailed: ${failed.map(([title]) => title).join("; ")}`)
process.exitCode = failed.length === 0 ? 0 : 1
