/** The end of a run for a person: what became of every line, and what to do next. */
import type { RunEvent } from "@tokenbatch/stream"
import * as Format from "./Format.ts"

/** What to do about a run that stopped early. */
const remedies: Record<RunEvent.StopReason, string> = {
  Requested: "Nothing that was sent is lost: see the unresolved lines before you run it again.",
  CredentialsRefused:
    "Check the bearer (AUTHLETE_BEARER or --bearer-file) and that it may create tokens for this service.",
  WrongAddress: "Check the base URL: what answers there does not speak this API.",
  GivenUp: "The service was away for too long; --give-up-after lets a run wait longer.",
  SystematicRefusal: "Something is wrong with the records or the service as a whole; --keep-going goes on regardless.",
  TooManyRejects: "See the rejected lines; --max-rejects allows more of them.",
  Unreadable: "The input could not be read to its end."
}

/** What is in the results file. */
export const resultsFile = "lines not created"

/** A line that was not created, for the examples under the table. */
export interface Example {
  readonly where: string
  readonly why: string
}

/** Examples shown of lines rejected here, and of lines that came to nothing at the service. */
const maxExamples = 3

/** Collects the first few examples of either kind. */
export const makeExamples = () => {
  const rejected: Array<Example> = []
  const others: Array<Example> = []
  return {
    add: (event: RunEvent.RunEvent): void => {
      const kept = event._tag === "LinesRejected" ? rejected : others
      if (kept.length < maxExamples) kept.push(...examplesOf(event).slice(0, maxExamples - kept.length))
    },
    all: (): ReadonlyArray<Example> => [...rejected, ...others]
  }
}

/** What the summary is made of. */
export interface Content {
  readonly report: RunEvent.RunReport
  /** An output that could not be written to its end. */
  readonly outputFailure?: string | undefined
  readonly examples: ReadonlyArray<Example>
  /** Files that the run left: what is in them, and their paths. */
  readonly files: ReadonlyArray<readonly [what: string, path: string]>
  readonly sandbox: boolean
}

/** The summary, as lines. */
export const render = ({ examples, files, outputFailure, report, sandbox }: Content): string => {
  const { batches, dryRun, records } = report
  const created = dryRun ? "would be created" : "created"
  const rows: ReadonlyArray<readonly [string, number, string]> = [
    ["read", records.read, report.complete ? "" : "not the whole input"],
    [created, records.created, ""],
    ["existing", records.existing, "a token of this value is there already"],
    ["failed", records.failed, "denied by the service, record by record"],
    ["rejected", records.rejected, "never sent: the line cannot be a record"],
    ["unresolved", records.unresolved, "sent, and its fate is not known"],
    ["not submitted", records.notSubmitted, "read, and certainly not taken"]
  ]
  const shown = rows.filter(([name, count]) => count > 0 || name === "read" || name === created)
  const width = Math.max(...shown.map(([, count]) => Format.integer(count).length))
  const table = shown.map(
    ([name, count, note]) =>
      `  ${name.padEnd(18)}${Format.integer(count).padStart(width)}${note === "" ? "" : `   ${note}`}`
  )
  const rate = report.elapsedMs > 0 ? (records.created * 1000) / report.elapsedMs : 0
  const notes = [
    `  ${Format.plural(batches.submitted, "batch", "batches")}, ${Format.plural(report.polls, "poll")}, ${Format.elapsed(report.elapsedMs)}, ${Format.integer(Math.round(rate))} tokens/s`,
    ...(report.withoutAccessToken > 0
      ? [
          `  ${Format.plural(report.withoutAccessToken, "record")} had no accessToken: nobody knows those tokens' values`
        ]
      : []),
    ...(sandbox ? ["  This was the sandbox: nothing was created at Authlete."] : []),
    ...(dryRun ? ["  This was a dry run: nothing was created."] : [])
  ]
  const stopped =
    outputFailure !== undefined
      ? ["", `Not everything could be written: ${outputFailure}.`, "Make room, or name another place."]
      : report.stopped === undefined
        ? []
        : ["", `Stopped early: ${Format.quote(report.stopped.message)}.`, remedies[report.stopped.reason]]
  const nowhere =
    records.failed + records.unresolved + records.notSubmitted > 0 && !files.some(([what]) => what === resultsFile)
  const hint = nowhere ? ["", `--results FILE names the lines that were not created.`] : []
  const some =
    examples.length === 0 ? [] : ["", "For example:", ...examples.map(({ where, why }) => `  ${where}: ${why}`)]
  const left = files.length === 0 ? [] : ["", ...files.map(([what, path]) => `${what}: ${path}`)]
  return ["", ...table, ...notes, ...stopped, ...some, ...hint, ...left, ""].join("\n")
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

/** The examples that an event is worth. */
const examplesOf = (event: RunEvent.RunEvent): ReadonlyArray<Example> => {
  switch (event._tag) {
    case "LinesRejected":
      return event.rejections.slice(0, maxExamples).map(({ field, file, line, reason }) => ({
        where: Format.lines({ ...(file === undefined ? undefined : { file }), from: line, to: line }),
        why: field === undefined ? reason : `${field} ${reason}`
      }))
    case "BatchRefused":
    case "BatchFailed":
    case "BatchUnresolved": {
      const { code, message } = event
      const why = Format.quote(message.includes(code) ? message : `${code}, ${message}`)
      return event.lines.slice(0, 1).map((range) => ({ where: Format.lines(range), why }))
    }
    default:
      return []
  }
}
