/**
 * From bytes to numbered records and rejections: lines are found, parsed and checked, and pass as the bytes they came as.
 *
 * The unit is a {@link RecordPage}: a stretch of the input, the places of its records, and its rejections. Pages lie end to end over
 * the whole input, so that whoever comes after knows of every byte. A page is a view of the buffer that was read: it is valid until
 * the next one is pulled.
 *
 * A line that cannot be a record is never an error: it becomes a {@link Rejection} with the position, a reason in our own words and
 * the field. Its content is quoted nowhere.
 *
 * ## Where the time goes
 *
 * Into recognising records by their bytes, nine tenths of it (`TokenCreateRequest.makeRecogniser`): those are never parsed. Everything else
 * is one synchronous loop over a page with no allocation a record: the newline is found on the way, and positions go into typed arrays that
 * the next page reuses. A line that is not recognised is parsed and checked and costs three times as much; one that is rejected costs some
 * microseconds more, for its reason and its column.
 */
import { TokenCreateRequest } from "@tokenbatch/core"
import * as Iterable from "effect/Iterable"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { isUtf8 } from "node:buffer"
import { findColumn, findMalformed } from "./JsonScan.ts"

/** Where a line stands. */
export const Position = Schema.Struct({
  /** The input's name, where there is one. */
  file: Schema.optionalKey(Schema.String),
  /** From 1, in its file. */
  line: Schema.Int,
  /** In bytes from the beginning of its file, after decompression. */
  offset: Schema.Int
})
export interface Position extends Schema.Schema.Type<typeof Position> {}

/** A line that cannot be a record: where, and a reason that a person can act on. It holds nothing of the line. */
export const Rejection = Schema.Struct({
  ...Position.fields,
  reason: Schema.String,
  /** The field, as in `authorizationDetails.elements[0].type`. */
  field: Schema.optionalKey(Schema.String),
  /** In characters from 1. */
  column: Schema.optionalKey(Schema.Int)
})
export interface Rejection extends Schema.Schema.Type<typeof Rejection> {}

/** A stretch of the input and what stands on its lines. Valid until the next page is pulled. */
export interface RecordPage {
  readonly file: string | undefined
  /** All bytes of the stretch, those of blank and rejected lines included. */
  readonly bytes: Uint8Array
  /** How many records there are; the arrays below may be longer. */
  readonly count: number
  /** Record `i` is `bytes.subarray(starts[i], ends[i])`, without its newline. */
  readonly starts: Int32Array
  readonly ends: Int32Array
  /** The line of record `i`, from 1. */
  readonly lines: Int32Array
  /** 1 where record `i` carries its own access token, else 0. */
  readonly keyed: Uint8Array
  /** In the order of their lines. */
  readonly rejections: ReadonlyArray<Rejection>
  /** For rejection `j`, how many records of this page stand before it. */
  readonly recordsBefore: ReadonlyArray<number>
}

/** One source of bytes, and what to call it in positions. */
export interface Input<E = never, R = never> {
  readonly name?: string | undefined
  /** Each chunk need only be valid until the next one is pulled. */
  readonly bytes: Stream.Stream<Uint8Array, E, R>
  /**
   * Whether `bytes` can be run again and gives the same then, as a file does and a pipe does not. What is unresolved is read again at
   * the end of a run; of what cannot be read again some is kept. Default false.
   */
  readonly repeatable?: boolean | undefined
  /** What the input is, for a run that goes on in another process: a path, say. Default: its name. */
  readonly identity?: string | undefined
  /** Why lines that are no JSON cannot be records, by their numbers, where whoever made them knows better. */
  readonly violations?: Map<number, TokenCreateRequest.Violation> | undefined
}

/** A place in an input to begin at: how many lines and bytes come before, and how many bytes of a line that is not at its end. */
export interface LineStart {
  readonly line: number
  readonly offset: number
  readonly lineLength: number
}

/** Where an input begins. */
export const lineOne: LineStart = { line: 1, offset: 0, lineLength: 0 }

/** Options of {@link fromInputs}. */
export interface Options extends TokenCreateRequest.CheckOptions {
  /** A longer line, in bytes, is rejected and read past without being held. Default 1 MiB. */
  readonly maxLineBytes?: number | undefined
  /** End after this many records, as if the input ended there. Default: no limit. */
  readonly limit?: number | undefined
  /** Called with each rejected line itself, which holds secrets. Not called for lines over the limit, which are not held. */
  readonly onRejectedLine?: ((position: Position, line: Redacted.Redacted) => void) | undefined
}

/** The default of `maxLineBytes`: 1 MiB. */
export const defaultMaxLineBytes = 1024 * 1024

const newline = 10

/** Node's own slice, which skips what `toString` has to find out first. */
interface Buffer extends globalThis.Buffer {
  readonly utf8Slice: (start: number, end: number) => string
}
const unparsed = Symbol("unparsed")

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return unparsed
  }
}

/** What goes on from one input to the next. */
interface Progress {
  records: number
}

/**
 * The hot loop's state for one input: mutable, and reused from page to page.
 */
class Framer {
  readonly file: string | undefined
  readonly maxLineBytes: number
  readonly limit: number
  readonly recognise: ReturnType<typeof TokenCreateRequest.makeRecogniser>
  readonly check: ReturnType<typeof TokenCreateRequest.makeLineCheck>
  readonly onRejectedLine: Options["onRejectedLine"]
  readonly progress: Progress
  readonly violations: Input["violations"]

  /** The line that the next byte belongs to, and where it began. */
  line = 1
  lineOffset = 0
  /** The beginning of a line whose end has not been read. */
  carry = Buffer.allocUnsafe(8192) as Buffer
  carried = 0
  /** Inside a line over the limit. */
  skipping = false

  starts = new Int32Array(4096)
  ends = new Int32Array(4096)
  lines = new Int32Array(4096)
  keyed = new Uint8Array(4096)
  count = 0
  rejections: Array<Rejection> = []
  recordsBefore: Array<number> = []

  constructor(
    { name, violations }: Pick<Input, "name" | "violations">,
    options: Options,
    progress: Progress,
    start: LineStart = lineOne
  ) {
    this.file = name
    this.violations = violations
    this.line = start.line
    this.lineOffset = start.offset
    this.maxLineBytes = options.maxLineBytes ?? defaultMaxLineBytes
    this.limit = options.limit ?? Infinity
    this.recognise = TokenCreateRequest.makeRecogniser(options)
    this.check = TokenCreateRequest.makeLineCheck(options)
    this.onRejectedLine = options.onRejectedLine
    this.progress = progress
    // Inside a line that was rejected for its length.
    this.skipping = start.lineLength > this.maxLineBytes
  }

  get done(): boolean {
    return this.progress.records >= this.limit
  }

  /** Takes a chunk and gives the pages that it completes: none, or one for a line carried over and one for the lines inside. */
  *push(chunk: Uint8Array): Generator<RecordPage> {
    let start = 0
    if (this.skipping || this.carried > 0) {
      const end = chunk.indexOf(newline)
      const head = chunk.subarray(0, end === -1 ? chunk.length : end + 1)
      if (this.skipping) {
        yield this.skip(head, end !== -1)
      } else {
        this.append(head)
        if (end !== -1) yield this.takeCarried()
        else if (this.carried > this.maxLineBytes) yield this.overlong()
      }
      if (this.done || end === -1) return
      start = end + 1
    }
    const last = chunk.lastIndexOf(newline)
    if (last >= start) {
      yield this.pageOf(asBuffer(chunk.subarray(start, last + 1)))
      if (this.done) return
      start = last + 1
    }
    if (start < chunk.length) {
      this.append(chunk.subarray(start))
      if (this.carried > this.maxLineBytes) yield this.overlong()
    }
  }

  /** The page of a last line without a newline. */
  *end(): Generator<RecordPage> {
    if (this.carried > 0) yield this.takeCarried()
  }

  append(bytes: Uint8Array): void {
    const needed = this.carried + bytes.length
    if (needed > this.carry.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.carry.length * 2)) as Buffer
      this.carry.copy(larger, 0, 0, this.carried)
      this.carry = larger
    }
    this.carry.set(bytes, this.carried)
    this.carried = needed
  }

  takeCarried(): RecordPage {
    const page = this.pageOf(this.carry.subarray(0, this.carried) as Buffer)
    this.carried = 0
    return page
  }

  /** A carried line has outgrown the limit: let go of it, and read past the rest. */
  overlong(): RecordPage {
    this.begin()
    this.reject(`the line is longer than ${this.maxLineBytes} bytes`)
    const bytes = this.carry.subarray(0, this.carried) as Buffer
    this.skipping = true
    this.carried = 0
    this.lineOffset += bytes.length
    return this.page(bytes)
  }

  skip(bytes: Uint8Array, isEnd: boolean): RecordPage {
    this.begin()
    this.lineOffset += bytes.length
    if (isEnd) {
      this.skipping = false
      this.line++
    }
    return this.page(bytes)
  }

  begin(): void {
    this.count = 0
    this.rejections = []
    this.recordsBefore = []
  }

  page(bytes: Uint8Array): RecordPage {
    const { file, count, starts, ends, lines, keyed, rejections, recordsBefore } = this
    return { file, bytes, count, starts, ends, lines, keyed, rejections, recordsBefore }
  }

  /** Whole lines, and perhaps a last one without its newline. */
  pageOf(bytes: Buffer): RecordPage {
    this.begin()
    const end = this.takeLines(bytes, isUtf8(bytes))
    return this.page(bytes.subarray(0, end))
  }

  /**
   * Takes lines as far as the limit allows, and gives the place behind them. Nothing but the loop: code behind it that runs once a page
   * would have it optimised anew each time that it gets there.
   */
  takeLines(bytes: Buffer, utf8: boolean): number {
    const base = this.lineOffset
    let start = 0
    while (start < bytes.length && !this.done) {
      const record = utf8 ? this.recognise(bytes, start) : undefined
      let end: number
      if (record !== undefined && record.end - start <= this.maxLineBytes) {
        end = record.end
        this.take(start, end, record.hasAccessToken)
      } else {
        const newlineAt = bytes.indexOf(newline, start)
        end = newlineAt === -1 ? bytes.length : newlineAt
        this.takeLine(bytes, start, end, utf8)
      }
      this.line++
      start = Math.min(end + 1, bytes.length)
      this.lineOffset = base + start
    }
    return start
  }

  /**
   * A line that has to be looked at twice.
   *
   * @param utf8 whether the bytes all around are valid UTF-8
   */
  takeLine(bytes: Buffer, from: number, end: number, utf8: boolean): void {
    // Before all else, and of all its bytes: so it does not matter in which pieces the line came.
    if (end - from > this.maxLineBytes) return this.reject(`the line is longer than ${this.maxLineBytes} bytes`)
    let start = from
    // A byte order mark belongs to the file, not to the record.
    if (this.line === 1 && bytes[start] === 0xef && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) start += 3
    if (bytes[start] !== 0x7b && isBlank(bytes, start, end)) return
    if (!utf8 && !isUtf8(bytes.subarray(start, end))) {
      return this.rejectLine(bytes, start, end, {
        reason: `the line is not valid UTF-8${looksLikeUtf16(bytes, start, end) ? " (is the file UTF-16?)" : ""}`,
        column: validPrefix(bytes, start, end) + 1
      })
    }
    const text = bytes.utf8Slice(start, end)
    const value = parse(text)
    if (value === unparsed) {
      const known = this.violations?.get(this.line)
      if (known !== undefined) {
        this.violations!.delete(this.line)
        return this.rejectLine(bytes, start, end, {
          reason: known.message,
          field: TokenCreateRequest.formatPath(known.path)
        })
      }
      const { column, reason } = findMalformed(text)
      return this.rejectLine(bytes, start, end, { reason: `malformed JSON: ${reason}`, column })
    }
    const violation = this.check(text, value)
    if (violation !== undefined) {
      const { message: reason, path } = violation
      // What is missing has no place of its own.
      const column = findColumn(text, path.length > 0 && Object.hasOwn(value as object, path[0]!) ? path : [])
      const field = TokenCreateRequest.formatPath(path)
      return this.rejectLine(bytes, start, end, field === "" ? { reason, column } : { reason, field, column })
    }
    this.take(start, end, (value as { readonly accessToken?: unknown }).accessToken != null)
  }

  take(start: number, end: number, keyed: boolean): void {
    const index = this.count++
    if (index === this.starts.length) this.grow()
    this.starts[index] = start
    this.ends[index] = end
    this.lines[index] = this.line
    this.keyed[index] = keyed ? 1 : 0
    this.progress.records++
  }

  rejectLine(bytes: Buffer, start: number, end: number, why: Pick<Rejection, "reason" | "field" | "column">): void {
    this.rejections.push({ ...this.position(), ...why })
    this.recordsBefore.push(this.count)
    this.onRejectedLine?.(this.position(), Redacted.make(bytes.toString("utf8", start, end).replace(/\r$/, "")))
  }

  reject(reason: string): void {
    this.rejections.push({ ...this.position(), reason })
    this.recordsBefore.push(this.count)
  }

  position(): Position {
    const { file, line, lineOffset: offset } = this
    return file === undefined ? { line, offset } : { file, line, offset }
  }

  grow(): void {
    const length = this.starts.length * 2
    const enlarge = <A extends Int32Array | Uint8Array>(old: A, larger: A): A => {
      larger.set(old)
      return larger
    }
    this.starts = enlarge(this.starts, new Int32Array(length))
    this.ends = enlarge(this.ends, new Int32Array(length))
    this.lines = enlarge(this.lines, new Int32Array(length))
    this.keyed = enlarge(this.keyed, new Uint8Array(length))
  }
}

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength) as Buffer

const isBlank = (bytes: Uint8Array, start: number, end: number): boolean => {
  for (let i = start; i < end; i++) {
    const byte = bytes[i]
    if (byte !== 0x20 && byte !== 0x09 && byte !== 0x0d) return false
  }
  return true
}

const looksLikeUtf16 = (bytes: Uint8Array, start: number, end: number): boolean =>
  (bytes[start] === 0xff && bytes[start + 1] === 0xfe) ||
  (bytes[start] === 0xfe && bytes[start + 1] === 0xff) ||
  bytes.subarray(start, Math.min(end, start + 64)).includes(0)

/** How many characters of a line are valid UTF-8 before the first that is not. */
const validPrefix = (bytes: Buffer, start: number, end: number): number => {
  let low = 0
  let high = end - start
  // A cut inside a character is invalid as well, so the longest valid beginning lies at most three bytes before the first bad byte.
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    const valid = [0, 1, 2, 3].some((less) => middle >= less && isUtf8(bytes.subarray(start, start + middle - less)))
    if (valid) low = middle
    else high = middle - 1
  }
  while (low > 0 && !isUtf8(bytes.subarray(start, start + low))) low--
  return bytes.utf8Slice(start, start + low).length
}

const pages = <E, R>(framer: Framer, bytes: Stream.Stream<Uint8Array, E, R>): Stream.Stream<RecordPage, E, R> =>
  Stream.suspend(() => {
    if (framer.done) return Stream.empty
    return bytes.pipe(
      Stream.map((chunk) => framer.push(chunk)),
      (frames) =>
        Stream.concat(
          frames,
          Stream.sync(() => framer.end())
        ),
      // One page at a time: the next one is made only when this one has been used.
      Stream.flatMap((frames) => Stream.fromIterable(frames, { chunkSize: 1 })),
      Stream.takeUntil(() => framer.done)
    )
  })

/** The records of several inputs, one after another. Lines and offsets are counted in each, records over all. */
export const fromInputs = <E, R>(
  inputs: Iterable<Input<E, R>>,
  options: Options = {}
): Stream.Stream<RecordPage, E, R> =>
  fromRest(
    Iterable.map(inputs, (input) => ({ input, start: undefined })),
    options
  )

/**
 * The records of what is left of inputs.
 *
 * @param records how many there were before, which count for the limit
 */
export const fromRest = <E, R>(
  rest: Iterable<{ readonly input: Input<E, R>; readonly start: LineStart | undefined }>,
  options: Options = {},
  records = 0
): Stream.Stream<RecordPage, E, R> =>
  Stream.suspend(() => {
    const progress: Progress = { records }
    return Stream.fromIterable(rest).pipe(
      Stream.flatMap(({ input, start }) => pages(new Framer(input, options, progress, start), input.bytes))
    )
  })

/** Consecutive bytes of one input. */
export interface Segment {
  readonly file: string | undefined
  readonly start: LineStart
  readonly bytes: Uint8Array
}

/** The records of bytes that are at hand, as they were when they were read first. */
export const fromSegments = function* (segments: Iterable<Segment>, options: Options = {}): Generator<RecordPage> {
  for (const { bytes, file, start } of segments) {
    const framer = new Framer(
      { name: file },
      { ...options, limit: undefined, onRejectedLine: undefined },
      { records: 0 },
      start
    )
    yield* framer.push(bytes)
    yield* framer.end()
  }
}

/** The records of one input. */
export const fromBytes = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>,
  options: Options = {}
): Stream.Stream<RecordPage, E, R> => fromInputs([{ bytes }], options)

/**
 * Typed requests as an input: value `n` of the stream, from 1, is line `n`. They are checked as lines of a file are, so that a request
 * that breaks a rule becomes a rejection. To be read once.
 */
export const inputFromRequests = <E, R>(
  requests: Stream.Stream<TokenCreateRequest.TokenCreateRequest, E, R>
): Input<E, R> => {
  const violations = new Map<number, TokenCreateRequest.Violation>()
  let line = 0
  const toLine = (request: TokenCreateRequest.TokenCreateRequest): string => {
    line++
    const json = TokenCreateRequest.toJson(request)
    if (Result.isSuccess(json)) return json.success
    violations.set(line, json.failure)
    return "!"
  }
  return {
    bytes: requests.pipe(
      Stream.chunks,
      Stream.map((chunk) => Buffer.from(`${chunk.map(toLine).join("\n")}\n`))
    ),
    violations
  }
}

/** Typed requests as records: see {@link inputFromRequests}. */
export const fromRequests = <E, R>(
  requests: Stream.Stream<TokenCreateRequest.TokenCreateRequest, E, R>,
  options: Options = {}
): Stream.Stream<RecordPage, E, R> => Stream.suspend(() => fromInputs([inputFromRequests(requests)], options))

/** The records of a page one by one, for those who want to look at them: copies, valid for good. */
export const records = (page: RecordPage): ReadonlyArray<{ readonly line: number; readonly bytes: Uint8Array }> =>
  Array.from({ length: page.count }, (_, i) => ({
    line: page.lines[i]!,
    bytes: page.bytes.slice(page.starts[i], page.ends[i])
  }))
