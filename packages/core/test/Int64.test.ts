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

  it.prop(
    "goes to a JSON number and back where one holds it, and is refused where one would not",
    { n: InRange },
    ({ n }) => {
      const codec = Schema.toCodecJson(Int64.Int64)
      for (const value of [n, n % 2n ** 53n]) {
        const encoded = Schema.encodeUnknownResult(codec)(value)
        assert.strictEqual(encoded._tag === "Success", Number.isSafeInteger(Number(value)), String(value))
        if (encoded._tag === "Success") {
          assert.strictEqual(BigInt(Schema.decodeUnknownSync(codec)(encoded.success)), value)
        } else assert.notInclude(encoded.failure.message, String(value))
      }
    }
  )

  it("refuses JSON numbers that have lost digits", () => {
    const decode = Schema.decodeUnknownResult(Schema.toCodecJson(Int64.Int64))
    for (const value of [2 ** 53, -(2 ** 60), 1.5, "1", null]) assert.strictEqual(decode(value)._tag, "Failure")
  })

  it("leaves all other values of a JSON text as they are", () => {
    const text = '{"a":[1,1.5,-0,1e21,9007199254740993.5,"9007199254740993",true,null,{"b":-9007199254740993}]}'
    assert.deepStrictEqual(JSON.parse(text, Int64.reviver), {
      a: [1, 1.5, -0, 1e21, 9007199254740994, "9007199254740993", true, null, { b: -9007199254740993n }]
    })
  })

  it.prop("makes values of its own kind", { n: Int64.Int64 }, ({ n }) => assert.isTrue(Int64.isInt64(n)))
})
