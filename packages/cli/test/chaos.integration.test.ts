/** The fault campaign in short: the program against a rough sandbox, killed and resumed; and that its oracle sees what is wrong. */
import { RunJournal, RunReport, RunState, type RunEvent } from "@tokenbatch/stream"
import { rmSync } from "node:fs"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import * as Bundle from "../../../chaos/bundle.ts"
import * as Campaign from "../../../chaos/campaign.ts"
import type { Line } from "../../../chaos/input.ts"
import { hashOf, type Token } from "../../../chaos/ledger.ts"
import * as Oracle from "../../../chaos/oracle.ts"
import * as Secrets from "../../../chaos/secrets.ts"
import * as Short from "../../../chaos/short.ts"
import * as Summary from "../../../chaos/summary.ts"
import { folder } from "./fixtures.ts"

const temporary = folder()

describe("a fault campaign", () => {
  let program = ""
  beforeAll(async () => {
    program = await Bundle.build(temporary.file("program"))
  })
  // What went wrong is left to be looked at.
  let wrong = false
  afterAll(() => rmSync(wrong ? temporary.file("program") : temporary.path, { recursive: true, force: true }))

  it.each([...Short.scenarios])("%s", { timeout: 120_000 }, async (name, scenario) => {
    const place = temporary.file(`seed-${scenario.seed}`)
    wrong = true
    const outcome = await Campaign.run(scenario, place, program)
    const { counts, kills, violations } = outcome
    if (violations.length > 0) assert.fail(Summary.mismatch(outcome, place, Summary.caseCommand(name)))
    wrong = false
    assert.isAtLeast(kills.SIGKILL, 1)
    assert.isAtLeast(counts.created, 10)
    assert.isAtLeast(counts.existing, 1)
    assert.isAtLeast(counts.failed, 1)
    assert.isAtLeast(counts.rejected, 1)
  })
})

// -----------------------------------------------------------------------------
// The oracle
// -----------------------------------------------------------------------------

const good = (line: number, more: Partial<Line> = {}): Line => ({
  place: { line },
  kind: "good",
  mark: `L${line}`,
  subject: `user-${line}`,
  accessToken: `access-${line}`,
  ...more
})
const tokenOf = ({ accessToken, mark, refreshToken }: Line, requestId = "first"): Token => ({
  tokenHash: hashOf(accessToken ?? `of-the-service-${mark}`),
  requestId,
  refreshHash: refreshToken === undefined ? undefined : hashOf(refreshToken),
  mark
})
const journalOf = (events: ReadonlyArray<RunEvent.RunEvent>) =>
  events.map((event, i) => RunJournal.encodeLine(i + 1, event)).join("")
const range = (from: number, to = from) => [{ from, to }]

/** A run that is as it should be: a line of each end. */
const lines: ReadonlyArray<Line> = [
  good(1),
  good(2),
  good(3),
  good(4, { kind: "bad" }),
  { place: { line: 5 }, kind: "malformed", mark: "L5", subject: "user-5" },
  { place: { line: 6 }, kind: "keyless", mark: "L6", subject: "user-6" }
]
const told: ReadonlyArray<RunEvent.RunEvent> = [
  {
    _tag: "RunStarted",
    format: 1,
    runId: "run",
    startedAt: 0,
    concurrency: 1,
    address: { baseUrl: "http://127.0.0.1:1", serviceId: "1" },
    dryRun: false,
    batchSize: 2,
    batchBytes: 1000,
    maxLineBytes: 1000,
    allowUnknownFields: false,
    requireAccessToken: false,
    inputs: [{ identity: "input" }]
  },
  { _tag: "BatchIntended", batch: 1, records: 2, withoutAccessToken: 0, lines: range(1, 2) },
  { _tag: "BatchSucceeded", batch: 1, requestId: "first", records: 2, polls: 1 },
  {
    _tag: "BatchIntended",
    batch: 2,
    records: 3,
    withoutAccessToken: 1,
    lines: [...range(3, 4), ...range(6)],
    rejections: [{ line: 5, offset: 0, reason: "malformed JSON" }]
  },
  {
    _tag: "BatchFailed",
    batch: 2,
    requestId: "second",
    records: 3,
    lines: [...range(3, 4), ...range(6)],
    code: "X",
    message: "",
    polls: 1
  },
  { _tag: "RecordsSettled", batch: 2, end: "existing", records: 1, lines: range(3), code: "X", message: "" },
  { _tag: "RecordsSettled", batch: 2, end: "failed", records: 1, lines: range(4), code: "Y", message: "" },
  { _tag: "InputEnded", complete: true, bytes: 1000 }
]
const report = RunReport.fromState(told.reduce(RunState.step, RunState.initial), 1000)
const events: ReadonlyArray<RunEvent.RunEvent> = [...told, { _tag: "RunFinished", report }]
const resultLines = [
  { from: 5, to: 5, end: "rejected", code: "REJECTED", message: "malformed JSON" },
  { from: 3, to: 3, end: "existing", code: "X", message: "" },
  { from: 4, to: 4, end: "failed", code: "Y", message: "" },
  { from: 6, to: 6, end: "unresolved", code: "X", message: "" }
]
const textOf = (list: ReadonlyArray<object>) => list.map((line) => `${JSON.stringify(line)}\n`).join("")
const ledgerOf = (tokens: ReadonlyArray<Token>) => ({ tokens, open: 0, batchFaults: {}, disagreements: [] })
const tokens = [tokenOf(lines[0]!), tokenOf(lines[1]!), tokenOf(lines[2]!, "second"), tokenOf(lines[5]!, "second")]

const right: Oracle.Case = {
  lines,
  ledger: ledgerOf(tokens),
  journal: journalOf(events),
  results: textOf(resultLines),
  rejects: textOf([{ line: 5, offset: 0, reason: "malformed JSON" }]),
  report: JSON.stringify(report),
  exitCode: 3,
  faults: { rules: [] },
  resolvable: true,
  resubmitted: false
}

/** Other words for a line, in the results and in the journal alike. */
const called = (line: number, end: "existing" | "failed"): Partial<Oracle.Case> => {
  const others = told.map((event) =>
    event._tag === "RecordsSettled" && event.lines[0]!.from === line ? { ...event, end } : event
  )
  const report = RunReport.fromState(others.reduce(RunState.step, RunState.initial), 1000)
  return {
    journal: journalOf([...others, { _tag: "RunFinished", report }]),
    report: JSON.stringify(report),
    results: textOf(resultLines.map((result) => (result.from === line ? { ...result, end } : result)))
  }
}

describe("the oracle", () => {
  it("finds nothing wrong in what is right", () => {
    const { counts, resolvable, violations } = Oracle.judge(right)
    assert.deepStrictEqual(violations, [])
    assert.deepStrictEqual(counts, { created: 2, existing: 1, failed: 1, rejected: 1, unresolved: 1, notSubmitted: 0 })
    assert.deepStrictEqual(resolvable, { records: 4, unresolved: 0 })
  })

  it.each<[what: string, change: Partial<Oracle.Case>, violation: RegExp]>([
    [
      "a token that is not there",
      { ledger: ledgerOf(tokens.slice(1)) },
      /line :1 .*created.* no token was made for it/
    ],
    [
      "a token that somebody else made",
      { ledger: ledgerOf([{ ...tokens[0]!, mark: "before" }, ...tokens.slice(1)]) },
      /line :1 .*created.* no token was made for it/
    ],
    ["a token made twice", { ledger: ledgerOf([...tokens, tokens[0]!]) }, /2 tokens were made for it/],
    [
      "a token made twice for a record without a value",
      { ledger: ledgerOf([...tokens, { ...tokens[3]!, tokenHash: "another" }]) },
      /line :6 .*2 tokens were made for it/
    ],
    [
      "more tokens than the report admits",
      { ledger: ledgerOf([...tokens, { ...tokens[3]!, tokenHash: "another" }]), resubmitted: true },
      /1 tokens too many/
    ],
    [
      "one that exists and does not",
      { ledger: ledgerOf(tokens.filter(({ mark }) => mark !== "L3")) },
      /line :3 .*existing.* no token has its value/
    ],
    ["one that failed and does not", called(3, "failed"), /line :3 .*failed.* a token was made for it/],
    [
      "one that failed for no reason",
      { ...called(3, "failed"), ledger: ledgerOf(tokens.filter(({ mark }) => mark !== "L3")) },
      /line :3 .*failed.* there is no reason for it/
    ],
    ["one that failed and is there", { ledger: ledgerOf([...tokens, tokenOf(lines[3]!)]) }, /line :4 .*failed.* made/],
    ["a line without an end", { results: textOf(resultLines.slice(1)) }, /line :5 .*created.* not what it is/],
    ["a line with two ends", { results: textOf([...resultLines, resultLines[1]!]) }, /results: line :3 ends twice/],
    [
      "a line that is none",
      { results: textOf([...resultLines, { ...resultLines[1]!, from: 7, to: 7 }]) },
      /there is no line :7/
    ],
    [
      "results that say something else than the journal",
      { results: textOf(resultLines.map((result) => (result.from === 4 ? { ...result, end: "existing" } : result))) },
      /line :4 .*the journal says failed/
    ],
    [
      "sums that do not add up",
      { report: JSON.stringify({ ...report, records: { ...report.records, created: 3 } }) },
      /the ends add up to 7, and 6 lines were read/
    ],
    ["an exit code for something else", { exitCode: 0 }, /the exit code is 0, and the report says 3/],
    ["a journal that is damaged", { journal: right.journal.replace("first", "other") }, /journal: line 3 is damaged/],
    ["a journal that is cut", { journal: right.journal.slice(0, -1) }, /journal: its last line has no end/],
    ["rejects that lack a line", { rejects: "" }, /line :5 .*the rejects file says otherwise/],
    ["events that lack one", { events: textOf(events.slice(1)) }, /standard output are not those of the journal/],
    [
      "something left that can be found out",
      { results: textOf(resultLines.map((result) => (result.from === 3 ? { ...result, end: "unresolved" } : result))) },
      /line :3 .*unresolved.* could have been found out/
    ]
  ])("sees %s", (_, change, violation) => {
    const { violations } = Oracle.judge({ ...right, ...change })
    assert.isTrue(
      violations.some((text) => violation.test(text)),
      `none of these: ${violations.join("; ")}`
    )
  })

  it("sees a secret, and a piece of one", () => {
    const find = Secrets.finder(["3q2-7wEBAgMEBQYHCAkKCwwNDg8", 'a"b/Zm9vYmFyYmF6cXV4'])
    assert.deepStrictEqual(find('{"message":"<redacted> is not well, 3q2-7wE"}'), [])
    assert.lengthOf(find("it ends in MEBQYHCAkKCw"), 1)
    assert.lengthOf(find("&quot;Zm9vYmFyYm"), 1)
  })
})
