/** The end of a run for a person: what became of every line, and what to do next. */
import { RunEvent, type OpenBatches } from "@tokenbatch/stream"
import * as Format from "./Format.ts"
import type { Heard } from "./NotificationListener.ts"

/** What to do about a run that stopped early. */
const remedies: Record<RunEvent.StopReason, string> = {
  Requested: "Nothing that was sent is lost, and the run can go on.",
  CredentialsRefused:
    "Check the bearer (AUTHLETE_BEARER or --bearer-file) and that it may create tokens for this service.",
  WrongAddress: "Check the base URL: what answers there does not speak this API.",
  GivenUp: "The service was away for too long; --give-up-after lets a run wait longer.",
  SystematicRefusal: "Something is wrong with the records or the service as a whole; --keep-going goes on regardless.",
  TooManyRejects: "See the rejected lines; --max-rejects allows more of them.",
  Unreadable: "The input could not be read to its end.",
  JournalFailed: "Make room for the journal, or see that it can be written, and resume the run."
}

/** Said of an input without lines, which is no failure but seldom what was meant. */
export const nothing = "No lines were read: the input has none."

/** What is in the results file. */
export const resultsFile = "lines not created"

/** A line that was not created, for the examples under the table. */
export interface Example {
  readonly where: string
  readonly why: string
}

/** Examples shown of each end. */
const maxExamples = 2

const ends = ["unresolved", "notSubmitted", "failed", "rejected"] as const

const count = ({ from, to }: { readonly from: number; readonly to: number }) => to - from + 1

/** Collects the first few examples of each end, and counts the others. */
export const makeExamples = () => {
  const kept = Object.fromEntries(ends.map((end) => [end, { examples: [] as Array<Example>, more: 0 }])) as Record<
    (typeof ends)[number],
    { readonly examples: Array<Example>; more: number; last?: Example }
  >
  const keep = (end: (typeof ends)[number], lines: number, example: () => Example) => {
    const one = kept[end]
    if (one.examples.length < maxExamples) one.examples.push(example())
    else {
      // Where it stays the only one, it is shown in place of being counted.
      if (one.more === 0 && lines === 1) one.last = example()
      one.more += lines
    }
  }
  const why = ({ code, message, tokenCount }: Pick<OpenBatches.Leftover, "code" | "message" | "tokenCount">) =>
    `${Format.quote(message.includes(code) ? message : `${code}, ${message}`)}${tokenCount === undefined ? "" : `, after ${Format.plural(tokenCount, "token")}`}`
  return {
    add: (event: RunEvent.RunEvent): void => {
      if (event._tag === "BatchRefused" || (event._tag === "RecordsSettled" && event.end === "failed")) {
        for (const range of event.lines)
          keep("failed", count(range), () => ({ where: Format.lines(range), why: why(event) }))
      }
      for (const { field, file, line, reason } of RunEvent.rejectionsOf(event)) {
        keep("rejected", 1, () => ({
          where: Format.lines({ ...(file === undefined ? undefined : { file }), from: line, to: line }),
          why: field === undefined ? reason : `${field} ${reason}`
        }))
      }
    },
    /** Takes in what is left at the end. */
    left: (leftovers: ReadonlyArray<OpenBatches.Leftover>): void => {
      for (const leftover of leftovers) {
        for (const range of leftover.lines) {
          keep(leftover.end, count(range), () => ({ where: Format.lines(range), why: why(leftover) }))
        }
      }
    },
    /** The gravest first. */
    all: (): ReadonlyArray<Example> =>
      ends.flatMap((end) => {
        const { examples, last, more } = kept[end]
        if (more === 0) return examples
        return [
          ...examples,
          more === 1 && last !== undefined
            ? last
            : { where: `and ${Format.plural(more, "line")} more`, why: words[end] }
        ]
      })
  }
}

const words = { unresolved: "unresolved", notSubmitted: "not submitted", failed: "failed", rejected: "rejected" }

/** What the summary is made of. */
export interface Content {
  readonly report: RunEvent.RunReport
  /** An output that could not be written to its end. */
  readonly outputFailure?: string | undefined
  readonly examples: ReadonlyArray<Example>
  /** Files that the run left: what is in them, and their paths. */
  readonly files: ReadonlyArray<readonly [what: string, path: string]>
  readonly sandbox: boolean
  /** What --max-concurrency says. Default: nothing. */
  readonly maxConcurrency?: number | undefined
  /** What came in where notifications were listened for. */
  readonly heard?: Heard | undefined
  /** What `resume` has to be given, where the run can be gone on with. */
  readonly run?: string | undefined
}

/** What continues a run. */
export const howToGoOn = (run: string) => `To go on: tokenbatch resume ${run}`

/** The summary, as lines. */
export const render = ({
  examples,
  files,
  heard,
  maxConcurrency = Infinity,
  outputFailure,
  report,
  run,
  sandbox
}: Content): string => {
  const { batches, dryRun, records } = report
  const created = dryRun ? "would be created" : "created"
  const rows: ReadonlyArray<readonly [string, number, string]> = [
    ["read", records.read, report.complete ? "" : "not the whole input"],
    [created, records.created, ""],
    ["existing", records.existing, "a token of this value is there already"],
    ["failed", records.failed, "denied by the service, record by record"],
    ["rejected", records.rejected, "never sent: the line cannot be a record"],
    ["unresolved", records.unresolved, "sent, and what became of it is not known"],
    ["not submitted", records.notSubmitted, "read, and certainly not taken"]
  ]
  const shown = rows.filter(([name, count]) => count > 0 || name === "read" || name === created)
  const width = Math.max(...shown.map(([, count]) => Format.integer(count).length))
  const table = shown.map(
    ([name, count, note]) =>
      `  ${name.padEnd(18)}${Format.integer(count).padStart(width)}${note === "" ? "" : `   ${note}`}`
  )
  // Nobody created anything between two legs.
  const took =
    report.legs > 1
      ? `${Format.elapsed(report.elapsedMs)} since it began`
      : speed({ created: records.created, elapsedMs: report.elapsedMs })
  const notes = [
    `  ${Format.plural(batches.submitted, "batch", "batches")}, ${Format.plural(report.polls, "poll")}, ${took}`,
    ...paceNotes(report, maxConcurrency),
    ...(heard === undefined || batches.submitted === 0 ? [] : [`  ${notificationNote(heard)}`]),
    ...(report.withoutAccessToken > 0
      ? [
          `  ${Format.plural(report.withoutAccessToken, "record")} had no accessToken: nobody knows those tokens' values`
        ]
      : []),
    ...(report.possiblyTwice > 0
      ? [`  ${Format.plural(report.possiblyTwice, "record")} without an accessToken sent again: possibly there twice`]
      : []),
    ...resolutionNotes(report),
    ...(report.legs > 1
      ? [`  in ${report.legs} legs${report.lastLeg === undefined ? "" : `; the last took ${speed(report.lastLeg)}`}`]
      : []),
    ...(sandbox ? ["  This was the sandbox: nothing was created at Authlete."] : []),
    ...(dryRun ? ["  This was a dry run: nothing was created."] : []),
    ...(records.read === 0 && report.complete ? [`  ${nothing}`] : [])
  ]
  const stopped = [
    ...(report.stopped === undefined
      ? []
      : [
          "",
          ...(isDone(report)
            ? ["The run was asked to stop, and everything was done by then."]
            : [
                `Stopped early: ${Format.quote(report.stopped.message).replace(/\.$/, "")}.`,
                remedies[report.stopped.reason]
              ])
        ]),
    ...(outputFailure === undefined
      ? []
      : ["", `Not everything could be written: ${outputFailure}.`, "Make room, or name another place."])
  ]
  const nowhere =
    records.failed + records.unresolved + records.notSubmitted > 0 && !files.some(([what]) => what === resultsFile)
  const hint = nowhere ? ["", `--results FILE names the lines that were not created.`] : []
  const some =
    examples.length === 0 ? [] : ["", "For example:", ...examples.map(({ where, why }) => `  ${where}: ${why}`)]
  const goOn = run === undefined ? [] : ["", howToGoOn(run)]
  const left = files.length === 0 ? [] : ["", ...files.map(([what, path]) => `${what}: ${path}`)]
  return ["", ...table, ...notes, ...stopped, ...some, ...hint, ...left, ...goOn, ""].join("\n")
}

/** Whether nothing is left to be done of a run that was asked to stop. */
const isDone = ({ complete, records, stopped }: RunEvent.RunReport): boolean =>
  stopped?.reason === "Requested" && complete && records.unresolved + records.notSubmitted === 0

/** How long it took, and how many tokens a second that was. */
const speed = ({ created, elapsedMs }: { readonly created: number; readonly elapsedMs: number }): string =>
  `${Format.elapsed(elapsedMs)}, ${Format.integer(Math.round(elapsedMs > 0 ? (created * 1000) / elapsedMs : 0))} tokens/s`

/** Why the run went at the pace it did: what it was let do, and what the service did. */
const paceNotes = (
  { batches, elapsedMs, flow, mostInFlight = 0, polls }: RunEvent.RunReport,
  maxConcurrency: number
): ReadonlyArray<string> => {
  const { awayMs = 0, batchSize, changes = {}, refusals = 0, requestsPerSecond } = flow ?? {}
  // What is far from the pace that there was held nothing back.
  const isSpaced =
    requestsPerSecond !== undefined && requestsPerSecond < (3000 * (batches.submitted + polls)) / elapsedMs
  const bound = mostInFlight < maxConcurrency ? "" : ", as --max-concurrency says"
  const pace = [
    ...(mostInFlight === 0 ? [] : [`up to ${Format.plural(mostInFlight, "batch", "batches")} in flight${bound}`]),
    ...(batchSize === undefined ? [] : [`batches of up to ${Format.plural(batchSize, "record")} at the end`]),
    ...(isSpaced ? [`spaced to ${Format.rate(requestsPerSecond)} requests/s at the end`] : []),
    ...(changes.PollTimeout === undefined ? [] : ["no more than are done well before --poll-timeout"]),
    ...(changes.MaxRequests === undefined ? [] : ["no more requests/s than --max-requests-per-second"])
  ]
  const service = [
    ...(changes.QueueFull === undefined ? [] : [`the service's queue seemed full ${Format.times(changes.QueueFull)}`]),
    ...(changes.TooFast === undefined ? [] : [`requests seemed to come too fast ${Format.times(changes.TooFast)}`]),
    ...(changes.Whims === undefined ? [] : ["it refused some calls whatever was done"]),
    ...(changes.Paused === undefined ? [] : [`it asked to wait ${Format.times(changes.Paused)}`]),
    ...(refusals === 0 ? [] : [`${Format.plural(refusals, "create call")} refused and made again`]),
    ...(changes.Drift === undefined ? [] : [`the service became slower or faster ${Format.times(changes.Drift)}`]),
    ...(awayMs === 0 ? [] : [`the service was away for ${Format.elapsed(awayMs)}`])
  ]
  return [
    ...(pace.length === 0 ? [] : [`  ${pace.join("; ")}`]),
    ...(service.length === 0 ? [] : [`  ${service.join("; ")}`])
  ]
}

/** Whether notifications came. Without them a run goes on as well, so that nothing else tells that something is set up wrongly. */
const notificationNote = ({ notifications, requests }: Heard): string => {
  if (notifications > 0) return `${Format.plural(notifications, "notification")} came`
  return requests === 0
    ? "no notification came: check that the service is set up to send them, and that they get through to where the run listens"
    : `no notification came, but ${Format.plural(requests, "other request")}: check that the service POSTs to the path that the run was given`
}

const resolutionNotes = ({ records, resolution }: RunEvent.RunReport): ReadonlyArray<string> => {
  if (resolution === undefined) return []
  const { access, assumed, calls } = resolution
  const trial =
    access === undefined
      ? ""
      : access
        ? "; dry runs notice what exists here, as was tried"
        : "; dry runs do not notice what exists here, as was tried"
  return [
    `  ${Format.plural(calls, "call")} to find out what became of unresolved records${trial}`,
    ...(access === undefined && records.created === 0 && records.unresolved > 0
      ? [
          "  nothing was created in this run, so it could not be tried whether dry runs notice what exists, and nothing can be called",
          "  existing: an input that was created before ends like this (--on-failure leave spares the calls)"
        ]
      : []),
    ...(assumed > 0
      ? [`  ${Format.plural(assumed, "record")} called existing on the assumption that the service works in order`]
      : [])
  ]
}

/** What went wrong, in a line or two, for those who want to hear nothing else. */
export const error = ({ outputFailure, report }: Pick<Content, "report" | "outputFailure">): string => {
  const { notSubmitted, unresolved } = report.records
  if (outputFailure !== undefined) return `error: ${outputFailure}`
  if (report.stopped !== undefined) {
    return `error: stopped early: ${Format.quote(report.stopped.message)}\n${remedies[report.stopped.reason]}`
  }
  return `error: ${Format.plural(unresolved, "record")} unresolved, ${Format.integer(notSubmitted)} not submitted`
}
