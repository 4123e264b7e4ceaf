/**
 * Works on accepted batches, later: a queue, and a number of workers that take a set-up time for each batch and some time for each
 * token.
 *
 * A token value that exists already fails its batch. What FAILED leaves is an option, since the real service does not say: the tokens
 * before that one, or nothing. "Before" is an option, too: records are carried out in the order of the input, or in one that the dice
 * say. A dry run goes the same way and creates nothing.
 *
 * A batch is carried out in one step, at the end of its time: its tokens and its result are written together, so whenever the sandbox is
 * killed a batch has all of its end or nothing of it. Started anew with its state, the sandbox has all the batches that have ended, and
 * works on the others again, or has forgotten them. A result, once shown, stays. An end that is written down is notified, and not again
 * when the sandbox is started anew.
 */
import { TokenOperationsApi, type TokenBatch } from "@tokenbatch/core"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { randomUUID } from "node:crypto"
import { Faults, type BatchFaults } from "./Faults.ts"
import { hashOf, Ledger, type LedgerError } from "./Ledger.ts"
import { LimitReached } from "./Limits.ts"
import { Notifications } from "./Notifications.ts"
import * as Random from "./Random.ts"
import type { SandboxOptions } from "./SandboxOptions.ts"
import type { Requested } from "./ServiceRules.ts"
import { StateFile, type Accepted, type Ended, type StateError, type Work } from "./StateFile.ts"

const { makeApiError } = TokenOperationsApi

/** The status of a batch, as it goes over the wire. */
export type Status = NonNullable<(typeof TokenBatch.StatusResponse.Type)["status"]>

interface Failure {
  readonly code: string
  readonly description: string
}

/** A batch, and its end once it has one. Its records are with the job: they need not be kept longer than that. */
interface Batch {
  readonly at: number
  readonly faults: BatchFaults
  readonly end?: End
}

/** The result of a batch, when it came, and which records became tokens. */
type End = Omit<Ended, "_tag" | "requestId">

/** Takes batches and works on them. */
export class BatchWorkers extends Context.Service<
  BatchWorkers,
  {
    /** Accepts a batch if there is room for it, and gives the request id. */
    readonly accept: (
      records: ReadonlyArray<Requested>,
      dryRun: boolean
    ) => Effect.Effect<string, LimitReached | TokenOperationsApi.ApiError>
    /** How far a batch has come; `undefined` for an id that is not known. */
    readonly status: (requestId: string) => Effect.Effect<Status | undefined, TokenOperationsApi.ApiError>
  }
>()("@tokenbatch/sandbox/BatchWorkers") {
  static readonly layer = (
    options: SandboxOptions
  ): Layer.Layer<BatchWorkers, LedgerError | StateError, Ledger | Notifications | Faults | StateFile> =>
    Layer.effect(BatchWorkers, make(options))
}

const make = Effect.fnUntraced(function* (options: SandboxOptions) {
  const ledger = yield* Ledger
  const notifications = yield* Notifications
  const dealer = yield* Faults
  const state = yield* StateFile
  const scope = yield* Effect.scope
  const jobs = yield* Queue.unbounded<Accepted>()
  const batches = new Map<string, Batch>()
  /** Those that have no end yet. */
  const open = new Set<string>()
  const supported = options.supportedScopes === undefined ? undefined : new Set(options.supportedScopes)
  const orders = Random.make(options.faults?.seed ?? 1)

  const remember = ({ at, faults, requestId }: Accepted, end?: End) => {
    batches.set(requestId, { at, faults, ...(end === undefined ? undefined : { end }) })
    if (end === undefined) open.add(requestId)
    else open.delete(requestId)
  }

  /** Why a record cannot be created, given those before it in its batch. */
  const whyNot = (record: Work, batch: ReadonlySet<string>, dryRun: boolean): Failure | undefined => {
    if (supported !== undefined && record.scopes?.some((name) => !supported.has(name)) === true) {
      return { code: "SBX500002", description: "A scope is not supported by the service." }
    }
    const inBatch = batch.has(record.access) || (record.refresh !== undefined && batch.has(record.refresh))
    const exists = dryRun && !options.dryRunChecksExisting ? undefined : ledger.existing(record)
    if (!inBatch && exists === undefined) return undefined
    return exists === "refresh"
      ? { code: "SBX500003", description: "The hash of a refresh token exists already." }
      : { code: "SBX500001", description: "The hash of an access token exists already." }
  }

  /** Writes the end of a batch down, with its tokens; and only then it has ended. */
  const endUnsafe = (job: Accepted, end: End): void => {
    const { requestId } = job
    ledger.addUnsafe(requestId, tokensOf(job, end.created), () =>
      state.writeUnsafe({ _tag: "Ended", requestId, ...end })
    )
    remember(job, end)
    notifications.endedUnsafe(requestId)
  }

  /** Carries a batch out, at once: nothing else can come between a look into the ledger and an entry. */
  const carryOutUnsafe = (job: Accepted, now: number): void => {
    const { dryRun, faults, records } = job
    const places = Array.from(records.keys())
    const done: Array<number> = []
    const values = new Set<string>()
    let failure: Failure | undefined
    for (const place of options.order === "shuffled" ? Random.shuffle(orders, places) : places) {
      const record = records[place]!
      failure =
        done.length === faults.failsAt
          ? { code: "SBX500099", description: "The batch was interrupted." }
          : whyNot(record, values, dryRun)
      if (failure !== undefined) break
      values.add(record.access)
      if (record.refresh !== undefined) values.add(record.refresh)
      done.push(place)
    }
    endUnsafe(job, {
      at: now,
      tokenCount: done.length,
      created: !dryRun && (failure === undefined || options.failureMode === "prefix") ? done : [],
      ...(failure === undefined
        ? { result: "SUCCEEDED" }
        : { result: "FAILED", errorCode: failure.code, errorDescription: failure.description })
    })
  }

  const worker = Effect.gen(function* () {
    const job = yield* Queue.take(jobs)
    // As long as all of them take: how many there will be is not known before it is done.
    yield* Effect.sleep(options.setupTime + job.records.length * options.timePerToken)
    const now = yield* Clock.currentTimeMillis
    yield* Effect.try({ try: () => carryOutUnsafe(job, now), catch: (error) => (error as Error).message }).pipe(
      Effect.catch((errorDescription) =>
        Effect.try({
          try: () =>
            endUnsafe(job, { at: now, result: "FAILED", errorCode: "SBX500000", errorDescription, created: [] }),
          catch: () => undefined
        })
      ),
      // Not even that can be written down: so it has no end.
      Effect.ignore
    )
  })

  /**
   * Takes a batch: in one step, so that the last place goes to one call alone.
   *
   * @throws LimitReached, or StateError, and then it is not taken
   */
  const takeUnsafe = (records: ReadonlyArray<Requested>, dryRun: boolean, now: number): Accepted => {
    if (open.size >= (options.maxQueue ?? Infinity)) throw new LimitReached({ limit: "maxQueue" })
    const accepted: Accepted = {
      _tag: "Accepted",
      requestId: randomUUID(),
      at: now,
      dryRun,
      faults: dealer.ofBatch({ dryRun, size: records.length }),
      records: records.map(workOf)
    }
    state.writeUnsafe(accepted)
    remember(accepted)
    return accepted
  }

  /** Has a batch worked on: now, or when it is no longer stuck. */
  const enqueue = (job: Accepted): Effect.Effect<void> => {
    const { view } = job.faults
    if (view === undefined || view.works) return Effect.asVoid(Queue.offer(jobs, job))
    if (view.until === undefined) return Effect.void
    const { until } = view
    return Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.asVoid(
        Effect.forkIn(Effect.andThen(Effect.sleep(Math.max(0, until - now)), Queue.offer(jobs, job)), scope)
      )
    )
  }

  for (const [accepted, { _tag: _ended, requestId: _id, ...end }] of state.known.ended) {
    remember(accepted, end)
    yield* Effect.try({
      try: () => ledger.addUnsafe(accepted.requestId, tokensOf(accepted, end.created)),
      catch: (error) => error as LedgerError
    })
  }
  for (const accepted of state.known.open) {
    const { requestId } = accepted
    if (options.lostOnRestart === "requeue") {
      remember(accepted)
      yield* enqueue(accepted)
    } else {
      yield* Effect.try({
        try: () => state.writeUnsafe({ _tag: "Forgotten", requestId }),
        catch: (error) => error as StateError
      })
    }
  }
  yield* Effect.forEach(Array.from({ length: options.workers }), () => Effect.forkScoped(Effect.forever(worker)), {
    discard: true
  })

  return BatchWorkers.of({
    accept: (records, dryRun) =>
      Clock.currentTimeMillis.pipe(
        Effect.flatMap((now) =>
          Effect.try({
            try: () => takeUnsafe(records, dryRun, now),
            catch: (error) =>
              error instanceof LimitReached
                ? error
                : makeApiError(500, "SBX500000", `[SBX500000] ${(error as StateError).message}`)
          })
        ),
        Effect.tap(enqueue),
        Effect.map(({ requestId }) => requestId),
        Effect.uninterruptible
      ),
    status: Effect.fnUntraced(function* (requestId) {
      const batch = batches.get(requestId)
      if (batch === undefined) return undefined
      const { at, end, faults } = batch
      const running: Status = { batchKind: "CREATE", requestId, createdAt: at, modifiedAt: at }
      const { view } = faults
      const now = yield* Clock.currentTimeMillis
      const isHidden = now < (view?.until ?? Infinity) || (view?.fault === "flap" && end === undefined)
      if (view === undefined || !isHidden) return end === undefined ? running : { ...running, ...shown(end) }
      switch (view.fault === "flap" ? dealer.flap() : view.fault) {
        case "unknownFor":
        case "unknown":
          return undefined
        case "error":
          return yield* Effect.fail(makeApiError(500, "SBX500098", "[SBX500098] The status cannot be had now."))
        default:
          return running
      }
    })
  })
})

/** The fields of a status that an end has. */
const shown = ({ at, created: _created, ...result }: End): Status => ({ ...result, modifiedAt: at })

/** What has to be kept of a record: hashes, no token value. */
const workOf = ({ accessToken, refreshToken, scopes }: Requested): Work => ({
  access: hashOf(accessToken ?? randomUUID()),
  ...(refreshToken === undefined ? undefined : { refresh: hashOf(refreshToken) }),
  ...(scopes.length === 0 ? undefined : { scopes })
})

/** The records of a batch at some places. */
const tokensOf = ({ records }: Accepted, places: ReadonlyArray<number>): ReadonlyArray<Work> =>
  places.flatMap((place) => records[place] ?? [])
