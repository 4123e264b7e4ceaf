/** What several tests of this package need. */
import { TokenBatch, TokenOperations, type AuthleteError } from "@tokenbatch/core"
import { ResolutionPolicy, RunReport, TokenBatchRun, type RunEvent } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"

/** A valid line, with an access token of its own. */
export const line = (n: number): string =>
  `{"grantType":"AUTHORIZATION_CODE","clientId":26837717140341,"subject":"user-${n}","accessToken":"token-${n}"}`

export const lines = (count: number): string => Array.from({ length: count }, (_, i) => line(i + 1)).join("\n")

/** Bytes in pieces of a size, out of one buffer that is overwritten after each: as a file source does. */
export const pieces = (bytes: Uint8Array, size: number): Stream.Stream<Uint8Array> =>
  Stream.suspend(() => {
    const buffer = new Uint8Array(size)
    return Stream.fromIterable(
      {
        *[Symbol.iterator]() {
          for (let i = 0; i < bytes.length; i += size) {
            buffer.fill(0x23)
            const piece = bytes.subarray(i, i + size)
            buffer.set(piece)
            yield buffer.subarray(0, piece.length)
          }
        }
      },
      { chunkSize: 1 }
    )
  })

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** A service in memory: what it does with each batch, and what it was asked. */
export interface Service {
  readonly layer: Layer.Layer<TokenOperations.TokenOperations>
  /** The subjects of every create call, in order. */
  readonly creates: Array<ReadonlyArray<string>>
  readonly dryRuns: Array<boolean>
  /** How many calls are running, and the most that ever were. */
  readonly calls: { now: number; most: number }
}

type Records = ReadonlyArray<{ readonly subject: string; readonly accessToken?: string }>

export const service = (answers: {
  readonly create?: (records: Records, call: number) => Effect.Effect<string, AuthleteError.AuthleteError>
  readonly status?: (
    requestId: string,
    poll: number
  ) => Effect.Effect<TokenBatch.BatchStatus, AuthleteError.AuthleteError>
}): Service => {
  const creates: Service["creates"] = []
  const dryRuns: Array<boolean> = []
  const calls = { now: 0, most: 0 }
  const polls = new Map<string, number>()
  const counted = <A, E>(effect: Effect.Effect<A, E>) =>
    Effect.suspend(() => {
      calls.most = Math.max(calls.most, ++calls.now)
      return Effect.ensuring(
        effect,
        Effect.sync(() => void calls.now--)
      )
    })
  const layer = TokenOperations.TokenOperations.layerTest({
    createBatchEncoded: (body, options) =>
      Effect.suspend(() => {
        const records = JSON.parse(new TextDecoder().decode(body)) as Records
        creates.push(records.map(({ subject }) => subject))
        dryRuns.push(options?.dryRun === true)
        const answer = answers.create?.(records, creates.length) ?? Effect.succeed(`request-${creates.length}`)
        return counted(Effect.map(answer, (id) => ({ requestId: TokenBatch.RequestId.make(id) })))
      }),
    batchStatus: (requestId) =>
      Effect.suspend(() => {
        const poll = (polls.get(requestId) ?? 0) + 1
        polls.set(requestId, poll)
        return counted(answers.status?.(requestId, poll) ?? Effect.succeed({ state: "Succeeded" as const }))
      })
  })
  return { layer, creates, dryRuns, calls }
}

/**
 * No pause. Where a test lets hours go by at once, a source that is about to give more looks as if it had paused.
 */
export const noPause = { pause: "1000 days" } as const

/** Runs lines against a service, leaving what is unresolved, and gives the events with the report and the exit code. */
export const run = (text: string, against: Service, options: TokenBatchRun.Options = {}) =>
  TokenBatchRun.fromBytes(Stream.make(bytesOf(text)), { ...noPause, ...options }).pipe(
    Stream.runCollect,
    Effect.map((events) => summarize(events)),
    Effect.provide([against.layer, ResolutionPolicy.layerLeave]),
    Effect.orDie
  )

export const summarize = (events: ReadonlyArray<RunEvent.RunEvent>) => {
  const last = events.at(-1)
  if (last?._tag !== "RunFinished") throw new Error("the last event is not RunFinished")
  return { events, report: last.report, exitCode: RunReport.exitCode(last.report) }
}

/** Lets so many seconds of virtual time go by, with turns between for what is ready to run. */
export const seconds = Effect.fnUntraced(function* (count: number) {
  for (let i = 0; i < count; i++) {
    for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
    yield* TestClock.adjust("1 second")
  }
})

/** Lets virtual time go by until something has ended. */
export const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    for (let i = 0; fiber.pollUnsafe() === undefined && i < 300; i++) yield* seconds(1)
    for (let i = 0; fiber.pollUnsafe() === undefined && i < 20_000; i++) {
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      yield* TestClock.adjust("10 seconds")
    }
    return yield* Fiber.join(fiber)
  })

/** The sum of the six ends. */
export const ends = ({
  created,
  existing,
  failed,
  notSubmitted,
  rejected,
  unresolved
}: RunEvent.RecordCounts): number => created + existing + failed + rejected + unresolved + notSubmitted

/** Random numbers out of a seed. */
export const dice = (seed: number) => {
  let state = seed | 0 || 1
  const roll = (sides: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % sides
  }
  // Small seeds begin with small numbers.
  for (let i = 0; i < 8; i++) roll(1)
  return roll
}
