/**
 * Holds what a run says against what the service has, record by record. Pure: what was written comes in, violations of what is promised
 * come out, as sentences.
 *
 * What the run says is read three times: out of the results and the report, out of the journal, and out of the journal's last event.
 * All must say the same.
 */
import { hash } from "node:crypto"
import { isDeepStrictEqual } from "node:util"
import { crc32 } from "node:zlib"
import type { FaultPlan } from "@tokenbatch/sandbox"
import { hashOf, type Ledger } from "./ledger.ts"
import { keyOf, type Line } from "./input.ts"

export const ends = ["created", "existing", "failed", "rejected", "unresolved", "notSubmitted"] as const
export type End = (typeof ends)[number]

/** Everything that a finished run left, and what it is held against. */
export interface Case {
  readonly lines: ReadonlyArray<Line>
  readonly ledger: Ledger
  readonly journal: string
  readonly results: string
  readonly rejects: string
  readonly report: string
  /** How the last leg ended. */
  readonly exitCode: number | null
  /** Standard output of the last leg, if it was to write events. */
  readonly events?: string | undefined
  readonly faults: FaultPlan.FaultPlan
  /** Whether dry runs notice what exists, so that nothing may be left, provided that something was created to try it with. */
  readonly resolvable: boolean
  /** Whether records without a value were sent again at the user's word. */
  readonly resubmitted: boolean
}

export interface Verdict {
  readonly violations: ReadonlyArray<string>
  readonly counts: Readonly<Record<End, number>>
  /** Records that could be found out about, and those of them that are unresolved. */
  readonly resolvable: { readonly records: number; readonly unresolved: number }
}

interface Range {
  readonly file?: string
  readonly from: number
  readonly to: number
}

const keysOf = ({ file, from, to }: Range) =>
  Array.from({ length: to - from + 1 }, (_, i) => keyOf({ file, line: from + i }))

interface Told {
  readonly ends: ReadonlyMap<string, End>
  readonly reasons: ReadonlyMap<string, string>
}

/** Collects ends, and complains of a line that has two. */
const collect = (where: string, violations: Array<string>) => {
  const found = new Map<string, End>()
  const reasons = new Map<string, string>()
  return {
    found,
    reasons,
    put: (key: string, end: End, reason: string) => {
      const other = found.get(key)
      if (other !== undefined) violations.push(`${where}: line ${key} ends twice, ${other} and ${end}`)
      found.set(key, end)
      reasons.set(key, reason)
    }
  }
}

const jsonLines = <A>(text: string, where: string, violations: Array<string>): Array<A> =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as A]
      } catch {
        violations.push(`${where}: a line is not JSON`)
        return []
      }
    })

type Event = {
  readonly _tag: string
  readonly batch?: number
  readonly resolves?: number
  readonly records?: number
  readonly end?: End
  readonly code?: string
  readonly message?: string
  readonly lines?: ReadonlyArray<Range>
  readonly rejections?: ReadonlyArray<{ readonly file?: string; readonly line: number; readonly reason: string }>
  readonly report?: Report
}

interface Report {
  readonly complete: boolean
  readonly records: Readonly<Record<End | "read", number>>
  readonly batches: Readonly<Record<"submitted" | "succeeded" | "failed" | "unresolved", number>>
  readonly withoutAccessToken: number
  readonly possiblyTwice: number
  readonly legs: number
  readonly stopped?: { readonly reason: string }
}

/** The events of a journal, each with its checksum and number checked. */
const readJournal = (text: string, violations: Array<string>): Array<Event> => {
  const lines = text.split("\n")
  if (lines.pop() !== "") violations.push("journal: its last line has no end")
  return lines.flatMap((line, i) => {
    const match = /^([0-9a-f]{8}) (\d+) (\{.*\})$/.exec(line)
    const isSound = match?.[1] === crc32(line.slice(9)).toString(16).padStart(8, "0") && Number(match[2]) === i + 1
    if (!isSound) violations.push(`journal: line ${i + 1} is damaged`)
    return match === null ? [] : [JSON.parse(match[3]!) as Event]
  })
}

/** The ends that the journal tells of; what it leaves open is in no end of it. */
const fromJournal = (
  events: ReadonlyArray<Event>,
  violations: Array<string>
): Told & { readonly read: ReadonlySet<string> } => {
  const { found, put, reasons } = collect("journal", violations)
  const intended = new Map<number, ReadonlyArray<Range>>()
  const read = new Set<string>()
  for (const { _tag, batch = 0, code = "", end, lines = [], message = "", rejections = [], resolves } of events) {
    const reason = `${code} ${message}`
    for (const { reason, ...place } of rejections) {
      put(keyOf(place), "rejected", reason)
      read.add(keyOf(place))
    }
    if (_tag === "BatchIntended") {
      if (intended.has(batch)) violations.push(`journal: batch ${batch} is intended twice`)
      intended.set(batch, lines)
      if (resolves === undefined) for (const key of lines.flatMap(keysOf)) read.add(key)
    }
    const own = intended.get(batch) ?? []
    if (_tag === "BatchSucceeded") for (const key of own.flatMap(keysOf)) put(key, "created", reason)
    if (_tag === "BatchRefused") for (const key of lines.flatMap(keysOf)) put(key, "failed", reason)
    if (_tag === "RecordsSettled") for (const key of lines.flatMap(keysOf)) put(key, end!, reason)
  }
  return { ends: found, reasons, read }
}

/** The ends that the results tell of; every other line that is no blank one is created. */
const fromResults = (results: string, lines: ReadonlyArray<Line>, violations: Array<string>): Told => {
  const { found, put, reasons } = collect("results", violations)
  type Result = Range & { readonly end: End; readonly code: string; readonly message: string }
  for (const { code, end, message, ...range } of jsonLines<Result>(results, "results", violations)) {
    for (const key of keysOf(range)) put(key, end, `${code} ${message}`)
  }
  for (const { place } of lines) if (!found.has(keyOf(place))) put(keyOf(place), "created", "")
  return { ends: found, reasons }
}

const exitCodeOf = ({ batches, complete, records, stopped }: Report): number => {
  if (stopped?.reason === "CredentialsRefused") return 4
  if (stopped?.reason === "WrongAddress" && batches.submitted === 0) return 2
  if (records.unresolved > 0 || records.notSubmitted > 0 || !complete || stopped?.reason === "JournalFailed") return 3
  return records.failed > 0 || records.rejected > 0 ? 1 : 0
}

/** Whether the plan has the service refuse this very record. */
const isRefused = ({ rules, seed = 1 }: FaultPlan.FaultPlan, { kind, subject }: Line): boolean =>
  kind === "bad" ||
  rules.some(
    (rule) =>
      (rule.fault === "badRequest" &&
        hash("sha256", `${seed} ${subject}`, "buffer").readUInt32LE() / 2 ** 32 < rule.share) ||
      // Whatever it was that was refused, it was refused with 400.
      (rule.fault === "echo" && rule.status === 400) ||
      (rule.fault === "failAtToken" && rule.dryRuns === true)
  )

export const judge = (given: Case): Verdict => {
  const { exitCode, ledger, lines } = given
  const violations: Array<string> = [...ledger.disagreements]
  if (ledger.open > 0) violations.push(`the sandbox is still at work on ${ledger.open} batches`)

  const events = readJournal(given.journal, violations)
  const journal = fromJournal(events, violations)
  const results = fromResults(given.results, lines, violations)
  const report = JSON.parse(given.report) as Report

  // ---- what it says agrees with itself
  const last = events.at(-1)
  if (last?._tag !== "RunFinished") violations.push(`the journal ends with ${last?._tag}`)
  else if (!isDeepStrictEqual(last.report, report)) violations.push("the report is not the journal's last event")
  const counts = Object.fromEntries(ends.map((end) => [end, 0])) as Record<End, number>
  for (const end of results.ends.values()) counts[end]++
  for (const end of ends) {
    if (report.records[end] !== counts[end]) {
      violations.push(`the report counts ${report.records[end]} ${end}, the results ${counts[end]}`)
    }
  }
  const sum = ends.reduce((sum, end) => sum + report.records[end], 0)
  if (sum !== report.records.read)
    violations.push(`the ends add up to ${sum}, and ${report.records.read} lines were read`)
  if (!report.complete) violations.push("the report is not complete")
  if (report.records.read !== lines.length)
    violations.push(`${report.records.read} lines were read, and there are ${lines.length}`)
  const { failed, submitted, succeeded, unresolved } = report.batches
  if (succeeded + failed + unresolved !== submitted) violations.push("the ends of batches do not add up")
  if (exitCode !== exitCodeOf(report))
    violations.push(`the exit code is ${exitCode}, and the report says ${exitCodeOf(report)}`)
  const keyless = lines.filter(({ kind }) => kind === "keyless").length
  if (report.withoutAccessToken !== keyless) {
    violations.push(
      `the report tells of ${report.withoutAccessToken} records without a value, and there are ${keyless}`
    )
  }
  if (given.events !== undefined) {
    const written = jsonLines<Event>(given.events, "standard output", violations)
    if (!isDeepStrictEqual(written, events))
      violations.push("the events on standard output are not those of the journal")
  }
  type Reject = { readonly file?: string; readonly line: number }
  const rejected = jsonLines<Reject>(given.rejects, "rejects", violations).map(keyOf)
  const known = new Set(lines.map(({ place }) => keyOf(place)))
  for (const key of new Set([...results.ends.keys(), ...journal.read, ...rejected])) {
    if (!known.has(key)) violations.push(`there is no line ${key}, and it has an end`)
  }
  const rejectedOnce = new Set(rejected)
  if (rejectedOnce.size !== rejected.length) violations.push("rejects: a line stands in it twice")

  // ---- and with what is there
  const marks = new Map<string, number>()
  const hashes = new Map<string, number>()
  const refreshes = new Set<string>()
  for (const { mark = "", refreshHash, tokenHash } of ledger.tokens) {
    marks.set(mark, (marks.get(mark) ?? 0) + 1)
    hashes.set(tokenHash, (hashes.get(tokenHash) ?? 0) + 1)
    if (refreshHash !== undefined) refreshes.add(refreshHash)
  }
  for (const [tokenHash, times] of hashes) if (times > 1) violations.push(`the ledger has ${tokenHash} ${times} times`)

  const hasSpecimen = lines.some(
    ({ accessToken, place }) => accessToken !== undefined && results.ends.get(keyOf(place)) === "created"
  )
  let extra = 0
  let resolvableRecords = 0
  let resolvableLeft = 0
  for (const line of lines) {
    const key = keyOf(line.place)
    const end = results.ends.get(key)!
    const inJournal = journal.ends.get(key)
    const what = `line ${key} (${line.kind}) is called ${end} [${results.reasons.get(key)}]`
    const wrong = (why: string) => void violations.push(`${what}, ${why}`)
    const isFinal = end !== "unresolved" && end !== "notSubmitted"
    if (isFinal ? inJournal !== end : inJournal !== undefined) wrong(`and the journal says ${inJournal ?? "nothing"}`)
    if (!journal.read.has(key)) wrong("and the journal never tells of it")
    if ((end === "rejected") !== rejectedOnce.has(key)) wrong("and the rejects file says otherwise")
    if ((end === "rejected") !== (line.kind === "malformed")) wrong("which is not what it is")

    const made = marks.get(line.mark) ?? 0
    const isThere = line.accessToken !== undefined && hashes.has(hashOf(line.accessToken))
    if (line.accessToken !== undefined && made > 1) wrong(`and ${made} tokens were made for it`)
    if (line.accessToken === undefined && made > 1) {
      extra += made - 1
      if (!given.resubmitted) wrong(`and ${made} tokens were made for it`)
    }
    if (end === "created" && made === 0) wrong("and no token was made for it")
    if (end === "existing" && !isThere) wrong("and no token has its value")
    if ((end === "failed" || end === "rejected" || end === "notSubmitted") && made > 0)
      wrong("and a token was made for it")
    if (end === "notSubmitted") wrong("though nothing stood in its way at last")
    if (line.kind === "bad" && made > 0) wrong("and the service took its scope")
    if (end === "failed" && line.kind !== "malformed") {
      const hasTaken = line.refreshToken !== undefined && refreshes.has(hashOf(line.refreshToken))
      if (!isRefused(given.faults, line) && !hasTaken) wrong("and there is no reason for it")
    }
    if (line.kind !== "malformed" && line.accessToken !== undefined && given.resolvable && hasSpecimen) {
      resolvableRecords++
      if (end === "unresolved") {
        resolvableLeft++
        wrong("and could have been found out")
      }
    }
  }
  if (extra > report.possiblyTwice)
    violations.push(`${extra} tokens too many, and the report says possibly ${report.possiblyTwice}`)
  return { violations, counts, resolvable: { records: resolvableRecords, unresolved: resolvableLeft } }
}
