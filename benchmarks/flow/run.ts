/**
 * `pnpm bench:flow`: what clients make of services that queue, refuse, collapse and go away, on virtual time.
 *
 * `node benchmarks/flow/run.ts` with these options: `--only A,B` (profiles whose name matches one of the regular expressions), `--clients A,B`
 * (`ours`; `all` for all of `clients.ts`), `--seeds N` (1), `--seed-base N` (0: the seeds follow it; those up to 1,000 are for tuning, those
 * above for trying), `--quick` (one profile of each kind, with 200 batches: to see that it works), `--markdown` (tables in place of
 * lines), `--json` (all figures, a line of JSON for each profile and client), `--plots DIR` (an SVG for each profile and client, of the
 * first seed).
 *
 * One line for each profile and client. Figures are medians over the seeds: `makespan` and `ideal` in seconds, `ratio` of the two, its
 * `bound`; `polls` a batch; `lag` and `least`, the mean lag of detection over the mean duration and the least of any schedule at 2 polls a
 * batch, in percent; `cv`, the coefficient of variation of the durations; `first`, creates refused before 300 batches were accepted, and
 * `refused`, their share after that, in percent; `p-ref`, polls refused; `most`, batches in flight. At the end stands what was missed, in
 * how many of the seeds, and by the worst of them.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { checks } from "./checks.ts"
import { clients, type Client } from "./clients.ts"
import { plot } from "./plots.ts"
import { choose, profiles, quick } from "./profiles.ts"
import { simulate } from "./simulate.ts"
import { head, isHeld, legend, line, markdown, type Result } from "./tables.ts"

const refuse = (message: string): never => {
  process.stderr.write(
    `error: ${message}\nOptions: --only A,B (regular expressions of names of profiles), --clients ${Object.keys(clients).join(",")} or all, --seeds N, --seed-base N, --quick, --markdown, --json, --plots DIR\n`
  )
  process.exit(2)
}

const parse = () => {
  try {
    return parseArgs({
      options: {
        only: { type: "string", default: "" },
        clients: { type: "string", default: "ours" },
        seeds: { type: "string", default: "1" },
        "seed-base": { type: "string", default: "0" },
        quick: { type: "boolean", default: false },
        markdown: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        plots: { type: "string" }
      }
    }).values
  } catch (error) {
    return refuse((error as Error).message)
  }
}
const options = parse()

const wanted = (() => {
  try {
    return choose(options.quick ? quick : profiles, options.only)
  } catch (error) {
    return refuse((error as Error).message)
  }
})()

const names = options.clients === "all" ? Object.keys(clients) : options.clients.split(",")
const candidates = names.map((name): readonly [string, Client] => [
  name,
  clients[name] ?? refuse(`there is no client ${name}`)
])

const whole = (name: "seeds" | "seed-base", least: number): number => {
  const value = Number(options[name])
  return Number.isInteger(value) && value >= least ? value : refuse(`--${name} takes a whole number from ${least}`)
}
const base = whole("seed-base", 0)
const seeds = Array.from({ length: whole("seeds", 1) }, (_, i) => base + i + 1)

const write = (text: string) => process.stdout.write(`${text}\n`)
const inLines = !options.json && !options.markdown
const began = performance.now()
const results: Array<Result> = []

if (options.plots !== undefined) mkdirSync(options.plots, { recursive: true })
if (inLines) write(`${legend}\n${head()}`)
for (const profile of wanted) {
  for (const [name, client] of candidates) {
    const simulated = seeds.map((seed) => simulate(profile, client, seed))
    const figures = simulated.map((one) => one.figures)
    const result: Result = {
      profile,
      client: name,
      seeds,
      figures,
      checks: figures.map((one) => checks(profile, one))
    }
    results.push(result)
    if (options.plots !== undefined) {
      const file = names.length === 1 ? `${profile.name}.svg` : `${profile.name}-${name}.svg`
      writeFileSync(join(options.plots, file), plot(profile, name, simulated[0]!.trace))
    }
    if (inLines) write(line(result))
    if (options.json) write(JSON.stringify({ ...result, profile: profile.name }))
  }
}
if (options.markdown) write(markdown(results))
if (inLines) {
  const seconds = ((performance.now() - began) / 1000).toFixed(1)
  write(`${results.filter(isHeld).length} of ${results.length} held all bounds with all seeds, in ${seconds} s`)
}
