import { AuthleteError, CreateAnswer, TokenBatch, TokenOperations } from "@tokenbatch/core"
import { RunEvent, RunState, TokenBatchRun, type TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { bytesOf, dice, ends, inTime, line, lines, noPause, run, seconds, service, summarize } from "./fixtures.ts"

const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError
const refused = new ResultError({ status: 400, resultCode: "BAD" })

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
        const dryRun = roll(4) === 0
        const concurrency = 1 + roll(6)
        const created = new Map<string, number>()
        /** Records that the service may have taken: they must not come again. */
        const perhapsTaken = new Set<string>()
        let anyTaken = false
        const batches = new Map<string, ReadonlyArray<string>>()
        const final = new Map<string, TokenBatch.BatchStatus>()
        const against = service({
          create: (records, call) =>
            Effect.suspend(() => {
              const again = dryRun ? [] : records.filter(({ subject }) => perhapsTaken.has(subject))
              assert.deepStrictEqual(again, [], "a record is not sent again once it may have been taken")
              if (!anyTaken) assert.strictEqual(against.calls.now, 1, "alone until something is taken")
              const perhaps = () => {
                for (const { subject } of records) perhapsTaken.add(subject)
              }
              const delay = roll(2000)
              if (roll(calm ? 10 : 2) === 0) {
                const error = errors[roll(errors.length)]!()
                return Effect.flatMap(Effect.sleep(delay), () => {
                  if (CreateAnswer.meaning(error, { anyTaken })._tag === "InDoubt") perhaps()
                  return Effect.fail(error)
                })
              }
              const id = `request-${call}`
              batches.set(
                id,
                records.map(({ subject }) => subject)
              )
              // A call that is given up may have been taken all the same.
              perhaps()
              return Effect.map(Effect.sleep(delay), () => {
                anyTaken = true
                return id
              })
            }),
          status: (id) =>
            Effect.suspend((): Effect.Effect<TokenBatch.BatchStatus, AuthleteError.AuthleteError> => {
              // Whether the service is back may be asked with any batch, more than once: how one ended does not change.
              const before = final.get(id)
              if (before !== undefined) return Effect.succeed(before)
              const choice = roll(10)
              if (choice < 3) return Effect.succeed({ state: "Running" as const })
              if (choice === 3) return Effect.fail(errors[roll(errors.length)]!())
              const end = (status: TokenBatch.BatchStatus) => {
                final.set(id, status)
                return Effect.succeed(status)
              }
              if (choice === 4) return end({ state: "Failed", errorCode: `F${roll(2)}` })
              if (choice === 5) return Effect.succeed({ state: "Unknown" as const, result: "PAUSED" })
              for (const subject of batches.get(id) ?? []) created.set(subject, (created.get(subject) ?? 0) + 1)
              return end({ state: "Succeeded" })
            })
        })
        const rows = Array.from({ length: 1 + roll(60) }, (_, i) => (roll(8) === 0 ? "{bad" : line(i + 1)))
        const { events, exitCode, report } = yield* inTime(
          run(rows.join("\n"), against, {
            batchSize: 1 + roll(9),
            concurrency,
            keepGoing: roll(2) === 0,
            dryRun,
            giveUpAfter: "20 minutes",
            grace: roll(5000),
            ...(roll(3) === 0 ? { stop: Effect.sleep(roll(20_000)) } : undefined),
            ...(roll(3) === 0 ? { maxRejects: roll(5) } : undefined),
            ...(roll(3) === 0 ? { limit: roll(70) } : undefined)
          })
        )

        assert.strictEqual(ends(report.records), report.records.read)
        assert.isTrue(report.records.read <= rows.length)
        assert.isTrue(against.calls.most <= concurrency)
        assert.strictEqual(against.calls.now, 0)
        // A dry run also calls unresolved what passes alone and fails together.
        assert.isTrue(report.records.created <= created.size, "what the service confirmed, and nothing else")
        if (!dryRun) assert.strictEqual(report.records.created, created.size, "all that the service confirmed")
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
        assert.deepStrictEqual(
          begun.toSorted((a, b) => a - b),
          begun.map((_, i) => i + 1)
        )
        assert.strictEqual(events.filter((e) => e._tag === "RunFinished").length, 1)
        assert.isTrue(events.filter((e) => e._tag === "RunStopping").length <= 1)
        let state = RunState.initial
        for (const event of events) {
          state = RunState.step(state, event)
          assert.strictEqual(state.records.read, ends(state.records) + state.recordsInFlight, "at any time")
          // In a dry run the success of a half may be kept back until the other half has ended.
          assert.isTrue(dryRun || state.inFlight <= concurrency, "no more between intent and outcome, halves included")
        }
        assert.deepStrictEqual(state.records, report.records)
        assert.deepInclude(state, { inFlight: 0, recordsInFlight: 0 })

        // Each line is in the lines of exactly one end.
        const told = events.flatMap((e) => {
          if (e._tag === "LinesRejected" || e._tag === "BatchIntended")
            return RunEvent.rejectionsOf(e).map((r) => r.line)
          return "lines" in e
            ? e.lines.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
            : []
        })
        assert.strictEqual(new Set(told).size, told.length)
        assert.strictEqual(told.length, report.records.read - report.records.created)
        if (exitCode === 0) assert.strictEqual(report.records.created, report.records.read)
        for (const event of events) Schema.decodeUnknownSync(RunEvent.RunEvent)(JSON.parse(JSON.stringify(event)))
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop("is complete, with every line told, when nothing stops it", { seed: Schema.Int }, ({ seed }) =>
    Effect.gen(function* () {
      const roll = dice(seed)
      // Everything that is no reason to stop.
      const bad = new Set(Array.from({ length: roll(9) }, () => `user-${1 + roll(200)}`))
      const against = service({
        create: (records, call) => {
          if (records.some(({ subject }) => bad.has(subject))) return Effect.fail(refused)
          const choice = call === 1 ? 9 : roll(9)
          if (choice === 0) return Effect.fail(new RateLimited({ status: 429, retryAfter: roll(3000) }))
          if (choice === 1) return Effect.fail(new RequestTimeout({ timeout: 1, sent: true }))
          return Effect.succeed(`request-${call}`)
        },
        status: (_, poll) => Effect.succeed({ state: poll <= roll(4) ? ("Running" as const) : ("Succeeded" as const) })
      })
      const rows = Array.from({ length: 200 }, (_, i) => [line(i + 1), "{bad", ""][Math.max(roll(12) - 9, 0)]!)
      const { events, report } = yield* inTime(
        run(rows.join("\n"), against, { batchSize: 1 + roll(40), concurrency: 1 + roll(5), keepGoing: true })
      )
      assert.isTrue(report.complete)
      assert.isUndefined(report.stopped)
      const { read, rejected } = report.records
      assert.strictEqual(read, rows.filter((row) => row !== "").length)
      assert.strictEqual(rejected, rows.filter((row) => row === "{bad").length)
      assert.strictEqual(ends(report.records), read)
      assert.strictEqual(
        report.records.failed,
        rows.filter((row, i) => row.startsWith('{"') && bad.has(`user-${i + 1}`)).length
      )
      assert.strictEqual(events.find((e) => e._tag === "InputEnded")?.bytes, rows.join("\n").length)
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
        status: (id) =>
          Effect.map(Clock.currentTimeMillis, (now) => ({
            state: id === "request-1" && now > 5000 ? ("Succeeded" as const) : ("Running" as const)
          }))
      })
      const fiber = yield* Effect.forkChild(
        run(lines(9), against, { batchSize: 1, concurrency: 2, stop: Deferred.await(stop), grace: "10 seconds" })
      )
      yield* seconds(1)
      yield* Deferred.succeed(stop, undefined)
      yield* seconds(9)
      assert.isUndefined(fiber.pollUnsafe())
      yield* seconds(2)
      const { exitCode, report } = yield* Fiber.join(fiber)
      assert.deepInclude(report, { complete: false })
      assert.deepInclude(report.records, { created: 1, unresolved: 1 })
      assert.strictEqual(report.stopped?.reason, "Requested")
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(against.creates.length, 2)
    })
  )

  it.effect("tells the end last, however late it is stopped and however full its events", () =>
    Effect.gen(function* () {
      for (let count = 82; count < 92; count++) {
        const stop = yield* Deferred.make<void>()
        const read = yield* Deferred.make<void>()
        const against = service({})
        const fiber = yield* TokenBatchRun.fromBytes(Stream.make(bytesOf(lines(count))), {
          ...noPause,
          batchSize: 1,
          stop: Deferred.await(stop)
        }).pipe(
          Stream.tap(() => Deferred.await(read)),
          Stream.runCollect,
          Effect.provide(against.layer),
          Effect.forkChild
        )
        yield* seconds(30)
        yield* Deferred.succeed(stop, undefined)
        yield* seconds(1)
        yield* Deferred.succeed(read, undefined)
        const { events, report } = summarize(yield* inTime(Fiber.join(fiber)))
        assert.strictEqual(ends(report.records), report.records.read)
        assert.strictEqual(
          events.some((e) => e._tag === "RunStopping"),
          report.stopped !== undefined
        )
      }
    })
  )

  it.effect("tells why it stops before anything ends because of it, however full its events", () =>
    Effect.gen(function* () {
      for (let count = 84; count < 90; count++) {
        const against = service({
          create: (records, call) =>
            Number(records[0]!.subject.slice(5)) > count
              ? Effect.delay(Effect.fail(new ResultError({ status: 401, resultCode: "NO" })), "1 minute")
              : Effect.succeed(`request-${call}`)
        })
        const read = yield* Deferred.make<void>()
        const fiber = yield* TokenBatchRun.fromBytes(Stream.make(bytesOf(lines(count + 9))), {
          ...noPause,
          batchSize: 1,
          concurrency: 4
        }).pipe(
          Stream.tap(() => Deferred.await(read)),
          Stream.runCollect,
          Effect.provide(against.layer),
          Effect.forkChild
        )
        yield* seconds(120)
        yield* Deferred.succeed(read, undefined)
        const { events, exitCode } = summarize(yield* inTime(Fiber.join(fiber)))
        assert.strictEqual(exitCode, 4)
        const tags = events.map((e) => e._tag)
        assert.isTrue(tags.indexOf("RunStopping") < tags.indexOf("BatchNotSubmitted"))
      }
    })
  )

  it.effect("dies of a defect rather than finish without a batch", () =>
    Effect.gen(function* () {
      for (const dies of [1, 2, 5]) {
        const against = service({
          create: (records, call) => {
            if (call === dies) return Effect.die("a defect")
            return records.length > 1 && call > 2 ? Effect.fail(refused) : Effect.succeed(`request-${call}`)
          },
          status: () => Effect.delay(Effect.succeed({ state: "Succeeded" as const }), "1 minute")
        })
        const exit = yield* Effect.exit(inTime(run(lines(40), against, { batchSize: 4, concurrency: 3 })))
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.strictEqual(against.calls.now, 0)
      }
      const polled = service({ status: () => Effect.die("a defect") })
      const exit = yield* Effect.exit(inTime(run(lines(4), polled)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      // In a call that no batch makes: whether the service is back.
      const down = new TransportError({ code: "ECONNREFUSED", reason: "", sent: false })
      let polls = 0
      const away = service({ status: () => (++polls > 4 ? Effect.die("a defect") : Effect.fail(down)) })
      const asking = yield* Effect.exit(inTime(run(lines(5), away, { batchSize: 1 })))
      assert.isTrue(Exit.isFailure(asking) && Cause.hasDies(asking.cause))
      const idle = service({ status: () => Effect.succeed({ state: "Running" as const }) })
      const stopping = yield* Effect.exit(inTime(run(lines(5), idle, { batchSize: 1, stop: Effect.die("a defect") })))
      assert.isTrue(Exit.isFailure(stopping) && Cause.hasDies(stopping.cause))
    })
  )

  it.effect("takes part in whoever reads it: ends all when that has enough", () =>
    Effect.gen(function* () {
      let open = 0
      const source = Stream.unwrap(
        Effect.as(
          Effect.acquireRelease(
            Effect.sync(() => open++),
            () => Effect.sync(() => open--)
          ),
          Stream.concat(Stream.make(bytesOf(`${lines(40)}\n`)), Stream.never)
        )
      )
      const against = service({ create: (_, call) => (call > 3 ? Effect.never : Effect.succeed(`request-${call}`)) })
      const events = yield* inTime(
        TokenBatchRun.fromBytes(source, { batchSize: 1, concurrency: 4 }).pipe(
          Stream.takeUntil((e) => e._tag === "BatchSucceeded"),
          Stream.runCollect,
          Effect.provide(against.layer)
        )
      )
      assert.strictEqual(events.at(-1)?._tag, "BatchSucceeded")
      assert.strictEqual(against.calls.now, 0)
      assert.strictEqual(open, 0)
    })
  )

  it.effect.prop(
    "leaves nothing running, whenever it is interrupted",
    { seed: Schema.Int },
    ({ seed }) =>
      Effect.gen(function* () {
        const roll = dice(seed)
        const against = service({
          create: (records, call) =>
            Effect.delay<string, AuthleteError.AuthleteError, never>(
              roll(3) === 0 && records.length > 1
                ? Effect.fail(refused)
                : roll(4) === 0
                  ? Effect.fail(new RateLimited({ status: 429 }))
                  : Effect.succeed(`request-${call}`),
              roll(3000)
            ),
          status: () => Effect.delay(Effect.succeed({ state: "Succeeded" as const }), roll(3000))
        })
        const fiber = yield* Effect.forkChild(
          run(lines(100), against, { batchSize: 1 + roll(20), concurrency: 1 + roll(5) })
        )
        yield* TestClock.adjust(roll(20_000))
        for (let turn = roll(30); turn > 0; turn--) yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(against.calls.now, 0)
        const before = against.creates.length
        yield* seconds(60)
        assert.strictEqual(against.creates.length, before)
      }),
    { arbitrary: { runs: 50 } }
  )

  it.effect("ends at once when interrupted, and leaves nothing running", () =>
    Effect.gen(function* () {
      const against = service({ create: () => Effect.never })
      const fiber = yield* Effect.forkChild(run(lines(9), against, { batchSize: 1 }))
      yield* seconds(1)
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

  it.effect("counts a systematic refusal in batches of the input, by code, and lets what is in flight end", () =>
    Effect.gen(function* () {
      // The halves of two batches are many refusals, but two batches.
      const two = service({
        create: (records, call) =>
          records.some(({ subject }) => Number(subject.slice(5)) <= 8)
            ? Effect.fail(refused)
            : Effect.succeed(`request-${call}`)
      })
      const going = yield* inTime(run(lines(20), two, { batchSize: 4, concurrency: 1 }))
      assert.isUndefined(going.report.stopped)
      assert.deepInclude(going.report.records, { failed: 8, created: 12 })

      // A batch in doubt is no verdict: it neither counts nor starts the count anew.
      const doubt = service({
        create: (_, call) => Effect.fail(call === 3 ? new RequestTimeout({ timeout: 1, sent: true }) : refused)
      })
      const doubted = yield* inTime(run(lines(20), doubt, { batchSize: 1, concurrency: 1 }))
      assert.deepInclude(doubted.report.records, { failed: 3, unresolved: 1 })
      assert.strictEqual(doubted.report.stopped?.reason, "SystematicRefusal")
      assert.include(doubted.report.stopped?.message, "BAD")

      // One that has two codes in it is none.
      const codes = service({
        create: (records) =>
          Effect.fail(
            records.length > 1
              ? refused
              : new ResultError({ status: 400, resultCode: Number(records[0]!.subject.slice(5)) % 2 === 0 ? "A" : "B" })
          )
      })
      const both = yield* inTime(run(lines(16), codes, { batchSize: 2, concurrency: 1 }))
      assert.isUndefined(both.report.stopped)
      assert.strictEqual(both.report.records.failed, 16)

      // Nor does such a one count for either of its codes.
      const either = service({
        create: (records) =>
          Effect.fail(new ResultError({ status: 400, resultCode: records[0]!.subject === "user-2" ? "B" : "A" }))
      })
      const mixed = yield* inTime(run(lines(6), either, { batchSize: 2, concurrency: 1 }))
      assert.isUndefined(mixed.report.stopped)

      const slow = service({
        create: (_, call) => (call === 1 || call > 2 ? Effect.succeed(`request-${call}`) : Effect.fail(refused)),
        status: (id, poll) =>
          Effect.succeed(
            id === "request-1" && poll < 12
              ? { state: "Running" as const }
              : id === "request-1"
                ? { state: "Succeeded" as const }
                : { state: "Failed" as const, errorCode: "BAD" }
          )
      })
      const { report } = yield* inTime(run(lines(20), slow, { batchSize: 1, concurrency: 2 }))
      assert.strictEqual(report.stopped?.reason, "SystematicRefusal")
      assert.strictEqual(report.records.created, 1, "what was in flight is seen to its end")
    })
  )

  it.effect("does not call fit in a dry run what passes alone and fails together", () =>
    Effect.gen(function* () {
      const repeated = [line(1), line(2), line(3), line(4), line(5).replace("token-5", "token-2")].join("\n")
      const values = new Map<string, ReadonlyArray<string>>()
      const against = service({
        create: (records, call) => {
          values.set(
            `request-${call}`,
            records.map(({ accessToken }) => accessToken ?? "")
          )
          return Effect.succeed(`request-${call}`)
        },
        status: (id) => {
          const sent = values.get(id) ?? []
          return Effect.succeed(
            new Set(sent).size === sent.length ? { state: "Succeeded" } : { state: "Failed", errorCode: "E1" }
          )
        }
      })
      const { events, exitCode, report } = yield* inTime(run(repeated, against, { dryRun: true }))
      assert.deepInclude(report.records, { read: 5, created: 0, unresolved: 5 })
      assert.strictEqual(exitCode, 3)
      const unfit = events.find((e) => e._tag === "BatchUnresolved")
      assert.strictEqual(unfit?.code, "E1")
      assert.include(unfit?.message, "lines 2 and 5 have one accessToken")
      // A bad record in it is reason enough; the others are fit then.
      const bad = service({
        create: (records, call) => {
          values.set(
            `request-${call}`,
            records.map(({ subject }) => subject)
          )
          return Effect.succeed(`request-${call}`)
        },
        status: (id) =>
          Effect.succeed(
            values.get(id)?.includes("user-3") === true ? { state: "Failed", errorCode: "E2" } : { state: "Succeeded" }
          )
      })
      const denied = yield* inTime(run(lines(8), bad, { dryRun: true }))
      assert.deepInclude(denied.report.records, { read: 8, created: 7, failed: 1, unresolved: 0 })
      assert.strictEqual(denied.exitCode, 1)
    })
  )

  it.effect("halves a batch that failed in a dry run down to the bad records", () =>
    Effect.gen(function* () {
      const bad = new Set(["user-3", "user-11", "user-12"])
      const against = service({
        create: (records) => Effect.succeed(records.map(({ subject }) => subject).join()),
        status: (id) => {
          const culprit = id.split(",").find((subject) => bad.has(subject))
          return Effect.succeed(
            culprit === undefined
              ? { state: "Succeeded" as const }
              : { state: "Failed" as const, errorCode: "E", errorDescription: culprit.replace("user", "token") }
          )
        }
      })
      const { events, exitCode, report } = yield* inTime(run(lines(16), against, { dryRun: true }))
      assert.strictEqual(exitCode, 1)
      assert.deepInclude(report.records, { created: 13, failed: 3 })
      const told = events.flatMap((e) => (e._tag === "BatchRefused" ? e.lines.map(({ from }) => from) : []))
      assert.deepStrictEqual(
        told.toSorted((a, b) => a - b),
        [3, 11, 12]
      )
      assert.isTrue(report.polls >= against.creates.length)
      assert.notInclude(JSON.stringify(events), "token-")
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

  it.effect.each([
    ["rejected lines at the end", `${lines(3)}\n{bad\n{bad`],
    ["blank lines at the end", `${lines(3)}\n\n \r\n`],
    ["nothing but rejected lines", "{bad\n{bad\n"],
    ["nothing but blank lines", "\n \n"],
    ["nothing", ""]
  ] as const)("tells how many bytes it read of %s", ([, text]) =>
    Effect.gen(function* () {
      const { events } = yield* inTime(run(text, service({}), { batchSize: 2 }))
      assert.deepInclude(
        events.find((e) => e._tag === "InputEnded"),
        { complete: true, bytes: text.length }
      )
    })
  )

  it.effect("uses the buffers of its batches again, split or not", () =>
    Effect.gen(function* () {
      let taken = 0
      const buffers = new Set<ArrayBufferLike>()
      const layer = TokenOperations.TokenOperations.layerTest({
        createBatchEncoded: (body) =>
          Effect.suspend(() => {
            // Halves have bodies of their own.
            if (body.length < 500) return Effect.succeed({ requestId: TokenBatch.RequestId.make(`half-${++taken}`) })
            buffers.add(body.buffer)
            return buffers.size % 2 === 0
              ? Effect.fail(refused)
              : Effect.succeed({ requestId: TokenBatch.RequestId.make(`whole-${++taken}`) })
          }),
        batchStatus: () => Effect.succeed({ state: "Succeeded" as const })
      })
      const events = yield* inTime(
        TokenBatchRun.fromBytes(Stream.make(bytesOf(lines(500))), { ...noPause, batchSize: 5, concurrency: 3 }).pipe(
          Stream.runCollect,
          Effect.provide(layer)
        )
      )
      assert.strictEqual(summarize(events).report.records.created, 500)
      assert.isAtMost(buffers.size, 6)
    })
  )

  it.effect("reads no more than its slots hold while the service is slow", () =>
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
      const against = service({ status: () => Effect.never })
      const fiber = yield* TokenBatchRun.fromBytes(source, { ...noPause, batchSize: 1, concurrency: 3 }).pipe(
        Stream.runDrain,
        Effect.provide(against.layer),
        Effect.forkChild
      )
      yield* seconds(60)
      assert.strictEqual(against.creates.length, 3)
      assert.isTrue(pulled <= 5, String(pulled))
      yield* Fiber.interrupt(fiber)
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

  it.effect.each([{ concurrency: 0 }, { batchSize: 0 }, { batchBytes: 1.5 }, { maxLineBytes: NaN }])(
    "dies of %j rather than wait for ever",
    (options) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(run(lines(3), service({}), options))
        assert.isTrue(Exit.isFailure(exit) && String(Cause.squash(exit.cause)).includes("expected a whole number"))
      })
  )
})
