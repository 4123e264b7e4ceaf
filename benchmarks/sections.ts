/** What is measured, a section each: who runs against whom on which file, and the table that shows it. */
import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { input, type Kind } from "./data.ts"
import { type Candidate, interleave, journal, measure, scratch, spread, type Spread } from "./measure.ts"
import { integer, plural, shown, table, withSpread } from "./tables.ts"

/** What a section is given. */
export interface Settings {
  readonly baseUrl: string
  /** Of a file; in `scaling` the most. */
  readonly records: number
  readonly rounds: number
}

/** What a section gives: lines to print, and the same as data. */
export interface Section {
  /** What was run, in a line. */
  readonly what: string
  readonly table: string
  readonly rows: ReadonlyArray<object>
}

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const floor = script("floor.ts")
const library = script("library.ts")
const values = script("values.ts")

/** The command line, as it was built. */
export const program = { folder: join(scratch, "program"), file: join(scratch, "program", "tokenbatch.mjs") }

/** The program as its launcher starts it, with the flags of Node that its first line names. */
const launched = (args: ReadonlyArray<string>): Pick<Candidate, "args"> => {
  const firstLine = readFileSync(program.file, "utf8").split("\n", 1)[0]!
  const flags = /^#!.*\bnode\b(.*)$/.exec(firstLine)?.[1]
  if (flags === undefined) throw new Error(`${program.file} does not begin with how Node is to start it`)
  return { args: [...flags.split(" ").filter((flag) => flag !== ""), ...args] }
}

/** Arguments of a run of the command line, but for its files. */
const create = (batchSize: number, ...more: ReadonlyArray<string>): ReadonlyArray<string> => [
  program.file,
  "create",
  "--quiet",
  "--concurrency=64",
  `--batch-size=${batchSize}`,
  "--batch-bytes=64MiB",
  ...more
]

const batch = 1000

/** The floor with parsing, which most are held against. */
const parsing = (file: string, { baseUrl }: Settings, batchSize = batch): Candidate => ({
  name: "floor, with JSON.parse",
  args: [floor, file, baseUrl, String(batchSize), "parse"]
})

const commandLine = (file: string, batchSize = batch): Candidate => ({
  name: "tokenbatch, the command line",
  ...launched([...create(batchSize), file])
})

const costs = (title: string, records: number) => ({
  [title]: shown.name,
  "CPU s": shown.cpu,
  "of the floor with parsing (spread)": shown.ratio,
  "records/s": shown.perSecond(records),
  "peak RSS MiB": shown.rss
})

const main = async (settings: Settings): Promise<Section> => {
  const { baseUrl, records } = settings
  const file = await input("plain", records)
  const reference = parsing(file, settings)
  const against = { reference: reference.name }
  const size = String(batch)
  const rows = measure(
    [
      reference,
      { ...against, name: "floor, nothing parsed", args: [floor, file, baseUrl, size] },
      // As an application would start: with no flags of Node.
      { ...against, name: "tokenbatch, the library without a journal", args: [library, file, baseUrl, size] },
      { ...against, name: "tokenbatch, the library with a journal", args: [library, file, baseUrl, size, journal] },
      { ...against, ...commandLine(file) },
      {
        ...against,
        name: "tokenbatch, the command line without its launcher's flags",
        args: [...create(batch), file]
      }
    ],
    settings
  )
  return {
    what: `${integer(records)} records of ${integer(statSync(file).size / records)} bytes, batches of ${integer(batch)}, 64 in flight`,
    table: table(rows, costs("client", records)),
    rows
  }
}

const batches = async (settings: Settings): Promise<Section> => {
  const file = await input("plain", settings.records)
  const candidates = [100, 1000, 10_000].flatMap((size) => {
    const named = (candidate: Candidate) => ({ ...candidate, name: `${candidate.name}, batches of ${integer(size)}` })
    const reference = named(parsing(file, settings, size))
    return [reference, { ...named(commandLine(file, size)), reference: reference.name }]
  })
  const rows = measure(candidates, settings)
  return {
    what: `${integer(settings.records)} records in batches of several sizes, 64 in flight, each against the floor with batches of that size`,
    table: table(rows, costs("client", settings.records)),
    rows
  }
}

/** How long the server of `held` holds a batch, in milliseconds. */
const holdMs = 1000

const held = async (settings: Settings): Promise<Section> => {
  // Every slot is used at least twice, so that bodies are used again.
  const records = Math.max(Math.min(settings.records, 256_000), 128_000)
  const file = await input("plain", records)
  const reference = parsing(file, settings)
  // Memory differs less from round to round than time does.
  const rounds = Math.ceil(settings.rounds / 2)
  const flagless = { name: "tokenbatch, the command line without its launcher's flags", args: [...create(batch), file] }
  const rows = measure([reference, commandLine(file), flagless], { ...settings, rounds })
  return {
    what: `${integer(records)} records, batches of ${integer(batch)}, 64 in flight, each of them held for ${holdMs / 1000} s, ${plural(rounds, "round")}: what memory that takes`,
    table: table(rows, { client: shown.name, "peak RSS MiB": shown.rss, "CPU s": shown.cpu }),
    rows
  }
}

const shapes = async (settings: Settings): Promise<Section> => {
  const kinds: ReadonlyArray<readonly [kind: Kind, what: string, isRejected: boolean]> = [
    ["nulls", "every absent field as null", false],
    ["bigIds", "every clientId beyond 2^53", false],
    ["shuffled", "fields in another order on each line, spaces between", false],
    ["claims", "JSON in a string (jwtAtClaims) on every line", false],
    ["seldom", "written so that it has to be parsed (1.0), every line", false],
    ["misspelt", "every line rejected for a misspelt field", true],
    ["cutShort", "every line rejected for malformed JSON", true],
    ["wrongType", "every line rejected for a wrong type", true]
  ]
  const candidates: Array<Candidate> = []
  for (const [kind, what, isRejected] of kinds) {
    const file = await input(kind, settings.records)
    const name = `floor: ${what}`
    candidates.push(
      { name, args: [floor, file, settings.baseUrl, String(batch), isRejected ? "try" : "parse"] },
      {
        name: `tokenbatch: ${what}`,
        ...launched([...create(batch, "--keep-going"), file]),
        reference: name,
        exitCode: isRejected ? 1 : 0
      }
    )
  }
  const rows = measure(candidates, settings)
  return {
    what:
      `${integer(settings.records)} records, or lines that are rejected, each against the floor on the same file; ` +
      "the floor sends what is rejected here",
    table: table(rows, {
      "client, and its file": shown.name,
      "CPU s": shown.cpu,
      "of the floor with parsing (spread)": shown.ratio,
      "peak RSS MiB": shown.rss
    }),
    rows
  }
}

const gzip = async (settings: Settings): Promise<Section> => {
  const { baseUrl, records } = settings
  const file = await input("gzip", records)
  const name = "gzip -dc FILE.gz | tokenbatch create --journal -"
  const rows = measure(
    [
      // With the journal that a run of a file has anyway.
      { name, ...launched([...create(batch, "--journal"), "-"]), gunzip: file },
      { name: "tokenbatch create FILE.gz", ...launched([...create(batch), file]), reference: name },
      {
        name: "gzip -dc FILE.gz | floor, with JSON.parse",
        args: [floor, "-", baseUrl, String(batch), "parse"],
        gunzip: file,
        reference: name
      }
    ],
    settings
  )
  return {
    what: `${integer(records)} records, compressed to ${integer(statSync(file).size / records)} bytes each; the CPU time of a pipe is that of both its ends, its memory that of Node`,
    table: table(rows, {
      command: shown.name,
      "CPU s": shown.cpu,
      "of the first (spread)": shown.ratio,
      "records/s": shown.perSecond(records),
      "peak RSS MiB": shown.rss
    }),
    rows
  }
}

const typed = async (settings: Settings): Promise<Section> => {
  const { baseUrl, records } = settings
  const file = await input("plain", records)
  const size = String(batch)
  const valuesOf = (count: number, ...more: ReadonlyArray<string>) => [values, String(count), baseUrl, size, ...more]
  const usages = interleave(
    [
      { name: "bytes", args: [library, file, baseUrl, size] },
      { name: "start", args: valuesOf(0, "baseline") },
      { name: "values", args: valuesOf(records) },
      { name: "made", args: valuesOf(records, "baseline") }
    ],
    settings
  )
  const cpu = (name: string, less: string) => usages.get(name)!.map(({ cpu }, i) => cpu - usages.get(less)![i]!.cpu)
  const bytesCpu = cpu("bytes", "start")
  const row = (name: string, run: string, seconds: ReadonlyArray<number>) => ({
    name,
    micros: spread(seconds.map((s) => (s / records) * 1e6)),
    ratio: spread(seconds.map((s, i) => s / bytesCpu[i]!)),
    rss: spread(usages.get(run)!.map(({ rss }) => rss))
  })
  const rows = [
    row("bytes of a file (TokenBatchRun.fromBytes)", "bytes", bytesCpu),
    row("typed values (TokenBatchRun.fromRequests)", "values", cpu("values", "made"))
  ]
  return {
    what:
      `${integer(records)} records, the library without a journal. Subtracted: from bytes the start of the process, ` +
      "from values a process that only makes them and drops them",
    table: table(rows, {
      "records as": ({ name }) => name,
      "CPU µs a record (spread)": ({ micros }) => withSpread(micros),
      "of bytes (spread)": ({ ratio }) => withSpread(ratio),
      "peak RSS MiB": ({ rss }) => integer(rss.median)
    }),
    rows
  }
}

const startup = async (settings: Settings): Promise<Section> => {
  const rounds = 3 * settings.rounds
  const line = await input("plain", 1)
  const results = measure(
    [
      { name: "node -e 0", args: ["-e", "0"] },
      { name: "tokenbatch --help", ...launched([program.file, "--help"]) },
      { name: "tokenbatch validate, of one line", ...launched([program.file, "validate", "--quiet", line]) }
    ],
    { ...settings, rounds }
  )
  const millis = ({ least, median, most }: Spread) =>
    `${integer(median * 1000)} (${integer(least * 1000)}-${integer(most * 1000)})`
  const bare = results[0]!.wall.median
  return {
    what: `from starting a process to its end, the caches of the disk and of Node filled, ${plural(rounds, "round")}`,
    table: table(results, {
      command: shown.name,
      "ms (spread)": ({ wall }) => millis(wall),
      "more than node -e 0": ({ wall }) => integer((wall.median - bare) * 1000),
      "CPU s": shown.cpu,
      "peak RSS MiB": shown.rss
    }),
    rows: results
  }
}

/** The sizes of `scaling`. */
const scales = [10_000, 100_000, 1_000_000, 10_000_000]

const scaling = async (settings: Settings): Promise<Section> => {
  const candidates: Array<Candidate> = []
  for (const records of [1, ...scales.filter((n) => n <= settings.records)]) {
    candidates.push({ ...commandLine(await input("plain", records)), name: integer(records) })
  }
  const [one, ...results] = measure(candidates, settings)
  const rows = results.map((result) => {
    const records = Number(result.name.replaceAll(",", ""))
    return { ...result, records, micros: ((result.cpu.median - one!.cpu.median) / records) * 1e6 }
  })
  return {
    what:
      `the command line on files of several lengths, batches of ${integer(batch)}, 64 in flight; ` +
      `a run of one record takes ${shown.cpu(one!)} CPU s and ${shown.rss(one!)} MiB`,
    table: table(rows, {
      records: shown.name,
      "CPU s": shown.cpu,
      "µs a record, less the start": ({ micros }) => micros.toFixed(2),
      "records/s": (row) => shown.perSecond(row.records)(row),
      "peak RSS MiB": shown.rss
    }),
    rows: [one!, ...rows]
  }
}

/** Every section by its name, with what its server does. */
export const sections: Readonly<
  Record<string, { readonly run: (settings: Settings) => Promise<Section>; readonly holdMs?: number }>
> = {
  main: { run: main },
  batches: { run: batches },
  held: { run: held, holdMs },
  shapes: { run: shapes },
  gzip: { run: gzip },
  values: { run: typed },
  startup: { run: startup },
  scaling: { run: scaling }
}

/** Runs every program once on one record, so that Node has compiled it. */
export const warmUp = async (settings: Settings): Promise<void> => {
  const file = await input("plain", 1)
  const { baseUrl } = settings
  measure(
    [
      parsing(file, settings),
      { name: "library", args: [library, file, baseUrl, "1", journal] },
      { name: "values", args: [values, "1", baseUrl, "1"] },
      commandLine(file)
    ],
    { ...settings, rounds: 1 }
  )
}
