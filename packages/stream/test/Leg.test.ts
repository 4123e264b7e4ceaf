import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Flow from "../src/Flow.ts"
import * as Leg from "../src/Leg.ts"
import { service } from "./fixtures.ts"

const flow = Flow.make({
  concurrency: 1,
  pollTimeout: "15 minutes",
  giveUpAfter: "1 hour",
  changed: () => {},
  givenUp: () => Effect.void,
  died: Effect.failCause
}).pipe(Effect.provide(service({}).layer))

describe("Leg", () => {
  it.effect("runs calls until it is halted", () =>
    Effect.gen(function* () {
      const leg = yield* Leg.make({ flow: yield* flow, emitUnsafe: () => Effect.void })
      const until = <A>(effect: Effect.Effect<A>) => Leg.untilHalted(leg, effect, () => "halted" as const)
      assert.strictEqual(yield* until(Effect.succeed(1)), 1)
      const other = yield* Effect.exit(until(Effect.interrupt))
      assert.isTrue(Exit.isFailure(other) && Exit.hasInterrupts(other), "a halt it is not")
      let interrupted = 0
      const call = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++))
      const calls = yield* Effect.forEach([1, 2], () => Effect.forkChild(until(call), { startImmediately: true }))
      yield* Leg.halt(leg)
      assert.deepStrictEqual(yield* Fiber.joinAll(calls), ["halted", "halted"])
      assert.strictEqual(interrupted, 2)
      let begun = false
      assert.strictEqual(yield* until(Effect.sync(() => (begun = true))), "halted")
      assert.isFalse(begun)
    }).pipe(Effect.scoped)
  )

  it.effect("lets a call end before who made it gives back what it uses", () =>
    Effect.gen(function* () {
      const leg = yield* Leg.make({ flow: yield* flow, emitUnsafe: () => Effect.void })
      const log: Array<string> = []
      const call = Effect.onInterrupt(Effect.never, () =>
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => log.push("ended"))
        )
      )
      const fiber = yield* Leg.untilHalted(leg, call, () => "halted").pipe(
        Effect.ensuring(Effect.sync(() => log.push("given back"))),
        Effect.forkChild({ startImmediately: true })
      )
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["ended", "given back"])
    }).pipe(Effect.scoped)
  )

  it.effect("leaves no call under way whose caller was interrupted while it began", () =>
    Effect.gen(function* () {
      const leg = yield* Leg.make({ flow: yield* flow, emitUnsafe: () => Effect.void })
      let ended = 0
      const caller: Fiber.Fiber<unknown> = yield* Effect.forkChild(
        Effect.suspend(() =>
          Leg.untilHalted(
            leg,
            Effect.suspend(() => {
              caller.interruptUnsafe()
              return Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended++))
            }),
            () => "halted"
          )
        )
      )
      yield* Fiber.await(caller)
      assert.strictEqual(ended, 1)
    }).pipe(Effect.scoped)
  )

  it.effect("is stopped even if who stops it is interrupted before that is written down", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const leg = yield* Leg.make({
        flow: yield* flow,
        emitUnsafe: ({ _tag }) => {
          said.push(_tag)
          return Effect.never
        }
      })
      const fiber = yield* Effect.forkChild(Leg.stop(leg, "CredentialsRefused", "HTTP 401"), { startImmediately: true })
      yield* Fiber.interrupt(fiber)
      yield* Deferred.await(leg.stopping)
      assert.deepStrictEqual(said, ["RunStopping"])
      // Nobody waits for ever who comes later.
      yield* Leg.stop(leg, "GivenUp", "again")
      yield* Leg.end(leg)
      assert.deepStrictEqual(said, ["RunStopping"])
    })
  )

  it.effect("goes on after a stop for what the records are like, and after no other", () =>
    Effect.gen(function* () {
      const make = Effect.flatMap(flow, (flow) => Leg.make({ flow, emitUnsafe: () => Effect.void }))
      for (const [reason, goesOn] of [
        ["SystematicRefusal", true],
        ["TooManyRejects", true],
        ["Unreadable", true],
        ["Requested", false],
        ["CredentialsRefused", false],
        ["GivenUp", false]
      ] as const) {
        const leg = yield* make
        yield* Leg.stop(leg, reason, "")
        assert.strictEqual(yield* Leg.goOn(leg), goesOn, reason)
        assert.strictEqual(leg.stopped, !goesOn)
      }
      // Asked to stop as well, if not first.
      const leg = yield* make
      yield* Leg.stop(leg, "SystematicRefusal", "")
      yield* Leg.stop(leg, "Requested", "")
      assert.isFalse(yield* Leg.goOn(leg))
      const running = yield* make
      assert.isTrue(yield* Leg.goOn(running))
    })
  )
})
