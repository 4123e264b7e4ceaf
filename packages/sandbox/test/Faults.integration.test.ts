/** Every fault, as a client sees it. */
import type { FaultPlan } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { against, upTo, type Came } from "./fixtures.ts"

type Rule = FaultPlan.Rule

const json = { "content-type": "application/json" }

/** What comes of a create call with a fault, and whether its batch is taken. */
const creates: ReadonlyArray<readonly [rule: Rule, came: Partial<Came>, taken: boolean]> = [
  [{ fault: "refuse" }, { error: "ECONNRESET" }, false],
  [{ fault: "resetBeforeBody" }, { error: "ECONNRESET" }, false],
  [{ fault: "resetBeforeAccept" }, { error: "ECONNRESET" }, false],
  [{ fault: "resetAfterAccept" }, { error: "ECONNRESET" }, true],
  [{ fault: "halfAnswer" }, { status: 200, error: "ECONNRESET" }, true],
  [{ fault: "slow", delay: 50 }, { status: 200 }, true],
  [{ fault: "slowBeforeAccept", delay: 50 }, { status: 200 }, true],
  [{ fault: "rateLimited" }, { status: 429 }, false],
  [{ fault: "rateLimited", retryAfter: 7 }, { status: 429, headers: { "retry-after": "7" } }, false],
  [{ fault: "unavailable", retryAfter: 7 }, { status: 503, headers: { "retry-after": "7" } }, false],
  [{ fault: "unavailable" }, { status: 503 }, false],
  [{ fault: "unavailable", accept: true }, { status: 503 }, true],
  [{ fault: "serverError" }, { status: 500, headers: json }, false],
  [{ fault: "serverError", accept: true }, { status: 500, headers: json }, true],
  [{ fault: "badGateway" }, { status: 502, headers: { "content-type": "text/html" } }, false],
  [{ fault: "badGateway", accept: true }, { status: 502, headers: { "content-type": "text/html" } }, true],
  [{ fault: "tooLarge", records: 2 }, { status: 413 }, false],
  [{ fault: "tooLarge", records: 3 }, { status: 200 }, true],
  [{ fault: "badRequest", share: 1 }, { status: 400, headers: json }, false],
  [{ fault: "badRequest", share: 0 }, { status: 200 }, true],
  [{ fault: "noRequestId" }, { status: 200, headers: json }, false],
  [{ fault: "noRequestId", accept: true }, { status: 200, headers: json }, true],
  [{ fault: "echo" }, { status: 500, headers: json }, false],
  [{ fault: "echo", accept: true }, { status: 500, headers: json }, true],
  [{ fault: "echo", status: 400 }, { status: 400, headers: json }, false],
  [{ fault: "unauthorized" }, { status: 401, headers: json }, false],
  [{ fault: "statusServerError" }, { status: 200 }, true]
]

/** What comes of a status call with a fault, of a batch that succeeded. */
const statuses: ReadonlyArray<readonly [rule: Rule, came: Partial<Came>]> = [
  [{ fault: "resetBeforeBody", on: "status" }, { error: "ECONNRESET" }],
  [{ fault: "resetAfterAccept", on: "status" }, { error: "ECONNRESET" }],
  [
    { fault: "halfAnswer", on: "status" },
    { status: 200, error: "ECONNRESET" }
  ],
  [{ fault: "slow", on: "status", delay: 50 }, { status: 200 }],
  [
    { fault: "rateLimited", on: "status", retryAfter: 7 },
    { status: 429, headers: { "retry-after": "7" } }
  ],
  [{ fault: "unavailable", on: "status" }, { status: 503 }],
  [
    { fault: "badGateway", on: "status" },
    { status: 502, headers: { "content-type": "text/html" } }
  ],
  [{ fault: "unauthorized", on: "status" }, { status: 401 }],
  [{ fault: "statusServerError" }, { status: 500, headers: json }]
]

const check = (came: Came, expected: Partial<Came>) => {
  assert.strictEqual(came.status, expected.status)
  assert.strictEqual(came.error, expected.error)
  for (const [name, value] of Object.entries(expected.headers ?? {})) {
    assert.isTrue(String(came.headers?.[name]).startsWith(String(value)), `${name}: ${came.headers?.[name]}`)
  }
}

const title = (rule: Rule) => JSON.stringify(rule).replaceAll('"', "")

describe("faults of calls", () => {
  it.live.each(creates.map(([rule, came, taken]) => [title(rule), rule, came, taken] as const))(
    "create: %s",
    ([, rule, expected, taken]) =>
      against({ faults: { rules: [rule] } }, ({ create, created }) =>
        Effect.gen(function* () {
          const came = yield* create(upTo(3))
          check(came, expected)
          yield* Effect.sleep(30)
          assert.deepStrictEqual(yield* created, taken ? [1, 2, 3] : [])
          if (rule.fault === "noRequestId") assert.notProperty(JSON.parse(came.body), "requestId")
          if (rule.fault === "echo") assert.include(JSON.parse(came.body).resultMessage, "access-1")
        })
      )
  )

  it.live.each(statuses.map(([rule, came]) => [title(rule), rule, came] as const))("status: %s", ([, rule, expected]) =>
    against({ faults: { rules: [rule] } }, ({ created, status, taken }) =>
      Effect.gen(function* () {
        const requestId = yield* taken([1])
        yield* Effect.sleep(30)
        check(yield* status(requestId), expected)
        assert.deepStrictEqual(yield* created, [1])
      })
    )
  )

  it.live("halfAnswer: gives half of what it said it would", () =>
    against({ faults: { rules: [{ fault: "halfAnswer" }] } }, ({ create }) =>
      Effect.gen(function* () {
        const { body, headers } = yield* create([1])
        assert.strictEqual(body.length, Number(headers?.["content-length"]) >>> 1)
        assert.isTrue(body.startsWith('{"resultCode"'))
      })
    )
  )

  it.live("slow: takes a batch at once, and answers late", () =>
    against({ faults: { rules: [{ fault: "slow", delay: 5000 }] } }, ({ create, created }) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* create([1], { timeout: 100 })).error, "TIMEOUT")
        assert.deepStrictEqual(yield* created, [1])
      })
    )
  )

  it.live("slowBeforeAccept: takes a batch late, though its client has gone", () =>
    against({ faults: { rules: [{ fault: "slowBeforeAccept", delay: 200 }] } }, ({ create, created }) =>
      Effect.gen(function* () {
        assert.strictEqual((yield* create([1], { timeout: 50 })).error, "TIMEOUT")
        yield* Effect.sleep(20)
        assert.deepStrictEqual(yield* created, [])
        yield* Effect.sleep(250)
        assert.deepStrictEqual(yield* created, [1])
      })
    )
  )

  it.live("what is no batch is refused as ever", () =>
    against({ maxBodySize: 10, faults: { rules: [{ fault: "serverError", accept: true }] } }, ({ create }) =>
      Effect.map(create([1]), (came) => check(came, { status: 413 }))
    )
  )
})

/** What the statuses of a batch show, one after another. */
const look = ({ body, status }: Came): string =>
  status === 200 ? (JSON.parse(body).status.result ?? "running") : String(status)

describe("faults of batches", () => {
  it.live("unknownFor: the id is unknown at first", () =>
    against({ faults: { rules: [{ fault: "unknownFor", delay: 150 }] } }, ({ created, status, taken }) =>
      Effect.gen(function* () {
        const requestId = yield* taken([1])
        yield* Effect.sleep(30)
        assert.deepStrictEqual(yield* created, [1])
        assert.strictEqual(look(yield* status(requestId)), "400")
        yield* Effect.sleep(150)
        assert.strictEqual(look(yield* status(requestId)), "SUCCEEDED")
      })
    )
  )

  it.live("stuck: no result for a time, or for ever, with the tokens created meanwhile or not", () =>
    against(
      {
        faults: {
          rules: [
            { fault: "stuck", delay: 150, max: 1 },
            { fault: "stuck", delay: 150, works: false, max: 1 },
            { fault: "stuck", max: 1 },
            { fault: "stuck", works: false, max: 1 }
          ]
        }
      },
      ({ created, status, taken }) =>
        Effect.gen(function* () {
          const ids = yield* Effect.forEach([1, 2, 3, 4], (n) => taken([n]))
          const seen = Effect.forEach(ids, (id) => Effect.map(status(id), look))
          yield* Effect.sleep(30)
          assert.deepStrictEqual(yield* seen, ["running", "running", "running", "running"])
          assert.deepStrictEqual([...(yield* created)].sort(), [1, 3])
          yield* Effect.sleep(200)
          assert.deepStrictEqual(yield* seen, ["SUCCEEDED", "SUCCEEDED", "running", "running"])
          assert.deepStrictEqual([...(yield* created)].sort(), [1, 2, 3])
        })
    )
  )

  it.live("flap: now this, now that, until it is done; and then its result for good", () =>
    against({ faults: { rules: [{ fault: "flap", delay: 150 }] } }, ({ status, taken }) =>
      Effect.gen(function* () {
        const requestId = yield* taken([1])
        const seen = yield* Effect.forEach(upTo(30), () => Effect.map(status(requestId), look))
        assert.deepStrictEqual(new Set(seen), new Set(["running", "400", "500"]))
        yield* Effect.sleep(200)
        const later = yield* Effect.forEach(upTo(20), () => Effect.map(status(requestId), look))
        assert.deepStrictEqual(new Set(later), new Set(["SUCCEEDED"]))
      })
    )
  )

  it.live.each([
    ["prefix", "inOrder", [1, 2, 3, 4]],
    ["atomic", "inOrder", []],
    ["prefix", "shuffled", "any four"]
  ] as const)("failAtToken: %s, %s", ([failureMode, order, left]) =>
    against(
      { failureMode, order, faults: { rules: [{ fault: "failAtToken", token: 4 }] } },
      ({ created, result, taken }) =>
        Effect.gen(function* () {
          const dry = yield* result(yield* taken(upTo(40), { dryRun: true }))
          assert.deepInclude(dry, { result: "SUCCEEDED", tokenCount: 40 })
          const failed = yield* result(yield* taken(upTo(40)))
          assert.deepInclude(failed, { result: "FAILED", tokenCount: 4, errorCode: "SBX500099" })
          const found = yield* created
          if (left === "any four") {
            assert.strictEqual(found.length, 4)
            assert.notDeepEqual(found, [1, 2, 3, 4])
          } else assert.deepStrictEqual(found, left)
          assert.deepInclude(yield* result(yield* taken([50, 51])), { result: "SUCCEEDED" }, "no fifth record")
        })
    )
  )

  it.live("shuffled: the record that fails a batch is met at any time", () =>
    against({ order: "shuffled" }, ({ created, result, taken }) =>
      Effect.gen(function* () {
        yield* result(yield* taken([20]))
        const failed = yield* result(yield* taken(upTo(40)))
        assert.deepInclude(failed, { result: "FAILED", errorCode: "SBX500001" })
        const kept = (yield* created).slice(1)
        assert.strictEqual(kept.length, failed["tokenCount"])
        assert.notDeepEqual(kept, upTo(kept.length))
      })
    )
  )
})
