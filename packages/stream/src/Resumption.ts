/**
 * What it takes for a run to go on in another process: the events of the legs before, and an input that is still what it was.
 *
 * Before anything is sent, every stretch of the input that became a batch is held against its digest. On the way, the bytes of those that
 * are still needed are kept.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import * as Batches from "./Batches.ts"
import * as Lines from "./Lines.ts"
import type * as InputReader from "./InputReader.ts"
import type { Pinned, RunEvent } from "./RunEvent.ts"
import * as TokenRecords from "./TokenRecords.ts"

/** A run cannot go on as it was asked to. Nothing was sent. */
export class CannotResume extends Schema.TaggedError<CannotResume>()("CannotResume", {
  reason: Schema.Literals([
    /** An option, the service or an input is another one than that the run began with. */
    "Differs",
    /** The input does not hold any more what was read from it. */
    "InputChanged",
    /** The input cannot be read as far as it was read before. */
    "Unreadable",
    /** It was asked to stop before it had gone on. */
    "Stopped"
  ]),
  message: Schema.String
}) {}

/** A stretch of input of which something was made. */
export interface Cut {
  readonly bytes: Batches.ByteRange
  readonly digest: string
  readonly lines: ReadonlyArray<Batches.LineRange>
}

/** The cut that an event tells of. */
export const cutOf = (event: RunEvent): Cut | undefined => {
  if ((event._tag !== "BatchIntended" && event._tag !== "LinesRejected") || event.bytes === undefined) return undefined
  const lines =
    event._tag === "BatchIntended"
      ? event.lines
      : event.rejections.map(({ file, line }) => ({
          ...(file === undefined ? undefined : { file }),
          from: line,
          to: line
        }))
  return { bytes: event.bytes, digest: event.digest ?? "", lines }
}

/** Names what a run is pinned to, as a person would. */
const names: Record<keyof Pinned, string> = {
  address: "the service",
  dryRun: "dryRun",
  batchSize: "batchSize",
  batchBytes: "batchBytes",
  maxLineBytes: "maxLineBytes",
  limit: "limit",
  allowUnknownFields: "allowUnknownFields",
  requireAccessToken: "requireAccessToken",
  inputs: "the input"
}

const show = (value: unknown): string =>
  typeof value === "object" && value !== null ? Object.values(value).map(show).join(", ") : String(value ?? "none")

/** Refuses to go on where something is not as it was when the run began. */
export const checkPinned = Effect.fnUntraced(function* (before: Pinned, now: Pinned) {
  for (const name of Object.keys(names) as ReadonlyArray<keyof Pinned>) {
    if (JSON.stringify(before[name]) === JSON.stringify(now[name])) continue
    return yield* new CannotResume({
      reason: "Differs",
      message: `the run began with ${names[name]} ${show(before[name])}, and would go on with ${show(now[name])}`
    })
  }
})

/** Fails when a run is asked to stop. */
export const stoppedBy = (stop: Effect.Effect<unknown> = Effect.never): Effect.Effect<never, CannotResume> =>
  Effect.flatMap(
    stop,
    () => new CannotResume({ reason: "Stopped", message: "it was asked to stop while the input was being checked" })
  )

/** Bytes of a stretch that are kept, input by input. */
export type Kept = ReadonlyArray<TokenRecords.Segment>

/** Reads one stretch. Gives what was kept of it, or why it is not what it was. */
export const readCut = Effect.fnUntraced(function* <E, R>(
  reader: InputReader.InputReader<E, R>,
  { bytes, digest, lines }: Cut,
  at: number,
  keep: boolean
): Effect.fn.Return<Kept, CannotResume | E, R> {
  // Blank lines between two stretches belong to neither.
  yield* skip(reader, bytes.from - at)
  const hash = createHash("sha256")
  const kept: Array<
    { -readonly [K in keyof TokenRecords.Segment]: TokenRecords.Segment[K] } & { chunks: Array<Uint8Array> }
  > = []
  for (let left = bytes.to - bytes.from; left > 0;) {
    const piece = yield* reader.take(left)
    if (piece === undefined) return yield* changed(lines, "it ends before")
    left -= piece.bytes.length
    hash.update(piece.bytes)
    if (!keep) continue
    const last = kept.at(-1)
    const copy = Uint8Array.from(piece.bytes)
    if (last !== undefined && last.file === piece.file && piece.start.offset > 0) last.chunks.push(copy)
    else kept.push({ file: piece.file, start: piece.start, bytes: copy, chunks: [copy] })
  }
  if (hash.digest("hex") !== digest) return yield* changed(lines, "they are not what they were")
  return kept.map(({ chunks, file, start }) => ({ file, start, bytes: Buffer.concat(chunks) }))
})

const skip = Effect.fnUntraced(function* <E, R>(reader: InputReader.InputReader<E, R>, bytes: number) {
  for (let left = bytes; left > 0;) {
    const piece = yield* reader.take(left)
    if (piece === undefined) return
    left -= piece.bytes.length
  }
})

/** The input is not what it was. */
export const changed = (lines: ReadonlyArray<Batches.LineRange>, how: string) =>
  new CannotResume({
    reason: "InputChanged",
    message: `the input has changed since the run began, at ${Lines.describe(lines)}: ${how}`
  })

const unreadable = (error: unknown) =>
  error instanceof CannotResume
    ? error
    : new CannotResume({
        reason: "Unreadable",
        message: `the input cannot be read as far as it was read before: ${error instanceof Error ? error.message : String(error)}`
      })

/**
 * Holds all that was read before against what is there now, and gives the bytes of the stretches that `keep` asks for, by their first
 * byte.
 */
export const check = Effect.fnUntraced(function* <E, R>(
  reader: InputReader.InputReader<E, R>,
  cuts: Iterable<Cut>,
  keep: (cut: Cut) => boolean
) {
  const kept = new Map<number, Kept>()
  let at = 0
  for (const cut of cuts) {
    const wanted = keep(cut)
    const segments = yield* readCut(reader, cut, at, wanted)
    if (wanted) kept.set(cut.bytes.from, segments)
    at = cut.bytes.to
  }
  return kept
}, Effect.mapError(unreadable))

/** What comes after all that was read before. A last line that had no newline must not go on. */
export const rest = Effect.fnUntraced(function* <E, R>(
  reader: InputReader.InputReader<E, R>,
  { maxLineBytes = TokenRecords.defaultMaxLineBytes }: TokenRecords.Options
) {
  const left = yield* reader.rest
  const { input, next, start = TokenRecords.lineOne } = left[0] ?? { input: {}, next: undefined, start: undefined }
  const { line, lineLength } = start
  if (next !== undefined && next !== 10 && lineLength > 0 && lineLength <= maxLineBytes) {
    const { name } = input as { readonly name?: string }
    return yield* changed(
      [{ ...(name === undefined ? undefined : { file: name }), from: line, to: line }],
      "it goes on where it ended"
    )
  }
  return left
}, Effect.mapError(unreadable))

/** The batch that was cut from a stretch, as it was. */
export const batchOf = (kept: Kept, options: TokenRecords.Options): Batches.Batch | undefined =>
  Batches.whole(TokenRecords.fromSegments(kept, options))
