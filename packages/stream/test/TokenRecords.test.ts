import { TokenCreateRequest } from "@tokenbatch/core"
import { TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { bytesOf, line, pieces } from "./fixtures.ts"

interface Found {
  readonly records: ReadonlyArray<readonly [line: number, offset: number, text: string, keyed: number]>
  readonly rejected: ReadonlyArray<readonly [line: number, offset: number]>
  /** The lines of records (as they are) and of rejections (negative), in the order that the pages tell. */
  readonly order: ReadonlyArray<number>
  readonly bytes: string
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1")

/** Lines of records and rejections of a page, in the order that `recordsBefore` tells. */
const orderOf = ({ count, lines, recordsBefore, rejections }: TokenRecords.RecordPage) =>
  Array.from({ length: count + 1 }, (_, i) => [
    ...rejections.flatMap(({ line }, j) => (recordsBefore[j] === i ? [-line] : [])),
    ...(i < count ? [lines[i]!] : [])
  ]).flat()

/** Everything that pages say, put together. */
const collect = <E>(pages: Stream.Stream<TokenRecords.RecordPage, E>) => {
  const found = { records: [], rejected: [], order: [], bytes: "", reasons: [] } as {
    -readonly [K in keyof Found]: Found[K] extends string ? string : Array<Found[K][number]>
  } & { reasons: Array<TokenRecords.Rejection> }
  return pages.pipe(
    Stream.runForEach((page) =>
      Effect.sync(() => {
        for (const [i, { bytes, line }] of TokenRecords.records(page).entries()) {
          found.records.push([line, found.bytes.length + page.starts[i]!, latin1(bytes), page.keyed[i]!])
        }
        found.order.push(...orderOf(page))
        found.rejected.push(...page.rejections.map((r) => [r.line, r.offset] as const))
        found.reasons.push(...page.rejections)
        found.bytes += latin1(page.bytes)
      })
    ),
    Effect.as(found)
  )
}

const linesOf = ({ records }: Pick<Found, "records">) => records.map(([n]) => n)

const bom = "\u00ef\u00bb\u00bf"

/** The same, the slow way: the whole input at once, split at newlines. */
const reference = (bytes: Uint8Array, maxLineBytes: number): Found => {
  const text = latin1(bytes)
  const check = TokenCreateRequest.makeCheck()
  const records: Array<Found["records"][number]> = []
  const rejected: Array<readonly [number, number]> = []
  const order: Array<number> = []
  let offset = 0
  for (const [index, raw] of text.split("\n").entries()) {
    const content = index === 0 && raw.startsWith(bom) ? raw.slice(3) : raw
    const start = offset
    offset += raw.length + 1
    const fits = raw.length <= maxLineBytes
    if (fits && /^[ \t\r]*$/.test(content)) continue
    let value: unknown
    try {
      const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(content, "latin1"))
      value = JSON.parse(utf8)
      if (!fits || check(utf8, value) !== undefined) value = undefined
    } catch {
      value = undefined
    }
    order.push(value === undefined ? -(index + 1) : index + 1)
    if (value === undefined) rejected.push([index + 1, start])
    else {
      const keyed = (value as { accessToken?: unknown }).accessToken == null ? 0 : 1
      records.push([index + 1, start + raw.length - content.length, content, keyed])
    }
  }
  return { records, rejected, order, bytes: text }
}

const limit = 350
const parts: ReadonlyArray<string | Buffer> = [
  line(1),
  line(2).replace("user-2", "user-2 ".repeat(9)),
  `${line(3)}\r`,
  "",
  "\r",
  "  \t ",
  "{bad",
  "{",
  line(4).replace("user", "ü"),
  line(5).replace('"clientId"', '"acr":"ü€😀","clientId"'),
  Buffer.from([0xff, 0xfe]),
  // A character that the end of the line cuts.
  Buffer.concat([bytesOf(line(6)), Buffer.from([0xf0, 0x9f, 0x98])]),
  "[]",
  "\ufeff",
  ` ${line(7)}`,
  line(8).replace(/,"accessToken":"[^"]*"/, ""),
  line(9).replace('"token-9"', "null"),
  line(10).replace("token-10", "x".repeat(300)),
  line(11).padEnd(limit),
  line(12).padEnd(limit + 1),
  line(13).padEnd(limit - 3),
  " ".repeat(limit),
  " ".repeat(limit + 1),
  "y".repeat(3 * limit)
]
const Input = Schema.Struct({
  picks: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: parts.length - 1 }))),
  size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1200 })),
  bom: Schema.Boolean,
  newlineAtEnd: Schema.Boolean
})
type Input = typeof Input.Type

const inputOf = ({ bom, newlineAtEnd, picks }: Input) =>
  Buffer.concat([
    bytesOf(bom ? "\ufeff" : ""),
    ...picks.flatMap((pick, i) => [bytesOf(i === 0 ? "" : "\n"), Buffer.from(parts[pick]!)]),
    bytesOf(newlineAtEnd ? "\n" : "")
  ])

describe("TokenRecords", () => {
  it.effect.prop(
    "gives the same for any lines in any pieces",
    { input: Input },
    ({ input }) =>
      Effect.gen(function* () {
        const bytes = inputOf(input)
        for (const size of [1, 2, input.size, bytes.length + 1]) {
          const kept: Array<number> = []
          const { reasons, ...found } = yield* collect(
            TokenRecords.fromBytes(pieces(bytes, size), {
              maxLineBytes: limit,
              onRejectedLine: ({ line }) => void kept.push(line)
            })
          )
          assert.deepStrictEqual(found, reference(bytes, limit), `pieces of ${size}`)
          // A line over the limit is not held, so nobody is handed it.
          const held = reasons.filter(({ reason }) => !reason.includes("longer than"))
          assert.deepStrictEqual(
            kept,
            held.map((r) => r.line)
          )
        }
      }),
    { arbitrary: { size: 40 } }
  )

  it.effect.prop(
    "ends after a number of records, in any pieces, as if the input ended there",
    { input: Input, most: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 9 })) },
    ({ input, most }) =>
      Effect.gen(function* () {
        const bytes = inputOf(input)
        const whole = reference(bytes, limit)
        for (const size of [1, input.size, bytes.length + 1]) {
          const found = yield* collect(
            TokenRecords.fromBytes(pieces(bytes, size), { maxLineBytes: limit, limit: most })
          )
          assert.deepStrictEqual(found.records, whole.records.slice(0, most))
          assert.isTrue(whole.bytes.startsWith(found.bytes))
          if (most === 0) assert.strictEqual(found.bytes, "")
          const last = whole.records[most - 1]
          if (last === undefined) continue
          // To the end of the last record's line and not beyond, with the rejections before it.
          assert.strictEqual(found.bytes, whole.bytes.slice(0, last[1] + last[2].length + 1))
          assert.deepStrictEqual(
            found.rejected,
            whole.rejected.filter(([n]) => n < last[0])
          )
        }
      }),
    { arbitrary: { size: 30 } }
  )

  it.effect("does not pull once it has the number of records that was asked for", () =>
    Effect.gen(function* () {
      let pulled = 0
      const source = Stream.fromIterable([1, 2, 3, 4, 5], { chunkSize: 1 }).pipe(
        Stream.map((n) => {
          pulled++
          return bytesOf(`${line(n)}\n`)
        })
      )
      assert.deepStrictEqual(linesOf(yield* collect(TokenRecords.fromBytes(source, { limit: 2 }))), [1, 2])
      assert.strictEqual(pulled, 2)
    })
  )

  it.effect("is right at the borders of the pieces that were read", () =>
    Effect.gen(function* () {
      const row = (i: number) => {
        const spread = line(i + 1) + " ".repeat(i % 37)
        return i % 400 === 7
          ? spread.replace("user", "é")
          : i % 97 === 3
            ? "{bad"
            : i % 500 === 9
              ? `${spread}${" ".repeat(40_000)}`
              : spread
      }
      const text = Array.from({ length: 2000 }, (_, i) => row(i)).join("\n")
      const whole = reference(bytesOf(text), 1 << 20)
      for (const size of [1, 4095, 16 * 1024, 16 * 1024 + 1, 1 << 20]) {
        const { reasons: _reasons, ...found } = yield* collect(TokenRecords.fromBytes(pieces(bytesOf(text), size)))
        assert.deepStrictEqual(found, whole, `pieces of ${size}`)
      }
    })
  )

  it.effect("rejects a line over the limit, and reads past it without holding it", () =>
    Effect.gen(function* () {
      const exact = line(1).padEnd(500)
      const text = `${exact}\n${exact} \n${"x".repeat(5000)}\n${line(2)}`
      for (const size of [7, 600, 10_000]) {
        const found = yield* collect(TokenRecords.fromBytes(pieces(bytesOf(text), size), { maxLineBytes: 500 }))
        assert.deepStrictEqual(linesOf(found), [1, 4])
        assert.deepStrictEqual(found.rejected, [
          [2, 501],
          [3, 1003]
        ])
        assert.deepStrictEqual(
          found.reasons.map((r) => r.reason),
          Array(2).fill("the line is longer than 500 bytes")
        )
        assert.strictEqual(found.bytes, text)
      }
    })
  )

  it.effect("holds no more of a long line than the limit and a piece", () =>
    Effect.gen(function* () {
      const text = `${line(1)}\n${"x".repeat(100_000)}\n${"y".repeat(100_000)}`
      for (const size of [7, 600]) {
        let largest = 0
        const sizes = TokenRecords.fromBytes(pieces(bytesOf(text), size), { maxLineBytes: 500 }).pipe(
          Stream.map((page) => {
            largest = Math.max(largest, page.bytes.length)
            return page
          })
        )
        const found = yield* collect(sizes)
        assert.isTrue(largest <= 500 + size, String(largest))
        assert.strictEqual(found.bytes, text)
        assert.deepStrictEqual(
          found.reasons.map((r) => r.line),
          [2, 3]
        )
      }
    })
  )

  it.effect("says where and why, in its own words, and quotes no value", () =>
    Effect.gen(function* () {
      const secret = "SECRET-0123456789"
      const bad = [
        `{"accessToken":"${secret}`,
        `{"accessToken":"${secret}"} x`,
        line(1).replace('"subject":"user-1"', `"subject":{"a":"${secret}"}`),
        line(1).replace('"accessToken"', `"accesToken":"${secret}","accessToken"`),
        `["${secret}"]`,
        `"${secret}"`
      ]
      const { reasons } = yield* collect(TokenRecords.fromBytes(Stream.make(bytesOf(bad.join("\n")))))
      assert.strictEqual(reasons.length, bad.length)
      assert.notInclude(JSON.stringify(reasons), secret)
      assert.deepStrictEqual(reasons[2], {
        line: 3,
        offset: bad[0]!.length + bad[1]!.length + 2,
        reason: "expected a string",
        field: "subject",
        column: 71
      })
      assert.isTrue(reasons.every(({ column }) => column !== undefined))
    })
  )

  it.effect.prop(
    "quotes nothing of a line, however it is broken",
    {
      from: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 260 })),
      length: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
      by: Schema.Literals(["", '"', "{", "}", ",", "[", ":", "\\", "\u0000", "é", "1", "null", '":"', '","'])
    },
    ({ by, from, length }) =>
      Effect.gen(function* () {
        const marker = /7Q[A-Z]{2}/
        const row =
          '{"grantType":"PASSWORD","clientId":1,"subject":"7QAA","accessToken":"7QBB7QCC","refreshToken":"7QDD","acr":"7QEE",' +
          '"properties":[{"key":"7QFF","value":"7QGG"}],"authorizationDetails":{"elements":[{"type":"7QHH","actions":["7QII"]}]}}'
        const broken = row.slice(0, from) + by + row.slice(from + length)
        const { reasons } = yield* collect(TokenRecords.fromBytes(Stream.make(bytesOf(broken))))
        for (const { reason, field = "" } of reasons) {
          assert.notMatch(reason, marker)
          assert.notMatch(field, marker)
        }
      }),
    { arbitrary: { runs: 500 } }
  )

  it.effect("tells invalid UTF-8, with its column, and guesses at UTF-16", () =>
    Effect.gen(function* () {
      const broken = Buffer.concat([
        Buffer.from(`{"grantType":"é`),
        Buffer.from([0xc3, 0x28]),
        Buffer.from(`"}\n${line(1)}\n`)
      ])
      const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(line(1), "utf16le")])
      const found = yield* collect(TokenRecords.fromBytes(Stream.make(broken)))
      assert.deepInclude(found.reasons[0], { reason: "the line is not valid UTF-8", column: 16 })
      assert.strictEqual(found.records.length, 1)
      const { reasons } = yield* collect(TokenRecords.fromBytes(Stream.make(utf16)))
      assert.include(reasons[0]?.reason, "UTF-16")
      // Valid characters before the first that is not, wherever it is.
      for (const before of ["", "a", "é", "€€", "😀", "x".repeat(1000) + "😀é"]) {
        const bytes = Buffer.concat([bytesOf(`"${before}`), Buffer.from([0xf0, 0x9f, 0x22])])
        const { reasons } = yield* collect(TokenRecords.fromBytes(Stream.make(bytes)))
        assert.strictEqual(reasons[0]?.column, before.length + 2, before)
      }
    })
  )

  it.effect("counts lines in each input and records over all, up to the limit", () =>
    Effect.gen(function* () {
      const inputs = ["a", "b"].map((name) => ({
        name,
        bytes: Stream.make(bytesOf(`{bad\n${line(1)}\n${line(2)}\n${line(3)}`))
      }))
      const all = yield* collect(TokenRecords.fromInputs(inputs))
      assert.deepStrictEqual(linesOf(all), [2, 3, 4, 2, 3, 4])
      assert.deepStrictEqual(
        all.reasons.map((r) => [r.file, r.line]),
        [
          ["a", 1],
          ["b", 1]
        ]
      )
      const some = yield* collect(TokenRecords.fromInputs(inputs, { limit: 4 }))
      assert.deepStrictEqual(linesOf(some), [2, 3, 4, 2])
      const one = yield* collect(TokenRecords.fromInputs(inputs, { limit: 3 }))
      assert.strictEqual(one.reasons.length, 1, "the second input is not begun")
    })
  )

  it.effect("hands over rejected lines, redacted, to who asks for them", () =>
    Effect.gen(function* () {
      const kept: Array<readonly [number, string]> = []
      yield* collect(
        TokenRecords.fromBytes(Stream.make(bytesOf(`${line(1)}\n{bad\r\n`)), {
          onRejectedLine: ({ line }, text) => void kept.push([line, Redacted.value(text)])
        })
      )
      assert.deepStrictEqual(kept, [[2, "{bad"]])
    })
  )

  it.effect("takes typed requests as lines, with bigints whole, and rejects what breaks a rule", () =>
    Effect.gen(function* () {
      const request = { grantType: "PASSWORD", clientId: 9007199254740993n, subject: "john" } as const
      const found = yield* collect(
        TokenRecords.fromRequests(
          Stream.make<Array<TokenCreateRequest.TokenCreateRequest>>(
            request,
            { ...request, clientId: 2 ** 60 },
            { ...request, subject: "" },
            { ...request, accessToken: Redacted.make("t") }
          )
        )
      )
      assert.deepStrictEqual(
        found.records.map(([n, , text, keyed]) => [n, text, keyed]),
        [
          [1, '{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john"}', 0],
          [4, '{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john","accessToken":"t"}', 1]
        ]
      )
      assert.deepStrictEqual(
        found.reasons.map((r) => [r.line, r.field]),
        [
          [2, "clientId"],
          [3, "subject"]
        ]
      )
    })
  )

  it.effect("reads typed requests as it reads their lines, and refuses what cannot be one", () =>
    Effect.gen(function* () {
      const valid = { grantType: "PASSWORD", clientId: 1, subject: "john" } as const
      const requests: ReadonlyArray<TokenCreateRequest.TokenCreateRequest> = [
        { ...valid, clientId: 2n ** 63n - 1n },
        { ...valid, clientId: 2n ** 63n },
        { ...valid, authTime: 1.5 },
        { ...valid, authTime: Number.MAX_SAFE_INTEGER + 1 },
        { ...valid, accessTokenDuration: -1n },
        { ...valid, accessToken: Redacted.make("") },
        { ...valid, acr: "line one\nline two" },
        { ...valid, acr: "x".repeat(400) }
      ]
      for (const chunkSize of [1, 3, 100]) {
        const found = yield* collect(
          TokenRecords.fromRequests(Stream.fromIterable(requests, { chunkSize }), { maxLineBytes: 300 })
        )
        assert.deepStrictEqual(linesOf(found), [1, 7])
        assert.include(found.records[0]?.[2], '"clientId":9223372036854775807')
        assert.deepStrictEqual(
          found.reasons.map((r) => [r.line, r.field ?? r.reason]),
          [
            [2, "clientId"],
            [3, "authTime"],
            [4, "authTime"],
            [5, "accessTokenDuration"],
            [6, "accessToken"],
            [8, "the line is longer than 300 bytes"]
          ]
        )
      }
    })
  )
})
