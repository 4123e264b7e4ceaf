import { AuthleteError } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { inTime, line, lines, run, seconds, service } from "./fixtures.ts"

const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError
const answered = (status: number) => new UnexpectedResponse({ status, reason: "odd", headers: {}, body: "" })
const fail = (error: AuthleteError.AuthleteError) => Effect.fail(error)
const taken = Effect.succeed("request-1")

const refused = new ResultError({ status: 400, resultCode: "BAD" })

describe("what an answer to create leads to", () => {
  it.effect.each([
    ["connection refused", new TransportError({ code: "ECONNREFUSED", reason: "", sent: false })],
    ["429", new RateLimited({ status: 429 })],
    ["503 with Retry-After", new RateLimited({ status: 503, retryAfter: 2000 })]
  ] as const)("%s: again, until it is taken", ([, error]) =>
    Effect.gen(function* () {
      const against = service({ create: (_, call) => (call <= 3 ? fail(error) : taken) })
      const { events, exitCode, report } = yield* inTime(run(lines(3), against))
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(report.records.created, 3)
      assert.strictEqual(against.creates.length, 4)
      assert.strictEqual(events.filter((e) => e._tag === "BatchRetried").length, 3)
    })
  )

  it.effect.each([
    ["413", answered(413)],
    ["400", refused],
    ["422", answered(422)]
  ] as const)("%s: in halves, down to the record", ([, error]) =>
    Effect.gen(function* () {
      const against = service({
        create: (records) =>
          records.some(({ subject }) => subject === "user-6") ? fail(error) : Effect.succeed(records[0]!.subject)
      })
      const { events, exitCode, report } = yield* inTime(run(lines(10), against))
      assert.strictEqual(exitCode, 1)
      assert.deepInclude(report.records, { read: 10, created: 9, failed: 1 })
      const failed = events.find((e) => e._tag === "BatchRefused")
      assert.deepStrictEqual(failed?.lines, [{ from: 6, to: 6 }])
      assert.strictEqual(failed?.code, AuthleteError.code(error))
      assert.isTrue(against.creates.length < 10, "fewer calls than records")
    })
  )

  it.effect("403 after something was taken: in halves", () =>
    Effect.gen(function* () {
      const forbidden = new ResultError({ status: 403, resultCode: "LOCKED" })
      const against = service({
        create: (records) =>
          records.some(({ subject }) => subject === "user-3") ? fail(forbidden) : Effect.succeed(records[0]!.subject)
      })
      const { exitCode, report } = yield* inTime(run(lines(4), against, { batchSize: 2 }))
      assert.deepInclude(report.records, { created: 3, failed: 1 })
      assert.strictEqual(exitCode, 1)
    })
  )

  it.effect.each([
    ["401", new ResultError({ status: 401, resultCode: "NO" }), "CredentialsRefused", 4],
    ["403 at first", new ResultError({ status: 403, resultCode: "NO" }), "CredentialsRefused", 4],
    ["301 at first", answered(301), "WrongAddress", 2],
    ["404 at first", answered(404), "WrongAddress", 2],
    ["405 at first", answered(405), "WrongAddress", 2],
    ["415 at first", answered(415), "WrongAddress", 2]
  ] as const)("%s: the run stops after one call", ([, error, reason, code]) =>
    Effect.gen(function* () {
      const against = service({ create: () => fail(error) })
      const { exitCode, report } = yield* inTime(run(lines(50), against, { batchSize: 5 }))
      assert.strictEqual(report.stopped?.reason, reason)
      assert.strictEqual(exitCode, code)
      assert.strictEqual(against.creates.length, 1)
      assert.strictEqual(report.records.created + report.records.unresolved, 0)
      assert.strictEqual(report.records.read, report.records.notSubmitted)
    })
  )

  it.effect.each([
    ["500", answered(500)],
    ["500 with a code", new ResultError({ status: 500, resultCode: "OOPS" })],
    ["502", answered(502)],
    ["503 without Retry-After", answered(503)],
    ["504", answered(504)],
    ["408", answered(408)],
    ["a time-out", new RequestTimeout({ timeout: 1, sent: true })],
    ["a reset", new TransportError({ code: "ECONNRESET", reason: "", sent: true })],
    ["a 200 without requestId", answered(200)],
    ["a later 404", answered(404)],
    ["a later 302", answered(302)]
  ] as const)("%s: in doubt, and never repeated", ([, error]) =>
    Effect.gen(function* () {
      const against = service({ create: (_, call) => (call === 2 ? fail(error) : Effect.succeed(`request-${call}`)) })
      const { events, exitCode, report } = yield* inTime(run(lines(6), against, { batchSize: 2 }))
      assert.strictEqual(exitCode, 3)
      assert.deepInclude(report.records, { created: 4, unresolved: 2 })
      assert.strictEqual(against.creates.length, 3)
      assert.deepStrictEqual(events.find((e) => e._tag === "BatchUnresolved")?.lines, [{ from: 3, to: 4 }])
    })
  )

  it.effect("under a dry run a lost answer is asked again, and a failure is halved to what it denies", () =>
    Effect.gen(function* () {
      const against = service({
        create: (records, call) =>
          call === 1 ? fail(answered(502)) : Effect.succeed(records.map(({ subject }) => subject).join()),
        status: (id) =>
          Effect.succeed(
            id.split(",").includes("user-2")
              ? { state: "Failed" as const, errorCode: "EXISTS" }
              : { state: "Succeeded" as const }
          )
      })
      const { exitCode, report } = yield* inTime(run(lines(4), against, { dryRun: true }))
      assert.deepInclude(report.records, { created: 3, failed: 1, unresolved: 0 })
      assert.isTrue(report.dryRun && against.dryRuns.every((dry) => dry))
      assert.strictEqual(exitCode, 1)
    })
  )
})

describe("Submission", () => {
  it.effect("waits as long as the service asks, and at least as long as its own schedule", () =>
    Effect.gen(function* () {
      const against = service({
        create: (_, call) => (call === 1 ? fail(new RateLimited({ status: 429, retryAfter: 60_000 })) : taken)
      })
      const fiber = yield* Effect.forkChild(run(line(1), against))
      yield* seconds(59)
      assert.strictEqual(against.creates.length, 1)
      yield* seconds(2)
      assert.strictEqual(against.creates.length, 2)
      yield* seconds(2)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("gives up by time, not by count: the batch is not submitted and the run stops", () =>
    Effect.gen(function* () {
      const against = service({ create: () => fail(new RateLimited({ status: 429 })) })
      const { events, exitCode, report } = yield* inTime(run(lines(2), against, { giveUpAfter: "10 minutes" }))
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.strictEqual(report.records.notSubmitted, 2)
      assert.strictEqual(exitCode, 3)
      const delays = events.flatMap((e) => (e._tag === "BatchRetried" ? [e.delay] : []))
      assert.isTrue(delays.length > 15 && delays.length < 40, `${delays.length} attempts in 10 minutes`)
      assert.isTrue(
        delays.every((delay) => delay <= 36_000),
        "capped"
      )
    })
  )

  it.effect("sends the first batch alone until one is taken", () =>
    Effect.gen(function* () {
      const against = service({ create: (_, call) => Effect.delay(Effect.succeed(`request-${call}`), "1500 millis") })
      const fiber = yield* Effect.forkChild(run(lines(20), against, { batchSize: 1, concurrency: 8 }))
      yield* seconds(1)
      assert.strictEqual(against.creates.length, 1)
      yield* seconds(1)
      assert.isTrue(against.creates.length > 1)
      yield* seconds(60)
      assert.strictEqual((yield* Fiber.join(fiber)).report.records.created, 20)
    })
  )
})
