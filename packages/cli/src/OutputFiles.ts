/**
 * The files that a run leaves: rejects and results, a JSON object a line, readable by their owner only.
 *
 * They are opened before anything is submitted and written as the run goes, so that what is known is on disk when the run is cut off.
 */
import { RunEvent, type OpenBatches, type TokenRecords } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { fstatSync } from "node:fs"
import { Failure } from "./Failure.ts"
import * as IoError from "./IoError.ts"

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

const toText = (lines: ReadonlyArray<object>): string => {
  let text = ""
  for (const line of lines) text += `${JSON.stringify(line)}\n`
  return text
}

/**
 * Creates files for JSON lines, or empties them: none before all of them could be opened. Nobody but its owner can read such a file,
 * whatever it was before. A device or a pipe stays as it is.
 *
 * With `aside` they are written under another name, and take the place of what is there with `commit`; until then that stays as it is.
 */
export const create = Effect.fnUntraced(function* <K extends string>(
  paths: Readonly<Record<K, Option.Option<string>>>,
  { aside = false }: { readonly aside?: boolean } = {}
): Effect.fn.Return<
  { readonly appends: { readonly [P in K]?: Append }; readonly commit: Effect.Effect<void, OutputError> },
  Failure,
  FileSystem.FileSystem | Scope.Scope
> {
  const fs = yield* FileSystem.FileSystem
  const open = Effect.fnUntraced(
    function* (path: string) {
      const before = aside ? yield* Effect.option(fs.stat(path)) : Option.none()
      const moves = aside && (Option.isNone(before) || before.value.type === "File")
      const place = moves ? `${path}.new` : path
      // For appending: what is not a file has no places to write at.
      const file = yield* fs.open(place, { flag: "a", mode: 0o600 })
      if (moves) yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(place)))
      const { type } = yield* file.stat
      if (type === "File") yield* fs.chmod(place, 0o600)
      return { file, path, place, type }
    },
    (effect, path) =>
      Effect.mapError(
        effect,
        (error) =>
          new Failure({
            problem: `${path} cannot be written: ${IoError.describe(error)}.`,
            remedy: "Name a file in a folder that you can write to."
          })
      )
  )
  const opened: Array<readonly [K, Effect.Success<ReturnType<typeof open>>]> = []
  for (const [key, path] of Object.entries(paths) as Array<[K, Option.Option<string>]>) {
    if (Option.isSome(path)) opened.push([key, yield* open(path.value)])
  }
  const appends: { [P in K]?: Append } = {}
  for (const [key, { file, path, type }] of opened) {
    const failed = (error: PlatformError.PlatformError) =>
      new OutputError({ file: path, reason: IoError.describe(error) })
    if (type === "File") {
      yield* Effect.mapError(
        file.truncate(0),
        (error) => new Failure({ problem: `${failed(error).message}.`, remedy: "Name another file." })
      )
    }
    appends[key] = (lines) =>
      lines.length === 0 ? Effect.void : Effect.mapError(file.writeAll(encoder.encode(toText(lines))), failed)
  }
  const commit = Effect.forEach(
    opened.filter(([, { path, place }]) => path !== place),
    ([, { path, place }]) =>
      Effect.mapError(
        fs.rename(place, path),
        (error) => new OutputError({ file: path, reason: IoError.describe(error) })
      ),
    { discard: true }
  )
  return { appends, commit }
})

/** What outputs must not be written over: files by their paths, and what descriptors of this process stand for. */
export interface Taken {
  readonly files: ReadonlyArray<readonly [what: string, path: string]>
  readonly descriptors: ReadonlyArray<readonly [what: string, descriptor: number]>
}

/**
 * Refuses to write one output over another, or over what is {@link Taken}: by whatever name, since a link leads to the same file.
 */
export const checkPaths = Effect.fnUntraced(function* (
  outputs: ReadonlyArray<readonly [flag: string, path: Option.Option<string>]>,
  { descriptors, files }: Taken
) {
  const taken = new Map<string, string>()
  for (const [what, descriptor] of descriptors) {
    const identity = identityOfDescriptor(descriptor)
    if (identity !== undefined) taken.set(identity, what)
  }
  for (const [what, path] of files) {
    const identity = yield* identityOf(path)
    if (identity !== undefined) taken.set(identity, what)
  }
  for (const [flag, output] of outputs) {
    if (Option.isNone(output)) continue
    const identity = yield* identityOf(output.value)
    if (identity === undefined) continue
    const other = taken.get(identity)
    if (other !== undefined) {
      return yield* new Failure({
        problem: `${flag} would write over ${other}: ${output.value}`,
        remedy: "Name another file."
      })
    }
    taken.set(identity, flag)
  }
})

/** The same for two names of one file. `undefined` for devices and pipes, which may be shared. */
export const identityOf = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const { basename, dirname, join, resolve } = yield* Path.Path
  const info = yield* Effect.option(fs.stat(path))
  if (Option.isSome(info)) {
    return info.value.type === "File" ? `${info.value.dev}:${Option.getOrElse(info.value.ino, () => path)}` : undefined
  }
  // It does not exist yet, but its folder may have several names.
  const folder = yield* Effect.orElseSucceed(fs.realPath(dirname(resolve(path))), () => dirname(resolve(path)))
  return join(folder, basename(path))
})

const identityOfDescriptor = (descriptor: number): string | undefined => {
  try {
    const info = fstatSync(descriptor, { bigint: true })
    return info.isFile() ? `${info.dev}:${info.ino}` : undefined
  } catch {
    return undefined
  }
}

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

/** The lines of the results file that an event is worth: one for each line range whose end is known, and is not created. */
export const resultsOf = (event: RunEvent.RunEvent): ReadonlyArray<object> => {
  switch (event._tag) {
    case "BatchRefused":
      return ofLines(event.lines, { end: "failed", batch: event.batch, code: event.code, message: event.message })
    case "RecordsSettled": {
      const { assumed, batch, code, end, lines, message } = event
      return ofLines(lines, { end, batch, code, message, ...(assumed === undefined ? undefined : { assumed }) })
    }
    default:
      return RunEvent.rejectionsOf(event).map(({ field, file, line, reason }) => {
        const message = field === undefined ? reason : `${field} ${reason}`
        // No spread: there may be one for each line of the input.
        return file === undefined
          ? { from: line, to: line, end: "rejected", code: "REJECTED", message }
          : { file, from: line, to: line, end: "rejected", code: "REJECTED", message }
      })
  }
}

/** The lines of the results file for what was left when the run ended. */
export const resultsOfLeftover = ({ lines, ...what }: OpenBatches.Leftover): ReadonlyArray<object> =>
  ofLines(lines, what)

const ofLines = (lines: OpenBatches.Leftover["lines"], what: object) => lines.map((range) => ({ ...range, ...what }))

/** Writes the report beside the journal, whole or not at all. */
export const writeReport = Effect.fnUntraced(
  function* (path: string, report: RunEvent.RunReport) {
    const fs = yield* FileSystem.FileSystem
    yield* Effect.onError(
      Effect.andThen(
        fs.writeFileString(`${path}.new`, `${JSON.stringify(report, null, 2)}\n`, { mode: 0o600 }),
        fs.rename(`${path}.new`, path)
      ),
      () => Effect.ignore(fs.remove(`${path}.new`))
    )
  },
  (effect, path) => Effect.mapError(effect, (error) => new OutputError({ file: path, reason: IoError.describe(error) }))
)
