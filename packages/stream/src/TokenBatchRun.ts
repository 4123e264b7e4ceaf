/**
 * A run: composes the stages into one stream of events, with back-pressure from the reader of the events to the source.
 *
 * ```
 * inputs -> TokenRecords -> Batches -> (a slot) -> Submission -> Polling
 *                              |                       |            |
 *                              +------ RunEvent -------+------------+
 * ```
 *
 * Portions come in the order of the input, and their events with them. A batch takes a slot, of which there are `concurrency`, from
 * before its intent until its end; then each batch is an effect of its own that never fails and tells what happened. A batch that was
 * refused is split under its slot, depth first, with its second half in a slot of its own where one is free; each half is intended
 * when its turn comes.
 *
 * Interrupting the stream ends everything at once. The option `stop` ends it in order: nothing more is read, what is in flight gets its
 * grace, and the last event is still `RunFinished`.
 */
import { Secrets, type TokenOperations } from "@tokenbatch/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as Batches from "./Batches.ts"
import * as Leg from "./Leg.ts"
import * as Polling from "./Polling.ts"
import type { RunEvent } from "./RunEvent.ts"
import * as RunReport from "./RunReport.ts"
import * as RunState from "./RunState.ts"
import * as Submission from "./Submission.ts"
import * as TokenRecords from "./TokenRecords.ts"

/** Options of a run, with those of its stages. */
export interface Options extends TokenRecords.Options, Batches.Options, Submission.Options, Polling.Options {
  /** Names the run. Default: the time and some random characters. */
  readonly runId?: string | undefined
  /** Most batches between intent and outcome. Default 16. */
  readonly concurrency?: number | undefined
  /** Stop when more lines than this are rejected. Default: never. */
  readonly maxRejects?: number | undefined
  /** Go on though batch after batch is refused with one code. Default false. */
  readonly keepGoing?: boolean | undefined
  /** When it completes, the run stops in order. Default: never. */
  readonly stop?: Effect.Effect<unknown> | undefined
  /** How long what is in flight may still take after `stop`. Default 10 seconds. */
  readonly grace?: Duration.Input | undefined
}

export const defaultConcurrency = 16

/** Events that may wait to be read before the run waits for their reader. */
const eventBuffer = 256

/** As many refused batches in a row are a systematic refusal. */
const systematic = 3

/** Runs the records of pages. The stream never fails: an input that cannot be read on stops the run. */
export const fromPages = <E, R>(
  pages: Stream.Stream<TokenRecords.RecordPage, E, R>,
  options: Options = {}
): Stream.Stream<RunEvent, never, R | TokenOperations.TokenOperations> =>
  Stream.callback<RunEvent, never, R | TokenOperations.TokenOperations>(
    (queue) => {
      checkOptions(options)
      return Effect.andThen(run(pages, options, queue), Queue.end(queue))
    },
    { bufferSize: eventBuffer }
  )

/** Runs the records of inputs, one after another. */
export const fromInputs = <E, R>(inputs: Iterable<TokenRecords.Input<E, R>>, options: Options = {}) =>
  fromPages(TokenRecords.fromInputs(inputs, options), options)

/** Runs the records of one input. */
export const fromBytes = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, options: Options = {}) =>
  fromPages(TokenRecords.fromBytes(bytes, options), options)

/** Numbers that would have a run wait for ever, or close no batch, are a mistake of whoever wrote them: the stream dies of it. */
const checkOptions = (options: Options) => {
  for (const name of ["concurrency", "batchSize", "batchBytes", "maxLineBytes"] as const) {
    const value = options[name]
    if (value !== undefined && (!Number.isInteger(value) || value < 1)) {
      throw new RangeError(`${name}: expected a whole number from 1 on, got ${value}`)
    }
  }
}

const newRunId = Effect.map(
  Clock.currentTimeMillis,
  (now) => `${new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")}-${randomBytes(3).toString("hex")}`
)

const run = Effect.fnUntraced(function* <E, R>(
  pages: Stream.Stream<TokenRecords.RecordPage, E, R>,
  options: Options,
  queue: Queue.Enqueue<RunEvent, Cause.Done>
): Effect.fn.Return<void, never, R | TokenOperations.TokenOperations | Scope.Scope> {
  const concurrency = options.concurrency ?? defaultConcurrency
  let state = RunState.initial
  const emit = (event: RunEvent) => {
    state = RunState.step(state, event)
    return Queue.offer(queue, event)
  }
  const leg = yield* Leg.make(emit)
  const slots = yield* Semaphore.make(concurrency)
  const streak = makeStreak()
  let batches = 0

  yield* emit({
    _tag: "RunStarted",
    runId: options.runId ?? (yield* newRunId),
    startedAt: yield* Clock.currentTimeMillis,
    dryRun: options.dryRun ?? false,
    batchSize: options.batchSize ?? Batches.defaultBatchSize,
    batchBytes: options.batchBytes ?? Batches.defaultBatchBytes,
    concurrency,
    ...(options.limit === undefined ? undefined : { limit: options.limit })
  })

  // Forked in the run's scope, so that it ends with it.
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* options.stop ?? Effect.never
      yield* Leg.stop(leg, "Requested", "the run was asked to stop")
      yield* Effect.sleep(options.grace ?? Duration.seconds(10))
      yield* Deferred.succeed(leg.halted, undefined)
    })
  )

  const intend = Effect.fnUntraced(function* (
    batch: Batches.Batch,
    from: { readonly parent: number } | Pick<Batches.Portion, "bytes" | "digest">
  ) {
    const index = ++batches
    yield* emit({
      _tag: "BatchIntended",
      batch: index,
      records: batch.records,
      withoutAccessToken: batch.withoutAccessToken,
      lines: batch.lines,
      ...("parent" in from ? { parent: from.parent } : { bytes: from.bytes, digest: from.digest })
    })
    return index
  })

  /** Sees one batch to its end, and gives how it ended. */
  const process: (index: number, batch: Batches.Batch) => Effect.Effect<Ended, never, TokenOperations.TokenOperations> =
    Effect.fnUntraced(function* (index, batch) {
      const { lines, records } = batch
      const submitted = yield* Submission.submit(leg, { batch: index, body: batch.body }, options)
      switch (submitted._tag) {
        case "NotSubmitted":
        case "InDoubt": {
          const { code, message } = submitted
          yield* emit(
            submitted._tag === "InDoubt"
              ? { _tag: "BatchUnresolved", batch: index, records, lines, code, message, polls: 0 }
              : { _tag: "BatchNotSubmitted", batch: index, records, lines, code, message }
          )
          return undecided
        }
        case "Refused":
          return yield* deny(index, batch, { ...submitted, polls: 0 })
        case "Taken": {
          const { requestId } = submitted.receipt
          yield* emit({ _tag: "BatchAccepted", batch: index, requestId })
          const outcome = yield* Polling.poll(leg, requestId, () => Secrets.tokenValues(batch.body), options)
          const { polls } = outcome
          switch (outcome._tag) {
            case "Succeeded":
              yield* emit({ _tag: "BatchSucceeded", batch: index, requestId, records, polls })
              return { succeeded: true, codes: [] }
            case "Unresolved": {
              const { code, message } = outcome
              yield* emit({ _tag: "BatchUnresolved", batch: index, requestId, records, lines, code, message, polls })
              return undecided
            }
            case "Failed": {
              // A dry run creates nothing, so its failure denies what it isolates. A real one may have been carried out in part.
              if (options.dryRun === true) return yield* deny(index, batch, outcome)
              const { _tag: _, ...why } = outcome
              yield* emit({ _tag: "BatchFailed", batch: index, requestId, records, lines, ...why })
              return { succeeded: false, codes: [outcome.code] }
            }
          }
        }
      }
    })

  /** A batch of which nothing was taken: in two halves; a single record is failed. */
  const deny = Effect.fnUntraced(function* (
    index: number,
    batch: Batches.Batch,
    { code, message, polls }: { readonly code: string; readonly message: string; readonly polls: number }
  ): Effect.fn.Return<Ended, never, TokenOperations.TokenOperations> {
    if (batch.records === 1) {
      yield* emit({ _tag: "BatchRefused", batch: index, records: 1, lines: batch.lines, code, message, polls })
      return { succeeded: false, codes: [code] }
    }
    yield* emit({ _tag: "BatchSplit", batch: index, records: batch.records, code, message, polls })
    // A part is intended when it has a slot, so that no more than `concurrency` batches are between intent and outcome.
    const seeThrough = (part: Batches.Batch) =>
      Effect.flatMap(intend(part, { parent: index }), (partIndex) => process(partIndex, part))
    const [first, second] = Batches.halve(batch)
    const ahead = yield* Effect.forkChild(slots.withPermitsIfAvailable(1)(seeThrough(second)))
    const firstEnded = yield* seeThrough(first)
    const inOtherSlot = yield* Fiber.join(ahead)
    const secondEnded = inOtherSlot._tag === "Some" ? inOtherSlot.value : yield* seeThrough(second)
    return {
      succeeded: firstEnded.succeeded || secondEnded.succeeded,
      codes: [...new Set([...firstEnded.codes, ...secondEnded.codes])]
    }
  })

  const processFromInput = Effect.fnUntraced(function* (index: number, batch: Batches.Batch) {
    const ended = yield* process(index, batch)
    const code = streak(ended)
    if (code !== undefined && options.keepGoing !== true) {
      yield* Leg.stop(
        leg,
        "SystematicRefusal",
        `the last ${systematic} batches all ended with ${code}, and none succeeded between`
      )
    }
  })

  const fibers = yield* FiberSet.make<unknown>()
  let bytes = 0

  const take = Effect.fnUntraced(function* (portion: Batches.Portion) {
    const { batch, rejections } = portion
    bytes = portion.bytes.to
    if (rejections.length > 0) {
      yield* emit({
        _tag: "LinesRejected",
        rejections: rejections as [TokenRecords.Rejection, ...Array<TokenRecords.Rejection>]
      })
      if (state.records.rejected > (options.maxRejects ?? Infinity)) {
        yield* Leg.stop(leg, "TooManyRejects", `more than ${options.maxRejects} lines were rejected`)
      }
    }
    if (batch === undefined) return
    yield* slots.take(1)
    const index = yield* intend(batch, portion)
    yield* FiberSet.run(
      fibers,
      processFromInput(index, batch).pipe(
        // A batch that met a defect has no end that could be told: the stream dies of it rather than finish without.
        Effect.catchCause((cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : Queue.failCause(queue, cause)
        ),
        Effect.ensuring(
          Effect.suspend(() => {
            batch.release()
            return slots.release(1)
          })
        )
      )
    )
  })

  yield* pages.pipe(
    Batches.fromPages(options),
    Stream.interruptWhen(Deferred.await(leg.stopping)),
    Stream.runForEach(take),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Leg.stop(leg, "Unreadable", describe(cause))
    )
  )
  yield* emit({ _tag: "InputEnded", complete: !leg.stopped, bytes })
  yield* FiberSet.awaitEmpty(fibers)
  yield* Leg.end(leg)
  yield* emit({ _tag: "RunFinished", report: RunReport.fromState(state, yield* Clock.currentTimeMillis) })
})

/** How a batch ended, its parts together: whether anything succeeded, and the codes of what was refused or failed. */
interface Ended {
  readonly succeeded: boolean
  readonly codes: ReadonlyArray<string>
}

/** Ended without a verdict of the service. */
const undecided: Ended = { succeeded: false, codes: [] }

/** Counts batches of the input that were refused or failed with one code and nothing between; gives the code at the third. */
const makeStreak = () => {
  let code: string | undefined
  let length = 0
  return (ended: Ended): string | undefined => {
    if (ended.succeeded) length = 0
    else if (ended.codes.length > 0) {
      const same = ended.codes.length === 1 && ended.codes[0] === code
      length = same ? length + 1 : 1
      code = ended.codes.length === 1 ? ended.codes[0] : undefined
    }
    return length >= systematic ? code : undefined
  }
}

const describe = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return error instanceof Error ? error.message : String(error)
}
