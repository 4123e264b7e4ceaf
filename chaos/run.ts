/**
 * `pnpm chaos`: run after run of the fault campaign, each from a seed of its own, and what they covered.
 *
 * Options: `--duration 10m` (begins no run after that; 2m), `--runs N` (as many at most), `--seed N` (of the first run; the next ones have
 * the numbers after it; by default one that the clock gives), `--records N` (lines of each run), `--parallel N` (runs at once; 1), `--case NAME` (one of the
 * short campaign that is part of the tests, and no other),
 * `--keep` (keep all folders, not only those of runs that went wrong).
 */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Bundle from "./bundle.ts"
import * as Campaign from "./campaign.ts"
import * as Scenario from "./scenario.ts"
import * as Short from "./short.ts"
import * as Summary from "./summary.ts"

const { values: options } = parseArgs({
  options: {
    duration: { type: "string" },
    runs: { type: "string" },
    seed: { type: "string" },
    records: { type: "string" },
    parallel: { type: "string", default: "1" },
    case: { type: "string" },
    keep: { type: "boolean", default: false }
  }
})

const millis = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)(s|m|h)$/.exec(text)
  if (match === null) throw new Error(`--duration takes a duration such as 90s, 10m or 1h, not ${text}`)
  return Number(match[1]) * { s: 1000, m: 60_000, h: 3_600_000 }[match[2] as "s" | "m" | "h"]
}
const count = (name: string, text: string): number => {
  if (!/^\d+$/.test(text)) throw new Error(`--${name} takes a number, not ${text}`)
  return Number(text)
}

const until =
  Date.now() +
  (options.duration === undefined ? (options.runs === undefined ? 120_000 : Infinity) : millis(options.duration))
const named = options.case === undefined ? undefined : Short.scenarios.get(options.case)
if (options.case !== undefined && named === undefined) {
  throw new Error(`--case takes one of: ${[...Short.scenarios.keys()].join("; ")}`)
}
const runs = named !== undefined ? 1 : options.runs === undefined ? Infinity : count("runs", options.runs)
const firstSeed = options.seed === undefined ? Date.now() % 1_000_000_000 : count("seed", options.seed)
const wishes = options.records === undefined ? {} : { lines: count("records", options.records) }

const root = mkdtempSync(join(tmpdir(), "tokenbatch-chaos-"))
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130))

const program = await Bundle.build(join(root, "program"))
const outcomes: Array<Campaign.Outcome> = []
let wrong = 0
let next = 0

const worker = async () => {
  while (Date.now() < until && next < runs) {
    const scenario = named ?? Scenario.draw(firstSeed + next, wishes)
    next++
    const folder = join(root, `seed-${scenario.seed}`)
    const again =
      named === undefined ? Summary.command(scenario.seed, options.records) : Summary.caseCommand(options.case!)
    try {
      const outcome = await Campaign.run(scenario, folder, program)
      outcomes.push(outcome)
      console.log(Summary.line(outcome))
      if (options.keep) console.log(outcome.legs.join("\n"))
      if (outcome.violations.length > 0) {
        wrong++
        console.log(Summary.mismatch(outcome, folder, again))
      } else if (!options.keep) rmSync(folder, { recursive: true, force: true })
    } catch (error) {
      wrong++
      console.log(
        `seed ${scenario.seed} could not be carried out: ${error instanceof Error ? error.stack : String(error)}`
      )
      console.log(`its folder: ${folder}\nagain: ${again}`)
    }
  }
}
await Promise.all(Array.from({ length: count("parallel", options.parallel) }, worker))

if (wrong === 0 && !options.keep) rmSync(root, { recursive: true, force: true })
console.log(`\n${Summary.total(outcomes, wrong)}`)
process.exitCode = wrong === 0 ? 0 : 1
