import { AuthleteError, type TokenCreateRequest } from "@tokenbatch/core"
import { Outcome } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { dice, inTime, noPause, service } from "./fixtures.ts"

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

  it.effect.prop(
    "gives each value back once, as the report counts them, whatever the service answers",
    { seed: Schema.Int },
    ({ seed }) =>
      Effect.gen(function* () {
        const roll = dice(seed)
        const errors = [
          refused,
          new AuthleteError.ResultError({ status: 403, resultCode: "NO" }),
          new AuthleteError.RequestTimeout({ timeout: 1, sent: true }),
          new AuthleteError.RateLimited({ status: 429 })
        ]
        const against = service({
          create: (_, call) =>
            roll(3) === 0 ? Effect.fail(errors[roll(errors.length)]!) : Effect.succeed(`request-${call}`),
          status: () => Effect.succeed({ state: (["Running", "Failed", "Succeeded", "Succeeded"] as const)[roll(4)]! })
        })
        const values: ReadonlyArray<Session> = Array.from({ length: roll(80) }, (_, id) => ({
          id,
          user: roll(9) === 0 ? "" : `user-${id}`
        }))
        const told: Array<Outcome.Outcome<Session>> = []
        const exit = yield* Stream.fromIterable(values, { chunkSize: 1 + roll(20) }).pipe(
          Outcome.create(request, {
            ...noPause,
            batchSize: 1 + roll(9),
            concurrency: 1 + roll(4),
            keepGoing: roll(2) === 0
          }),
          Stream.runForEach((outcome) => Effect.sync(() => void told.push(outcome))),
          Effect.provide(against.layer),
          Effect.exit,
          inTime
        )
        const ids = told.flatMap(({ values }) => values.map(({ id }) => id))
        assert.strictEqual(new Set(ids).size, ids.length)
        const count = (end: Outcome.Outcome<Session>["end"]) =>
          told.filter((o) => o.end === end).reduce((sum, o) => sum + o.values.length, 0)
        if (Exit.isSuccess(exit)) {
          assert.strictEqual(ids.length, values.length)
          assert.strictEqual(count("rejected"), values.filter(({ user }) => user === "").length)
        } else {
          const error = Cause.squash(exit.cause)
          assert.instanceOf(error, Outcome.RunStopped)
          const { created, failed, notSubmitted, read, rejected, unresolved } = error.report.records
          assert.strictEqual(ids.length, read)
          assert.deepStrictEqual(
            [created, failed, rejected, unresolved, notSubmitted],
            (["created", "failed", "rejected", "unresolved", "notSubmitted"] as const).map(count)
          )
        }
      })
  )

  it.effect("tells that it was stopped, of a source that is still open", () =>
    Effect.gen(function* () {
      const source = Stream.concat(Stream.fromIterable(sessions.slice(0, 2)), Stream.never)
      const told: Array<string> = []
      const error = yield* inTime(
        source.pipe(
          Outcome.create(request, { stop: Effect.sleep("1 minute") }),
          Stream.runForEach(({ end, values }) => Effect.sync(() => void told.push(`${end} ${values.length}`))),
          Effect.flip,
          Effect.provide(service({}).layer)
        )
      )
      assert.strictEqual(error.reason, "Requested")
      assert.deepStrictEqual(told, ["created 2"])
    })
  )

  it.effect("dies of a defect in how a value becomes a request, after what was read is told", () =>
    Effect.gen(function* () {
      const told: Array<number> = []
      const exit = yield* Stream.fromIterable(sessions, { chunkSize: 1 }).pipe(
        Outcome.create((session) => {
          if (session.id === 3) throw new Error("a defect")
          return request(session)
        }, noPause),
        Stream.runForEach(({ values }) => Effect.sync(() => void told.push(...values.map(({ id }) => id)))),
        Effect.provide(service({}).layer),
        Effect.exit,
        inTime
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.deepStrictEqual(told, [0, 1, 2])
    })
  )
})
