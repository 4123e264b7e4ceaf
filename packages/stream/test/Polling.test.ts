import { AuthleteError } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inTime, lines, run, service, type Service } from "./fixtures.ts"
import type { TokenBatchRun } from "@tokenbatch/stream"

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
      assert.strictEqual(report.polls, 5)
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
})
