import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Int64 } from "@tokenbatch/core"

const InRange = Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: -(2n ** 63n), maximum: 2n ** 63n - 1n }))

describe("Int64", () => {
  it.prop("keeps every digit from JSON to JSON", { n: InRange }, ({ n }) => {
    const parsed = JSON.parse(`{"clientId":${n}}`, Int64.reviver) as { readonly clientId: number | bigint }
    assert.strictEqual(BigInt(parsed.clientId), n)
    assert.strictEqual(JSON.stringify(parsed, Int64.rawJson), `{"clientId":${n}}`)
  })

  it.prop("takes every bigint in range", { n: InRange }, ({ n }) => assert.isTrue(Int64.isInt64(n)))

  it("refuses what is out of range or has lost digits", () => {
    for (const value of [2n ** 63n, -(2n ** 63n) - 1n, 2 ** 53, 1.5, NaN, Infinity, "1", null]) {
      assert.isFalse(Int64.isInt64(value), String(value))
    }
  })

  it("takes from JSON what an int64 may look like after JSON.parse", () => {
    const is = Schema.is(Int64.Int64FromJson)
    for (const value of [0, -1, 2 ** 53, JSON.parse("9223372036854774000")]) assert.isTrue(is(value), String(value))
    for (const value of [1.5, 2 ** 63, "1", JSON.parse("1e999")]) assert.isFalse(is(value), String(value))
  })
})
