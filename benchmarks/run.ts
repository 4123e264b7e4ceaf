/**
 * `pnpm bench`: what a run costs, in whole processes against the answering server in another (`sections.ts` says what, `measure.ts` how).
 *
 * Options: `--records N` (1,000,000), `--rounds N` (5), `--only A,B` (sections by name), `--scaling` (also up to ten million records,
 * which takes 4 GB of disk), `--quick` (10,000 records, 1 round: to see that it works), `--json FILE`, `--no-build` (the command line as
 * it was built before).
 */
import { fork, spawnSync } from "node:child_process"
import { cpSync, existsSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { machine } from "./measure.ts"
import { program, sections, warmUp } from "./sections.ts"
import { plural } from "./tables.ts"

const refuse = (message: string): never => {
  process.stderr.write(
    `error: ${message}\nOptions: --records N, --rounds N, --only ${Object.keys(sections).join(",")}, --scaling, --quick, --json FILE, --no-build\n`
  )
  process.exit(2)
}

const parse = () => {
  try {
    return parseArgs({
      options: {
        records: { type: "string" },
        rounds: { type: "string" },
        only: { type: "string" },
        scaling: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        json: { type: "string" },
        "no-build": { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return refuse((error as Error).message)
  }
}
const options = parse()

const number = (name: "records" | "rounds", byDefault: number): number => {
  const text = options[name] ?? String(byDefault)
  if (!/^[1-9]\d*$/.test(text)) return refuse(`--${name} takes a whole number from 1, not ${text}`)
  return Number(text)
}
const records = number("records", options.quick ? 10_000 : 1_000_000)
const rounds = number("rounds", options.quick ? 1 : 5)

const wanted = options.only?.split(",") ?? Object.keys(sections).filter((name) => name !== "scaling" || options.scaling)
for (const name of wanted) {
  if (sections[name] === undefined) refuse(`there is no section ${name}`)
}

// Before there is anything to lose.
if (options.json !== undefined) {
  try {
    writeFileSync(options.json, "")
  } catch (error) {
    refuse((error as Error).message)
  }
}

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))

/** Calls `use` with the address of an answering server, which ends with it. */
const withServer = async <A>(holdMs: number, use: (baseUrl: string) => Promise<A>): Promise<A> => {
  const server = fork(file("server.ts"), { env: { ...process.env, BENCH_HOLD_MS: String(holdMs) } })
  try {
    const port = await new Promise((resolve) => server.once("message", resolve))
    return await use(`http://127.0.0.1:${Number(port)}`)
  } finally {
    server.kill()
  }
}

if (!options["no-build"]) {
  const { status } = spawnSync(process.execPath, ["scripts/build.ts"], { cwd: file(".."), stdio: "inherit" })
  if (status !== 0) process.exit(1)
}
if (!existsSync(file("../packages/cli/dist/tokenbatch.mjs"))) refuse("nothing has been built: leave out --no-build")
// A copy, so that all of a benchmark measures one program, though somebody builds meanwhile.
cpSync(file("../packages/cli/dist"), program.folder, { recursive: true })

await withServer(0, (baseUrl) => warmUp({ baseUrl, records, rounds }))

const { cores, cpu, memoryGiB, node, platform } = machine()
console.log(
  `${cores} cores of ${cpu}, ${memoryGiB} GiB, Node.js ${node}, ${platform}. Clients and server share them, on the loopback interface.\n` +
    `Medians of ${plural(rounds, "round")}, least and most in brackets; ratios round by round. CPU seconds (user and system), records/s and peak memory are those of whole processes, their start included.`
)

if (options.quick) {
  console.log(
    "\nThis is to see that it works: of so few records the start takes most of the time, and the ratios say nothing."
  )
}

const measured: Array<object> = []
for (const name of wanted) {
  const { holdMs = 0, run } = sections[name]!
  // Ten million are for `scaling` alone.
  const most = name === "scaling" && options.records === undefined && !options.quick ? 10_000_000 : records
  const { rows, table, what } = await withServer(holdMs, (baseUrl) => run({ baseUrl, records: most, rounds }))
  console.log(`\n${name}: ${what}.\n\n${table}`)
  measured.push({ name, what, rows })
}

if (options.json !== undefined) {
  writeFileSync(
    options.json,
    `${JSON.stringify({ machine: machine(), records, rounds, sections: measured }, null, 2)}\n`
  )
}
