import { AuthleteError, type TokenBatch } from "@tokenbatch/core"
import { RunEvent, RunState, TokenBatchRun, type TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { bytesOf, ends, inTime, line, lines, noPause, run, seconds, service, summarize } from "./fixtures.ts"

const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError
const refused = new ResultError({ status: 400, resultCode: "BAD" })

/** Random numbers out of a seed. */
const dice = (seed: number) => {
  let state = seed >>> 0 || 1
  return (sides: number) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % sides
  }
}

describe("TokenBatchRun", () => {
  it.effect.prop(
    "accounts for every line, whatever the service answers",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 })) },
    ({ seed }) =>
      Effect.gen(function* () {
        const roll = dice(seed)
        const calm = roll(3) === 0
        const errors: ReadonlyArray<() => AuthleteError.AuthleteError> = [
          () => refused,
          () => new RateLimited({ status: 429 }),
          () => new RateLimited({ status: 503, retryAfter: roll(5000) }),
          () => new RequestTimeout({ timeout: 1, sent: true }),
          () => new TransportError({ code: "ECONNREFUSED", reason: "", sent: false }),
          () => new TransportError({ code: "ECONNRESET", reason: "", sent: true }),
          () =>
            new UnexpectedResponse({
              status: [200, 301, 404, 413, 422, 500, 502][roll(7)]!,
              reason: "",
              headers: {},
              body: ""
            }),
          () => new ResultError({ status: ([400, 401, 403, 500] as const)[roll(4)]!, resultCode: `C${roll(3)}` })
        ]
        const created = new Map<string, number>()
        const batches = new Map<string, ReadonlyArray<string>>()
        const against = service({
          create: (records, call) =>
            Effect.suspend(() => {
              if (roll(calm ? 10 : 2) === 0) return Effect.fail(errors[roll(errors.length)]!())
              const id = `request-${call}`
              batches.set(
                id,
                records.map(({ subject }) => subject)
              )
              return Effect.delay(Effect.succeed(id), roll(2000))
            }),
          status: (id) =>
            Effect.suspend((): Effect.Effect<TokenBatch.BatchStatus, AuthleteError.AuthleteError> => {
              const choice = roll(10)
              if (choice < 3) return Effect.succeed({ state: "Running" as const })
              if (choice === 3) return Effect.fail(errors[roll(7)]!())
              if (choice === 4) return Effect.succeed({ state: "Failed" as const, errorCode: `F${roll(2)}` })
              for (const subject of batches.get(id) ?? []) created.set(subject, (created.get(subject) ?? 0) + 1)
              return Effect.succeed({ state: "Succeeded" as const })
            })
        })
        const rows = Array.from({ length: 1 + roll(60) }, (_, i) => (roll(8) === 0 ? "{bad" : line(i + 1)))
        const concurrency = 1 + roll(6)
        const { events, exitCode, report } = yield* inTime(
          run(rows.join("\n"), against, {
            batchSize: 1 + roll(9),
            concurrency,
            keepGoing: roll(2) === 0,
            dryRun: roll(4) === 0,
            giveUpAfter: "20 minutes"
          })
        )

        assert.strictEqual(ends(report.records), report.records.read)
        if (report.complete) assert.strictEqual(report.records.read, rows.length)
        assert.strictEqual(report.records.created, created.size, "what the service confirmed, and nothing else")
        assert.isTrue(
          [...created.values()].every((times) => times === 1),
          "nothing twice"
        )
        assert.deepStrictEqual(
          report.batches.submitted,
          report.batches.succeeded + report.batches.failed + report.batches.unresolved
        )

        // Each batch begins once and ends once, and folding the events again gives the same report.
        const begun = events.flatMap((e) => (e._tag === "BatchIntended" ? [e.batch] : []))
        const ended = events.flatMap((e) =>
          "records" in e && "batch" in e && e._tag !== "BatchIntended" ? [e.batch] : []
        )
        assert.deepStrictEqual([...ended].sort(), [...begun].sort())
        const state = events.reduce((before, event) => {
          const after = RunState.step(before, event)
          assert.isTrue(after.inFlight <= concurrency)
          return after
        }, RunState.initial)
        assert.deepStrictEqual(state.records, report.records)
        assert.deepInclude(state, { inFlight: 0, recordsInFlight: 0 })

        // Each line is in the lines of exactly one end.
        const told = events.flatMap((e) => {
          if (e._tag === "LinesRejected") return e.rejections.map((r) => r.line)
          return "lines" in e && e._tag !== "BatchIntended"
            ? e.lines.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
            : []
        })
        assert.strictEqual(new Set(told).size, told.length)
        assert.strictEqual(told.length, report.records.read - report.records.created)
        if (exitCode === 0) assert.strictEqual(report.records.created, rows.length)
        for (const event of events) Schema.decodeUnknownSync(RunEvent.RunEvent)(JSON.parse(JSON.stringify(event)))
      })
  )

  it.effect("has no more batches between intent and outcome than it was told, halves included", () =>
    Effect.gen(function* () {
      const against = service({
        create: (records, call) =>
          Effect.delay(
            records.some(({ subject }) => /[37]$/.test(subject))
              ? Effect.fail(refused)
              : Effect.succeed(`request-${call}`),
            "100 millis"
          ),
        status: () => Effect.delay(Effect.succeed({ state: "Succeeded" as const }), "100 millis")
      })
      const { events, report } = yield* inTime(
        run(lines(200), against, { batchSize: 20, concurrency: 3, keepGoing: true })
      )
      assert.deepInclude(report.records, { created: 160, failed: 40 })
      assert.strictEqual(against.calls.most, 3)
      assert.strictEqual(events.at(-1)?._tag, "RunFinished")
    })
  )

  it.effect("stops reading when nobody reads its events", () =>
    Effect.gen(function* () {
      let pulled = 0
      const source = Stream.fromIterable(
        {
          *[Symbol.iterator]() {
            for (;;) yield bytesOf(`${line(++pulled)}\n`)
          }
        },
        { chunkSize: 1 }
      )
      const fiber = yield* TokenBatchRun.fromBytes(source, { ...noPause, batchSize: 1, concurrency: 2 }).pipe(
        Stream.runForEach(() => Effect.never),
        Effect.provide(service({}).layer),
        Effect.forkChild
      )
      yield* seconds(100)
      const before = pulled
      yield* seconds(100)
      assert.strictEqual(pulled, before)
      assert.isTrue(pulled < 1000)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("stops in order when asked: what is in flight gets its grace, the rest is not submitted", () =>
    Effect.gen(function* () {
      const stop = yield* Deferred.make<void>()
      const against = service({
        status: (id, poll) =>
          Effect.succeed({ state: id === "request-1" && poll > 5 ? ("Succeeded" as const) : ("Running" as const) })
      })
      const fiber = yield* Effect.forkChild(
        run(lines(9), against, { batchSize: 1, concurrency: 2, stop: Deferred.await(stop), grace: "10 seconds" })
      )
      yield* TestClock.adjust("300 millis")
      yield* Deferred.succeed(stop, undefined)
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      const { exitCode, report } = yield* Fiber.join(fiber)
      assert.deepInclude(report, { complete: false })
      assert.deepInclude(report.records, { created: 1, unresolved: 1 })
      assert.strictEqual(report.stopped?.reason, "Requested")
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(against.creates.length, 2)
    })
  )

  it.effect("ends at once when interrupted, and leaves nothing running", () =>
    Effect.gen(function* () {
      const against = service({ create: () => Effect.never })
      const fiber = yield* Effect.forkChild(run(lines(9), against, { batchSize: 1 }))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(against.calls.now, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(against.calls.now, 0)
    })
  )

  it.effect("stops a source that has nothing to say", () =>
    Effect.gen(function* () {
      const silent = yield* Queue.unbounded<Uint8Array>()
      const events = yield* inTime(
        TokenBatchRun.fromBytes(Stream.fromQueue(silent), { stop: Effect.sleep("1 minute") }).pipe(
          Stream.runCollect,
          Effect.provide(service({}).layer)
        )
      )
      assert.deepInclude(summarize(events).report, { complete: false, elapsedMs: 60_000 })
    })
  )

  it.effect("takes three refused batches in a row for a systematic refusal, unless told to go on", () =>
    Effect.gen(function* () {
      const always = () => service({ create: () => Effect.fail(refused) })
      const stopped = yield* inTime(run(lines(40), always(), { batchSize: 4, concurrency: 1 }))
      assert.strictEqual(stopped.report.stopped?.reason, "SystematicRefusal")
      assert.strictEqual(stopped.report.records.failed, 12)
      assert.strictEqual(stopped.exitCode, 3)
      const going = yield* inTime(run(lines(40), always(), { batchSize: 4, concurrency: 1, keepGoing: true }))
      assert.strictEqual(going.report.records.failed, 40)
      assert.strictEqual(going.exitCode, 1)

      const failing = service({ status: () => Effect.succeed({ state: "Failed" as const, errorCode: "E" }) })
      const failed = yield* inTime(run(lines(40), failing, { batchSize: 4, concurrency: 1 }))
      assert.strictEqual(failed.report.stopped?.reason, "SystematicRefusal")
      assert.strictEqual(failed.report.records.unresolved, 12)

      let call = 0
      const mixed = service({ status: () => Effect.succeed({ state: "Failed" as const, errorCode: `E${call++ % 2}` }) })
      assert.isUndefined((yield* inTime(run(lines(40), mixed, { batchSize: 4, concurrency: 1 }))).report.stopped)
      const between = service({
        status: (id) =>
          Effect.succeed(
            id.endsWith("3") ? { state: "Succeeded" as const } : { state: "Failed" as const, errorCode: "E" }
          )
      })
      assert.isUndefined((yield* inTime(run(lines(20), between, { batchSize: 4, concurrency: 1 }))).report.stopped)
    })
  )

  it.effect("stops at too many rejects, before it submits more", () =>
    Effect.gen(function* () {
      const text = `${lines(4)}\n{bad\n{bad\n${lines(4)}`
      const { exitCode, report } = yield* inTime(run(text, service({}), { batchSize: 4, maxRejects: 1 }))
      assert.strictEqual(report.stopped?.reason, "TooManyRejects")
      assert.deepInclude(report.records, { created: 4, rejected: 2, notSubmitted: 4 })
      assert.strictEqual(exitCode, 3)
      assert.isUndefined((yield* inTime(run(text, service({}), { batchSize: 4, maxRejects: 2 }))).report.stopped)
    })
  )

  it.effect("tells an input that cannot be read on, and accounts for what was read", () =>
    Effect.gen(function* () {
      const broken = Stream.concat(Stream.make(bytesOf(`${lines(5)}\n`)), Stream.fail(new Error("the disk is gone")))
      const { exitCode, report } = summarize(
        yield* inTime(
          TokenBatchRun.fromBytes(broken, { ...noPause, batchSize: 2 }).pipe(
            Stream.runCollect,
            Effect.provide(service({}).layer)
          )
        )
      )
      assert.deepStrictEqual(report.stopped, { reason: "Unreadable", message: "the disk is gone" })
      assert.strictEqual(report.records.read, 5)
      assert.strictEqual(ends(report.records), 5)
      assert.strictEqual(exitCode, 3)
    })
  )

  it.effect.each([
    ["an empty input", "", { read: 0 }, 0],
    ["blank lines", "\n\r\n  \n", { read: 0 }, 0],
    ["nothing but rejected lines", "{bad\n".repeat(3000), { read: 3000, rejected: 3000 }, 1]
  ] as const)("handles %s", ([, text, counts, code]) =>
    Effect.gen(function* () {
      const against = service({})
      const { exitCode, report } = yield* inTime(run(text, against))
      assert.deepInclude(report.records, counts)
      assert.strictEqual(exitCode, code)
      assert.isTrue(report.complete)
      assert.strictEqual(against.creates.length, 0)
    })
  )

  it.effect("is complete at its limit", () =>
    Effect.gen(function* () {
      const { exitCode, report } = yield* inTime(run(lines(100), service({}), { limit: 7, batchSize: 3 }))
      assert.deepInclude(report, { complete: true })
      assert.strictEqual(report.records.created, 7)
      assert.strictEqual(exitCode, 0)
    })
  )

  it.effect("reads inputs one after another, and names them", () =>
    Effect.gen(function* () {
      const inputs: ReadonlyArray<TokenRecords.Input> = ["a", "b"].map((name) => ({
        name,
        bytes: Stream.make(bytesOf(lines(3)))
      }))
      const events = yield* inTime(
        TokenBatchRun.fromInputs(inputs, noPause).pipe(Stream.runCollect, Effect.provide(service({}).layer))
      )
      assert.deepStrictEqual(events.find((e) => e._tag === "BatchIntended")?.lines, [
        { file: "a", from: 1, to: 3 },
        { file: "b", from: 1, to: 3 }
      ])
    })
  )
})
