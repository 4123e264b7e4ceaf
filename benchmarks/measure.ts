/**
 * Measures whole processes, interleaved: A B A B ... and never A A B B, so that a machine whose speed drifts does not decide.
 *
 * What a process has used it writes down itself when it ends (`usage.ts`), its start included. Node keeps what it compiled and the types
 * it took out between the processes (`NODE_COMPILE_CACHE`), so that a start costs what it costs an installed program; whoever
 * measures fills that first.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { cache } from "./data.ts"
import { median } from "./median.ts"

mkdirSync(cache, { recursive: true })
/** What this benchmark needs for itself, so that two at once do not meet. Gone when it ends. */
export const scratch = mkdtempSync(join(cache, "bench-"))
process.on("exit", () => rmSync(scratch, { recursive: true, force: true }))

/** Where a measured process may leave a journal and a run's folder: gone before each, so that every run is the first of its file. */
export const journal = join(scratch, "journal")
const state = join(scratch, "state")

const usageFile = join(scratch, "usage.json")
const usageModule = fileURLToPath(new URL("usage.ts", import.meta.url))

/** A process to be measured. */
export interface Candidate {
  readonly name: string
  /** Arguments of Node. */
  readonly args: ReadonlyArray<string>
  /** A file that `gzip -dc` writes to its standard input. The CPU time is then that of both, the memory still Node's. */
  readonly gunzip?: string
  /** The candidate whose CPU time is 1. */
  readonly reference?: string
  /** How it has to end. Default 0. */
  readonly exitCode?: number
}

/** CPU seconds, user and system; MiB at the peak; seconds. */
export interface Usage {
  readonly cpu: number
  readonly rss: number
  readonly wall: number
}

/** The middle of some numbers, with the least and the most. */
export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** What came out for a candidate. */
export interface Result {
  readonly name: string
  readonly cpu: Spread
  readonly rss: Spread
  readonly wall: Spread
  /** CPU time as a multiple of the reference's, taken round by round. */
  readonly ratio?: Spread
}

// The shell's `times` says what its children have used, all of them.
const pipe = `set -o pipefail; file=$1; shift; gzip -dc "$file" | "$@"; status=$?; times >&3; exit $status`

/** Seconds out of the second line of `times`: `0m1.234s 0m0.056s`. */
const childrenSeconds = (times: string): number => {
  const [user, system] = [
    ...times
      .trim()
      .split("\n")[1]!
      .matchAll(/(\d+)m([\d.]+)s/g)
  ].map(([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds))
  return user! + system!
}

const run = ({ args, exitCode = 0, gunzip, name }: Candidate, baseUrl: string): Usage => {
  for (const left of [journal, state, usageFile]) rmSync(left, { recursive: true, force: true })
  const node = [process.execPath, "--import", usageModule, ...args]
  const [command, ...rest] = gunzip === undefined ? node : ["bash", "-c", pipe, "bash", gunzip, ...node]
  const startedAt = performance.now()
  const { error, output, signal, status } = spawnSync(command!, rest, {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      NODE_COMPILE_CACHE: join(cache, "compiled"),
      BENCH_USAGE: usageFile,
      XDG_STATE_HOME: state,
      AUTHLETE_BASE_URL: baseUrl,
      AUTHLETE_SERVICE_ID: "bench",
      AUTHLETE_BEARER: "bench"
    }
  })
  const wall = (performance.now() - startedAt) / 1000
  if (status !== exitCode) throw new Error(`${name} ended with ${status ?? signal ?? error}: ${output?.[2]}`)
  const usage: Usage = { ...JSON.parse(readFileSync(usageFile, "utf8")), wall }
  return gunzip === undefined ? usage : { ...usage, cpu: childrenSeconds(output[3]!) }
}

/** What goes on, in a line that is drawn over: on a terminal, and nowhere else. */
const draw = (text: string): void => {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[2K${text.slice(0, (process.stderr.columns || 80) - 1)}`)
}

/** Runs all candidates in turn, round after round. The usages of a candidate are in the order of the rounds. */
export const interleave = (
  candidates: ReadonlyArray<Candidate>,
  { baseUrl, rounds }: { readonly baseUrl: string; readonly rounds: number }
): ReadonlyMap<string, ReadonlyArray<Usage>> => {
  const usages = new Map(candidates.map(({ name }) => [name, [] as Array<Usage>]))
  for (let round = 1; round <= rounds; round++) {
    for (const candidate of candidates) {
      draw(`round ${round} of ${rounds}: ${candidate.name}`)
      usages.get(candidate.name)!.push(run(candidate, baseUrl))
    }
  }
  draw("")
  return usages
}

export const spread = (numbers: ReadonlyArray<number>): Spread => ({
  median: median(numbers),
  least: Math.min(...numbers),
  most: Math.max(...numbers)
})

/** What came out for each candidate. */
export const measure = (
  candidates: ReadonlyArray<Candidate>,
  options: Parameters<typeof interleave>[1]
): ReadonlyArray<Result> => {
  const usages = interleave(candidates, options)
  return candidates.map(({ name, reference }) => {
    const runs = usages.get(name)!
    const others = reference === undefined ? undefined : usages.get(reference)!
    return {
      name,
      cpu: spread(runs.map(({ cpu }) => cpu)),
      rss: spread(runs.map(({ rss }) => rss)),
      wall: spread(runs.map(({ wall }) => wall)),
      ...(others === undefined ? undefined : { ratio: spread(runs.map(({ cpu }, i) => cpu / others[i]!.cpu)) })
    }
  })
}

/** What all this ran on. */
export const machine = () => ({
  cores: cpus().length,
  cpu: cpus()[0]?.model ?? "unknown",
  memoryGiB: Math.round(totalmem() / 2 ** 30),
  node: process.versions.node,
  platform: `${process.platform} ${process.arch}`
})
