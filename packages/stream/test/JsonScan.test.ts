import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { findColumn, findMalformed } from "@tokenbatch/stream/JsonScan"
import { line } from "./fixtures.ts"

describe("JsonScan", () => {
  it.each([
    ["", 1, "the line ends where a value is expected"],
    ["{", 2, "the line ends inside an object"],
    ['{"a":1', 7, "the line ends inside an object"],
    ['{"a":"b', 8, "the line ends inside a string"],
    ['{"a" 1}', 6, "expected a colon after the field name"],
    ["{'a':1}", 2, "expected a field name in double quotes"],
    ['{"a":1,}', 8, "a comma stands before the closing brace"],
    ['{"a":[1,]}', 9, "a comma stands before the closing bracket"],
    ['{"a":1 "b":2}', 8, "expected a comma or a closing brace"],
    ['{"a":[1 2]}', 9, "expected a comma or a closing bracket"],
    ['{"a":01}', 7, "a number is not written as JSON wants it"],
    ['{"a":tru}', 6, "expected a value"],
    ["{\"a\":'b'}", 6, "strings are written in double quotes"],
    ['{"a":1} {"b":2}', 9, "a second value stands on the line: one record a line"],
    ['{"a":1} x', 9, "something follows the end of the record"],
    ['{"a":"\t"}', 7, "a control character stands unescaped in a string"],
    ['{"a":"\\x"}', 7, "a backslash stands before something that is no escape"]
  ])("%j is malformed at column %i", (text, column, reason) =>
    assert.deepStrictEqual(findMalformed(text), { column, reason })
  )

  it("does not overflow on nesting without end", () => {
    assert.strictEqual(findMalformed(`${"[".repeat(100_000)}`).reason, "is nested too deeply")
  })

  it.prop(
    "finds something wrong exactly where JSON.parse does, and quotes none of it",
    {
      at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 95 })),
      by: Schema.Literals(["", '"', "{", "}", ",", "\\", "é", "0", "[", ":"])
    },
    ({ at, by }) => {
      const text = line(1).slice(0, at) + by + line(1).slice(at + 1)
      let fails = false
      try {
        JSON.parse(text)
      } catch {
        fails = true
      }
      const { column, reason } = findMalformed(text)
      assert.strictEqual(reason !== "is not JSON", fails, text)
      assert.isTrue(column >= 1 && column <= text.length + 1)
      assert.notInclude(reason, "token-1")
    }
  )

  it("finds the column of a field's value, or of the nearest thing around it", () => {
    const text = '{"a":1,"b":{"c":[10,20]},"b2":3}'
    assert.strictEqual(findColumn(text, ["a"]), 6)
    assert.strictEqual(findColumn(text, ["b", "c", 1]), 21)
    assert.strictEqual(findColumn(text, ["b", "missing"]), 12)
    assert.strictEqual(findColumn(text, []), 1)
  })
})
