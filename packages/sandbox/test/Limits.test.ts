import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Limits, type RateLimit } from "../src/Limits.ts"
import { upTo } from "./fixtures.ts"

/** Runs a test against a limit. */
const against = <A>(rateLimit: RateLimit | undefined, use: (limits: Limits["Service"]) => Effect.Effect<A>) =>
  Effect.provide(Effect.flatMap(Limits, use), Limits.layer(rateLimit))

type Call = Parameters<Limits["Service"]["ofCall"]>[0]

/** Whether a call is let through. */
const isThrough = (limits: Limits["Service"], operation: Call = "create") =>
  Effect.map(Effect.result(limits.ofCall(operation)), Result.isSuccess)

/** How many of so many calls at once are let through. */
const through = (limits: Limits["Service"], calls: number, operation?: Call) =>
  Effect.map(
    Effect.forEach(upTo(calls), () => isThrough(limits, operation)),
    (seen) => seen.filter(Boolean).length
  )

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

describe("Limits", () => {
  it.effect("let everything through where there are none", () =>
    against(undefined, (limits) => Effect.map(through(limits, 1000), (count) => assert.strictEqual(count, 1000)))
  )

  it.effect("let a burst through, and then so many a second", () =>
    against({ perSecond: 20, burst: 5 }, (limits) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* through(limits, 100), 5)
        yield* TestClock.adjust(49)
        assert.strictEqual(yield* through(limits, 100), 0)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* through(limits, 100), 1)
        yield* TestClock.adjust(150)
        assert.strictEqual(yield* through(limits, 100), 3)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(yield* through(limits, 100), 5, "no more is saved up")
      })
    )
  )

  it.effect("have a burst of a tenth of a second, and of one at least", () =>
    Effect.gen(function* () {
      const burst = (perSecond: number) => against({ perSecond }, (limits) => through(limits, 1000))
      assert.deepStrictEqual(yield* Effect.forEach([0.5, 1, 19, 20, 500], burst), [1, 1, 1, 2, 50])
    })
  )

  it.effect("count less than one a second, too", () =>
    against({ perSecond: 0.5 }, (limits) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* through(limits, 3), 1)
        yield* TestClock.adjust(1999)
        assert.strictEqual(yield* through(limits, 3), 0)
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* through(limits, 3), 1)
      })
    )
  )

  it.effect("count both operations, or create calls alone", () =>
    Effect.gen(function* () {
      const seen = (on?: "create" | "both") =>
        against({ perSecond: 1, burst: 4, ...(on === undefined ? undefined : { on }) }, (limits) =>
          Effect.all([through(limits, 3, "status"), through(limits, 10, "create"), through(limits, 3, "status")])
        )
      assert.deepStrictEqual(yield* seen(), [3, 1, 0])
      assert.deepStrictEqual(yield* seen("both"), [3, 1, 0])
      assert.deepStrictEqual(yield* seen("create"), [3, 4, 3])
    })
  )

  it.effect("are each sandbox's own, also where an application has limits of its own", () =>
    Effect.gen(function* () {
      const built = Effect.map(Layer.build(Layer.fresh(Limits.layer({ perSecond: 1, burst: 2 }))), Context.get(Limits))
      const counts = yield* Effect.forEach(yield* Effect.all([built, built]), (limits) => through(limits, 9))
      assert.deepStrictEqual(counts, [2, 2])
    }).pipe(Effect.provide(RateLimiter.layerStoreMemory))
  )

  it.effect.prop(
    "let through what fits, and no more, however calls come",
    { perSecond: between(1, 1000), burst: between(1, 20), gaps: Schema.Array(between(0, 300)) },
    ({ burst, gaps, perSecond }) =>
      against({ perSecond, burst }, (limits) =>
        Effect.gen(function* () {
          let tokens = burst
          for (const gap of gaps) {
            yield* TestClock.adjust(gap)
            tokens = Math.min(burst, tokens + (gap * perSecond) / 1000)
            // A token comes with the first whole millisecond after it is due.
            const isUnclear = Math.abs(tokens - 1) < 1e-6
            const is = yield* isThrough(limits)
            if (!isUnclear) assert.strictEqual(is, tokens > 1, `${tokens} tokens`)
            if (is) tokens--
          }
        })
      )
  )
})
