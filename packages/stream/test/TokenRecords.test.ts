import { TokenCreateRequest } from "@tokenbatch/core"
import { TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { bytesOf, line, pieces } from "./fixtures.ts"

interface Found {
  readonly records: ReadonlyArray<readonly [line: number, text: string]>
  readonly rejected: ReadonlyArray<readonly [line: number, offset: number]>
  readonly bytes: string
}

/** Everything that pages say, put together. */
const collect = (pages: Stream.Stream<TokenRecords.RecordPage>) =>
  Stream.runFold(
    pages,
    (): Found & { reasons: ReadonlyArray<TokenRecords.Rejection> } => ({
      records: [],
      rejected: [],
      bytes: "",
      reasons: []
    }),
    (found, page) => ({
      records: [
        ...found.records,
        ...TokenRecords.records(page).map((r) => [r.line, Buffer.from(r.bytes).toString("latin1")] as const)
      ],
      rejected: [...found.rejected, ...page.rejections.map((r) => [r.line, r.offset] as const)],
      bytes: found.bytes + Buffer.from(page.bytes).toString("latin1"),
      reasons: [...found.reasons, ...page.rejections]
    })
  )

/** The same, the slow way: the whole input at once, split at newlines. */
const reference = (bytes: Uint8Array, maxLineBytes: number): Found => {
  const text = Buffer.from(bytes).toString("latin1")
  const check = TokenCreateRequest.makeCheck()
  const records: Array<readonly [number, string]> = []
  const rejected: Array<readonly [number, number]> = []
  let offset = 0
  for (const [index, raw] of text.split("\n").entries()) {
    const content = index === 0 && raw.startsWith("\u00ef\u00bb\u00bf") ? raw.slice(3) : raw
    const start = offset
    offset += raw.length + 1
    if (/^[ \t\r]*$/.test(content)) continue
    let valid = content.length <= maxLineBytes
    try {
      const utf8 = new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(content, "latin1"))
      valid &&= check(utf8, JSON.parse(utf8)) === undefined
    } catch {
      valid = false
    }
    if (valid) records.push([index + 1, content])
    else rejected.push([index + 1, start])
  }
  return { records, rejected, bytes: text }
}

const parts = [
  line(1),
  line(2).replace("user-2", "user-2 ".repeat(9)),
  `${line(3)}\r`,
  "",
  "  \t ",
  "{bad",
  line(4).replace("user", "ü"),
  line(5).replace('"clientId"', '"acr":"ü€😀","clientId"'),
  "\u00ff\u00fe",
  "[]",
  line(6).replace("token-6", "x".repeat(300))
]
const Input = Schema.Struct({
  picks: Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: parts.length - 1 }))),
  size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 400 })),
  bom: Schema.Boolean,
  newlineAtEnd: Schema.Boolean
})

const encode = (part: string) => (part === "\u00ff\u00fe" ? Buffer.from(part, "latin1") : Buffer.from(part))

describe("TokenRecords", () => {
  it.effect.prop("gives the same for any lines in any pieces", { input: Input }, ({ input }) =>
    Effect.gen(function* () {
      const bytes = Buffer.concat([
        Buffer.from(input.bom ? [0xef, 0xbb, 0xbf] : []),
        ...input.picks.flatMap((pick, i) =>
          i === 0 ? [encode(parts[pick]!)] : [Buffer.from("\n"), encode(parts[pick]!)]
        ),
        Buffer.from(input.newlineAtEnd ? "\n" : "")
      ])
      const { reasons: _reasons, ...found } = yield* collect(
        TokenRecords.fromBytes(pieces(bytes, input.size), { maxLineBytes: 350 })
      )
      assert.deepStrictEqual(
        { ...found, bytes: found.bytes },
        { ...reference(bytes, 350), bytes: bytes.toString("latin1") }
      )
    })
  )

  it.effect("is right at the borders of slices and of the pieces that were read", () =>
    Effect.gen(function* () {
      const text = Array.from({ length: 2000 }, (_, i) => line(i + 1) + " ".repeat(i % 37)).join("\n")
      for (const size of [1, 4095, 16 * 1024, 16 * 1024 + 1, 1 << 20]) {
        const { records } = yield* collect(TokenRecords.fromBytes(pieces(bytesOf(text), size)))
        assert.deepStrictEqual(records, reference(bytesOf(text), 1 << 20).records, `pieces of ${size}`)
      }
    })
  )

  it.effect("rejects a line over the limit, and reads past it without holding it", () =>
    Effect.gen(function* () {
      const exact = line(1).padEnd(500)
      const text = `${exact}\n${exact} \n${"x".repeat(5000)}\n${line(2)}`
      for (const size of [7, 600, 10_000]) {
        const found = yield* collect(TokenRecords.fromBytes(pieces(bytesOf(text), size), { maxLineBytes: 500 }))
        assert.deepStrictEqual(
          found.records.map(([n]) => n),
          [1, 4]
        )
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
    })
  )

  it.effect("counts lines in each input and records over all, up to the limit", () =>
    Effect.gen(function* () {
      const inputs = ["a", "b"].map((name) => ({
        name,
        bytes: Stream.make(bytesOf(`{bad\n${line(1)}\n${line(2)}\n${line(3)}`))
      }))
      const all = yield* collect(TokenRecords.fromInputs(inputs))
      assert.deepStrictEqual(
        all.records.map(([n]) => n),
        [2, 3, 4, 2, 3, 4]
      )
      assert.deepStrictEqual(
        all.reasons.map((r) => [r.file, r.line]),
        [
          ["a", 1],
          ["b", 1]
        ]
      )
      const some = yield* collect(TokenRecords.fromInputs(inputs, { limit: 4 }))
      assert.deepStrictEqual(
        some.records.map(([n]) => n),
        [2, 3, 4, 2]
      )
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
      assert.deepStrictEqual(found.records, [
        [1, '{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john"}'],
        [4, '{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john","accessToken":"t"}']
      ])
      assert.deepStrictEqual(
        found.reasons.map((r) => [r.line, r.field]),
        [
          [2, "clientId"],
          [3, "subject"]
        ]
      )
    })
  )
})
