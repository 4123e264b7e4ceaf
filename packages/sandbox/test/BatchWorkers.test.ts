import { Ledger, Notifications, SandboxOptions, StateFile } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { BatchWorkers } from "../src/BatchWorkers.ts"
import { Faults } from "../src/Faults.ts"
import { upTo } from "./fixtures.ts"

interface Tried {
  /** Hands a batch of one record in; its request id, or undefined where there is no room for it. */
  readonly accept: (n: number, dryRun?: boolean) => Effect.Effect<string | undefined>
  readonly created: Effect.Effect<number>
}

/** Runs a test against workers that take a second for a batch. */
const against = <A>(input: SandboxOptions.Input, use: (tried: Tried) => Effect.Effect<A>) => {
  const options = SandboxOptions.make({ workers: 2, setupTime: "1 second", timePerToken: 0, ...input })
  return Effect.gen(function* () {
    const workers = yield* BatchWorkers
    const ledger = yield* Ledger.Ledger
    return yield* use({
      created: ledger.size,
      accept: (n, dryRun = false) =>
        Effect.map(
          Effect.result(
            workers.accept(
              [{ subject: `user-${n}`, accessToken: `access-${n}`, refreshToken: undefined, scopes: [] }],
              dryRun
            )
          ),
          (result) => {
            if (Result.isSuccess(result)) return result.success
            assert.deepInclude(result.failure, { _tag: "LimitReached", limit: "maxQueue" })
            return undefined
          }
        )
    })
  }).pipe(
    Effect.provide(
      BatchWorkers.layer(options).pipe(
        Layer.provideMerge(Ledger.Ledger.layer()),
        Layer.provide([
          Notifications.Notifications.layer(options),
          Faults.layer(options.faults),
          StateFile.StateFile.layer(options)
        ])
      )
    )
  )
}

/** How many batches of these are taken, handed in at once. */
const taken = (accept: Tried["accept"], numbers: ReadonlyArray<number>) =>
  Effect.map(
    Effect.forEach(numbers, (n) => accept(n), { concurrency: "unbounded" }),
    (ids) => ids.flatMap((id, i) => (id === undefined ? [] : [numbers[i]!]))
  )

describe("the queue of BatchWorkers", () => {
  it.effect("takes any number without a limit", () =>
    against({}, ({ accept }) =>
      Effect.map(taken(accept, upTo(500)), (numbers) => assert.strictEqual(numbers.length, 500))
    )
  )

  it.effect("takes no more than the limit says, and again when a batch has ended", () =>
    against({ maxQueue: 3 }, ({ accept, created }) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* taken(accept, upTo(5)), [1, 2, 3], "two are worked on, one waits")
        yield* TestClock.adjust(999)
        assert.deepStrictEqual(yield* taken(accept, [6]), [])
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* created, 2)
        assert.deepStrictEqual(yield* taken(accept, [7, 8, 9]), [7, 8])
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* created, 5, "nothing of those that were refused")
        assert.deepStrictEqual(yield* taken(accept, [6, 9, 4, 5]), [6, 9, 4])
      })
    )
  )

  it.effect("holds dry runs, too, and batches that fail", () =>
    against({ maxQueue: 1 }, ({ accept, created }) =>
      Effect.gen(function* () {
        for (const dryRun of [true, false, false]) {
          assert.isString(yield* accept(1, dryRun))
          assert.isUndefined(yield* accept(2, true))
          yield* TestClock.adjust("1 second")
        }
        assert.strictEqual(yield* created, 1)
        assert.isString(yield* accept(2))
      })
    )
  )

  it.effect("holds what is stuck until it has its end, and not what only seems to be", () =>
    Effect.gen(function* () {
      const after = (rule: { readonly delay?: number; readonly works: boolean }) =>
        against({ maxQueue: 1, faults: { rules: [{ fault: "stuck", max: 1, ...rule }] } }, ({ accept }) =>
          Effect.gen(function* () {
            yield* accept(1)
            const seen: Array<boolean> = []
            for (const n of [2, 3]) {
              yield* TestClock.adjust("1 minute")
              seen.push((yield* accept(n)) !== undefined)
            }
            return seen
          })
        )
      assert.deepStrictEqual(yield* after({ works: true }), [true, true])
      assert.deepStrictEqual(yield* after({ works: false, delay: 90_000 }), [false, true])
      assert.deepStrictEqual(yield* after({ works: false }), [false, false])
    })
  )

  it.effect("does not ask the plan about a batch that is not taken", () =>
    against({ maxQueue: 1, faults: { rules: [{ fault: "failAtToken", token: 0, from: 500, max: 1 }] } }, (tried) =>
      Effect.gen(function* () {
        yield* tried.accept(1)
        yield* TestClock.adjust(600)
        assert.isUndefined(yield* tried.accept(2))
        yield* TestClock.adjust("1 second")
        yield* tried.accept(3)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* tried.created, 1, "the only failure of the plan is that of the third")
      })
    )
  )

  const Count = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 }))
  it.effect.prop(
    "never holds more than the limit, and is never idle for it",
    { maxQueue: Count, workers: Count, rounds: Schema.Array(Count) },
    ({ maxQueue, rounds, workers }) =>
      against({ maxQueue, workers }, ({ accept, created }) =>
        Effect.gen(function* () {
          let next = 1
          let accepted = 0
          for (const calls of rounds) {
            const open = accepted - (yield* created)
            const numbers = Array.from({ length: calls }, () => next++)
            const now = (yield* taken(accept, numbers)).length
            assert.strictEqual(now, Math.min(calls, maxQueue - open))
            accepted += now
            yield* TestClock.adjust("1 second")
          }
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(yield* created, accepted)
        })
      )
  )
})
