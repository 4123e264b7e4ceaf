import { AuthleteError, type TokenBatch, TokenOperations } from "@tokenbatch/core"
import { BatchNotifications, type RunEvent, type TokenBatchRun } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import { ends, inTime, lines, run, seconds, service, type Service } from "./fixtures.ts"

const { BatchNotifications: Notifications } = BatchNotifications
const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError

const refused = new TransportError({ code: "ECONNREFUSED", reason: "", sent: false })
const running: TokenBatch.BatchStatus = { state: "Running" }
const succeeded: TokenBatch.BatchStatus = { state: "Succeeded" }
const minutes = (count: number) => count * 60_000

type Answer<A> = Effect.Effect<A, AuthleteError.AuthleteError>

/** A call, as the service saw it. */
interface Call {
  readonly at: number
  readonly what: "create" | "status"
  readonly id?: string
  readonly failed: boolean
}

/** A service that does each batch in some time, and is what it is told to be at a moment. */
const working = (options: {
  /** Milliseconds from being taken to its result. */
  readonly time?: number | ((index: number) => number)
  /** What every call comes to at a moment, if that is no answer. */
  readonly failing?: (now: number) => AuthleteError.AuthleteError | undefined
  /** What a status call for a batch comes to, if that is no answer. */
  readonly poisoned?: (id: string) => AuthleteError.AuthleteError | undefined
  /** What a create call comes to where so many batches are with it. */
  readonly refusing?: (held: number, now: number) => AuthleteError.AuthleteError | undefined
  readonly trip?: number
}) => {
  const { failing = () => undefined, poisoned = () => undefined, refusing = () => undefined } = options
  const { time = 1000, trip = 10 } = options
  const calls: Array<Call> = []
  const ready = new Map<string, number>()
  const polls = new Map<string, number>()
  let taken = 0
  /** Most batches that were with the service and had not been asked after with success. */
  const most = { held: 0, calls: 0 }
  const open = new Set<string>()
  const answer = <A>(what: Call["what"], id: string | undefined, then: (now: number) => Answer<A>): Answer<A> =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const error = failing(now)
      const result: Result.Result<A, AuthleteError.AuthleteError> =
        error === undefined ? yield* Effect.result(then(now)) : Result.fail(error)
      calls.push({ at: now, what, ...(id === undefined ? undefined : { id }), failed: Result.isFailure(result) })
      yield* Effect.sleep(trip)
      return yield* Effect.fromResult(result)
    })
  const against = service({
    create: () =>
      answer("create", undefined, (now) => {
        const error = refusing(open.size, now)
        if (error !== undefined) return Effect.fail(error)
        const id = `batch-${String(++taken).padStart(6, "0")}`
        open.add(id)
        most.held = Math.max(most.held, open.size)
        ready.set(id, now + trip + (typeof time === "number" ? time : time(taken)))
        return Effect.succeed(id)
      }),
    status: (id) =>
      answer("status", id, (now) => {
        polls.set(id, (polls.get(id) ?? 0) + 1)
        const error = poisoned(id)
        if (error !== undefined) return Effect.fail(error)
        const at = ready.get(id)
        if (at === undefined) return Effect.fail(new ResultError({ status: 400, resultCode: "UNKNOWN" }))
        if (now < at) return Effect.succeed(running)
        open.delete(id)
        return Effect.succeed(succeeded)
      })
  })
  return { against, calls, most, polls, ready, taken: () => taken }
}

const changes = (events: ReadonlyArray<RunEvent.RunEvent>) => events.filter((event) => event._tag === "FlowChanged")
const reasons = (events: ReadonlyArray<RunEvent.RunEvent>) => changes(events).map(({ reason }) => reason)
const only = (tag: RunEvent.RunEvent["_tag"], events: ReadonlyArray<RunEvent.RunEvent>) =>
  events.filter((event) => event._tag === tag)

/** The most calls that began within any span of so many milliseconds. */
const densest = (calls: ReadonlyArray<Call>, span: number) => {
  let most = 0
  for (let from = 0, to = 0; to < calls.length; to++) {
    while (calls[to]!.at - calls[from]!.at >= span) from++
    most = Math.max(most, to - from + 1)
  }
  return most
}

describe("a service that is away", () => {
  const from = 5000
  const to = from + minutes(10)
  const outage = (error: AuthleteError.AuthleteError) => (now: number) => (now >= from && now < to ? error : undefined)

  it.effect.each([
    ["refuses connections", refused],
    [
      "is a gateway without anything behind it",
      new UnexpectedResponse({ status: 502, reason: "", headers: {}, body: "" })
    ]
  ] as const)("%s: everything waits, one asks, and it goes on", ([, error]) =>
    Effect.gen(function* () {
      const model = working({ failing: outage(error), time: 2000 })
      // The deadline of a batch is much shorter than this.
      const { events, exitCode, report } = yield* inTime(
        run(lines(200), model.against, { batchSize: 1, pollTimeout: "1 minute" })
      )
      assert.isUndefined(report.stopped)
      if (error === refused) {
        assert.strictEqual(exitCode, 0)
        assert.strictEqual(report.records.created, 200)
      } else {
        // What was on its way when it began is in doubt, as ever.
        assert.strictEqual(ends(report.records), 200)
        assert.isTrue(report.records.unresolved < 30 && report.records.created + report.records.unresolved === 200)
      }
      const told = reasons(events).filter((reason) => reason === "Away" || reason === "Back")
      assert.deepStrictEqual(told, ["Away", "Back"])
      const [away, back] = changes(events).filter(({ reason }) => reason === "Away" || reason === "Back")
      assert.isTrue(away!.at >= from && away!.at < from + 3000, String(away!.at))
      // As long as it was away, and not as long as that was known.
      const [first, , third] = model.calls.filter(({ failed }) => failed)
      assert.isAtMost(Math.abs(away!.at - first!.at - 10), 1)
      assert.isTrue(back!.at >= to && back!.at < to + 10_000, String(back!.at))

      // Once it is known, nothing but one status call at a time.
      const meanwhile = model.calls.filter(({ at }) => at > third!.at + 10 && at < back!.at)
      assert.isTrue(meanwhile.every(({ what }) => what === "status"))
      assert.isTrue(meanwhile.length > 20 && meanwhile.length < 700, String(meanwhile.length))
      for (const [i, { at }] of meanwhile.entries()) {
        assert.isTrue(i === 0 || at - meanwhile[i - 1]!.at >= 900, `${at}`)
      }
      const late = meanwhile.filter(({ at }) => at > from + minutes(1))
      for (const [i, { at }] of late.entries()) assert.isTrue(i === 0 || at - late[i - 1]!.at < 40_000)

      // No attempt is spent on it: what was tried again had failed before it was known.
      const retried = only("BatchRetried", events)
      const failedBefore = model.calls.filter(
        ({ at, failed, what }) => failed && what === "create" && at <= third!.at + 10
      )
      assert.isTrue(retried.length <= failedBefore.length)
      assert.strictEqual(
        model.calls.filter(({ failed, what }) => failed && what === "create").length,
        failedBefore.length
      )
      assert.isTrue(report.elapsedMs < minutes(12), String(report.elapsedMs))
    })
  )

  it.effect("before anything was taken: goes on when it is there", () =>
    Effect.gen(function* () {
      const model = working({ failing: (now) => (now < minutes(10) ? refused : undefined) })
      const { events, exitCode } = yield* inTime(run(lines(20), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.deepStrictEqual(
        reasons(events).filter((reason) => reason === "Away" || reason === "Back"),
        ["Away", "Back"]
      )
      const creates = model.calls.filter(({ what }) => what === "create")
      assert.isTrue(creates.filter(({ failed }) => failed).length <= 4)
      assert.strictEqual(creates.filter(({ failed }) => !failed).length, 20)
    })
  )

  it.effect("learns nothing of that time", () =>
    Effect.gen(function* () {
      const away = from + minutes(50)
      const model = working({ failing: (now) => (now >= from && now < away ? refused : undefined), time: 2000 })
      const { events, exitCode } = yield* inTime(run(lines(1500), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      // Not that the service is slow: with what is done in five seconds, there is time for thousands before the deadline.
      assert.notInclude(reasons(events), "PollTimeout")
      assert.isTrue(changes(events).every(({ window }) => window >= 16))
      // Polls a batch are what they are without it.
      const last = [...model.polls].slice(-500).map(([, count]) => count)
      assert.isTrue(last.reduce((sum, n) => sum + n, 0) / last.length < 2.5)
    })
  )

  it.effect.each([
    ["no connection", new TransportError({ code: "ECONNRESET", reason: "connection reset", sent: false })],
    [
      "an answer with a code",
      new ResultError({ status: 500, resultCode: "token-7", resultMessage: "token-7 is broken" })
    ],
    ["a page", new UnexpectedResponse({ status: 503, reason: "no JSON", headers: {}, body: "<p>token-7 SECRET" })],
    ["no answer", new RequestTimeout({ timeout: 30_000, sent: true })]
  ] as const)("for too long, with %s: given up, and everything accounted for", ([, error]) =>
    Effect.gen(function* () {
      const model = working({ failing: (now) => (now >= from ? error : undefined), time: 2000 })
      const giveUpAfter = minutes(20)
      const { events, exitCode, report } = yield* inTime(run(lines(300), model.against, { batchSize: 1, giveUpAfter }))
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      assert.strictEqual(ends(report.records), report.records.read)
      assert.isTrue(report.records.created > 0 && report.records.unresolved > 0)
      assert.isTrue(report.elapsedMs >= giveUpAfter && report.elapsedMs < from + giveUpAfter + minutes(2))
      assert.strictEqual(reasons(events).filter((reason) => reason === "Away").length, 1)
      assert.notInclude(reasons(events), "Back")
      const { message } = report.stopped!
      assert.notMatch(message, /token-7|SECRET|broken/)
      assert.match(message, /too long/)
      assert.strictEqual(only("RunStopping", events).length, 1)
      assert.strictEqual(model.against.calls.now, 0)
      const after = model.calls.length
      yield* seconds(60)
      assert.strictEqual(model.calls.length, after)
    })
  )

  it.effect("for too long: nothing is asked of it any more once it is given up", () =>
    Effect.gen(function* () {
      const model = working({ failing: (now) => (now >= from ? refused : undefined), time: 2000 })
      const { report } = yield* inTime(run(lines(300), model.against, { batchSize: 1, giveUpAfter: "20 minutes" }))
      assert.strictEqual(report.stopped?.reason, "GivenUp")
      const first = model.calls.find(({ failed }) => failed)!
      const late = model.calls.filter(({ at }) => at >= first.at + minutes(20))
      assert.isTrue(late.length <= 1, `${late.length} calls`)
    })
  )

  it.effect("stops in order when asked meanwhile", () =>
    Effect.gen(function* () {
      const model = working({ failing: (now) => (now >= from ? refused : undefined), time: 2000 })
      const { exitCode, report } = yield* inTime(
        run(lines(300), model.against, { batchSize: 1, stop: Effect.sleep("1 minute"), grace: "5 seconds" })
      )
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(report.stopped?.reason, "Requested")
      assert.isTrue(report.elapsedMs >= 60_000 && report.elapsedMs < 70_000, String(report.elapsedMs))
      assert.strictEqual(ends(report.records), report.records.read)
    })
  )

  it.effect("and back, and away again: each is told", () =>
    Effect.gen(function* () {
      const model = working({
        time: 3000,
        failing: (now) => (Math.floor(now / 60_000) % 2 === 1 && now < minutes(6) ? refused : undefined)
      })
      const { events, exitCode } = yield* inTime(
        run(lines(600), model.against, { batchSize: 1, concurrency: 4, giveUpAfter: "2 minutes" })
      )
      assert.strictEqual(exitCode, 0)
      assert.deepStrictEqual(
        reasons(events).filter((reason) => reason === "Away" || reason === "Back"),
        ["Away", "Back", "Away", "Back", "Away", "Back"]
      )
    })
  )

  it.effect("is not taken to be away for a batch that it cannot say anything of", () =>
    Effect.gen(function* () {
      const model = working({ time: 500 })
      const { layer } = model.against
      const broken = new ResultError({ status: 500, resultCode: "OOPS" })
      let asked = 0
      const operations = yield* Effect.provide(TokenOperations.TokenOperations, layer)
      const odd = Layer.succeed(
        TokenOperations.TokenOperations,
        TokenOperations.TokenOperations.of({
          ...operations,
          batchStatus: (id) => {
            if (id !== "batch-000003") return operations.batchStatus(id)
            asked++
            return Effect.delay(Effect.fail(broken), 10)
          }
        })
      )
      const fiber = yield* Effect.forkChild(
        run(lines(400), { ...model.against, layer: odd }, { batchSize: 1, giveUpAfter: "10 minutes" })
      )
      yield* seconds(590)
      assert.isUndefined(fiber.pollUnsafe())
      assert.isTrue(asked < 500, `${asked} polls`)
      // What remains is to find that this one is not told of, and not to ask without pause for that.
      yield* seconds(1200)
      assert.isTrue(asked < 130, `${asked} polls`)
      assert.isDefined(fiber.pollUnsafe())
      const { report } = yield* Fiber.join(fiber)
      assert.strictEqual(report.records.created, 399)
      assert.strictEqual(report.records.unresolved, 1)
    })
  )
})

it.effect("a receipt that another batch has already is in doubt", () =>
  Effect.gen(function* () {
    // As something in between does that gives one answer again and again.
    const model = service({ create: (_, call) => Effect.succeed(call <= 3 ? "batch-1" : `batch-${call}`) })
    const { events, report } = yield* inTime(run(lines(10), model, { batchSize: 1, concurrency: 2 }))
    assert.deepStrictEqual([report.records.created, report.records.unresolved], [8, 2])
    assert.strictEqual(only("BatchUnresolved", events).length, 2)
  })
)

describe("a batch whose status never comes right", () => {
  const answers = [
    ["a 500", new ResultError({ status: 500, resultCode: "BROKEN" })],
    ["a page", new UnexpectedResponse({ status: 200, reason: "a page", headers: {}, body: "" })],
    ["no answer in time", new RequestTimeout({ timeout: 5000, sent: true })]
  ] as const

  it.effect.each(answers)("%s: it is unresolved at its deadline, and the run goes on", ([, error]) =>
    Effect.gen(function* () {
      const model = working({ poisoned: (id) => (id === "batch-000003" ? error : undefined), time: 20_000 })
      const { events, report } = yield* inTime(
        run(lines(3000), model.against, {
          batchSize: 1,
          concurrency: 20,
          pollTimeout: "2 minutes",
          giveUpAfter: "1 minute"
        })
      )
      assert.isUndefined(report.stopped)
      assert.deepStrictEqual([report.records.created, report.records.unresolved], [2999, 1])
      // It may be asked after three times while nobody else is.
      assert.isTrue(reasons(events).filter((reason) => reason === "Away").length <= 2)
      assert.isTrue(model.polls.get("batch-000003")! < 40)
    })
  )

  it.effect.each(answers)("%s: also where it is the last one", ([, error]) =>
    Effect.gen(function* () {
      const model = working({ poisoned: (id) => (/0000(39|40)$/.test(id) ? error : undefined) })
      const { events, report } = yield* inTime(
        run(lines(40), model.against, { batchSize: 1, pollTimeout: "5 minutes", giveUpAfter: "20 minutes" })
      )
      assert.isUndefined(report.stopped)
      assert.deepStrictEqual([report.records.created, report.records.unresolved], [38, 2])
      assert.isTrue(report.elapsedMs < minutes(7), `${report.elapsedMs} ms`)
      assert.isTrue(only("FlowChanged", events).length < 12, "it does not go to and fro")
      for (const id of ["batch-000039", "batch-000040"])
        assert.isTrue(model.polls.get(id)! < 60, `${model.polls.get(id)}`)
    })
  )

  it.effect("while no status call is answered, though creates are: nothing is unresolved for it", () =>
    Effect.gen(function* () {
      const error = answers[0][1]
      let now = 0
      const model = working({ poisoned: () => (now > 5000 && now < minutes(40) ? error : undefined) })
      yield* Effect.forkScoped(
        Effect.forever(
          Effect.andThen(
            Effect.sleep(100),
            Effect.map(Clock.currentTimeMillis, (at) => void (now = at))
          )
        )
      )
      const { report } = yield* inTime(run(lines(300), model.against, { batchSize: 1, pollTimeout: "5 minutes" }))
      assert.isUndefined(report.stopped)
      assert.strictEqual(report.records.created, 300)
    }).pipe(Effect.scoped)
  )
})

describe("a service that refuses", () => {
  it.effect("once its queue is full: fewer at once, nothing is lost, and few are refused", () =>
    Effect.gen(function* () {
      const full = 40
      const model = working({
        time: 4000,
        refusing: (held) => (held >= full ? new RateLimited({ status: 429 }) : undefined)
      })
      const { events, exitCode, report } = yield* inTime(run(lines(1000), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(report.records.created, 1000)
      assert.include(reasons(events), "QueueFull")
      assert.notInclude(reasons(events), "TooFast")
      assert.isTrue(changes(events).every(({ requestsPerSecond }) => requestsPerSecond === undefined))
      const { window } = changes(events).at(-1)!
      assert.isTrue(window >= full / 2 && window <= full + 2, String(window))
      const creates = model.calls.filter(({ what }) => what === "create")
      const late = creates.slice(300)
      assert.isTrue(late.filter(({ failed }) => failed).length < 0.04 * late.length)
      assert.isTrue(report.elapsedMs < 1.5 * (1000 / full) * 4000 + 20_000, String(report.elapsedMs))
    })
  )

  it.effect("requests that come too fast: they are spaced", () =>
    Effect.gen(function* () {
      let tokens = 10
      let filled = 0
      const model = working({
        time: 2000,
        failing: (now) => {
          tokens = Math.min(10, tokens + ((now - filled) * 10) / 1000)
          filled = now
          if (tokens < 1) return new RateLimited({ status: 429, retryAfter: 100 })
          tokens--
          return undefined
        }
      })
      const { events, exitCode, report } = yield* inTime(run(lines(500), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.include(reasons(events), "TooFast")
      const first = changes(events).find(({ requestsPerSecond }) => requestsPerSecond !== undefined)!
      assert.isTrue(first.requestsPerSecond! > 3 && first.requestsPerSecond! < 30, String(first.requestsPerSecond))
      const refusals = model.calls.filter(({ failed }) => failed).length
      assert.isTrue(refusals < 0.1 * model.calls.length, `${refusals} of ${model.calls.length}`)
      // Two requests a batch, or a few more.
      assert.isTrue(report.elapsedMs < 1.4 * 100_000, String(report.elapsedMs))
    })
  )

  it.effect("creates that come too fast, though status calls may: fewer status calls find nothing", () =>
    Effect.gen(function* () {
      let next = 0
      const model = working({
        time: (index) => 300 + ((index * 7) % 11) * 50,
        refusing: (_, now) => {
          if (now < next) return new RateLimited({ status: 429 })
          next = now + 200
          return undefined
        }
      })
      const { events, exitCode } = yield* inTime(run(lines(300), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.include(reasons(events), "TooFast")
      const asked = model.calls.filter(({ what }) => what === "status").length
      assert.isTrue(asked < 500, `${asked} status calls`)
    })
  )

  it.effect("everything for a while: it asks ever more rarely, and goes on", () =>
    Effect.gen(function* () {
      const busy = new RateLimited({ status: 429 })
      const model = working({ failing: (now) => (now >= 5000 && now < minutes(10) ? busy : undefined) })
      const { events, exitCode, report } = yield* inTime(run(lines(300), model.against, { batchSize: 1 }))
      assert.strictEqual(exitCode, 0)
      assert.notInclude(reasons(events), "Away", "it answers")
      const meanwhile = model.calls.filter(({ at, failed }) => failed && at > 60_000)
      assert.isTrue(meanwhile.length < 300, String(meanwhile.length))
      assert.isTrue(report.elapsedMs < minutes(13), String(report.elapsedMs))
    })
  )
})

describe("bounds", () => {
  it.effect.each([1, 3, 20, 100])("concurrency: %i at once, fewer only while the queue is full", (concurrency) =>
    Effect.gen(function* () {
      for (const refusing of [
        () => undefined,
        (held: number) => (held >= 15 ? new RateLimited({ status: 429 }) : undefined)
      ]) {
        const model = working({ time: 3000, refusing })
        const { events, exitCode } = yield* inTime(run(lines(400), model.against, { batchSize: 1, concurrency }))
        assert.strictEqual(exitCode, 0)
        assert.isTrue(model.most.held <= concurrency)
        assert.isTrue(model.against.calls.most <= concurrency)
        assert.strictEqual(model.most.held, Math.min(concurrency, refusing(15) === undefined ? Infinity : 15))
        const isFull = concurrency > 15 && refusing(15) !== undefined
        assert.strictEqual(reasons(events).includes("QueueFull"), isFull)
        assert.isTrue(changes(events).every(({ window }) => (isFull ? window <= concurrency : window === concurrency)))
        let open = 0
        let most = 0
        for (const { _tag } of events) {
          if (_tag === "BatchIntended") open++
          if (_tag === "BatchSucceeded") open--
          most = Math.max(most, open)
        }
        if (isFull) assert.isAtMost(most, concurrency)
        else assert.strictEqual(most, concurrency)
      }
    })
  )

  it.effect.each([1, 5, 30, 80])("maxConcurrency: %i at most", (maxConcurrency) =>
    Effect.gen(function* () {
      const model = working({ time: 1000 })
      const { events, exitCode } = yield* inTime(run(lines(600), model.against, { batchSize: 1, maxConcurrency }))
      assert.strictEqual(exitCode, 0)
      assert.isTrue(model.most.held <= maxConcurrency, String(model.most.held))
      assert.isTrue(model.most.held > maxConcurrency / 2)
      assert.isTrue(changes(events).every(({ window }) => window <= maxConcurrency))
    })
  )

  it.effect.each([1, 7, 50, 200])(
    "maxRequestsPerSecond: %i, create and status calls together",
    (maxRequestsPerSecond) =>
      Effect.gen(function* () {
        const model = working({ time: 2000 })
        const count = 20 * Math.min(maxRequestsPerSecond, 20)
        const { exitCode, report } = yield* inTime(
          run(lines(count), model.against, { batchSize: 1, maxRequestsPerSecond })
        )
        assert.strictEqual(exitCode, 0)
        assert.strictEqual(report.records.created, count)
        for (const span of [1, 10, 30]) {
          const most = densest(model.calls, span * 1000)
          assert.isTrue(most <= span * maxRequestsPerSecond, `${most} in ${span} s`)
        }
        const least = model.calls.length / maxRequestsPerSecond
        assert.isTrue(report.elapsedMs < 1.3 * 1000 * least + 15_000, `${report.elapsedMs} for ${model.calls.length}`)
      })
  )

  it.effect.each([
    ["once, where it does for more than a moment", 20, { maxRequestsPerSecond: 7 }, 1],
    ["though as many are in flight as were given", 20, { maxRequestsPerSecond: 7, concurrency: 4 }, 1],
    ["not where some have to wait for a moment", 100, { maxRequestsPerSecond: 200 }, 0],
    ["not where there is none", 20, {}, 0]
  ] as const)("maxRequestsPerSecond: whether it held requests back is told: %s", ([, count, options, told]) =>
    Effect.gen(function* () {
      const model = working({ time: 2000 })
      const { events, report } = yield* inTime(run(lines(count), model.against, { batchSize: 1, ...options }))
      assert.strictEqual(reasons(events).filter((reason) => reason === "MaxRequests").length, told)
      assert.strictEqual(report.flow?.changes.MaxRequests ?? 0, told)
    })
  )

  it.effect("maxRequestsPerSecond, with a limiter that is shared: two runs together", () =>
    Effect.gen(function* () {
      const model = working({ time: 2000 })
      const one = run(lines(150), model.against, { batchSize: 1, maxRequestsPerSecond: 20 })
      const both = Effect.all([one, one], { concurrency: 2 }).pipe(
        Effect.provide(RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory)))
      )
      const results = yield* inTime(both)
      for (const { exitCode, report } of results) {
        assert.strictEqual(exitCode, 0)
        assert.strictEqual(report.records.created, 150)
      }
      for (const span of [1, 5, 20]) {
        const most = densest(model.calls, span * 1000)
        assert.isTrue(most <= (span + 1) * 20, `${most} in ${span} s`)
      }
      const [a, b] = results.map(({ report }) => report.elapsedMs)
      assert.isTrue(Math.max(a!, b!) < 1.5 * Math.min(a!, b!), "and none is starved")
      // Without one, each has its own.
      const apart = working({ time: 2000 })
      const other = run(lines(150), apart.against, { batchSize: 1, maxRequestsPerSecond: 20 })
      yield* inTime(Effect.all([other, other], { concurrency: 2 }))
      assert.isTrue(densest(apart.calls, 5000) > 6 * 20)
      // Also where the application has such a store for something else.
      apart.calls.length = 0
      yield* inTime(Effect.all([other, other], { concurrency: 2 }).pipe(Effect.provide(RateLimiter.layerStoreMemory)))
      assert.isTrue(densest(apart.calls, 5000) > 6 * 20)
    })
  )

  it.effect("a limiter whose store fails bounds nothing, and stops nothing", () =>
    Effect.gen(function* () {
      const failing = RateLimiter.RateLimiter.of({
        ...(yield* RateLimiter.make.pipe(Effect.provide(RateLimiter.layerStoreMemory))),
        consume: () =>
          Effect.fail(
            new RateLimiter.RateLimiterError({ reason: new RateLimiter.RateLimitStoreError({ message: "gone" }) })
          )
      })
      const model = working({})
      const { exitCode } = yield* inTime(
        run(lines(50), model.against, { batchSize: 1, maxRequestsPerSecond: 1 }).pipe(
          Effect.provideService(RateLimiter.RateLimiter, failing)
        )
      )
      assert.strictEqual(exitCode, 0)
    })
  )
})

describe("a stop while batches wait to be handed in", () => {
  const waiting: ReadonlyArray<readonly [string, TokenBatchRun.Options, Parameters<typeof working>[0]]> = [
    ["for there being too many", {}, { time: 3_600_000 }],
    ["for the service being away", {}, { time: 3_600_000, failing: (now) => (now >= 5000 ? refused : undefined) }],
    [
      "for the service having asked to wait",
      {},
      {
        time: 3_600_000,
        refusing: (held) => (held >= 5 ? new RateLimited({ status: 429, retryAfter: 600_000 }) : undefined)
      }
    ]
  ]
  it.effect.each(waiting)("%s: they are not submitted, at once", ([, options, habits]) =>
    Effect.gen(function* () {
      const model = working(habits)
      const stop = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        run(lines(60), model.against, { batchSize: 1, stop: Deferred.await(stop), grace: "1 minute", ...options })
      )
      yield* seconds(20)
      const before = model.calls.filter(({ what }) => what === "create").length
      yield* Deferred.succeed(stop, undefined)
      yield* seconds(55)
      assert.strictEqual(
        model.calls.filter(({ what }) => what === "create").length,
        before,
        "nothing more is handed in"
      )
      yield* seconds(8)
      assert.isDefined(fiber.pollUnsafe(), "its grace is over")
      const { exitCode, report } = yield* Fiber.join(fiber)
      assert.strictEqual(exitCode, 3)
      assert.strictEqual(ends(report.records), report.records.read)
      assert.strictEqual(report.records.unresolved, model.taken())
    })
  )
})

it.effect("the grace of a stop ends all that wait under a bound of requests as well", () =>
  Effect.gen(function* () {
    const model = working({ time: 3_600_000 })
    const { report } = yield* inTime(
      run(lines(60), model.against, {
        batchSize: 1,
        concurrency: 30,
        maxRequestsPerSecond: 1,
        stop: Effect.sleep("1 minute"),
        grace: "5 seconds"
      })
    )
    assert.strictEqual(ends(report.records), report.records.read)
    assert.isTrue(report.elapsedMs < 67_000, `${report.elapsedMs - 65_000} ms after its grace`)
  })
)

it.effect("giving up on a service does not wait under a bound of requests", () =>
  Effect.gen(function* () {
    const model = working({ time: 3_600_000, failing: (now) => (now > 60_000 ? refused : undefined) })
    const { report } = yield* inTime(
      run(lines(60), model.against, {
        batchSize: 1,
        concurrency: 30,
        maxRequestsPerSecond: 1,
        giveUpAfter: "2 minutes"
      })
    )
    assert.strictEqual(report.stopped?.reason, "GivenUp")
    assert.strictEqual(ends(report.records), report.records.read)
    const first = model.calls.find(({ failed }) => failed)!
    const late = report.elapsedMs - first.at - 120_000
    assert.isTrue(late < 4000, `${late} ms after it was given up`)
  })
)

it.effect("a status call that got no answer does not tell that a queue is full", () =>
  Effect.gen(function* () {
    // The eleventh create call is refused, and whatever comes after it for a while; but the first status call is lost.
    let lost = false
    const busy = new RateLimited({ status: 429 })
    const model = working({
      time: 30_000,
      refusing: (held, now) => (held >= 10 && now < 20_000 ? busy : undefined)
    })
    const { layer } = model.against
    const operations = yield* Effect.provide(TokenOperations.TokenOperations, layer)
    let refusals = 0
    const odd = Layer.succeed(
      TokenOperations.TokenOperations,
      TokenOperations.TokenOperations.of({
        ...operations,
        createBatchEncoded: (body, options) =>
          Effect.tapError(operations.createBatchEncoded(body, options), () => Effect.sync(() => void refusals++)),
        batchStatus: (id) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            if (refusals === 0 || now >= 20_000) return operations.batchStatus(id)
            if (lost) return Effect.fail(busy)
            lost = true
            return Effect.fail(new TransportError({ code: "ECONNRESET", reason: "", sent: true }))
          })
      })
    )
    const { events, exitCode } = yield* inTime(run(lines(100), { ...model.against, layer: odd }, { batchSize: 1 }))
    assert.strictEqual(exitCode, 0)
    assert.isTrue(lost && refusals > 0)
    assert.strictEqual(
      reasons(events).find((reason) => reason === "QueueFull" || reason === "TooFast"),
      "TooFast"
    )
  })
)

/** A run with notifications, and what gives hints to it. */
const notified = Effect.fnUntraced(function* (text: string, against: Service, options: TokenBatchRun.Options = {}) {
  const notifications = yield* Notifications
  const fiber = yield* Effect.forkChild(
    run(text, against, options).pipe(Effect.provideService(Notifications, notifications))
  )
  return { fiber, notify: notifications.notify }
})

/** Turns for what is ready to run, without any time. */
const turns = Effect.fnUntraced(function* (count = 20) {
  for (let turn = 0; turn < count; turn++) yield* Effect.yieldNow
})

describe("a notification", () => {
  /** Each batch takes a minute; with that, the ladder is long. */
  const start = Effect.fnUntraced(function* (count: number, options: TokenBatchRun.Options = {}) {
    const model = working({ time: 60_000, trip: 0 })
    const { fiber, notify } = yield* notified(lines(count), model.against, { batchSize: 1, concurrency: 8, ...options })
    yield* seconds(20)
    assert.strictEqual(model.taken(), Math.min(count, 8))
    return { model, fiber, notify }
  })
  const pollsSince = (model: ReturnType<typeof working>, index: number) =>
    model.calls.slice(index).flatMap(({ id, what }) => (what === "status" ? [id!] : []))

  it.effect("with a request ID has that batch asked after now", () =>
    Effect.gen(function* () {
      const { model, notify } = yield* start(8)
      for (const name of ["batch-000006", "batch-000003"]) {
        const before = model.calls.length
        yield* notify(`{"event":"done","requestId":"${name}","x":1}`)
        yield* turns()
        assert.deepStrictEqual(pollsSince(model, before), [name])
      }
      // Once a batch.
      const before = model.calls.length
      yield* notify("batch-000006")
      yield* turns()
      assert.deepStrictEqual(pollsSince(model, before), [])
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("with a request ID has that batch asked after, and none whose ID is the beginning of it", () =>
    Effect.gen(function* () {
      const polls: Array<string> = []
      const against = service({
        status: (id) =>
          Effect.sync(() => {
            polls.push(id)
            return running
          })
      })
      const { fiber, notify } = yield* notified(lines(12), against, { batchSize: 1, concurrency: 12 })
      yield* seconds(20)
      polls.length = 0
      yield* notify('{"requestId":"request-12"}')
      yield* turns()
      assert.deepStrictEqual(polls, ["request-12"])
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("of a batch that is being asked after has it asked after once more", () =>
    Effect.gen(function* () {
      // A status call takes two seconds, and is answered with what was when it came in.
      const polls: Array<readonly [string, number]> = []
      let over = false
      const against = service({
        status: (id) =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            polls.push([id, now])
            return Effect.delay(Effect.succeed(over && id === "request-1" ? succeeded : running), "2 seconds")
          })
      })
      const { fiber, notify } = yield* notified(lines(2), against, { batchSize: 1, concurrency: 2 })
      // Until a call for the first one has begun.
      while (polls.at(-1)?.[0] !== "request-1" || against.calls.now === 0 || polls.length < 12) {
        yield* TestClock.adjust(500)
        yield* turns()
      }
      over = true
      const before = polls.length
      yield* notify("request-1")
      for (let i = 0; i < 6; i++) {
        yield* turns()
        yield* TestClock.adjust(500)
      }
      yield* turns()
      assert.deepStrictEqual(
        polls.slice(before).map(([id]) => id),
        ["request-1"]
      )
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("or not, a pause that the service asks for is told, once for all calls that it asks it of", () =>
    Effect.gen(function* () {
      const model = working({
        time: 3000,
        refusing: () => (model.calls.length < 8 ? new RateLimited({ status: 429, retryAfter: 30_000 }) : undefined)
      })
      const { events, exitCode } = yield* inTime(run(lines(40), model.against, { batchSize: 1, concurrency: 8 }))
      assert.strictEqual(exitCode, 0)
      const pauses = changes(events).filter(({ reason }) => reason === "Paused")
      assert.isAtLeast(pauses.length, 1)
      for (const { pause } of pauses) assert.strictEqual(pause, 30_000)
      for (const [i, { at }] of pauses.entries()) assert.isTrue(i === 0 || at - pauses[i - 1]!.at >= 5000)
    })
  )

  it.effect("of a batch that is being asked after waits as long as the service asks for then", () =>
    Effect.gen(function* () {
      const polls: Array<number> = []
      const against = service({
        status: () =>
          Effect.flatMap(Clock.currentTimeMillis, (now) => {
            const refused = polls.push(now) === 3
            const answer = refused
              ? Effect.fail(new RateLimited({ status: 429, retryAfter: 60_000 }))
              : Effect.succeed(running)
            return Effect.delay(answer, "2 seconds")
          })
      })
      const { fiber, notify } = yield* notified(lines(1), against, { batchSize: 1 })
      while (polls.length < 3) yield* seconds(1)
      yield* notify("request-1")
      yield* seconds(40)
      assert.strictEqual(polls.length, 3)
      yield* seconds(40)
      assert.isAtLeast(polls.length, 4)
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("that comes late, for a batch that has ended, does not cost another one its own", () =>
    Effect.gen(function* () {
      const polls: Array<string> = []
      const against = service({
        status: (id) =>
          Effect.sync(() => {
            polls.push(id)
            return id === "request-1" ? succeeded : running
          })
      })
      const { fiber, notify } = yield* notified(lines(4), against, { batchSize: 1, concurrency: 4 })
      yield* seconds(30)
      assert.include(polls, "request-1")
      yield* notify("request-1")
      yield* turns()
      for (const id of ["request-2", "request-3", "request-4"]) {
        polls.length = 0
        yield* notify(id)
        yield* turns()
        assert.deepStrictEqual(polls, [id])
      }
      yield* Fiber.interrupt(fiber)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("without one has the one asked after that is expected soonest", () =>
    Effect.gen(function* () {
      const { model, notify } = yield* start(8)
      for (const body of ["", "{}", "some batch is done"]) {
        const before = model.calls.length
        yield* notify(body)
        yield* turns()
        assert.strictEqual(pollsSince(model, before).length, 1, body)
      }
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("finds results at once, and with one poll a batch", () =>
    Effect.gen(function* () {
      const model = working({ time: (index) => 1000 + (index % 7) * 300, trip: 0 })
      const notifications = yield* Notifications
      const fiber = yield* Effect.forkChild(
        run(lines(300), model.against, { batchSize: 1, concurrency: 10 }).pipe(
          Effect.provideService(Notifications, notifications)
        )
      )
      const told = new Set<string>()
      let lag = 0
      for (let i = 0; i < 8000 && fiber.pollUnsafe() === undefined; i++) {
        yield* TestClock.adjust(10)
        yield* turns(5)
        const now = yield* Clock.currentTimeMillis
        for (const [id, at] of model.ready) {
          if (at > now || told.has(id)) continue
          told.add(id)
          yield* notifications.notify(id)
          lag = Math.max(lag, now - at)
        }
      }
      const { exitCode, report } = yield* inTime(Fiber.join(fiber))
      assert.strictEqual(exitCode, 0)
      const counts = [...model.polls].slice(100).map(([, count]) => count)
      const mean = counts.reduce((sum, n) => sum + n, 0) / counts.length
      assert.isTrue(mean < 1.3, `${mean} polls a batch`)
      // Thirty turns of ten at once, the mean of which takes two seconds.
      assert.isTrue(report.elapsedMs < 1.15 * 30 * 1900, String(report.elapsedMs))
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect.each([
    ["name nobody", () => '{"requestId":"another"}'],
    ["name batches of the run", (i: number) => `batch-${String(1 + (i % 40)).padStart(6, "0")}`],
    ["name all of them", () => Array.from({ length: 40 }, (_, i) => `batch-${String(i + 1).padStart(6, "0")}`).join()]
  ] as const)("of ten thousand forged ones, which %s, costs one poll a batch", ([, body]) =>
    Effect.gen(function* () {
      const quiet = working({ time: 30_000 })
      yield* inTime(run(lines(40), quiet.against, { batchSize: 1, concurrency: 8 }))
      const usual = [...quiet.polls.values()].reduce((sum, n) => sum + n, 0)

      const model = working({ time: 30_000 })
      const { fiber, notify } = yield* notified(lines(40), model.against, { batchSize: 1, concurrency: 8 })
      for (let i = 0; i < 10_000 && fiber.pollUnsafe() === undefined; i++) {
        yield* notify(body(i))
        if (i % 20 === 19) {
          yield* turns(3)
          yield* TestClock.adjust(100)
        }
      }
      const { exitCode, report } = yield* inTime(Fiber.join(fiber))
      assert.strictEqual(exitCode, 0)
      assert.strictEqual(report.records.created, 40)
      const polls = [...model.polls.values()].reduce((sum, n) => sum + n, 0)
      assert.isTrue(polls <= 1.1 * usual + 40, `${polls}, and ${usual} without`)
      // And it is no slower for it.
      assert.isTrue(report.elapsedMs < 1.5 * 5 * 30_000, String(report.elapsedMs))
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("after the run does nothing", () =>
    Effect.gen(function* () {
      const model = working({ time: 1000 })
      const { fiber, notify } = yield* notified(lines(5), model.against, { batchSize: 1 })
      const { exitCode } = yield* inTime(Fiber.join(fiber))
      assert.strictEqual(exitCode, 0)
      const before = model.calls.length
      for (let i = 0; i < 100; i++) yield* notify("batch-000001")
      yield* seconds(60)
      assert.strictEqual(model.calls.length, before)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("does nothing while the service is away", () =>
    Effect.gen(function* () {
      const model = working({ time: 60_000, failing: (now) => (now > 10_000 && now < 300_000 ? refused : undefined) })
      const { fiber, notify } = yield* notified(lines(8), model.against, { batchSize: 1 })
      yield* seconds(30)
      const before = model.calls.length
      for (let i = 1; i <= 8; i++) yield* notify(`batch-00000${i}`)
      yield* turns()
      assert.strictEqual(model.calls.length, before)
      const { exitCode } = yield* inTime(Fiber.join(fiber))
      assert.strictEqual(exitCode, 0)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("goes to the run whose batch it names, where two run", () =>
    Effect.gen(function* () {
      const models = ["a", "b"].map((name) => {
        const ready = new Map<string, number>()
        const polls: Array<string> = []
        const against = service({
          create: (_, call) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              const id = `${name}-${String(call).padStart(6, "0")}`
              ready.set(id, now + 60_000)
              return id
            }),
          status: (id) =>
            Effect.map(Clock.currentTimeMillis, (now) => {
              polls.push(id)
              return now < ready.get(id)! ? running : succeeded
            })
        })
        return { against, polls }
      })
      const runs = yield* Effect.forEach(models, ({ against }) => notified(lines(6), against, { batchSize: 1 }))
      yield* seconds(20)
      const before = models.map(({ polls }) => polls.length)
      yield* runs[0]!.notify("done: b-000004")
      yield* turns()
      const since = models.map(({ polls }, i) => polls.slice(before[i]))
      assert.deepStrictEqual(since[1], ["b-000004"])
      // The other cannot tell it from one that names nobody.
      assert.isTrue(since[0]!.length <= 1)
      for (const { fiber } of runs) assert.strictEqual((yield* inTime(Fiber.join(fiber))).exitCode, 0)
    }).pipe(Effect.provide(Notifications.layer))
  )

  it.effect("for another run does not cost a batch of this one its own", () =>
    Effect.gen(function* () {
      const polls: Array<string> = []
      const named = (name: string) =>
        service({
          create: (_, call) => Effect.succeed(`${name}-${call}`),
          status: (id) =>
            Effect.sync(() => {
              polls.push(id)
              return running
            })
        })
      const a = yield* notified(lines(4), named("a"), { batchSize: 1, concurrency: 4 })
      const b = yield* notified(lines(4), named("b"), { batchSize: 1, concurrency: 4 })
      yield* seconds(20)
      for (const run of ["a", "b"]) {
        for (let i = 1; i <= 4; i++) {
          const id = `${run}-${i}`
          polls.length = 0
          yield* b.notify(id)
          yield* turns()
          assert.include(polls, id)
        }
      }
      yield* Fiber.interrupt(a.fiber)
      yield* Fiber.interrupt(b.fiber)
    }).pipe(Effect.provide(Notifications.layer))
  )
})

it.effect("two runs at once share a service, and neither starves", () =>
  Effect.gen(function* () {
    const full = 30
    const model = working({
      time: 3000,
      refusing: (held) => (held >= full ? new RateLimited({ status: 429 }) : undefined)
    })
    const one = run(lines(500), model.against, { batchSize: 1 })
    const results = yield* inTime(Effect.all([one, one], { concurrency: 2 }))
    for (const { exitCode } of results) assert.strictEqual(exitCode, 0)
    assert.isTrue(model.most.held <= full)
    const [a, b] = results.map(({ report }) => report.elapsedMs)
    assert.isTrue(Math.max(a!, b!) < 2 * Math.min(a!, b!), `${a}, ${b}`)
    assert.isTrue(Math.max(a!, b!) < 1.6 * (1000 / full) * 3000 + 20_000, `${a}, ${b}`)
  })
)
