import { AuthleteError, type TokenBatch } from "@tokenbatch/core"
import { PollSchedule, type TokenBatchRun } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { ends, inTime, lines, run, service, type Service } from "./fixtures.ts"

const { RateLimited, ResultError, TransportError, UnexpectedResponse } = AuthleteError
const page = new UnexpectedResponse({ status: 502, reason: "a page", headers: {}, body: "" })
const away = new TransportError({ code: "ECONNREFUSED", reason: "", sent: false })
const running = { state: "Running" as const }
const succeeded = { state: "Succeeded" as const }

const poll = (against: Service, options: TokenBatchRun.Options = {}) => inTime(run(lines(3), against, options))

describe("what an answer to a poll leads to", () => {
  it.effect.each([
    ["no result", Effect.succeed(running)],
    ["a result that nobody knows", Effect.succeed({ state: "Unknown" as const, result: "PAUSED" })],
    ["an unknown id", Effect.fail(new ResultError({ status: 400, resultCode: "A404" }))],
    ["a 500", Effect.fail(new ResultError({ status: 500, resultCode: "A500" }))],
    ["a page", Effect.fail(page)],
    ["a 429", Effect.fail(new RateLimited({ status: 429, retryAfter: 1000 }))],
    ["no connection", Effect.fail(away)]
  ] as const)("%s: asked again", ([, answer]) =>
    Effect.gen(function* () {
      const against = service({ status: (_, poll) => (poll <= 4 ? answer : Effect.succeed(succeeded)) })
      const { exitCode, report } = yield* poll(against)
      assert.strictEqual(exitCode, 0)
      // One of them may have asked whether the service is back, which is no poll of a batch.
      assert.include([4, 5], report.polls)
      assert.strictEqual(against.creates.length, 1, "and the batch is not sent again")
    })
  )

  it.effect("FAILED: it denies no single record, and its reason holds no token value", () =>
    Effect.gen(function* () {
      const against = service({
        status: () =>
          Effect.succeed({
            state: "Failed" as const,
            errorCode: "E1",
            errorDescription: "token-2 exists",
            tokenCount: 1
          })
      })
      const { events, exitCode, report } = yield* poll(against)
      assert.deepInclude(report.records, { unresolved: 3, failed: 0 })
      assert.strictEqual(exitCode, 3)
      const failed = events.find((e) => e._tag === "BatchFailed")
      assert.deepInclude(failed, { code: "E1", message: "<redacted> exists", tokenCount: 1 })
    })
  )

  it.effect.each([401, 403] as const)("%i: polling ends, unresolved, exit code 4", (status) =>
    Effect.gen(function* () {
      const against = service({ status: () => Effect.fail(new ResultError({ status, resultCode: "NO" })) })
      const { exitCode, report } = yield* poll(against)
      assert.strictEqual(report.records.unresolved, 3)
      assert.strictEqual(exitCode, 4)
    })
  )
})

describe("Polling", () => {
  it.effect.each([
    ["still running", Effect.succeed(running), "NO_RESULT"],
    ["a result that nobody knows", Effect.succeed({ state: "Unknown" as const, result: "PAUSED" }), "UNKNOWN_RESULT"],
    ["an unknown id", Effect.fail(new ResultError({ status: 400, resultCode: "A404" })), "A404"]
  ] as const)("is unresolved at the deadline with %s", ([, answer, code]) =>
    Effect.gen(function* () {
      const { events, exitCode, report } = yield* poll(service({ status: () => answer }))
      assert.strictEqual(report.records.unresolved, 3)
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(events.find((e) => e._tag === "BatchUnresolved")?.code, code)
      assert.isTrue(report.elapsedMs >= 15 * 60_000 && report.elapsedMs < 16 * 60_000, String(report.elapsedMs))
    })
  )

  it.effect("counts only time in which the service answers", () =>
    Effect.gen(function* () {
      const start = 0
      let now = start
      const against = service({
        status: () =>
          Effect.flatMap(
            Effect.clockWith((clock) => clock.currentTimeMillis),
            (millis) => {
              now = millis
              // Away for two hours, which is much longer than the deadline.
              return millis < 60_000 || millis > 7_200_000 + 60_000
                ? Effect.succeed(millis > 7_260_000 + 600_000 ? succeeded : running)
                : Effect.fail(away)
            }
          )
      })
      const { exitCode } = yield* poll(against, { giveUpAfter: "3 hours" })
      assert.strictEqual(exitCode, 0)
      assert.isTrue(now > 7_260_000)
    })
  )

  it.effect("gives up on a service that stays away", () =>
    Effect.gen(function* () {
      const { exitCode, report } = yield* poll(service({ status: () => Effect.fail(away) }))
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.strictEqual(report.records.unresolved, 3)
      assert.strictEqual(exitCode, 3)
      assert.isTrue(report.elapsedMs >= 3_600_000 && report.elapsedMs < 3_700_000)
    })
  )

  it.effect.each([
    ["is not put off by an outage that is longer than its deadline", 134, 0],
    ["counts the time before and after an outage together", Infinity, 3]
  ] as const)("%s", ([, succeedsAt, code]) =>
    Effect.gen(function* () {
      // Ten minutes of work, then two hours away, in each of three ways.
      const outage = (minutes: number) =>
        minutes < 10 || minutes > 130
          ? undefined
          : minutes < 50
            ? away
            : minutes < 90
              ? page
              : new RateLimited({ status: 429 })
      const against = service({
        status: () =>
          Effect.clockWith((clock) =>
            Effect.flatMap(
              clock.currentTimeMillis,
              (now): Effect.Effect<TokenBatch.BatchStatus, AuthleteError.AuthleteError> => {
                const error = outage(now / 60_000)
                if (error !== undefined) return Effect.fail(error)
                return Effect.succeed(now / 60_000 < succeedsAt ? running : succeeded)
              }
            )
          )
      })
      const { events, exitCode, report } = yield* poll(against, { giveUpAfter: "3 hours", pollTimeout: "15 minutes" })
      assert.strictEqual(exitCode, code)
      assert.isUndefined(report.stopped)
      if (code === 0) return
      assert.deepInclude(
        events.find((e) => e._tag === "BatchUnresolved"),
        {
          code: "NO_RESULT",
          message: "the batch was still being worked on when the service last answered"
        }
      )
      const minutes = report.elapsedMs / 60_000
      assert.isTrue(minutes > 134.5 && minutes < 136, String(minutes))
    })
  )

  it.effect("waits between its polls by its schedule, and as long as the service asks", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const against = service({
        status: (_, n) =>
          Effect.clockWith((clock) =>
            Effect.flatMap(clock.currentTimeMillis, (now) => {
              times.push(now)
              if (n === 20) return Effect.fail(new RateLimited({ status: 429, retryAfter: 120_000 }))
              return Effect.succeed(n < 25 ? running : succeeded)
            })
          )
      })
      yield* poll(against, { pollSchedule: PollSchedule.exponential() })
      const delays = times.map((time, i) => time - (times[i - 1] ?? 0))
      for (const [i, delay] of delays.entries()) {
        const own = i === 20 ? 120_000 : Math.min(100 * 1.5 ** i, 10_000)
        // The test's clock goes in steps.
        assert.isTrue(delay >= own * 0.8 - 1 && delay <= own * 1.2 + 1, `${i}: ${delay}`)
      }
    })
  )

  it.effect("is unresolved where its schedule ends", () =>
    Effect.gen(function* () {
      const { exitCode, report } = yield* poll(service({ status: () => Effect.succeed(running) }), {
        pollSchedule: Schedule.max([PollSchedule.fixed("1 second"), Schedule.recurs(4)])
      })
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(report.records.unresolved, 3)
      assert.strictEqual(report.polls, 4)
    })
  )

  it.effect("ends with the credentials: nothing more is submitted, and each batch is told once", () =>
    Effect.gen(function* () {
      const against = service({
        status: () => Effect.fail(new UnexpectedResponse({ status: 403, reason: "a page", headers: {}, body: "" }))
      })
      const { events, exitCode, report } = yield* inTime(run(lines(40), against, { batchSize: 1, concurrency: 4 }))
      assert.strictEqual(exitCode, 4)
      assert.strictEqual(report.stopped?.reason, "CredentialsRefused")
      assert.strictEqual(ends(report.records), report.records.read)
      assert.strictEqual(report.records.unresolved, against.creates.length)
      assert.isTrue(report.records.read < 12)
      assert.strictEqual(events.filter((e) => e._tag === "RunStopping").length, 1)
    })
  )

  it.effect("hides token values, however a result or a code quotes them", () =>
    Effect.gen(function* () {
      for (const status of [
        { state: "Failed", errorCode: "E-token-1", errorDescription: 'duplicate "token-1" and token-2' },
        { state: "Unknown", result: "EXISTS token-3" },
        { state: "Failed" }
      ] as const) {
        const { events } = yield* poll(service({ status: () => Effect.succeed(status) }))
        const { message } = events.find((e) => e._tag === "BatchFailed" || e._tag === "BatchUnresolved")!
        assert.notMatch(JSON.stringify(events), /token-[123]/)
        assert.match(message, /redacted|gave no reason/)
      }
    })
  )

  it.effect("is unresolved when its grace is over, with the polls that were answered", () =>
    Effect.gen(function* () {
      const against = service({ status: (_, n) => (n < 3 ? Effect.succeed(running) : Effect.never) })
      const { events, report } = yield* poll(against, { stop: Effect.sleep("1 minute"), grace: "10 seconds" })
      assert.deepInclude(
        events.find((e) => e._tag === "BatchUnresolved"),
        { code: "STOPPED", polls: 2 }
      )
      assert.isTrue(Math.abs(report.elapsedMs - 70_000) < 1000, String(report.elapsedMs))
      assert.isTrue(report.complete, "all had been read by then")
      assert.strictEqual(against.calls.now, 0)
    })
  )

  it.effect("strikes what an error answer quotes", () =>
    Effect.gen(function* () {
      const error = new ResultError({ status: 500, resultCode: "token-2", resultMessage: "hash of token-2 exists" })
      const { events, report } = yield* poll(service({ status: () => Effect.fail(error) }), {
        giveUpAfter: "10 seconds"
      })
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.notInclude(JSON.stringify(events), "token-2")
    })
  )

  it.effect("waits no longer for a Retry-After than the service may be away", () =>
    Effect.gen(function* () {
      const busy = new RateLimited({ status: 429, retryAfter: 300_000 })
      const { report } = yield* poll(service({ status: () => Effect.fail(busy) }), { giveUpAfter: "10 seconds" })
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.isTrue(report.elapsedMs < 15_000, String(report.elapsedMs))
    })
  )
})
