/**
 * `pnpm bench`: whole processes against the answering server in another, interleaved (A B A B ...), CPU time of the client with its start.
 *
 * Options: `--records N` (1,000,000), `--rounds N` (5), `--batch-size N` (1,000), `--quick` (100,000 records, 3 rounds), `--json FILE`.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { SampleRequests } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { fork, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const { values: options } = parseArgs({
  options: {
    records: { type: "string" },
    rounds: { type: "string" },
    "batch-size": { type: "string", default: "1000" },
    quick: { type: "boolean", default: false },
    json: { type: "string" }
  }
})
const records = Number(options.records ?? (options.quick ? 100_000 : 1_000_000))
const rounds = Number(options.rounds ?? (options.quick ? 3 : 5))
const batchSize = options["batch-size"]

const here = fileURLToPath(new URL(".", import.meta.url))
const cache = join(here, "..", "node_modules", ".cache", "bench")
mkdirSync(cache, { recursive: true })

const sample = join(cache, `sample-${records}.ndjson`)
if (!existsSync(sample)) {
  const write = Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* Stream.run(SampleRequests.stream({ count: records, seed: 1 }), fs.sink(`${sample}.part`))
    yield* fs.rename(`${sample}.part`, sample)
  })
  await Effect.runPromise(Effect.provide(write, NodeFileSystem.layer))
}

const cli = join(here, "..", "packages", "cli", "dist", "tokenbatch.mjs")
const built = spawnSync(process.execPath, [join(here, "..", "scripts", "build.ts")], { stdio: "inherit" })
if (built.status !== 0) process.exit(1)

const server = fork(join(here, "server.ts"))
const port = await new Promise<number>((resolve) => server.once("message", (message) => resolve(Number(message))))
const baseUrl = `http://127.0.0.1:${port}`

const floor = join(here, "floor.ts")
const journal = join(cache, "journal")
const state = join(cache, "state")
const small = "--max-semi-space-size=4"
const candidates: ReadonlyArray<readonly [name: string, args: ReadonlyArray<string>]> = [
  ["floor, with JSON.parse", [floor, sample, baseUrl, batchSize, "parse"]],
  ["floor, nothing parsed", [floor, sample, baseUrl, batchSize]],
  ["tokenbatch, the library", [small, join(here, "library.ts"), sample, baseUrl, batchSize]],
  ["tokenbatch, the library with a journal", [small, join(here, "library.ts"), sample, baseUrl, batchSize, journal]],
  [
    "tokenbatch, the command line",
    [
      small,
      cli,
      "create",
      "--quiet",
      "--concurrency",
      "64",
      "--batch-size",
      batchSize,
      "--batch-bytes",
      "64MiB",
      sample
    ]
  ]
]

interface Usage {
  readonly cpu: number
  readonly rss: number
  readonly wall: number
}

const usageFile = join(cache, "usage.json")
const measure = (name: string, args: ReadonlyArray<string>): Usage => {
  // Every run is the first of its file.
  for (const left of [journal, state]) rmSync(left, { recursive: true, force: true })
  const startedAt = performance.now()
  const { status, stderr } = spawnSync(process.execPath, ["--import", join(here, "usage.ts"), ...args], {
    encoding: "utf8",
    env: {
      ...process.env,
      BENCH_USAGE: usageFile,
      XDG_STATE_HOME: state,
      AUTHLETE_BASE_URL: baseUrl,
      AUTHLETE_SERVICE_ID: "bench",
      AUTHLETE_BEARER: "bench"
    }
  })
  if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`)
  return { ...JSON.parse(readFileSync(usageFile, "utf8")), wall: (performance.now() - startedAt) / 1000 }
}

const measured = new Map(candidates.map(([name]) => [name, [] as Array<Usage>]))
for (let round = 1; round <= rounds; round++) {
  for (const [name, args] of candidates) {
    measured.get(name)!.push(measure(name, args))
    process.stderr.write(`round ${round} of ${rounds}: ${name}\n`)
  }
}
server.kill()

const median = (numbers: ReadonlyArray<number>) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]!
const reference = measured.get(candidates[0]![0])!
const rows = candidates.map(([name]) => {
  const runs = measured.get(name)!
  // Pair by pair, so that a machine whose speed drifts does not matter.
  const ratios = runs.map(({ cpu }, i) => cpu / reference[i]!.cpu)
  return {
    name,
    cpu: median(runs.map(({ cpu }) => cpu)),
    ratio: median(ratios),
    spread: [Math.min(...ratios), Math.max(...ratios)],
    tokensPerSecond: records / median(runs.map(({ wall }) => wall)),
    rss: median(runs.map(({ rss }) => rss))
  }
})
const machine = `${cpus().length} x ${cpus()[0]?.model ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node.js ${process.versions.node}`

console.log(
  `${records.toLocaleString("en-US")} records of ${Math.round(statSync(sample).size / records)} bytes, batches of ${batchSize}, 64 in flight, ${rounds} rounds, medians`
)
console.log(`${machine}\n`)
console.log("| client | CPU s | of the floor with parsing (spread) | tokens/s | peak RSS MB |\n|---|---|---|---|---|")
for (const { cpu, name, ratio, rss, spread, tokensPerSecond } of rows) {
  const [least, most] = spread
  console.log(
    `| ${name} | ${cpu.toFixed(2)} | ${ratio.toFixed(2)} (${least!.toFixed(2)}-${most!.toFixed(2)}) | ${Math.round(tokensPerSecond).toLocaleString("en-US")} | ${Math.round(rss)} |`
  )
}
if (options.json !== undefined) {
  writeFileSync(
    options.json,
    `${JSON.stringify({ machine, records, batchSize: Number(batchSize), rounds, rows }, null, 2)}\n`
  )
}
