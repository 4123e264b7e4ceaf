import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as PubSub from "effect/PubSub"
import { BatchNotifications, capacity } from "../src/BatchNotifications.ts"

describe("BatchNotifications", () => {
  it.effect("gives each hint to all who have subscribed, as it came", () =>
    Effect.gen(function* () {
      const { hints, notify } = yield* BatchNotifications
      yield* notify("nobody hears this one")
      const [one, other] = [yield* hints, yield* hints]
      for (const body of ["", '{"requestId":"a"}', "\u0000 no JSON"]) yield* notify(body)
      const expected = ["", '{"requestId":"a"}', "\u0000 no JSON"]
      assert.deepStrictEqual<ReadonlyArray<string>>(yield* PubSub.takeAll(one), expected)
      assert.deepStrictEqual<ReadonlyArray<string>>(yield* PubSub.takeAll(other), expected)
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("wakes who waits for a hint", () =>
    Effect.gen(function* () {
      const { hints, notify } = yield* BatchNotifications
      const waiting = yield* Effect.forkChild(PubSub.take(yield* hints), { startImmediately: true })
      yield* notify("now")
      assert.strictEqual(yield* Fiber.join(waiting), "now")
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("keeps the latest of a flood, and waits for no subscriber", () =>
    Effect.gen(function* () {
      const { hints, notify } = yield* BatchNotifications
      const stalled = yield* hints
      for (let i = 1; i <= 100_000; i++) yield* notify(String(i))
      const kept = yield* PubSub.takeAll(stalled)
      assert.strictEqual(kept.length, capacity)
      assert.strictEqual(kept.at(-1), "100000")
      // And goes on as before.
      yield* notify("after")
      assert.strictEqual(yield* PubSub.take(stalled), "after")
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("keeps nothing for who has gone", () =>
    Effect.gen(function* () {
      const { hints, notify } = yield* BatchNotifications
      const gone = yield* Effect.scoped(hints)
      yield* notify("late")
      assert.isTrue(yield* Effect.map(Effect.exit(PubSub.take(gone)), ({ _tag }) => _tag === "Failure"))
    }).pipe(Effect.provide(BatchNotifications.layer))
  )

  it.effect("is there only where it is provided", () =>
    Effect.gen(function* () {
      assert.isTrue(Option.isNone(yield* Effect.serviceOption(BatchNotifications)))
      const provided = Effect.provide(Effect.serviceOption(BatchNotifications), BatchNotifications.layer)
      assert.isTrue(Option.isSome(yield* provided))
    })
  )
})
