/** Limits, as a client sees them. */
import { Sandbox, type FaultPlan } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { against, upTo } from "./fixtures.ts"

/** How many calls come through a limit before it refuses, within the time of any test. */
const few = (burst: number) => ({ perSecond: 0.001, burst })

describe("limits", () => {
  it.live("maxQueue: 429 for a batch beyond it, of which nothing is taken, and the status of the others as ever", () =>
    against({ maxQueue: 2, setupTime: "400 millis" }, ({ create, created, result, status, taken }) =>
      Effect.gen(function* () {
        const ids = yield* Effect.forEach([1, 2], (n) => taken([n]))
        const came = yield* create([3])
        assert.strictEqual(came.status, 429)
        assert.match(String(came.headers?.["content-type"]), /^application\/json/)
        assert.notProperty(came.headers, "retry-after")
        assert.deepStrictEqual(JSON.parse(came.body), {
          resultCode: "SBX429002",
          resultMessage: "[SBX429002] Too many batches wait."
        })
        assert.strictEqual((yield* status(ids[0]!)).status, 200)
        for (const id of ids) yield* result(id)
        yield* result(yield* taken([4]))
        assert.deepStrictEqual([...(yield* created)].sort(), [1, 2, 4])
      })
    )
  )

  it.live("rateLimit: 429 for a call beyond it, of which nothing is taken", () =>
    against({ rateLimit: { ...few(2), retryAfter: 7 } }, ({ create, created, status, taken }) =>
      Effect.gen(function* () {
        const id = yield* taken([1])
        assert.strictEqual((yield* status(id)).status, 200)
        for (const came of [yield* create([2]), yield* create([2], { dryRun: true }), yield* status(id)]) {
          assert.strictEqual(came.status, 429)
          assert.strictEqual(came.headers?.["retry-after"], "7")
          assert.deepStrictEqual(JSON.parse(came.body), {
            resultCode: "SBX429001",
            resultMessage: "[SBX429001] Calls come too fast."
          })
        }
        yield* Effect.sleep(30)
        assert.deepStrictEqual(yield* created, [1])
      })
    )
  )

  it.live("rateLimit on create: status calls are let through, and there is no Retry-After unless one is given", () =>
    against({ rateLimit: { ...few(1), on: "create" } }, ({ create, result, taken }) =>
      Effect.gen(function* () {
        const id = yield* taken([1])
        const came = yield* create([2])
        assert.strictEqual(came.status, 429)
        assert.notProperty(came.headers, "retry-after")
        assert.deepInclude(yield* result(id), { result: "SUCCEEDED" })
      })
    )
  )

  it.live("credentials are looked at before the rate, and a body after it", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* Sandbox.Sandbox
      const post = (body: string, bearer = "b") =>
        Effect.promise(async () => {
          const headers = { authorization: `Bearer ${bearer}` }
          const answer = await fetch(`${baseUrl}/api/s/auth/token/create/batch`, { method: "POST", body, headers })
          await answer.text()
          return answer.status
        })
      const seen = yield* Effect.forEach(
        [() => post("[]", "wrong"), () => post("{"), () => post("[]"), () => post("{"), () => post("[]", "wrong")],
        (call) => call()
      )
      assert.deepStrictEqual(seen, [401, 400, 429, 429, 401])
    }).pipe(
      Effect.provide(
        Sandbox.Sandbox.layer({ bearer: Redacted.make("b"), serviceId: "s", rateLimit: { ...few(1), on: "create" } })
      )
    )
  )

  it.live("no rule of the plan is asked about a call that comes too fast", () =>
    against(
      {
        rateLimit: { perSecond: 2, burst: 1, on: "create" },
        faults: { rules: [{ fault: "rateLimited", retryAfter: 9, max: 2 }] }
      },
      ({ create }) =>
        Effect.gen(function* () {
          const seen: Array<unknown> = [(yield* create([1])).headers?.["retry-after"]]
          seen.push((yield* create([1])).headers?.["retry-after"])
          yield* Effect.sleep(550)
          seen.push((yield* create([1])).headers?.["retry-after"])
          assert.deepStrictEqual(seen, ["9", undefined, "9"])
        })
    )
  )

  const late: ReadonlyArray<FaultPlan.Rule> = [
    { fault: "resetAfterAccept" },
    { fault: "halfAnswer" },
    { fault: "slow" },
    { fault: "noRequestId", accept: true },
    { fault: "serverError", accept: true }
  ]
  it.live.each(late.map((rule) => [rule.fault, rule] as const))(
    "a full queue is told in place of a fault that comes after a batch was taken: %s",
    ([, rule]) =>
      against({ maxQueue: 1, setupTime: "1 minute", faults: { rules: [rule] } }, ({ create }) =>
        Effect.gen(function* () {
          const first = yield* create([1], { timeout: 100 })
          assert.notStrictEqual(first.status, 429)
          const came = yield* create([2])
          assert.deepStrictEqual([came.status, came.error], [429, undefined])
        })
      )
  )

  it.live("a batch that is taken late needs room then", () =>
    against(
      { maxQueue: 1, setupTime: "1 minute", faults: { rules: [{ fault: "slowBeforeAccept", delay: 100 }] } },
      ({ create }) =>
        Effect.gen(function* () {
          const came = yield* Effect.forEach(upTo(3), (n) => create([n]), { concurrency: "unbounded" })
          assert.deepStrictEqual(came.map(({ status }) => status).sort(), [200, 429, 429])
        })
    )
  )
})
