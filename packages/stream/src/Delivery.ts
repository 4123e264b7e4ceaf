/**
 * Sees one batch from its intent to its end, and says what happens on the way: handed in, polled, split where something in it was
 * refused.
 *
 * A batch that was refused is split depth first, with its second half in a slot of its own where one is free; each half is intended
 * when its turn comes, so that no more than `concurrency` batches are between intent and end. The same goes for a batch that FAILED
 * under a dry run, where nothing was created. If its parts all pass alone, though, it is their being together that fails: they are
 * not called fit to be created then.
 */
import { Secrets, TokenBatch, type TokenOperations } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Batches from "./Batches.ts"
import type { Ticket } from "./Flow.ts"
import type * as Leg from "./Leg.ts"
import * as Lines from "./Lines.ts"
import type { OpenBatch, OpenBatches } from "./OpenBatches.ts"
import * as Polling from "./Polling.ts"
import type { RunEvent } from "./RunEvent.ts"
import * as Submission from "./Submission.ts"

/** Options of a delivery. */
export interface Options extends Submission.Options, Polling.Options {
  /** Called with a batch that was really created, while its body is there. */
  readonly onCreated?: ((batch: Batches.Batch) => void) | undefined
  /** Batches that are still to be asked after: one that is taken up is not one of them any more. */
  readonly pending?: Set<number> | undefined
  /** Called with a batch that ended without a verdict, while its body is there. */
  readonly onUndecided?: ((index: number, batch: Batches.Batch) => void) | undefined
}

/** How a batch ended, its parts together: whether anything succeeded, and the codes of what was refused or failed. */
export interface Ended {
  readonly succeeded: boolean
  readonly codes: ReadonlyArray<string>
  /** Successes that have not been told yet, because the batches were parts of one that failed a dry run. */
  readonly held?: ReadonlyArray<Held>
}

interface Held {
  readonly batch: Batches.Batch
  readonly event: Succeeded
}

type Succeeded = Extract<RunEvent, { readonly _tag: "BatchSucceeded" }>

/** Ended without a verdict of the service. */
const undecided: Ended = { succeeded: false, codes: [] }

/** Where a batch comes from. */
export type Origin =
  | { readonly parent: number }
  | (Pick<Batches.Portion, "bytes" | "digest"> & Partial<Pick<Batches.Portion, "rejections">>)

/** The intent of the next batch. It has a number then, and has to be said before anything else is. */
export const intent = (leg: Leg.Leg, batch: Batches.Batch, origin: Origin) => {
  const index = ++leg.lastBatch
  const { lines, records, withoutAccessToken } = batch
  const event: RunEvent = {
    _tag: "BatchIntended",
    batch: index,
    records,
    withoutAccessToken,
    lines,
    ...("parent" in origin ? { parent: origin.parent } : { bytes: origin.bytes, digest: origin.digest }),
    ...("rejections" in origin && origin.rejections.length > 0
      ? { rejections: origin.rejections as [Batches.Portion["rejections"][number]] }
      : undefined)
  }
  return { index, event }
}

/**
 * What an event is worth that could not be written down: the next leg will not know of it. So what the service said of a batch is not
 * told as known, and what was found out of records is not told at all.
 */
export const unwritten = (event: RunEvent, open: OpenBatches): RunEvent | undefined => {
  switch (event._tag) {
    case "BatchSucceeded":
    case "BatchRefused": {
      const { batch, polls, records } = event
      const resolves = "resolves" in event ? { resolves: event.resolves } : undefined
      const lines = open.get(batch)?.lines ?? []
      const message = "what became of it could not be written down"
      return { _tag: "BatchUnresolved", batch, ...resolves, records, lines, code: "JOURNAL", message, polls }
    }
    case "RecordsSettled":
      return undefined
    default:
      return event
  }
}

interface Task {
  readonly index: number
  readonly batch: Batches.Batch
  /** Whether it was certainly not taken before. */
  readonly again?: boolean
  /** Whether to keep a success back. */
  readonly hold?: boolean
}

/** Sees a batch that has been intended to its end. */
export const deliver: (
  leg: Leg.Leg,
  task: Task,
  options: Options
) => Effect.Effect<Ended, never, TokenOperations.TokenOperations> = Effect.fnUntraced(function* (leg, task, options) {
  const { again, batch, index } = task
  const { lines, records } = batch
  const submitted = yield* Submission.submit(leg, { batch: index, body: batch.body, records, again }, options)
  switch (submitted._tag) {
    case "NotSubmitted": {
      const { code, message } = submitted
      yield* leg.emit({ _tag: "BatchNotSubmitted", batch: index, records, lines, code, message })
      return undecided
    }
    case "InDoubt": {
      const { code, message } = submitted
      options.onUndecided?.(index, batch)
      yield* leg.emit({ _tag: "BatchUnresolved", batch: index, records, lines, code, message, polls: 0 })
      return undecided
    }
    case "Refused":
      return yield* deny(leg, task, { ...submitted, polls: 0 }, options)
    case "Taken": {
      const { sent, ticket } = submitted
      yield* leg.emit({ _tag: "BatchAccepted", batch: index, requestId: ticket.requestId })
      return yield* follow(leg, task, ticket, options, sent)
    }
  }
})

/** Sees a batch that has been taken to its end. @param began when it was handed in, if that was in this leg */
export const follow: (
  leg: Leg.Leg,
  task: Task,
  ticket: Ticket,
  options: Options,
  began?: number
) => Effect.Effect<Ended, never, TokenOperations.TokenOperations> = Effect.fnUntraced(
  function* (leg, task, ticket, options, began) {
    const { batch, hold, index } = task
    const { requestId } = ticket
    const { lines, records } = batch
    const outcome = yield* Polling.poll(leg, ticket, () => Secrets.tokenValues(batch.body), options)
    const { polls } = outcome
    const now = leg.flow.now()
    const elapsed = began === undefined ? undefined : { elapsed: now - began }
    switch (outcome._tag) {
      case "Succeeded": {
        const event: Succeeded = { _tag: "BatchSucceeded", batch: index, requestId, records, polls, ...elapsed }
        if (hold === true) return { succeeded: true, codes: [], held: [{ batch, event }] }
        if (options.dryRun !== true) options.onCreated?.(batch)
        yield* leg.emit(event)
        return { succeeded: true, codes: [] }
      }
      case "Unresolved": {
        const { code, lost, message } = outcome
        options.onUndecided?.(index, batch)
        yield* leg.emit({
          _tag: "BatchUnresolved",
          batch: index,
          requestId,
          ...(lost ? { lost: true as const } : undefined),
          records,
          lines,
          code,
          message,
          polls
        })
        return undecided
      }
      case "Failed": {
        // A dry run creates nothing, so its failure denies what it isolates. A real one may have been carried out in part.
        if (options.dryRun === true) return yield* deny(leg, task, { ...outcome, failed: true }, options)
        const { _tag: _, ...why } = outcome
        options.onUndecided?.(index, batch)
        yield* leg.emit({ _tag: "BatchFailed", batch: index, requestId, records, lines, ...why, ...elapsed })
        return { succeeded: false, codes: [outcome.code] }
      }
    }
  }
)

interface Denial {
  readonly code: string
  readonly message: string
  readonly polls: number
  /** Whether it was worked on, and not refused when it was handed in. */
  readonly failed?: boolean
}

/** A batch of which nothing was taken: in two halves; a single record is failed. */
const deny = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  { batch, hold = false, index }: Task,
  { code, failed = false, message, polls }: Denial,
  options: Options
): Effect.fn.Return<Ended, never, TokenOperations.TokenOperations> {
  if (batch.records === 1) {
    yield* leg.emit({ _tag: "BatchRefused", batch: index, records: 1, lines: batch.lines, code, message, polls })
    return { succeeded: false, codes: [code] }
  }
  yield* leg.emit({ _tag: "BatchSplit", batch: index, records: batch.records, code, message, polls })
  const [first, second] = Batches.halve(batch)
  const begin = (part: Batches.Batch) => Effect.suspend(() => deliverPart(leg, index, part, hold || failed, options))
  const parts = yield* both(leg, begin(first), begin(second))
  const succeeded = parts.some((part) => part.succeeded)
  const codes = [...new Set(parts.flatMap((part) => part.codes))]
  const held = parts.flatMap((part) => part.held ?? [])
  if (!failed) return { succeeded, codes, held }
  // Nothing in it was denied, and all of it is fit: what is wrong is its being together.
  const together = codes.length === 0 && parts.every((part) => part.succeeded)
  const why = `passes alone, and fails together with others${together ? repeated(batch) : ""}: ${message}`
  for (const one of held) yield* leg.emit(together ? unfit(one, code, why) : one.event)
  return together ? { succeeded: false, codes: [code] } : { succeeded, codes }
})

const deliverPart = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  parent: number,
  batch: Batches.Batch,
  hold: boolean,
  options: Options
) {
  const { event, index } = intent(leg, batch, { parent })
  yield* leg.emit(event)
  return yield* deliver(leg, { index, batch, hold }, options)
})

/** Two effects, the second in a slot of its own if one is free, else after the first. */
const both = Effect.fnUntraced(function* <A, R>(
  leg: Leg.Leg,
  first: Effect.Effect<A, never, R>,
  second: Effect.Effect<A, never, R>
) {
  const ahead = yield* Effect.forkChild(leg.flow.slots.withPermitsIfAvailable(1)(second))
  const one = yield* first
  const other = yield* Fiber.join(ahead)
  return [one, other._tag === "Some" ? other.value : yield* second]
})

const unfit = ({ batch, event }: Held, code: string, message: string): RunEvent => ({
  _tag: "BatchUnresolved",
  batch: event.batch,
  requestId: event.requestId,
  records: event.records,
  lines: batch.lines,
  code,
  message,
  polls: event.polls
})

/** The first two lines of a batch that carry one token value, in words. */
const repeated = ({ body, lines }: Batches.Batch): string => {
  const seen = new Map<unknown, number>()
  const records = JSON.parse(Buffer.from(body).toString()) as ReadonlyArray<Record<string, unknown>>
  for (const [index, record] of records.entries()) {
    for (const field of ["accessToken", "refreshToken"]) {
      const value = record[field]
      if (value == null) continue
      const before = seen.get(value)
      if (before !== undefined) return ` (lines ${lineOf(lines, before)} and ${lineOf(lines, index)} have one ${field})`
      seen.set(value, index)
    }
  }
  return ""
}

const lineOf = (lines: Batches.Batch["lines"], index: number): number =>
  Batches.sliceLines(lines, index, index + 1)[0]!.from

/**
 * Takes up a batch of an earlier leg: submits it if it certainly was not taken, asks after it if it was, and does the same with its
 * parts where it was split.
 */
export const takeUp: (
  leg: Leg.Leg,
  open: OpenBatches,
  entry: OpenBatch,
  batch: Batches.Batch,
  options: Options
) => Effect.Effect<void, never, TokenOperations.TokenOperations> = Effect.fnUntraced(
  function* (leg, open, entry, batch, options) {
    const task = { index: entry.batch, batch, again: true }
    switch (entry.phase) {
      case "NotTaken":
        if (entry.ended) {
          yield* leg.emit({ _tag: "BatchReopened", batch: entry.batch, records: entry.records, from: "notSubmitted" })
        }
        yield* deliver(leg, task, options)
        return
      case "Unresolved":
        if (entry.requestId === undefined || entry.lost) return
        options.pending?.delete(entry.batch)
        yield* leg.emit({ _tag: "BatchReopened", batch: entry.batch, records: entry.records, from: "unresolved" })
        yield* follow(leg, task, leg.flow.adopt(TokenBatch.RequestId.make(entry.requestId)), options)
        return
      case "Accepted":
        yield* follow(leg, task, leg.flow.adopt(TokenBatch.RequestId.make(entry.requestId!)), options)
        return
      case "Split": {
        const known = open.partsOf(entry.batch)
        const left = entry.left
        const begin = (part: Batches.Batch) =>
          Effect.suspend(() => {
            const before = known.find(({ lines }) => Lines.indexOf(lines, part.lines[0]!) === 0)
            if (before !== undefined) return takeUp(leg, open, before, part, options)
            // Its lines are left only if it was never intended.
            return Lines.includes(left, part.lines[0]!)
              ? Effect.asVoid(deliverPart(leg, entry.batch, part, false, options))
              : Effect.void
          })
        const [first, second] = Batches.halve(batch)
        yield* both(leg, begin(first), begin(second))
      }
    }
  }
)
