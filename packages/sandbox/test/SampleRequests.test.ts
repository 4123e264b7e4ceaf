import { TokenCreateRequest } from "@tokenbatch/core"
import { SampleRequests } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const text = (options: SampleRequests.Options) =>
  Stream.runFold(
    SampleRequests.stream(options),
    () => "",
    (all, chunk) => all + Buffer.from(chunk).toString()
  )

const check = TokenCreateRequest.makeCheck()
const isGood = (line: string) => {
  try {
    return check(line, JSON.parse(line)) === undefined
  } catch {
    return false
  }
}

describe("SampleRequests", () => {
  it.effect("writes valid records, with token values that never repeat", () =>
    Effect.gen(function* () {
      const lines = (yield* text({ count: 5000 })).trimEnd().split("\n")
      assert.strictEqual(lines.length, 5000)
      assert.isTrue(lines.every(isGood))
      const records = lines.map((line) => JSON.parse(line))
      const values = records.flatMap((r) => [r.accessToken, r.refreshToken]).filter((v) => v !== undefined)
      assert.strictEqual(new Set(values).size, values.length)
      assert.isTrue(new Set(records.map((r) => r.grantType)).size >= 7)
      const average = lines.join("\n").length / lines.length
      assert.isTrue(average > 300 && average < 500, `${average} bytes a line`)
    })
  )

  it.effect("gives the same bytes for the same seed, and others for another", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* text({ count: 100, seed: 5 }), yield* text({ count: 100, seed: 5 }))
      assert.notStrictEqual(yield* text({ count: 100, seed: 5 }), yield* text({ count: 100, seed: 6 }))
    })
  )

  it.effect.prop(
    "has exactly as many bad lines as asked for",
    {
      count: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 })),
      share: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 }))
    },
    ({ count, share }) =>
      Effect.gen(function* () {
        const badLines = Math.floor((count * share) / 100)
        const lines = (yield* text({ count, badLines })).trimEnd().split("\n")
        assert.strictEqual(lines.length, count)
        assert.strictEqual(lines.filter((line) => !isGood(line)).length, badLines)
      })
  )
})
