/**
 * The files that a run leaves: rejects and results, a JSON object a line, readable by their owner only.
 *
 * They are opened before anything is submitted and written as the run goes, so that what is known is on disk when the run is cut off.
 */
import type { RunEvent, TokenRecords } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { Failure } from "./Failure.ts"

/** A file of a run cannot be written on: a full disk, say. */
class OutputError extends Schema.TaggedError<OutputError>()("OutputError", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.file} cannot be written on: ${this.reason}`
  }
}

/** Appends JSON lines to a file. */
type Append = (lines: ReadonlyArray<object>) => Effect.Effect<void, OutputError>

const encoder = new TextEncoder()

/** Creates a file for JSON lines, or empties it. Nobody but its owner can read it, whatever it was before. */
export const create = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const file = yield* Effect.gen(function* () {
    if (yield* fs.exists(path)) yield* fs.chmod(path, 0o600)
    return yield* fs.open(path, { flag: "w", mode: 0o600 })
  }).pipe(
    Effect.mapError(
      (error) =>
        new Failure({
          problem: `${path} cannot be written: ${error.reason._tag === "NotFound" ? "its folder does not exist" : error.message}.`,
          remedy: "Name a file in a folder that you can write to."
        })
    )
  )
  const append: Append = (lines) =>
    lines.length === 0
      ? Effect.void
      : Effect.mapError(
          file.writeAll(encoder.encode(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))),
          (error) => new OutputError({ file: path, reason: error.message })
        )
  return append
})

/** Files to write, by the flag that names them. Refuses to write one over another, or over an input. */
export const checkPaths = Effect.fnUntraced(function* (
  outputs: ReadonlyArray<readonly [flag: string, path: Option.Option<string>]>,
  inputs: ReadonlyArray<string>
) {
  const path = yield* Path.Path
  const taken = new Map(inputs.map((input) => [path.resolve(input), "the input"]))
  for (const [flag, output] of outputs) {
    if (Option.isNone(output)) continue
    const resolved = path.resolve(output.value)
    const other = taken.get(resolved)
    if (other !== undefined) {
      return yield* new Failure({
        problem: `${flag} would write over ${other}: ${output.value}`,
        remedy: "Name another file."
      })
    }
    taken.set(resolved, flag)
  }
})

/**
 * Rejected lines, kept from when they are read until they are written: they hold secrets and are in no event.
 */
export const makeRejectedLines = () => {
  const kept = new Map<string, Redacted.Redacted>()
  const key = ({ file, line }: TokenRecords.Position) => `${file ?? ""}\n${line}`
  return {
    keep: (position: TokenRecords.Position, line: Redacted.Redacted) => void kept.set(key(position), line),
    take: (position: TokenRecords.Position): object => {
      const line = kept.get(key(position))
      kept.delete(key(position))
      return line === undefined ? {} : { input: Redacted.value(line) }
    }
  }
}

/** The lines of the results file that an event is worth: one for each line range that is not created. */
export const resultsOf = (event: RunEvent.RunEvent): ReadonlyArray<object> => {
  switch (event._tag) {
    case "LinesRejected":
      return event.rejections.map(({ field, file, line, reason }) => ({
        ...(file === undefined ? undefined : { file }),
        from: line,
        to: line,
        end: "rejected",
        code: "REJECTED",
        message: field === undefined ? reason : `${field} ${reason}`
      }))
    case "BatchFailed":
    case "BatchUnresolved":
      return ends(event, "unresolved")
    case "BatchRefused":
      return ends(event, "failed")
    case "BatchNotSubmitted":
      return ends(event, "notSubmitted")
    default:
      return []
  }
}

const ends = (
  event: RunEvent.RunEvent & { readonly lines: ReadonlyArray<object>; readonly code: string; readonly message: string },
  end: string
) => {
  const { batch, code, lines, message } = event as typeof event & {
    readonly batch: number
    readonly requestId?: string
  }
  const requestId = "requestId" in event ? { requestId: event.requestId } : undefined
  return lines.map((range) => ({ ...range, end, batch, ...requestId, code, message }))
}
