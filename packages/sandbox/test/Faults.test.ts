import type { FaultPlan } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Faults } from "../src/Faults.ts"
import type { Requested } from "../src/ServiceRules.ts"

const record = (subject: string): Requested => ({
  subject,
  accessToken: `access-${subject}`,
  refreshToken: undefined,
  scopes: []
})

const call = { bytes: 1000, records: ["a", "b", "c"].map(record) }

/** Runs a test against the faults of a plan. */
const against = <A>(plan: FaultPlan.FaultPlan, use: (faults: Faults["Service"]) => Effect.Effect<A>) =>
  Effect.provide(Effect.flatMap(Faults, use), Faults.layer(plan))

/** What goes wrong with many create calls, one after another. */
const dealt = (plan: FaultPlan.FaultPlan, calls = 2000) =>
  against(plan, (faults) =>
    Effect.sync(() => Array.from({ length: calls }, () => faults.ofCreate(call)?.fault ?? "none"))
  )

const timesOf = (names: ReadonlyArray<string>, name: string) => names.filter((other) => other === name).length

describe("Faults", () => {
  it.effect("are none without a plan", () =>
    Effect.gen(function* () {
      const faults = yield* Faults
      assert.isFalse(faults.ofConnection())
      assert.isFalse(faults.ofHeaders("create"))
      assert.isUndefined(faults.ofCreate(call))
      assert.isUndefined(faults.ofStatus())
      assert.deepStrictEqual(faults.ofBatch({ dryRun: false, size: 3 }), {})
    }).pipe(Effect.provide(Faults.layer()))
  )

  it.effect("come as often as their rates say", () =>
    Effect.gen(function* () {
      const names = yield* dealt({
        rules: [
          { fault: "rateLimited", rate: 0.1 },
          { fault: "serverError", rate: 0.5 },
          { fault: "badGateway", rate: 0 }
        ]
      })
      assert.approximately(timesOf(names, "rateLimited"), 200, 50)
      // The first that comes up has its way.
      assert.approximately(timesOf(names, "serverError"), 900, 100)
      assert.strictEqual(timesOf(names, "badGateway"), 0)
      assert.deepStrictEqual(new Set(yield* dealt({ rules: [{ fault: "serverError" }] }, 20)), new Set(["serverError"]))
    })
  )

  it.effect("are the same for the same seed and order of calls, and others for another seed", () =>
    Effect.gen(function* () {
      const rules = [{ fault: "rateLimited", rate: 0.3 } as const, { fault: "slow", rate: 0.3 } as const]
      const once = yield* dealt({ seed: 5, rules })
      assert.deepStrictEqual(yield* dealt({ seed: 5, rules }), once)
      assert.notDeepEqual(yield* dealt({ seed: 6, rules }), once)
      assert.deepStrictEqual(yield* dealt({ rules }), yield* dealt({ seed: 1, rules }))
    })
  )

  it.effect("of one rule do not depend on the others", () =>
    Effect.gen(function* () {
      const slow = { fault: "slow", rate: 0.3 } as const
      const alone = yield* dealt({ rules: [{ fault: "echo", rate: 0 }, slow] })
      const beside = yield* dealt({ rules: [{ fault: "echo", rate: 0.5, max: 400 }, slow] })
      for (const [i, name] of beside.entries()) if (name !== "echo") assert.strictEqual(name, alone[i])
    })
  )

  it.effect("come within their window, and so often at most", () =>
    against(
      {
        rules: [
          { fault: "unauthorized", from: 100, to: 200 },
          { fault: "refuse", max: 2 }
        ]
      },
      (faults) =>
        Effect.gen(function* () {
          const now = () => faults.ofStatus()?.fault
          assert.isUndefined(now())
          yield* TestClock.adjust(100)
          assert.strictEqual(now(), "unauthorized")
          yield* TestClock.adjust(99)
          assert.strictEqual(now(), "unauthorized")
          yield* TestClock.adjust(1)
          assert.isUndefined(now())
          assert.deepStrictEqual([1, 2, 3].map(faults.ofConnection), [true, true, false])
        })
    )
  )

  it.effect("draw outside of their windows, too", () =>
    Effect.gen(function* () {
      const after = (skipped: number) =>
        against({ rules: [{ fault: "slow", rate: 0.5, from: 10 }] }, (faults) =>
          Effect.gen(function* () {
            for (let i = 0; i < skipped; i++) assert.isUndefined(faults.ofStatus())
            yield* TestClock.adjust(10)
            return Array.from({ length: 50 - skipped }, () => faults.ofStatus()?.fault)
          })
        )
      assert.deepStrictEqual(yield* after(7), (yield* after(0)).slice(7))
    })
  )

  it.effect("happen to the operation that they are on", () =>
    Effect.gen(function* () {
      const both = ["create", "status"] as const
      const seen = (plan: FaultPlan.FaultPlan) =>
        against(plan, (faults) =>
          Effect.sync(() =>
            both.filter((operation) =>
              operation === "create"
                ? faults.ofCreate(call) !== undefined || faults.ofHeaders("create")
                : faults.ofStatus() !== undefined || faults.ofHeaders("status")
            )
          )
        )
      for (const fault of ["resetBeforeBody", "halfAnswer", "slow", "rateLimited", "unavailable"] as const) {
        assert.deepStrictEqual(yield* seen({ rules: [{ fault }] }), [...both])
        for (const on of both) assert.deepStrictEqual(yield* seen({ rules: [{ fault, on }] }), [on])
      }
      assert.deepStrictEqual(yield* seen({ rules: [{ fault: "serverError" }] }), ["create"])
      assert.deepStrictEqual(yield* seen({ rules: [{ fault: "statusServerError" }] }), ["status"])
    })
  )

  it.effect("find bodies that are too large by bytes, by records, or always", () =>
    Effect.gen(function* () {
      const isDealt = (rule: { readonly bytes?: number; readonly records?: number }) =>
        Effect.map(dealt({ rules: [{ fault: "tooLarge", ...rule }] }, 1), ([name]) => name === "tooLarge")
      assert.deepStrictEqual(yield* Effect.forEach([999, 1000], (bytes) => isDealt({ bytes })), [true, false])
      assert.deepStrictEqual(yield* Effect.forEach([2, 3], (records) => isDealt({ records })), [true, false])
      assert.isTrue(yield* isDealt({ bytes: 5000, records: 2 }))
      assert.isTrue(yield* isDealt({}))
    })
  )

  it.effect("find the same bad records in whatever batch, with whatever values", () =>
    against({ rules: [{ fault: "badRequest", share: 0.1 }] }, (faults) =>
      Effect.sync(() => {
        const isBad = (...records: ReadonlyArray<Requested>) => faults.ofCreate({ bytes: 1, records }) !== undefined
        const subjects = Array.from({ length: 1000 }, (_, i) => `user-${i}`)
        const bad = subjects.filter((subject) => isBad(record(subject)))
        assert.approximately(bad.length, 100, 40)
        assert.deepStrictEqual(
          subjects.filter((subject) => isBad({ ...record(subject), accessToken: "fresh" })),
          bad
        )
        assert.isTrue(isBad(...subjects.map(record)))
        assert.isFalse(isBad(...subjects.filter((subject) => !bad.includes(subject)).map(record)))
        assert.isFalse(isBad({ ...record("x"), subject: undefined, accessToken: undefined }), "nothing to tell it by")
      })
    )
  )

  it.effect("of a batch: one hides it, one fails it", () =>
    against(
      {
        rules: [
          { fault: "failAtToken", token: 5 },
          { fault: "stuck", delay: 100, works: false },
          { fault: "unknownFor" }
        ]
      },
      (faults) =>
        Effect.gen(function* () {
          yield* TestClock.setTime(1000)
          const view = { fault: "stuck", until: 1100, works: false } as const
          assert.deepStrictEqual(faults.ofBatch({ dryRun: false, size: 6 }), { view, failsAt: 5 })
          assert.deepStrictEqual(faults.ofBatch({ dryRun: false, size: 5 }), { view }, "no sixth record to fail at")
          assert.deepStrictEqual(faults.ofBatch({ dryRun: true, size: 6 }), { view })
        })
    )
  )

  it.effect("fail a batch at any of its records, and dry runs if told so", () =>
    against({ rules: [{ fault: "failAtToken", dryRuns: true }] }, (faults) =>
      Effect.sync(() => {
        const points = Array.from({ length: 200 }, () => faults.ofBatch({ dryRun: true, size: 4 }).failsAt)
        assert.deepStrictEqual(new Set(points), new Set([0, 1, 2, 3]))
        assert.deepStrictEqual(faults.ofBatch({ dryRun: true, size: 0 }), {})
      })
    )
  )
})
