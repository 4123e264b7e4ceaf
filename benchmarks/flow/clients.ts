/** Who runs against the model: the product as it comes, the product with fixed numbers, and AIMD. */
import { TokenOperations, type TokenBatch } from "@tokenbatch/core"
import { PollSchedule, ResolutionPolicy, TokenBatchRun } from "@tokenbatch/stream"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"

/** What a client is given to do. */
interface Task {
  readonly batches: number
  readonly batchSize: number
  readonly tokens?: ReadonlyArray<number>
}

/** Delivers all batches. */
export type Client = (task: Task) => Effect.Effect<void, unknown, TokenOperations.TokenOperations>

const record = Buffer.from(`{"grantType":"AUTHORIZATION_CODE","clientId":1,"subject":"s"}\n`)

/** As many bytes has the body of a batch whose size is told in tokens, and so many tokens it has at most. */
const batchBytes = 8192
const mostTokens = Math.floor(batchBytes / record.length) - 3

/** The lines of a batch: the last is as long as it takes to fill the body, so that nothing else has room in it. */
const linesOf = (tokens: number): Buffer => {
  if (tokens > mostTokens) throw new RangeError(`a batch has ${mostTokens} tokens at most, not ${tokens}`)
  const [before, after] = [
    `{"grantType":"AUTHORIZATION_CODE","clientId":1,"subject":"s","properties":[{"key":"k","value":"`,
    `"}]}\n`
  ]
  // Brackets about it all, a comma for each newline but the last.
  const room = batchBytes - 1 - (tokens - 1) * record.length
  const padding = "v".repeat(room - before.length - after.length)
  return Buffer.from(record.toString().repeat(tokens - 1) + before + padding + after)
}

/** The input, a page at a time. */
const input = ({ batchSize, batches, tokens }: Task): Stream.Stream<Uint8Array> => {
  if (tokens !== undefined) return Stream.fromIterable(tokens).pipe(Stream.map(linesOf), Stream.rechunk(1))
  const whole = batchSize * batches
  const page = 512
  return Stream.range(0, Math.ceil(whole / page) - 1).pipe(
    Stream.map((n) => Buffer.concat(Array.from({ length: Math.min(page, whole - n * page) }, () => record)))
  )
}

const sizesOf = ({ batchSize, tokens }: Task) => (tokens === undefined ? { batchSize } : { batchBytes })

/** The product. */
const product =
  (options: TokenBatchRun.Options): Client =>
  (task) =>
    TokenBatchRun.fromBytes(input(task), { runId: "simulated", ...sizesOf(task), ...options }).pipe(
      Stream.runDrain,
      Effect.provide(ResolutionPolicy.layerLeave)
    )

/** Fixed numbers cannot know the deadline, and are not to fail by it. */
const patient = { pollTimeout: "7 days", giveUpAfter: "7 days" } as const

/**
 * Additive increase, multiplicative decrease: the window grows by one for each window of acceptances, and is halved on a 429, once for
 * all creates that were under way then (Chiu and Jain 1989). Polls as the product does by default.
 */
const aimd: Client = Effect.fnUntraced(function* ({ batchSize, batches, tokens }) {
  const operations = yield* TokenOperations.TokenOperations
  const bodyOf = (batch: number) => {
    const lines = Array.from({ length: tokens?.[batch] ?? batchSize }, () => record.subarray(0, -1).toString())
    return Buffer.from(`[${lines.join(",")}]`)
  }
  const fibers = yield* FiberSet.make<void, unknown>()
  const room = yield* Latch.make(true)
  let window = 1
  let inFlight = 0
  let halvedAt = -Infinity
  const change = (by: number) =>
    Effect.suspend(() => {
      inFlight += by
      return inFlight < Math.floor(window) ? room.open : room.close
    })

  const create = Effect.fnUntraced(function* (body: Uint8Array): Effect.fn.Return<TokenBatch.Receipt, unknown> {
    const retry = yield* Schedule.toStep(Schedule.jittered(Schedule.spaced("500 millis")))
    for (;;) {
      const began = yield* Clock.currentTimeMillis
      const answer = yield* Effect.result(operations.createBatchEncoded(body))
      if (Result.isSuccess(answer)) {
        window += 1 / Math.floor(window)
        return answer.success
      }
      const error = answer.failure
      const now = yield* Clock.currentTimeMillis
      if (error._tag === "RateLimited" && began >= halvedAt) {
        window = Math.max(1, window / 2)
        halvedAt = now
      }
      const [, delay] = yield* retry(now, undefined)
      const asked = error._tag === "RateLimited" ? (error.retryAfter ?? 0) : 0
      // It does not count while it waits, and waits for room before it is sent again.
      yield* change(-1)
      yield* Effect.sleep(Duration.max(delay, Duration.millis(asked)))
      yield* enter
    }
  })
  const enter: Effect.Effect<void> = Effect.suspend(() =>
    inFlight < Math.floor(window) ? change(1) : Effect.andThen(room.await, enter)
  )
  const poll = Effect.fnUntraced(function* ({ requestId }: TokenBatch.Receipt) {
    const next = yield* Schedule.toStep(PollSchedule.exponential())
    for (;;) {
      const [, delay] = yield* next(yield* Clock.currentTimeMillis, undefined)
      yield* Effect.sleep(delay)
      const answer = yield* Effect.result(operations.batchStatus(requestId))
      if (Result.isSuccess(answer) && answer.success.state !== "Running") return
    }
  })

  for (let batch = 0; batch < batches; batch++) {
    yield* enter
    yield* FiberSet.run(fibers, Effect.andThen(Effect.flatMap(create(bodyOf(batch)), poll), change(-1)))
  }
  yield* FiberSet.awaitEmpty(fibers)
}, Effect.scoped)

/** The clients by name. */
export const clients: Readonly<Record<string, Client>> = {
  ours: product({}),
  ...Object.fromEntries(
    [1, 8, 64].flatMap((concurrency) => [
      [`fixed${concurrency}-1s`, product({ concurrency, pollSchedule: PollSchedule.fixed("1 second"), ...patient })],
      [`fixed${concurrency}-exp`, product({ concurrency, pollSchedule: PollSchedule.exponential(), ...patient })]
    ])
  ),
  aimd
}
