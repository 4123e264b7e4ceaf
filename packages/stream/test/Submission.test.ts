import { AuthleteError } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
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

  it.effect("429, for longer than the service may be away, while it takes others: again, until it is taken", () =>
    Effect.gen(function* () {
      const patience = 10 * 60_000
      let next = 0
      const against = service({
        create: (records) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            // One a minute, and this one not before the others are through.
            if (now < next || (records[0]!.subject === "user-9" && now < 4 * patience)) {
              return fail(new RateLimited({ status: 429 }))
            }
            next = now + 60_000
            return Effect.succeed(`request-${records[0]!.subject}`)
          })
      })
      const options = { batchSize: 1, concurrency: 8, giveUpAfter: patience }
      const { exitCode, report } = yield* inTime(run(lines(60), against, options))
      assert.strictEqual(exitCode, 0, report.stopped?.message)
      assert.strictEqual(report.records.created, 60)
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
    ["a later 302", answered(302)],
    ["a later 404", answered(404)],
    ["a later 405", answered(405)],
    ["a later 415", answered(415)]
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

  it.effect.each([
    ["500", answered(500)],
    ["502", answered(502)],
    ["503 without Retry-After", answered(503)],
    ["504", answered(504)],
    ["408", answered(408)],
    ["a time-out", new RequestTimeout({ timeout: 1, sent: true })],
    ["a reset", new TransportError({ code: "ECONNRESET", reason: "", sent: true })],
    ["a 200 without requestId", answered(200)],
    ["a 418", answered(418)]
  ] as const)("%s as the first answer: in doubt, and the next batch goes alone again", ([, error]) =>
    Effect.gen(function* () {
      const against = service({
        create: (_, call) => Effect.delay(call <= 2 ? fail(error) : Effect.succeed(`request-${call}`), "1 second")
      })
      const fiber = yield* Effect.forkChild(run(lines(5), against, { batchSize: 1 }))
      yield* seconds(2)
      assert.strictEqual(against.creates.length, 3)
      assert.strictEqual(against.calls.most, 1)
      const { exitCode, report } = yield* inTime(Fiber.join(fiber))
      assert.strictEqual(exitCode, 3)
      assert.deepInclude(report.records, { created: 3, unresolved: 2 })
      assert.deepStrictEqual(against.creates.flat(), ["user-1", "user-2", "user-3", "user-4", "user-5"])
    })
  )

  it.effect.each([
    ["not sent", new TransportError({ code: "ENOTFOUND", reason: "", sent: false })],
    ["429 that says when", new RateLimited({ status: 429, retryAfter: 100 })]
  ] as const)("%s after something was taken: again as well", ([, error]) =>
    Effect.gen(function* () {
      const against = service({
        create: (_, call) => (call === 2 || call === 3 ? fail(error) : Effect.succeed(`request-${call}`))
      })
      const { exitCode, report } = yield* inTime(run(lines(2), against, { batchSize: 1, concurrency: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(report.records.created, 2)
      assert.deepStrictEqual(against.creates.flat(), ["user-1", "user-2", "user-2", "user-2"])
    })
  )

  it.effect.each([
    ["413", answered(413)],
    ["400", refused],
    ["400 as a page", answered(400)],
    ["422", answered(422)],
    ["403", new ResultError({ status: 403, resultCode: "LOCKED" })]
  ] as const)("%s to a single record: failed, with code and message", ([, error]) =>
    Effect.gen(function* () {
      const against = service({ create: (_, call) => (call === 1 ? taken : fail(error)) })
      const { events, exitCode, report } = yield* inTime(run(lines(2), against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 1)
      assert.deepInclude(report.records, { created: 1, failed: 1 })
      assert.deepInclude(report.batches, { submitted: 2, succeeded: 1, failed: 1 })
      const { code, lines: where, message } = events.find((e) => e._tag === "BatchRefused")!
      assert.deepStrictEqual([code, message, where], [AuthleteError.code(error), error.message, [{ from: 2, to: 2 }]])
    })
  )

  it.effect("401 after something was taken: the run stops, what was taken is seen to its end", () =>
    Effect.gen(function* () {
      const against = service({
        create: (_, call) => (call === 1 ? taken : fail(new ResultError({ status: 401, resultCode: "NO" }))),
        status: (_, poll) => Effect.succeed({ state: poll < 20 ? ("Running" as const) : ("Succeeded" as const) })
      })
      const { exitCode, report } = yield* inTime(run(lines(50), against, { batchSize: 1, concurrency: 2 }))
      assert.strictEqual(exitCode, 4)
      assert.strictEqual(report.records.created, 1)
      assert.strictEqual(report.records.read - 1, report.records.notSubmitted)
      assert.strictEqual(against.creates.length, 2)
    })
  )

  it.effect.each([
    ["301", answered(301)],
    ["404", answered(404)],
    ["405", answered(405)],
    ["415", answered(415)]
  ] as const)("%s after a batch in doubt: the address is wrong, but something was submitted", ([, error]) =>
    Effect.gen(function* () {
      const against = service({ create: (_, call) => fail(call === 1 ? answered(502) : error) })
      const { exitCode, report } = yield* inTime(run(lines(6), against, { batchSize: 2 }))
      assert.strictEqual(report.stopped?.reason, "WrongAddress")
      assert.strictEqual(report.records.unresolved, 2)
      assert.strictEqual(exitCode, 3)
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
      assert.isAtLeast(against.creates.length, 8, "then all that waited go together")
      yield* seconds(60)
      assert.strictEqual((yield* Fiber.join(fiber)).report.records.created, 20)
    })
  )

  it.effect("waits longer each time, from half a second to half a minute, and never less than it was asked to", () =>
    Effect.gen(function* () {
      const asked = [0, 0, 0, 100, 0, 0, 0, 50_000, 0, 300_000]
      const against = service({
        create: (_, call) =>
          call <= asked.length ? fail(new RateLimited({ status: 429, retryAfter: asked[call - 1]! })) : taken
      })
      const { events } = yield* inTime(run(line(1), against))
      const delays = events.flatMap((e) => (e._tag === "BatchRetried" ? [e.delay] : []))
      assert.strictEqual(delays.length, asked.length)
      for (const [i, delay] of delays.entries()) {
        const own = Math.min(500 * 2 ** i, 30_000)
        assert.isTrue(
          delay >= Math.max(own * 0.8, asked[i]!) && delay <= Math.max(own * 1.2, asked[i]!),
          `${i}: ${delay}`
        )
      }
      assert.deepStrictEqual(
        events.flatMap((e) => (e._tag === "BatchRetried" ? [e.attempt] : [])),
        asked.map((_, i) => i + 1)
      )
    })
  )

  it.effect("takes as long as it was told before it gives up, whatever the service asks", () =>
    Effect.gen(function* () {
      const against = service({ create: () => fail(new RateLimited({ status: 429, retryAfter: 240_000 })) })
      const { report } = yield* inTime(run(lines(1), against, { giveUpAfter: "10 minutes" }))
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.strictEqual(against.creates.length, 3)
      assert.isTrue(Math.abs(report.elapsedMs - 480_000) < 2000, String(report.elapsedMs))
    })
  )

  it.effect("begins to count anew with each batch", () =>
    Effect.gen(function* () {
      const against = service({
        create: (_, call) =>
          call % 5 === 0 ? Effect.succeed(`batch-${call}`) : fail(new RateLimited({ status: 429, retryAfter: 100_000 }))
      })
      const { exitCode } = yield* inTime(
        run(lines(5), against, { batchSize: 1, concurrency: 1, giveUpAfter: "10 minutes" })
      )
      assert.strictEqual(exitCode, 0)
    })
  )

  it.effect("gives up where its schedule ends", () =>
    Effect.gen(function* () {
      const against = service({ create: () => fail(new RateLimited({ status: 429 })) })
      const { report } = yield* inTime(run(lines(1), against, { retrySchedule: Schedule.recurs(2) }))
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.strictEqual(against.creates.length, 3)
    })
  )

  it.effect("waits no longer when the run stops: what waits is not submitted, and says why", () =>
    Effect.gen(function* () {
      const against = service({ create: () => fail(new RateLimited({ status: 503, retryAfter: 250_000 })) })
      const { events, report } = yield* inTime(
        run(lines(6), against, { batchSize: 2, stop: Effect.sleep("5 seconds") })
      )
      assert.deepInclude(report.records, { read: 6, notSubmitted: 6 })
      assert.isTrue(report.elapsedMs < 6000)
      const codes = events.flatMap((e) => (e._tag === "BatchNotSubmitted" ? [e.code] : []))
      assert.deepStrictEqual(codes, ["HTTP 503", "STOPPED", "STOPPED"])
    })
  )

  it.effect.each([
    [false, { unresolved: 2, notSubmitted: 4 }],
    [true, { unresolved: 0, notSubmitted: 6 }]
  ] as const)("leaves a call when its grace is over: dry run %s", ([dryRun, counts]) =>
    Effect.gen(function* () {
      const against = service({ create: () => Effect.never })
      const { report } = yield* inTime(
        run(lines(6), against, { batchSize: 2, dryRun, stop: Effect.sleep("5 seconds"), grace: "3 seconds" })
      )
      assert.deepInclude(report.records, counts)
      assert.isTrue(Math.abs(report.elapsedMs - 8000) < 1000, String(report.elapsedMs))
      assert.strictEqual(against.calls.now, 0)
    })
  )

  it.effect("under a dry run asks again after each kind of lost answer, and gives up on them by time", () =>
    Effect.gen(function* () {
      const lost = [
        answered(500),
        answered(503),
        answered(200),
        new RequestTimeout({ timeout: 1, sent: true }),
        new TransportError({ code: "ECONNRESET", reason: "", sent: true })
      ]
      const against = service({ create: (_, call) => (call <= lost.length ? fail(lost[call - 1]!) : taken) })
      const { exitCode } = yield* inTime(run(lines(3), against, { dryRun: true }))
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(against.creates.length, 6)
      const away = service({ create: () => fail(answered(502)) })
      const { report } = yield* inTime(run(lines(3), away, { dryRun: true, giveUpAfter: "5 minutes" }))
      assert.deepInclude(report.records, { notSubmitted: 3, unresolved: 0 })
      assert.strictEqual(report.stopped?.reason, "GivenUp")
    })
  )

  it.effect("sends nothing along with the first batch while that is tried again and split", () =>
    Effect.gen(function* () {
      const against = service({
        create: (records, call) =>
          Effect.delay(
            call <= 2
              ? fail(new RateLimited({ status: 429 }))
              : records.length > 1
                ? fail(refused)
                : Effect.succeed(`request-${call}`),
            "1 second"
          )
      })
      const fiber = yield* Effect.forkChild(run(lines(12), against, { batchSize: 4, concurrency: 8 }))
      while (!against.creates.some((records) => records.length === 1)) yield* seconds(1)
      assert.strictEqual(against.calls.most, 1)
      const { report } = yield* inTime(Fiber.join(fiber))
      assert.isTrue(against.calls.most > 1)
      assert.strictEqual(report.records.created, 12)
    })
  )
})
