/**
 * Works on accepted batches, later: a queue, and a number of workers that take a set-up time for each batch and some time for each
 * token.
 *
 * A token value that exists already fails its batch. What FAILED leaves is an option, since the real service does not say: the tokens
 * before that one, or nothing. A dry run goes the same way and creates nothing.
 */
import type { TokenBatch } from "@tokenbatch/core"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import { randomUUID } from "node:crypto"
import { hashOf, Ledger, type LedgerError, type Tokens } from "./Ledger.ts"
import type { SandboxOptions } from "./SandboxOptions.ts"
import type { Requested } from "./ServiceRules.ts"

/** The status of a batch, as it goes over the wire. */
export type Status = NonNullable<(typeof TokenBatch.StatusResponse.Type)["status"]>

interface Job {
  readonly requestId: string
  readonly records: ReadonlyArray<Requested>
  readonly dryRun: boolean
}

interface Failure {
  readonly code: string
  readonly description: string
}

/** Takes batches and works on them. */
export class BatchWorkers extends Context.Service<
  BatchWorkers,
  {
    /** Accepts a batch, and gives the request id. */
    readonly accept: (records: ReadonlyArray<Requested>, dryRun: boolean) => Effect.Effect<string>
    /** How far a batch has come; `undefined` for an id that was never given out. */
    readonly status: (requestId: string) => Effect.Effect<Status | undefined>
  }
>()("@tokenbatch/sandbox/BatchWorkers") {
  static readonly layer = (options: SandboxOptions): Layer.Layer<BatchWorkers, never, Ledger> =>
    Layer.effect(BatchWorkers, make(options))
}

const make = Effect.fnUntraced(function* (options: SandboxOptions) {
  const ledger = yield* Ledger
  const jobs = yield* Queue.unbounded<Job>()
  const statuses = new Map<string, Status>()
  const supported = options.supportedScopes === undefined ? undefined : new Set(options.supportedScopes)

  const finish = (requestId: string, now: number, result: Partial<Status>) => {
    const before = statuses.get(requestId)
    statuses.set(requestId, { ...before, ...result, modifiedAt: now })
  }

  /** Why a record cannot be created, given those before it in its batch. */
  const whyNot = (
    record: Requested,
    tokens: Tokens,
    batch: ReadonlySet<string>,
    dryRun: boolean
  ): Failure | undefined => {
    const scope = supported === undefined ? undefined : record.scopes.find((name) => !supported.has(name))
    if (scope !== undefined) return { code: "SBX500002", description: "A scope is not supported by the service." }
    const inBatch = batch.has(tokens.access) || (tokens.refresh !== undefined && batch.has(tokens.refresh))
    const exists = dryRun && !options.dryRunChecksExisting ? undefined : ledger.existing(tokens)
    if (!inBatch && exists === undefined) return undefined
    return exists === "refresh"
      ? { code: "SBX500003", description: "The hash of a refresh token exists already." }
      : { code: "SBX500001", description: "The hash of an access token exists already." }
  }

  const work = Effect.fnUntraced(function* ({ dryRun, records, requestId }: Job): Effect.fn.Return<void, LedgerError> {
    const done: Array<Tokens> = []
    const batch = new Set<string>()
    // As long as all of them take: how many there will be is not known before it is done.
    yield* Effect.sleep(options.setupTime + records.length * options.timePerToken)
    let failure: Failure | undefined
    for (const record of records) {
      const tokens: Tokens = {
        access: hashOf(record.accessToken ?? randomUUID()),
        refresh: record.refreshToken === undefined ? undefined : hashOf(record.refreshToken)
      }
      failure = whyNot(record, tokens, batch, dryRun)
      if (failure !== undefined) break
      batch.add(tokens.access)
      if (tokens.refresh !== undefined) batch.add(tokens.refresh)
      done.push(tokens)
    }
    if (!dryRun && (failure === undefined || options.failureMode === "prefix")) yield* ledger.add(requestId, done)
    finish(requestId, yield* Clock.currentTimeMillis, {
      result: failure === undefined ? "SUCCEEDED" : "FAILED",
      tokenCount: done.length,
      ...(failure === undefined ? undefined : { errorCode: failure.code, errorDescription: failure.description })
    })
  })

  const worker = Effect.flatMap(Queue.take(jobs), (job) =>
    Effect.catch(work(job), (error) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        Effect.sync(() =>
          finish(job.requestId, now, { result: "FAILED", errorCode: "SBX500000", errorDescription: error.message })
        )
      )
    )
  )
  yield* Effect.forEach(Array.from({ length: options.workers }), () => Effect.forkScoped(Effect.forever(worker)), {
    discard: true
  })

  return BatchWorkers.of({
    accept: Effect.fnUntraced(function* (records, dryRun) {
      const requestId = randomUUID()
      const now = yield* Clock.currentTimeMillis
      statuses.set(requestId, { batchKind: "CREATE", requestId, createdAt: now, modifiedAt: now })
      yield* Queue.offer(jobs, { requestId, records, dryRun })
      return requestId
    }),
    status: (requestId) => Effect.sync(() => statuses.get(requestId))
  })
})
