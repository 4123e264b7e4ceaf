import { assert, describe, it } from "@effect/vitest"
import * as TimeLimit from "@tokenbatch/core/TimeLimit"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"

const late = () => "late" as const
const tenSeconds = TimeLimit.make(Duration.seconds(10))

describe("TimeLimit", () => {
  it.effect("passes on what comes in time", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      assert.strictEqual(yield* limited(Effect.succeed(1), late), 1)
      assert.strictEqual(yield* Effect.flip(limited(Effect.fail("no"), late)), "no")
      assert.isTrue(Exit.hasDies(yield* Effect.exit(limited(Effect.die("broken"), late))))
      const slow = yield* Effect.forkChild(limited(Effect.as(Effect.sleep("9 seconds"), 2), late))
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual(yield* Fiber.join(slow), 2)
    }).pipe(Effect.scoped)
  )

  it.effect("ends each when its own time is over", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      const first = yield* Effect.forkChild(Effect.flip(limited(Effect.never, late)), { startImmediately: true })
      yield* TestClock.adjust("4 seconds")
      const second = yield* Effect.forkChild(Effect.flip(limited(Effect.never, late)), { startImmediately: true })
      yield* TestClock.adjust("5999 millis")
      assert.isUndefined(first.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(first), "late")
      yield* TestClock.adjust("3999 millis")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* Fiber.join(second), "late")
      // And again, after there was nothing to wait for.
      yield* TestClock.adjust("1 hour")
      const third = yield* Effect.forkChild(Effect.flip(limited(Effect.never, late)), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(third), "late")
    }).pipe(Effect.scoped)
  )

  it.effect("waits for what it ends, and for what is interrupted", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      const closed = yield* Deferred.make<void>()
      const closing = Effect.ensuring(Effect.never, Deferred.await(closed))
      const over = yield* Effect.forkChild(Effect.exit(limited(closing, late)), { startImmediately: true })
      const other = yield* Effect.forkChild(limited(closing, late), { startImmediately: true })
      const interruption = yield* Effect.forkChild(Fiber.interrupt(other), { startImmediately: true })
      yield* TestClock.adjust("20 seconds")
      assert.isUndefined(over.pollUnsafe())
      assert.isUndefined(interruption.pollUnsafe())
      yield* Deferred.succeed(closed, undefined)
      assert.deepStrictEqual(yield* Fiber.join(over), Exit.fail("late"))
      yield* Fiber.join(interruption)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(other)))
    }).pipe(Effect.scoped)
  )

  it.effect("holds for others while one that is over takes its time to end", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      const closed = yield* Deferred.make<void>()
      const closing = Effect.ensuring(Effect.never, Deferred.await(closed))
      const over = yield* Effect.forkChild(Effect.flip(limited(closing, late)), { startImmediately: true })
      yield* TestClock.adjust("11 seconds")
      const next = yield* Effect.forkChild(Effect.flip(limited(Effect.never, late)), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(next), "late")
      yield* Deferred.succeed(closed, undefined)
      assert.strictEqual(yield* Fiber.join(over), "late")
    }).pipe(Effect.scoped)
  )

  it.effect("holds for one that begins as soon as another is over", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      const three = Effect.forEach([1, 2, 3], () => Effect.flip(limited(Effect.never, late)))
      const fiber = yield* Effect.forkChild(three, { startImmediately: true })
      for (let i = 0; i < 3; i++) yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["late", "late", "late"])
    }).pipe(Effect.scoped)
  )

  it.effect("leaves nothing under way that it was interrupted while it began", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      let ended = 0
      const caller: Fiber.Fiber<void> = yield* Effect.forkChild(
        Effect.suspend(() =>
          limited(
            Effect.suspend(() => {
              caller.interruptUnsafe()
              return Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
            }),
            late
          ).pipe(Effect.orDie)
        )
      )
      yield* Fiber.await(caller)
      assert.strictEqual(ended, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("does not take an interruption of something else's for its own", () =>
    Effect.gen(function* () {
      const limited = yield* tenSeconds
      const exit = yield* Effect.exit(limited(Effect.interrupt, late))
      assert.isTrue(Exit.hasInterrupts(exit))
    }).pipe(Effect.scoped)
  )

  it.live("keeps no timer for what has ended", () =>
    Effect.gen(function* () {
      const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
      const limited = yield* tenSeconds
      const before = timers()
      yield* limited(Effect.yieldNow, late)
      assert.strictEqual(timers(), before)
    }).pipe(Effect.scoped)
  )
})
