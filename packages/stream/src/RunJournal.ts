/**
 * The journal of a run: its events, written down before anything depends on them, so that a run can go on after any crash.
 *
 * A journal is asked for as a service. There is none by default; {@link layerFile} keeps one in a file, {@link layerMemory} for tests.
 * A run reads back what earlier legs wrote and appends what happens from then on: an append completes when it is on disk, and the run
 * waits for that before a batch's first byte is sent, before it is sent again, and before anything is reported.
 *
 * ## The file
 *
 * A line an event: `<crc32> <seq> <json>`. The checksum, in eight hexadecimal digits, is of the rest of the line; lines are numbered from
 * 1; the JSON is a `RunEvent`. A person can read it, and it holds no token values. What a crash leaves at its end (a torn line, zeros of
 * a file system) is cut off when the journal is opened. A damaged line with sound ones after it is another matter: that is refused,
 * since what the sound ones lean on is missing.
 *
 * A lock file beside it, `<journal>.lock`, names the process that has it open. The lock of a process that is gone is taken over.
 *
 * @example
 * ```ts
 * import { RunJournal, TokenBatchRun } from "@tokenbatch/stream"
 * import { Stream } from "effect"
 *
 * declare const lines: Stream.Stream<Uint8Array>
 *
 * // The first time it begins, after a crash it goes on.
 * const events = TokenBatchRun.fromInputs([{ bytes: lines, repeatable: true }]).pipe(
 *   Stream.provide(RunJournal.layerFile("migration.journal"))
 * )
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { crc32 } from "node:zlib"
import * as ByteSource from "./ByteSource.ts"
import * as FileLock from "./FileLock.ts"
import { format, RunEvent } from "./RunEvent.ts"

/** The journal cannot be used. */
export class JournalError extends Schema.TaggedError<JournalError>()("JournalError", {
  reason: Schema.Literals([
    /** Another process has it open. */
    "Locked",
    /** A line in its middle is damaged. */
    "Damaged",
    /** It was written by another version. */
    "Format",
    /** It cannot be read or written. */
    "Io"
  ]),
  message: Schema.String
}) {}

/** Where a run's events are kept. */
export interface RunJournal {
  /** Whether anything is kept at all. */
  readonly kept: boolean
  /** Takes it for one run, until the scope closes: two at once would write two stories into it. */
  readonly hold: Effect.Effect<void, JournalError, Scope.Scope>
  /** Whether something has been written. */
  readonly begun: boolean
  /** Bytes at its end that were no whole event and were cut off when it was opened. */
  readonly cutOff: number
  /** What has been written, in order. */
  readonly history: Stream.Stream<RunEvent, JournalError>
  /** Writes events at the end. Completes when they are there for good. */
  readonly append: (events: ReadonlyArray<RunEvent>) => Effect.Effect<void, JournalError>
}

/** The journal of the run. The default keeps nothing. */
export const RunJournal: Context.Reference<RunJournal> = Context.Reference<RunJournal>(
  "@tokenbatch/stream/RunJournal",
  {
    defaultValue: () => none
  }
)

/** Keeps nothing. */
export const none: RunJournal = {
  kept: false,
  hold: Effect.void,
  begun: false,
  cutOff: 0,
  history: Stream.empty,
  append: () => Effect.void
}

const makeHold = (name: string): RunJournal["hold"] => {
  let held = false
  return Effect.acquireRelease(
    Effect.suspend(() => {
      if (held)
        return Effect.fail(
          new JournalError({ reason: "Locked", message: `The journal ${name} is in use by another run` })
        )
      held = true
      return Effect.void
    }),
    () => Effect.sync(() => void (held = false))
  )
}

/** Keeps events in an array, which holds what was there before. */
export const layerMemory = (events: Array<RunEvent> = []): Layer.Layer<never> =>
  Layer.sync(RunJournal, () => ({
    kept: true,
    hold: makeHold("in memory"),
    get begun() {
      return events.length > 0
    },
    cutOff: 0,
    history: Stream.suspend(() => Stream.fromIterable([...events])),
    append: (more) => Effect.sync(() => void events.push(...more))
  }))

/** Keeps events in a file, which is made if it is not there. One process at a time. */
export const layerFile = (path: string): Layer.Layer<never, JournalError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(RunJournal, open(path))

// -----------------------------------------------------------------------------
// Lines
// -----------------------------------------------------------------------------

const checksum = (text: string): string => crc32(text).toString(16).padStart(8, "0")

/** One event as a line. Events are plain JSON, so that there is nothing to encode. */
export const encodeLine = (seq: number, event: typeof RunEvent.Encoded): string => {
  const text = `${seq} ${JSON.stringify(event)}`
  return `${checksum(text)} ${text}\n`
}

/** The JSON of a line without its newline, if it is sound and has this number. */
const readLine = (line: string, seq: number): string | undefined => {
  const prefix = `${seq} `
  return line.startsWith(prefix, 9) && line.slice(0, 8) === checksum(line.slice(9))
    ? line.slice(9 + prefix.length)
    : undefined
}

/** Whether a line is sound, whatever its number. */
const isSound = (line: string): boolean =>
  /^[0-9a-f]{8} \d+ \{/.test(line) && line.slice(0, 8) === checksum(line.slice(9))

const decodeEvent = Schema.decodeUnknownEffect(RunEvent)

// -----------------------------------------------------------------------------
// The file
// -----------------------------------------------------------------------------

const io = (path: string, does: string) => (error: PlatformError.PlatformError) =>
  new JournalError({ reason: "Io", message: `The journal ${path} cannot be ${does}: ${reasonOf(error)}` })

const reasonOf = (error: PlatformError.PlatformError): string => {
  const { cause } = error.reason
  return cause instanceof Error
    ? cause.message.replace(/, (write|fsync|open|read|ftruncate|stat).*$/, "")
    : error.message
}

/** The lines of the file with their ends, in bytes; the last one may lack its newline. */
const linesOf = (path: string) =>
  Stream.suspend(() => {
    let carry: Buffer = Buffer.alloc(0)
    let at = 0
    return ByteSource.fromFile(path).pipe(
      Stream.map((chunk) => {
        const bytes = Buffer.concat([carry, chunk])
        const lines: Array<{ readonly text: string; readonly end: number; readonly whole: boolean }> = []
        let start = 0
        for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
          lines.push({ text: bytes.toString("utf8", start, end), end: at + end + 1, whole: true })
          start = end + 1
        }
        carry = bytes.subarray(start)
        at += start
        return lines
      }),
      Stream.flatMap(Stream.fromIterable),
      Stream.concat(
        Stream.suspend(() =>
          carry.length === 0
            ? Stream.empty
            : Stream.make({ text: carry.toString("utf8"), end: at + carry.length, whole: false })
        )
      ),
      Stream.mapError(io(path, "read"))
    )
  })

/** What is sound from the beginning of a journal, and how long the file is. */
const examine = Effect.fnUntraced(function* (path: string) {
  const found = { lines: 0, end: 0, size: 0, soundAfter: 0, json: "" }
  yield* Stream.runForEach(linesOf(path), ({ end, text, whole }) =>
    Effect.sync(() => {
      if (found.end === found.size) {
        const json = whole ? readLine(text, found.lines + 1) : undefined
        if (json !== undefined) {
          if (found.lines === 0) found.json = json
          found.lines++
          found.end = end
        } else if (whole && isSound(text)) {
          // Sound, but not the next one: what should be here is missing.
          found.soundAfter++
        }
      } else if (isSound(text)) {
        found.soundAfter++
      }
      found.size = end
    })
  )
  if (found.soundAfter > 0) {
    return yield* new JournalError({
      reason: "Damaged",
      message:
        `Line ${found.lines + 1} of the journal ${path} is damaged, and ${found.soundAfter} sound ones come after it. ` +
        (found.lines === 0
          ? "It is the first, which says what the run is: nothing can be made of the others. What can still be done: begin a new run. "
          : `What can still be done: keep a copy, cut the journal before that line (head -n ${found.lines}) and resume. `) +
        "Records with an accessToken of their own cannot be created twice by that; those without can"
    })
  }
  if (found.lines > 0) {
    const first = JSON.parse(found.json) as { readonly _tag?: unknown; readonly format?: unknown }
    if (first._tag !== "RunStarted" || first.format !== format) {
      return yield* new JournalError({
        reason: "Format",
        message: `The journal ${path} has format ${String(first.format)}, and this version of tokenbatch reads format ${format}: use the version that wrote it`
      })
    }
  }
  return found
})

/** The first event of a journal that somebody else may have open, if there is one: what the run is. */
export const first = (
  path: string
): Effect.Effect<Extract<RunEvent, { readonly _tag: "RunStarted" }> | undefined, JournalError, FileSystem.FileSystem> =>
  Effect.flatMap(Stream.runHead(linesOf(path)), (line) => {
    const json = line._tag === "Some" && line.value.whole ? readLine(line.value.text, 1) : undefined
    return json === undefined
      ? Effect.undefined
      : Effect.match(decodeEvent(JSON.parse(json)), {
          onFailure: () => undefined,
          onSuccess: (event) => (event._tag === "RunStarted" ? event : undefined)
        })
  })

/** Refuses to cut what is no journal: nothing in it is a line of one, and it does not begin as one that was torn would. */
const checkBeginning = Effect.fnUntraced(function* (path: string) {
  const head = yield* Stream.runHead(linesOf(path))
  const { text, whole } = head._tag === "Some" ? head.value : { text: "", whole: false }
  const begun = `${text.slice(0, 8)} 1 {"_tag":"RunStarted"`
  const torn =
    !whole &&
    /^[0-9a-f]*$/.test(text.slice(0, 8)) &&
    (begun.startsWith(text.slice(0, begun.length)) || text.startsWith(begun))
  if (torn || (!whole && /^\0*$/.test(text))) return
  return yield* new JournalError({
    reason: "Damaged",
    message: `${path} is no journal, or its first line is damaged: nothing in it can be read. It is left as it is`
  })
})

const eventsOf = (path: string, lines: number): Stream.Stream<RunEvent, JournalError, FileSystem.FileSystem> =>
  linesOf(path).pipe(
    Stream.take(lines),
    Stream.mapEffect(({ text }) =>
      Effect.mapError(
        decodeEvent(JSON.parse(text.slice(text.indexOf("{")))),
        () =>
          new JournalError({
            reason: "Format",
            message: `Line ${text.slice(9, text.indexOf(" ", 9))} of the journal ${path} is no event that this version of tokenbatch knows`
          })
      )
    )
  )

/** The events of a journal that somebody else may have open: for looking at it. What is torn at its end is left out. */
export const read = (path: string): Stream.Stream<RunEvent, JournalError, FileSystem.FileSystem> =>
  Stream.unwrap(Effect.map(examine(path), ({ lines }) => eventsOf(path, lines)))

const open = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<RunJournal, JournalError, FileSystem.FileSystem | Path.Path | Scope.Scope> {
  const fs = yield* FileSystem.FileSystem
  yield* FileLock.acquire(`${path}.lock`).pipe(
    Effect.catchTags({
      LockHeld: ({ pid }) =>
        Effect.fail(
          new JournalError({
            reason: "Locked",
            message: `The journal ${path} is in use by process ${pid}. If that is no tokenbatch, remove ${path}.lock`
          })
        ),
      PlatformError: (error) => Effect.fail(io(`${path}.lock`, "written")(error))
    })
  )
  const file = yield* Effect.mapError(fs.open(path, { flag: "a+", mode: 0o600 }), io(path, "opened"))
  yield* Effect.mapError(fs.chmod(path, 0o600), io(path, "written"))
  const { end, lines, size } = yield* examine(path)
  if (size > end && lines === 0) yield* checkBeginning(path)
  if (size > end) yield* Effect.mapError(fs.truncate(path, end), io(path, "cut"))
  if (lines === 0) yield* syncFolder(path)

  let seq = lines
  let broken: JournalError | undefined
  const encoder = new TextEncoder()
  return {
    kept: true,
    hold: makeHold(path),
    get begun() {
      return seq > 0
    },
    cutOff: size - end,
    history: Stream.suspend(() => Stream.provideService(eventsOf(path, seq), FileSystem.FileSystem, fs)),
    append: (events) =>
      Effect.suspend(() => {
        // After a write that failed nobody knows where the file ends.
        if (broken !== undefined) return Effect.fail(broken)
        let text = ""
        for (const event of events) text += encodeLine(++seq, event)
        // Not to be cut short: a half-written line is the last one that can be.
        return Effect.andThen(file.writeAll(encoder.encode(text)), file.sync).pipe(
          Effect.mapError((error) => (broken = io(path, "written")(error))),
          Effect.uninterruptible
        )
      })
  }
})

/** So that a new file is still found after the power was cut. Where a folder cannot be synced, the platform does not need it. */
const syncFolder = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const { dirname, resolve } = yield* Path.Path
  yield* Effect.ignore(
    Effect.scoped(Effect.flatMap(fs.open(dirname(resolve(path)), { flag: "r" }), ({ sync }) => sync))
  )
})
