import { assert, describe, it } from "@effect/vitest"
import { AuthleteError } from "@tokenbatch/core"
import * as Outage from "@tokenbatch/stream/Outage"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"

const broken = new AuthleteError.TransportError({ code: "ECONNREFUSED", reason: "refused", sent: false })
const answered = new AuthleteError.ResultError({ status: 400, resultCode: "A1" })
const fiveHundred = new AuthleteError.ResultError({ status: 500, resultCode: "A2" })

/** An outage of a service that is there or not as `service.error` says, and what it told, each with its second. */
const watched = Effect.fnUntraced(function* (giveUpAfter = 600_000) {
  const clock = yield* Clock.Clock
  const service: { error: AuthleteError.AuthleteError | undefined; asked: Array<number> } = { error: broken, asked: [] }
  const told: Array<string> = []
  const now = () => clock.currentTimeMillisUnsafe()
  const seconds = () => now() / 1000
  const outage = yield* Outage.make({
    now,
    giveUpAfter,
    ask: Effect.suspend(() => {
      service.asked.push(seconds())
      return service.error === undefined ? Effect.void : Effect.fail(service.error)
    }),
    onAway: () => told.push(`away ${seconds()}`),
    onBack: (millis) => told.push(`back ${seconds()} after ${millis / 1000}`),
    onGone: (last) => Effect.sync(() => told.push(`gone ${seconds()}: ${AuthleteError.code(last)}`)),
    onDefect: Effect.die
  })
  const hear = (...errors: ReadonlyArray<AuthleteError.AuthleteError | undefined>) =>
    Effect.forEach(errors, outage.heard, { discard: true })
  return { hear, outage, service, told }
})

describe("Outage", () => {
  it.each([
    [broken, true],
    [new AuthleteError.RequestTimeout({ timeout: 1, sent: true }), true],
    [fiveHundred, true],
    [new AuthleteError.UnexpectedResponse({ status: 502, reason: "a page", headers: {}, body: "" }), true],
    [new AuthleteError.UnexpectedResponse({ status: 404, reason: "a page", headers: {}, body: "" }), false],
    [answered, false],
    [new AuthleteError.RateLimited({ status: 429 }), false],
    [new AuthleteError.RateLimited({ status: 503, retryAfter: 1000 }), false]
  ])("%s: that the service is away: %s", (error, isAway) => assert.strictEqual(Outage.isAway(error), isAway))

  it.effect("takes three calls in a row without an answer, and asks ever less often until one comes", () =>
    Effect.gen(function* () {
      const { hear, outage, service, told } = yield* watched()
      yield* hear(broken, broken)
      assert.isFalse(outage.isOut())
      yield* hear(broken)
      assert.isTrue(outage.isOut())
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(service.asked, [1, 3, 7, 12, 17])
      service.error = answered
      yield* TestClock.adjust("4 seconds")
      assert.isFalse(outage.isOut())
      assert.deepStrictEqual(told, ["away 0", "back 22 after 22"])
    }).pipe(Effect.scoped)
  )

  it.effect("is not away where an answer comes between", () =>
    Effect.gen(function* () {
      const { hear, outage, told } = yield* watched()
      yield* hear(broken, broken, undefined, broken, broken, undefined, fiveHundred, broken)
      assert.isFalse(outage.isOut())
      yield* hear(broken)
      assert.deepStrictEqual(told, ["away 0"])
    }).pipe(Effect.scoped)
  )

  it.effect("learns nothing from what was under way when it was found away", () =>
    Effect.gen(function* () {
      const { hear, outage, service } = yield* watched()
      yield* hear(broken, broken, broken, undefined, answered)
      assert.isTrue(outage.isOut())
      service.error = undefined
      yield* TestClock.adjust("1 second")
      assert.isFalse(outage.isOut())
      // And begins to count anew.
      yield* hear(broken, broken)
      assert.isFalse(outage.isOut())
      yield* hear(broken)
      assert.isTrue(outage.isOut())
    }).pipe(Effect.scoped)
  )

  it.effect("gives up after as long as it may, counted from the first call without an answer", () =>
    Effect.gen(function* () {
      const { hear, outage, service, told } = yield* watched(30_000)
      yield* hear(broken)
      yield* TestClock.adjust("4 seconds")
      yield* hear(broken, broken)
      service.error = fiveHundred
      yield* TestClock.adjust("25 seconds")
      assert.isFalse(outage.isGone())
      yield* TestClock.adjust("1 second")
      assert.isTrue(outage.isGone())
      assert.isFalse(outage.isOut())
      assert.deepStrictEqual(told, ["away 4", "gone 30: A2"])
      const { length } = service.asked
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(service.asked.length, length)
      // It stays given up.
      yield* hear(broken, broken, broken)
      assert.isFalse(outage.isOut())
    }).pipe(Effect.scoped)
  )

  it.effect("does not count what lies between calls that were far apart", () =>
    Effect.gen(function* () {
      const { hear, service, told } = yield* watched()
      yield* hear(broken, broken)
      yield* TestClock.adjust("5 minutes")
      yield* hear(broken)
      service.error = undefined
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(told, ["away 300", "back 301 after 11"])
    }).pipe(Effect.scoped)
  )

  it.effect("knows for how long it was away since a moment, over several times", () =>
    Effect.gen(function* () {
      const { hear, outage, service } = yield* watched()
      assert.isFalse(outage.wasOutSince(0))
      yield* TestClock.adjust("100 seconds")
      for (let i = 0; i < 2; i++) {
        service.error = broken
        yield* hear(broken, broken, broken)
        assert.isTrue(outage.wasOutSince(Number.MAX_SAFE_INTEGER))
        yield* TestClock.adjust("500 millis")
        assert.strictEqual(outage.awaySince(100_000), i * 1000 + 500)
        service.error = undefined
        yield* TestClock.adjust("99500 millis")
      }
      assert.strictEqual(outage.awaySince(0), 2000)
      assert.strictEqual(outage.awaySince(100_250), 1750)
      assert.strictEqual(outage.awaySince(200_500), 500)
      assert.strictEqual(outage.awaySince(201_000), 0)
      assert.isTrue(outage.wasOutSince(200_999))
      assert.isFalse(outage.wasOutSince(201_000))
    }).pipe(Effect.scoped)
  )
})
