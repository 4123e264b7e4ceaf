import { AuthleteError, type TokenCreateRequest } from "@tokenbatch/core"
import { Outcome } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { inTime, noPause, service } from "./fixtures.ts"

interface Session {
  readonly id: number
  readonly user: string
}

const request = ({ id, user }: Session): TokenCreateRequest.TokenCreateRequest => ({
  grantType: "PASSWORD",
  clientId: 1,
  subject: user,
  accessToken: Redacted.make(`token-${id}`)
})
const sessions = Array.from({ length: 10 }, (_, id) => ({ id, user: id === 4 ? "" : `user-${id}` }))
const refused = new AuthleteError.ResultError({ status: 400, resultCode: "BAD" })

describe("Outcome", () => {
  it.effect("gives every value back with what became of it", () =>
    Effect.gen(function* () {
      const against = service({
        create: (records, call) =>
          records.some((r) => r.subject === "user-7") ? Effect.fail(refused) : Effect.succeed(`request-${call}`)
      })
      const outcomes = yield* inTime(
        Stream.fromIterable(sessions).pipe(
          Outcome.create(request, { ...noPause, batchSize: 3 }),
          Stream.runCollect,
          Effect.provide(against.layer)
        )
      )
      const ends = new Map(outcomes.flatMap(({ end, values }) => values.map(({ id }) => [id, end] as const)))
      assert.deepStrictEqual(
        sessions.map(({ id }) => ends.get(id)),
        sessions.map(({ id }) => (id === 4 ? "rejected" : id === 7 ? "failed" : "created"))
      )
      assert.include(outcomes.find(({ end }) => end === "rejected")?.message, "subject is required")
      assert.strictEqual(outcomes.find(({ end }) => end === "failed")?.code, "BAD")
    })
  )

  it.effect("fails at the end with the source's own error, after what was read is told", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const source = Stream.concat(
        Stream.fromIterable(sessions.slice(0, 3)),
        Stream.fail("the cursor was closed" as const)
      )
      const error = yield* inTime(
        source.pipe(
          Outcome.create(request, { ...noPause, batchSize: 1 }),
          Stream.runForEach(({ values }) => Effect.sync(() => void seen.push(...values.map(({ id }) => id)))),
          Effect.flip,
          Effect.provide(service({}).layer)
        )
      )
      assert.strictEqual(error, "the cursor was closed")
      assert.deepStrictEqual(seen.sort(), [0, 1, 2])
    })
  )

  it.effect("fails with why the run stopped, and with the report", () =>
    Effect.gen(function* () {
      const against = service({
        create: () => Effect.fail(new AuthleteError.ResultError({ status: 401, resultCode: "NO" }))
      })
      const error = yield* inTime(
        Stream.fromIterable(sessions).pipe(
          Outcome.create(request, noPause),
          Stream.runDrain,
          Effect.flip,
          Effect.provide(against.layer)
        )
      )
      assert.strictEqual(error._tag, "RunStopped")
      assert.strictEqual(error.reason, "CredentialsRefused")
      assert.strictEqual(error.report.records.notSubmitted, 9)
    })
  )
})
