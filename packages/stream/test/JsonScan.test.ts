import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { findColumn, findMalformed } from "@tokenbatch/stream/JsonScan"

const parses = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** Some JSON, three levels deep. */
const Scalar = Schema.Union([Schema.String, Schema.Finite, Schema.Boolean, Schema.Null])
const Json = Schema.Union([Scalar, Schema.Array(Scalar), Schema.Record(Schema.String, Schema.Array(Scalar))])

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
    ['{"a":[1}', 8, "expected a comma or a closing bracket"],
    ['{"a":1]', 7, "expected a comma or a closing brace"],
    ['{"a":[1', 8, "the line ends inside an array"],
    ['{"a":[', 7, "the line ends inside an array"],
    ['{"a', 4, "the line ends inside a field name"],
    ['{"a":"\\u00', 7, "a backslash stands before something that is no escape"],
    ['{"a":1 2}', 8, "expected a comma or a closing brace"],
    ['{"a":1x}', 7, "expected a comma or the end of the value"],
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
      value: Json,
      edits: Schema.Array(
        Schema.Struct({
          at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })),
          length: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2 })),
          by: Schema.Literals([
            "",
            '"',
            "{",
            "}",
            ",",
            "[",
            "]",
            ":",
            "\\",
            "\\u00",
            "\u0001",
            "é",
            "\ud800",
            "0",
            "-",
            ".",
            "e",
            "1e5",
            " ",
            "\r",
            "\u00a0",
            "'",
            "null",
            "x"
          ])
        })
      ).check(Schema.isMaxLength(3))
    },
    ({ edits, value }) => {
      let text = JSON.stringify({ marker: "7QX", value })
      for (const { at, by, length } of edits) {
        const place = at % (text.length + 1)
        text = text.slice(0, place) + by + text.slice(place + length)
      }
      const { column, reason } = findMalformed(text)
      assert.strictEqual(reason === "is not JSON", parses(text), text)
      assert.isTrue(column >= 1 && column <= text.length + 1)
      assert.notInclude(reason, "7Q")
      // What stands before the column could have gone on to be JSON: nothing wrong is found earlier in it.
      const before = findMalformed(text.slice(0, column - 1))
      if (reason !== "is not JSON") assert.isTrue(before.column >= column || before.reason === "is not JSON", text)
    },
    { arbitrary: { runs: 1000 } }
  )

  it("reads over numbers of any length", () => {
    for (const number of ["9".repeat(2000), `0.${"1".repeat(2000)}`, `1e${"0".repeat(2000)}1`]) {
      assert.strictEqual(findMalformed(`[${number},]`).column, number.length + 3)
      assert.strictEqual(findColumn(`{"a":${number},"b":1}`, ["b"]), number.length + 11)
    }
  })

  it.prop("finds the column of any value", { value: Json, names: Schema.Array(Schema.String) }, ({ names, value }) => {
    const object = Object.fromEntries([...names.map((name, i) => [name, i] as const), ["here", [0, { there: value }]]])
    const text = JSON.stringify(object, undefined, 1)
    for (const name of names) {
      const column = findColumn(text, [name])
      assert.isTrue(text.slice(column - 1).startsWith(JSON.stringify(object[name], undefined, 1).slice(0, 1)), name)
      assert.isTrue(text.slice(0, column - 1).endsWith(`\n ${JSON.stringify(name)}: `), name)
    }
    const at = findColumn(text, ["here", 1, "there"]) - 1
    assert.isTrue(text.slice(at).startsWith(JSON.stringify(value, undefined, 1).slice(0, 1)))
    assert.isTrue(text.slice(0, at).endsWith('"there": '))
    assert.strictEqual(
      findColumn(text, ["here", 1, "missing"]) - 1,
      text.indexOf("{", 1 + text.lastIndexOf('"here": ['))
    )
  })

  it("finds the last of several fields of one name, which is the one that JSON.parse keeps", () => {
    assert.strictEqual(findColumn('{"a":1,"a":{"b":2},"a":{"b":3}}', ["a", "b"]), 29)
  })

  it.each([
    ['{"b":{"a":1},"a":2}', "a", 18],
    ['{"x":"a","a":1}', "a", 14],
    ['{"x":"a" , "a" :\t1}', "a", 18],
    ['{"a":1,"a":2}', "a", 12],
    ['{"x":"\\"a\\":","a":3}', "a", 19],
    ['{"x\\"":1,"b":"x"}', 'x"', 8]
  ])("finds in %s the field %s", (text, name, column) => {
    assert.strictEqual(findColumn(text, [name]), column)
  })

  it("finds what lies before a nesting without end", () => {
    const deep = `{"a":1,"deep":${"[".repeat(5000)}${"]".repeat(5000)},"z":2}`
    assert.strictEqual(findColumn(deep, ["a"]), 6)
    assert.strictEqual(findColumn(deep, ["z"]), deep.indexOf('"z":') + 5)
    assert.strictEqual(findColumn(deep, ["y"]), 1)
  })

  it("finds the column of a field's value, or of the nearest thing around it", () => {
    const text = '{"a":1,"b":{"c":[10,20]},"b2":3}'
    assert.strictEqual(findColumn(text, ["a"]), 6)
    assert.strictEqual(findColumn(text, ["b", "c", 1]), 21)
    assert.strictEqual(findColumn(text, ["b", "missing"]), 12)
    assert.strictEqual(findColumn(text, []), 1)
  })
})
