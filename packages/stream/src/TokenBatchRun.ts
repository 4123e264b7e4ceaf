/**
 * A run: composes the stages into one stream of events, with back-pressure from the reader of the events to the source.
 *
 * ```
 * inputs -> TokenRecords -> Batches -> (a slot) -> Submission -> Polling
 *                              |                       |            |
 *                              +------ RunEvent -------+------------+--> journal --> the stream
 * ```
 *
 * Portions come in the order of the input, and their intents with them. A batch takes a slot, of which `Flow` says how many there are, from
 * before its intent until its end; then each batch is an effect of its own that never fails and tells what happened (`Delivery`). When
 * all have ended, what is unresolved is looked into (`Resolution`).
 *
 * With a `RunJournal` that holds events of this run, the run goes on: its stream begins with those events, so that a fold over it covers
 * the whole run, then says `RunResumed`. The input is held against what was read of it before anything is sent.
 *
 * Interrupting the stream ends everything at once. The option `stop` ends it in order: nothing more is read, what is in flight gets its
 * grace, and the last event is still `RunFinished`.
 */
import { TokenOperations, type TokenCreateRequest } from "@tokenbatch/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { randomBytes } from "node:crypto"
import * as Batches from "./Batches.ts"
import { BatchNotifications } from "./BatchNotifications.ts"
import * as Delivery from "./Delivery.ts"
import * as EventLog from "./EventLog.ts"
import * as Flow from "./Flow.ts"
import * as InputReader from "./InputReader.ts"
import * as Leg from "./Leg.ts"
import { OpenBatches } from "./OpenBatches.ts"
import * as Polling from "./Polling.ts"
import * as Recall from "./Recall.ts"
import * as Resolving from "./Resolving.ts"
import * as Resumption from "./Resumption.ts"
import { format, type Pinned, type RunEvent } from "./RunEvent.ts"
import { RunJournal, type JournalError } from "./RunJournal.ts"
import * as RunReport from "./RunReport.ts"
import * as RunState from "./RunState.ts"
import * as Submission from "./Submission.ts"
import * as TokenRecords from "./TokenRecords.ts"

/** Options of a run, with those of its stages. */
export interface Options
  extends TokenRecords.Options, Omit<Batches.Options, "batchSize">, Submission.Options, Polling.Options, Flow.Options {
  /** Names the run. Default: the time and some random characters. */
  readonly runId?: string | undefined
  /** Stop when more lines than this are rejected. Default: never. */
  readonly maxRejects?: number | undefined
  /** Go on though batch after batch is refused with one code. Default false. */
  readonly keepGoing?: boolean | undefined
  /** When it completes, the run stops in order. Default: never. */
  readonly stop?: Effect.Effect<unknown> | undefined
  /** How long what is in flight may still take after `stop`. Default 10 seconds. */
  readonly grace?: Duration.Input | undefined
  /** Says in the first event that the service is a sandbox that will be gone. Default false. */
  readonly sandbox?: boolean | undefined
}

/** Why a run that was begun before cannot go on. Nothing was sent. */
export type ResumeError = Resumption.CannotResume | JournalError

/** Events that may wait to be read before the run waits for their reader. */
const eventBuffer = 256

/** As many refused batches in a row are a systematic refusal. */
const systematic = 3

/**
 * Runs the records of inputs, one after another. An input that cannot be read on stops the run, which is no failure of the stream;
 * only a run that was begun before can fail, and then before anything is sent.
 */
export const fromInputs = <E, R>(
  inputs: Iterable<TokenRecords.Input<E, R>>,
  options: Options = {}
): Stream.Stream<RunEvent, ResumeError, R | TokenOperations.TokenOperations> =>
  Stream.callback<RunEvent, ResumeError, R | TokenOperations.TokenOperations>(
    (queue) => {
      checkOptions(options)
      return Effect.matchCauseEffect(run([...inputs], options, queue), {
        onSuccess: () => Queue.end(queue),
        onFailure: (cause) => Queue.failCause(queue, cause)
      })
    },
    { bufferSize: eventBuffer }
  )

/** Runs the records of one input, which is read once. */
export const fromBytes = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>, options: Options = {}) =>
  fromInputs([{ bytes }], options)

/** Runs typed requests: value `n` of the stream, from 1, is line `n`. */
export const fromRequests = <E, R>(
  requests: Stream.Stream<TokenCreateRequest.TokenCreateRequest, E, R>,
  options: Options = {}
) => Stream.suspend(() => fromInputs([TokenRecords.inputFromRequests(requests)], options))

/** Numbers that would have a run wait for ever, or close no batch, are a mistake of whoever wrote them: the stream dies of it. */
const checkOptions = (options: Options) => {
  for (const name of [
    "concurrency",
    "maxConcurrency",
    "maxRequestsPerSecond",
    "batchSize",
    "batchBytes",
    "maxLineBytes"
  ] as const) {
    const value = options[name]
    if (value !== undefined && value !== "auto" && (!Number.isInteger(value) || value < 1)) {
      throw new RangeError(`${name}: expected a whole number from 1 on, got ${value}`)
    }
  }
  for (const name of ["limit", "maxRejects"] as const) {
    const value = options[name]
    if (value !== undefined && (!Number.isInteger(value) || value < 0)) {
      throw new RangeError(`${name}: expected a whole number, got ${value}; leave it out where there is no limit`)
    }
  }
}

const newRunId = Effect.map(
  Clock.currentTimeMillis,
  (now) => `${new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")}-${randomBytes(3).toString("hex")}`
)

const pinnedBy = (
  inputs: ReadonlyArray<TokenRecords.Input<unknown, unknown>>,
  options: Options,
  address: TokenOperations.Address
): Pinned => ({
  address,
  dryRun: options.dryRun ?? false,
  batchSize: options.batchSize ?? Batches.defaultBatchSize,
  batchBytes: options.batchBytes ?? Batches.defaultBatchBytes,
  maxLineBytes: options.maxLineBytes ?? TokenRecords.defaultMaxLineBytes,
  ...(options.limit === undefined ? undefined : { limit: options.limit }),
  allowUnknownFields: options.allowUnknownFields ?? false,
  requireAccessToken: options.requireAccessToken ?? false,
  inputs: inputs.map(({ identity, name }) => ({
    identity: identity ?? name ?? "",
    ...(name === undefined ? undefined : { name })
  }))
})

const run = Effect.fnUntraced(function* <E, R>(
  inputs: ReadonlyArray<TokenRecords.Input<E, R>>,
  options: Options,
  queue: Queue.Enqueue<RunEvent, ResumeError | Cause.Done>
): Effect.fn.Return<void, ResumeError, R | TokenOperations.TokenOperations | Scope.Scope> {
  const { address } = yield* TokenOperations.TokenOperations
  const concurrency = options.concurrency
  const journal = yield* RunJournal
  const pinned = pinnedBy(inputs, options, address)

  // What is known: everything that follows is a fold over the events.
  let state = RunState.initial
  const open = new OpenBatches()
  const fold = (event: RunEvent) => {
    state = RunState.step(state, event)
    open.step(event)
  }

  yield* journal.hold
  const cuts: Array<Resumption.Cut> = []
  yield* Stream.runForEach(
    journal.history,
    Effect.fnUntraced(function* (event) {
      if (event._tag === "RunStarted") yield* Resumption.checkPinned(event, pinned)
      fold(event)
      const cut = Resumption.cutOf(event)
      if (cut !== undefined) cuts.push(cut)
      yield* Queue.offer(queue, event)
    })
  )
  const resumed = journal.begun
  const pending = Resolving.pendingIn(open)

  /** What meets a defect has no end that could be told: the stream dies of it rather than finish without, or go on for ever. */
  const died = (cause: Cause.Cause<never>) =>
    Cause.hasInterruptsOnly(cause) ? Effect.failCause(cause) : Queue.failCause(queue, cause)

  const log = yield* EventLog.make({
    journal,
    fold,
    pass: (events) => Effect.asVoid(Queue.offerAll(queue, events)),
    unwritten: (event) => Delivery.unwritten(event, open),
    failed: (message) => Leg.fail(leg, message),
    died
  })
  const flow = yield* Flow.make({
    ...options,
    pollTimeout: options.pollTimeout ?? Polling.defaultPollTimeout,
    giveUpAfter: options.giveUpAfter ?? Submission.defaultGiveUpAfter,
    // Nobody waits for it: it says nothing that anything else is known by.
    changed: (event) => void log(event),
    givenUp: (message) => Leg.stop(leg, "GivenUp", message),
    died
  })
  const leg: Leg.Leg = yield* Leg.make({ emitUnsafe: log, flow, lastBatch: open.last })

  const notifications = yield* Effect.serviceOption(BatchNotifications)
  if (Option.isSome(notifications)) {
    const hints = yield* notifications.value.hints
    yield* Effect.forkScoped(Effect.catchCause(Effect.forever(Effect.map(PubSub.take(hints), flow.hint)), died))
  }

  const reader = yield* InputReader.make(inputs)
  const recall = Recall.make(inputs, options)
  const check = Effect.andThen(recall.check(reader, cuts, open), Resumption.rest(reader, options))
  const rest = resumed
    ? yield* Effect.raceFirst(check, Resumption.stoppedBy(options.stop))
    : inputs.map((input) => ({ input, start: undefined }))

  yield* leg.emit(
    resumed
      ? {
          _tag: "RunResumed",
          at: yield* Clock.currentTimeMillis,
          leg: state.legs + 1,
          ...(concurrency === undefined ? undefined : { concurrency }),
          ...(journal.cutOff > 0 ? { cutOff: journal.cutOff } : undefined)
        }
      : {
          _tag: "RunStarted",
          format,
          runId: options.runId ?? (yield* newRunId),
          startedAt: yield* Clock.currentTimeMillis,
          ...(concurrency === undefined ? undefined : { concurrency }),
          ...pinned,
          ...(options.sandbox === true ? { sandbox: true as const } : undefined)
        }
  )

  // Forked in the run's scope, so that it ends with it.
  yield* Effect.forkScoped(
    Effect.gen(function* () {
      yield* options.stop ?? Effect.never
      yield* Leg.stop(leg, "Requested", "the run was asked to stop")
      yield* Effect.sleep(options.grace ?? Duration.seconds(10))
      yield* Leg.halt(leg)
    }).pipe(Effect.catchCause(died))
  )

  const deliveryOptions: Delivery.Options = {
    ...options,
    pending,
    onCreated: recall.created,
    onUndecided: recall.undecided
  }
  const fibers = yield* FiberSet.make<unknown>()
  const streak = makeStreak()

  /** Sees a batch through in a fiber of its own, which gives its slot back. */
  const inFlight = (batch: Batches.Batch, effect: Effect.Effect<unknown, never, TokenOperations.TokenOperations>) =>
    FiberSet.run(
      fibers,
      effect.pipe(
        Effect.catchCause(died),
        Effect.ensuring(
          Effect.suspend(() => {
            batch.release()
            return leg.flow.slots.release(1)
          })
        )
      )
    )

  if (resumed) {
    yield* Resolving.closeInterrupted(leg, open)
    for (const { batch, entry } of recall.takenUp()) {
      yield* leg.flow.slots.take(1)
      yield* inFlight(batch, Delivery.takeUp(leg, open, entry, batch, deliveryOptions))
    }
  }

  const judge = Effect.fnUntraced(function* (ended: Delivery.Ended) {
    const code = streak(ended)
    if (code === undefined || options.keepGoing === true) return
    const message = `the last ${systematic} batches all ended with ${code}, and none succeeded between`
    yield* Leg.stop(leg, "SystematicRefusal", message)
  })

  let rejected = state.records.rejected
  const checkRejects = Effect.suspend(() =>
    rejected > (options.maxRejects ?? Infinity)
      ? Leg.stop(leg, "TooManyRejects", `more than ${options.maxRejects} lines were rejected`)
      : Effect.void
  )

  // Where the last cut ends: what was read behind it holds nothing but blank lines, and is read once more.
  let bytes = cuts.at(-1)?.bytes.to ?? 0

  const take = Effect.fnUntraced(function* (portion: Batches.Portion) {
    const { batch, digest, rejections } = portion
    bytes = portion.bytes.to
    rejected += rejections.length
    if (batch === undefined) {
      if (rejections.length === 0) return
      const [first, ...more] = rejections
      yield* leg.emit({ _tag: "LinesRejected", rejections: [first!, ...more], bytes: portion.bytes, digest })
      return yield* checkRejects
    }
    yield* leg.flow.slots.take(1)
    const { event, index } = Delivery.intent(leg, batch, portion)
    // Said now, in the order of the input; waited for by the batch, so that the next ones can be read and written down with it.
    const said = leg.emitUnsafe(event)
    yield* checkRejects
    yield* inFlight(
      batch,
      Effect.andThen(said, Delivery.deliver(leg, { index, batch }, deliveryOptions)).pipe(Effect.flatMap(judge))
    )
  })

  const pages = TokenRecords.fromRest(rest, options, state.records.read - state.records.rejected)
  yield* pages.pipe(
    Batches.fromPages({ ...options, batchSize: flow.batchSize }, bytes),
    Stream.interruptWhen(Deferred.await(leg.stopping)),
    Stream.runForEach(take),
    Effect.catchCause((cause) =>
      Cause.hasInterruptsOnly(cause)
        ? Effect.failCause(cause as Cause.Cause<never>)
        : Leg.stop(leg, "Unreadable", describe(cause))
    )
  )
  yield* leg.emit({ _tag: "InputEnded", complete: !leg.stopped, bytes })
  yield* FiberSet.awaitEmpty(fibers)
  // A run that was resumed finds out even where it has stopped for what its records are like: the stop would come again.
  const goesOn = resumed ? yield* Leg.goOn(leg) : !leg.stopped
  if (goesOn && options.dryRun !== true) {
    yield* Resolving.resolve({ leg, open, recall, pending, state: () => state }, deliveryOptions)
  }
  yield* Leg.end(leg)
  // Should it not be written: it says nothing that is not written before.
  yield* leg.emit({ _tag: "RunFinished", report: RunReport.fromState(state, yield* Clock.currentTimeMillis) })
})

/** Counts batches of the input that were refused or failed with one code and nothing between; gives the code at the third. */
const makeStreak = () => {
  let code: string | undefined
  let length = 0
  return (ended: Delivery.Ended): string | undefined => {
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
