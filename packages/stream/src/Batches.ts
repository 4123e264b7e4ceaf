/**
 * From records to batches: consecutive records, closed at a count or a body size, whichever comes first, and after a pause of a live
 * source.
 *
 * What comes out are {@link Portion}s, which lie end to end over the input: each holds a stretch's rejections and the batch of its
 * records, if there are any. So "read so far" is one offset.
 *
 * A batch's body is one contiguous buffer: `[`, runs of whole lines copied in, the newlines between them turned into commas, `]`. The
 * buffer is on loan from a `BodyPool` and goes back with `release`: allocating and collecting a body per batch costs more than
 * copying it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Iterable from "effect/Iterable"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { createHash, type Hash } from "node:crypto"
import type { RecordPage, Rejection } from "./TokenRecords.ts"

/** Consecutive lines of one file, each of them a record: first and last, from 1. */
export const LineRange = Schema.Struct({
  file: Schema.optionalKey(Schema.String),
  from: Schema.Int,
  to: Schema.Int
})
export interface LineRange extends Schema.Schema.Type<typeof LineRange> {}

/** Bytes of the input, all files end to end and decompressed: from the first to before the last. */
export const ByteRange = Schema.Struct({ from: Schema.Int, to: Schema.Int })
export interface ByteRange extends Schema.Schema.Type<typeof ByteRange> {}

/** Records that are submitted in one call. */
export interface Batch {
  readonly records: number
  /** How many of them do not carry their own access token. */
  readonly withoutAccessToken: number
  /** Where they stand, in order. */
  readonly lines: ReadonlyArray<LineRange>
  /** The request body: a JSON array. Valid until `release`. */
  readonly body: Uint8Array
  /** Where record `i` ends in the body; it begins after the byte that follows the one before. */
  readonly ends: Int32Array
  /** Gives the buffer back. To be called once, when nobody needs the body any more. */
  readonly release: () => void
}

/** A stretch of the input. */
export interface Portion {
  readonly bytes: ByteRange
  /** SHA-256 of these bytes, in hexadecimal. */
  readonly digest: string
  readonly rejections: ReadonlyArray<Rejection>
  readonly batch: Batch | undefined
}

/** Options of {@link fromPages}. */
export interface Options {
  /** Most records of a batch; a function is asked before each. Default 1,000. */
  readonly batchSize?: number | (() => number) | undefined
  /** Most bytes of a request body; a single larger record goes alone. Default 4 MiB. */
  readonly batchBytes?: number | undefined
  /** A batch is closed when the source has given nothing for this long. Default 1 second. */
  readonly pause?: Duration.Input | undefined
}

export const defaultBatchSize = 1000
export const defaultBatchBytes = 4 * 1024 * 1024

/** Rejections without a record between them are passed on when there are this many, and close a batch when ten times as many. */
const maxRejections = 1000

interface Body {
  bytes: Buffer
  ends: Int32Array
}

/**
 * Buffers that are used again. There are as many as are in flight at once, and a new one is as large as the largest body so far and a
 * little more: one that has to grow leaves behind what it was, which is not collected soon enough to be nothing.
 */
class BodyPool {
  private readonly free: Array<Body> = []
  private expected = 64 * 1024

  take(): Body {
    return this.free.pop() ?? { bytes: Buffer.allocUnsafeSlow(this.expected), ends: new Int32Array(1024) }
  }

  give(body: Body): void {
    this.free.push(body)
  }

  /** Says how large a body has become. */
  expect(length: number): void {
    this.expected = Math.max(this.expected, length + (length >> 4))
  }
}

/** The hot loop's state: mutable, one batch at a time. */
class Builder {
  readonly pool = new BodyPool()
  private readonly sizeOfNext: () => number
  /** Most records of the batch that is being built. */
  batchSize: number
  readonly batchBytes: number
  body: Body | undefined
  length = 0
  count = 0
  withoutAccessToken = 0
  lines: Array<{ file?: string; from: number; to: number }> = []
  rejections: Array<Rejection> = []
  from = 0
  to = 0
  hash: Hash = createHash("sha256")

  constructor(options: Options, from = 0) {
    const { batchSize = defaultBatchSize } = options
    this.sizeOfNext = typeof batchSize === "number" ? () => batchSize : batchSize
    this.batchSize = this.sizeOfNext()
    this.batchBytes = options.batchBytes ?? defaultBatchBytes
    this.from = from
    this.to = from
  }

  /** Whether there is something to wait for a batch to be closed. Blank lines may have been taken in nevertheless. */
  get isEmpty(): boolean {
    return this.count === 0 && this.rejections.length === 0
  }

  /** Takes a page in and gives the portions that it completes, each when it is asked for: so that no more are held than are used. */
  *add(page: RecordPage): Generator<Portion> {
    const { bytes, count, ends, keyed, starts } = page
    let hashed = 0
    let rejection = 0
    const consume = (end: number) => {
      if (end > hashed) {
        this.hash.update(hashed === 0 && end === bytes.length ? bytes : bytes.subarray(hashed, end))
        this.to += end - hashed
        hashed = end
      }
    }
    const close = (end: number, recordsSeen: number): Portion => {
      while (rejection < page.rejections.length && page.recordsBefore[rejection]! < recordsSeen) {
        this.rejections.push(page.rejections[rejection++]!)
      }
      consume(end)
      return this.close()
    }
    let i = 0
    while (i < count) {
      const first = i
      const size = ends[i]! - starts[i]!
      if (this.count > 0 && this.length + size + 1 > this.batchBytes) yield close(lineEnd(page, i - 1), i)
      const body = (this.body ??= this.open())
      // The longest run of whole lines that lie one after another and still fit.
      let length = this.length
      do {
        length += ends[i]! - starts[i]! + 1
        if (this.count === body.ends.length) body.ends = grown(body.ends)
        body.ends[this.count++] = length - 1
        this.withoutAccessToken += 1 - keyed[i]!
        i++
      } while (
        i < count &&
        this.count < this.batchSize &&
        starts[i] === ends[i - 1]! + 1 &&
        length + ends[i]! - starts[i]! + 1 <= this.batchBytes
      )
      this.addLines(page.file, page.lines[first]!, page.lines[i - 1]!)
      this.reserve(body, length + 1)
      const start = starts[first]!
      const shift = this.length - start
      body.bytes.set(bytes.subarray(start, ends[i - 1]), this.length)
      for (let k = first; k < i; k++) body.bytes[ends[k]! + shift] = comma
      this.length = length
      if (this.count === this.batchSize) yield close(lineEnd(page, i - 1), i)
    }
    while (rejection < page.rejections.length) this.rejections.push(page.rejections[rejection++]!)
    consume(bytes.length)
    if (this.rejections.length >= (this.count === 0 ? maxRejections : maxRejections * 10)) yield this.close()
  }

  /** Takes a page in for a batch of any size; its rejections are known. */
  addAll(page: RecordPage): void {
    for (const _ of this.add({ ...page, rejections: [], recordsBefore: [] })) break
  }

  open(): Body {
    const body = this.pool.take()
    body.bytes[0] = opening
    this.length = 1
    this.batchSize = this.sizeOfNext()
    return body
  }

  reserve(body: Body, length: number): void {
    if (length <= body.bytes.length) return
    const larger = Buffer.allocUnsafeSlow(length + (length >> 2))
    body.bytes.copy(larger, 0, 0, this.length)
    body.bytes = larger
  }

  addLines(file: string | undefined, from: number, to: number): void {
    const last = this.lines[this.lines.length - 1]
    if (last !== undefined && last.to === from - 1 && last.file === file) last.to = to
    else this.lines.push(file === undefined ? { from, to } : { file, from, to })
  }

  close(): Portion {
    const portion: Portion = {
      bytes: { from: this.from, to: this.to },
      digest: this.hash.digest("hex"),
      rejections: this.rejections,
      batch: this.takeBatch()
    }
    this.hash = createHash("sha256")
    this.from = this.to
    this.rejections = []
    return portion
  }

  takeBatch(): Batch | undefined {
    const body = this.body
    if (body === undefined) return undefined
    // The comma after the last record becomes the end of the array.
    body.bytes[this.length - 1] = closing
    this.pool.expect(this.length)
    const batch: Batch = {
      records: this.count,
      withoutAccessToken: this.withoutAccessToken,
      lines: this.lines,
      body: body.bytes.subarray(0, this.length),
      ends: body.ends,
      release: () => this.pool.give(body)
    }
    this.body = undefined
    this.length = 0
    this.count = 0
    this.withoutAccessToken = 0
    this.lines = []
    return batch
  }
}

const opening = 0x5b
const closing = 0x5d
const comma = 0x2c

/** Where the line of a record ends, its newline included; the beginning of the page before the first. */
const lineEnd = (page: RecordPage, record: number): number =>
  record === -1 ? 0 : Math.min(page.ends[record]! + 1, page.bytes.length)

const grown = (ends: Int32Array): Int32Array => {
  const larger = new Int32Array(ends.length * 2)
  larger.set(ends)
  return larger
}

/**
 * Cuts pages into portions.
 *
 * @param from how many bytes of the input come before the pages
 */
export const fromPages =
  (options: Options = {}, from = 0) =>
  <E, R>(pages: Stream.Stream<RecordPage, E, R>): Stream.Stream<Portion, E, R> =>
    Stream.transformPull(pages, (pull, scope) =>
      Effect.sync(() => {
        const builder = new Builder(options, from)
        const pause = options.pause ?? "1 second"
        /** A pull that a pause has not interrupted, since that would lose what it has read. */
        let pulling: Fiber.Fiber<ReadonlyArray<RecordPage>, E | Cause.Done<void>> | undefined
        /** The end or the failure of the source, once it has come. What was read before it is passed on first. */
        let ended: Cause.Cause<E | Cause.Done<void>> | undefined

        const next: Effect.Effect<Option.Option<ReadonlyArray<RecordPage>>, E | Cause.Done<void>> = Effect.gen(
          function* () {
            if (builder.isEmpty && pulling === undefined) return Option.some(yield* pull)
            pulling ??= yield* Effect.forkIn(pull, scope)
            const fiber = pulling
            const exit = yield* Effect.timeoutOption(Fiber.await(fiber), pause)
            if (Option.isNone(exit)) {
              if (!builder.isEmpty) return Option.none()
              pulling = undefined
              return Option.some(yield* Fiber.join(fiber))
            }
            pulling = undefined
            return Option.some(yield* exit.value)
          }
        )

        /** What is still to come of the page that was pulled last. */
        let portions: Iterator<Portion> | undefined

        const step: Pull.Pull<readonly [Portion], E> = Effect.gen(function* () {
          for (;;) {
            const portion = portions?.next()
            if (portion?.done === false) return [portion.value] as const
            portions = undefined
            if (ended !== undefined) return yield* Effect.failCause(ended)
            const result = yield* Effect.exit(next)
            if (Exit.isSuccess(result) && Option.isSome(result.value)) {
              portions = Iterable.flatMap(result.value.value, (page) => builder.add(page))[Symbol.iterator]()
              continue
            }
            if (Exit.isFailure(result)) ended = result.cause
            if (builder.from < builder.to) return [builder.close()] as const
          }
        })
        return step
      })
    )

/** The records of pages as one batch, whatever their number: for a batch that was cut before. `undefined` if there are none. */
export const whole = (pages: Iterable<RecordPage>): Batch | undefined => {
  const builder = new Builder({ batchSize: Infinity, batchBytes: Infinity })
  for (const page of pages) builder.addAll(page)
  return builder.takeBatch()
}

/** Two batches of the first and second half of a batch's records, with bodies of their own. */
export const halve = (batch: Batch): readonly [Batch, Batch] => {
  const middle = Math.ceil(batch.records / 2)
  return [part(batch, 0, middle), part(batch, middle, batch.records)]
}

/** A batch of some of a batch's records, `from` (inclusive) to `to` (exclusive), with a body of its own. */
export const part = (batch: Batch, from: number, to: number): Batch => {
  const start = from === 0 ? 1 : batch.ends[from - 1]! + 1
  const end = batch.ends[to - 1]!
  const body = new Uint8Array(end - start + 2)
  body[0] = opening
  body.set(batch.body.subarray(start, end), 1)
  body[body.length - 1] = closing
  const ends = batch.ends.slice(from, to).map((e) => e - start + 1)
  return {
    records: to - from,
    withoutAccessToken: countWithoutAccessToken(body, batch),
    lines: sliceLines(batch.lines, from, to),
    body,
    ends,
    release: () => {}
  }
}

const countWithoutAccessToken = (body: Uint8Array, whole: Batch): number => {
  if (whole.withoutAccessToken === 0) return 0
  const records = JSON.parse(Buffer.from(body).toString()) as ReadonlyArray<{ readonly accessToken?: unknown }>
  return whole.withoutAccessToken === whole.records
    ? records.length
    : records.filter((record) => record.accessToken == null).length
}

/** The line ranges of the records `from` (inclusive) to `to` (exclusive), counted over all ranges. */
export const sliceLines = (lines: ReadonlyArray<LineRange>, from: number, to: number): ReadonlyArray<LineRange> => {
  const sliced: Array<LineRange> = []
  let before = 0
  for (const range of lines) {
    const size = range.to - range.from + 1
    const first = Math.max(from - before, 0)
    const last = Math.min(to - before, size) - 1
    if (first <= last) sliced.push({ ...range, from: range.from + first, to: range.from + last })
    before += size
  }
  return sliced
}
