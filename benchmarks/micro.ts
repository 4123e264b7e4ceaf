/**
 * `pnpm bench:micro`: what the stages of the hot path cost a record, each alone in this one process, which is warm.
 *
 * They are measured through what the packages export. They do not add up to a run, which has a server, a journal and a start besides, but
 * they show which stage a change has moved.
 */
import { TokenCreateRequest } from "@tokenbatch/core"
import { Batches, TokenRecords } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { Bench } from "tinybench"
import { input } from "./data.ts"
import { machine } from "./measure.ts"
import { integer, table } from "./tables.ts"

const records = 20_000
const chunkBytes = 1024 * 1024

const bytes = readFileSync(await input("plain", records))
const chunks = Array.from({ length: Math.ceil(bytes.length / chunkBytes) }, (_, i) =>
  bytes.subarray(i * chunkBytes, (i + 1) * chunkBytes)
)
const lines = bytes.toString().trimEnd().split("\n")
const parsed = lines.map((line) => JSON.parse(line) as unknown)

const oneByOne = <A>(values: ReadonlyArray<A>) => Stream.fromIterable(values, { chunkSize: 1 })

// A page is valid until the next one is pulled: these are copies.
const pages = await Effect.runPromise(
  TokenRecords.fromBytes(oneByOne(chunks)).pipe(
    Stream.map((page) => ({
      ...page,
      bytes: page.bytes.slice(),
      starts: page.starts.slice(),
      ends: page.ends.slice(),
      lines: page.lines.slice(),
      keyed: page.keyed.slice()
    })),
    Stream.runCollect
  )
)

/** The lines of a batch as the digest of a portion takes them. */
const body = Buffer.from(lines.slice(0, Batches.defaultBatchSize).join("\n"))

const check = TokenCreateRequest.makeLineCheck()
const recognise = TokenCreateRequest.makeRecogniser()

/** A stage: how many records one call is for, and the call. What it gives is looked at, so that it cannot be left out. */
interface Stage {
  readonly name: string
  readonly records: number
  readonly run: () => number | Promise<number>
}

const stages: ReadonlyArray<Stage> = [
  {
    name: "newlines alone: Buffer.indexOf over all chunks",
    records,
    run: () => {
      let found = 0
      for (const chunk of chunks) for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) found++
      return found
    }
  },
  {
    name: "TokenCreateRequest.makeRecogniser over the bytes of a line",
    records,
    run: () => {
      let found = 0
      for (let at = 0; at < bytes.length; found++) at = (recognise(bytes, at)?.end ?? bytes.indexOf(10, at)) + 1
      return found
    }
  },
  {
    name: "TokenRecords: chunks of 1 MiB to pages of checked records",
    records,
    run: () =>
      Effect.runPromise(
        Stream.runFold(
          TokenRecords.fromBytes(oneByOne(chunks)),
          () => 0,
          (sum, page) => sum + page.count
        )
      )
  },
  {
    name: "JSON.parse of a line that is text already",
    records,
    run: () => lines.reduce((sum, line) => sum + (JSON.parse(line) === undefined ? 0 : 1), 0)
  },
  {
    name: "TokenCreateRequest.makeLineCheck of a line that is parsed already",
    records,
    run: () => lines.reduce((sum, line, i) => sum + (check(line, parsed[i]) === undefined ? 1 : 0), 0)
  },
  {
    name: "Batches: pages to batches of 1,000, with their digests",
    records,
    run: () =>
      Effect.runPromise(
        Stream.runFold(
          Batches.fromPages()(oneByOne(pages)),
          () => 0,
          (sum, { batch }) => {
            batch?.release()
            return sum + (batch?.records ?? 0)
          }
        )
      )
  },
  {
    name: "SHA-256 of a batch of 1,000 alone",
    records: Batches.defaultBatchSize,
    run: () => {
      createHash("sha256").update(body).digest("hex")
      return Batches.defaultBatchSize
    }
  }
]

const bench = new Bench({ time: 1500, warmupTime: 500, iterations: 16, warmupIterations: 4, throws: true })
for (const stage of stages) {
  bench.add(stage.name, async () => {
    const seen = await stage.run()
    if (seen !== stage.records) throw new Error(`${stage.name}: ${seen} of ${stage.records} records`)
  })
}
await bench.run()

const rows = stages.map((stage) => {
  const { result } = bench.getTask(stage.name)!
  if (result.state !== "completed") throw new Error(`${stage.name} has not been measured: ${result.state}`)
  const nanos = (millis: number) => (millis * 1e6) / stage.records
  return { ...stage, median: nanos(result.latency.p50), least: nanos(result.latency.min) }
})

const { cores, cpu, node } = machine()
console.log(
  `${cores} cores of ${cpu}, Node.js ${node}. Records of ${integer(bytes.length / records)} bytes; time on the clock, of one thread.\n`
)
console.log(
  table(rows, {
    stage: ({ name }) => name,
    "ns a record, median": ({ median }) => integer(median),
    least: ({ least }) => integer(least)
  })
)
