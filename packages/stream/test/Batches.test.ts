import { Batches, TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { bytesOf, line, lines, pieces } from "./fixtures.ts"

/** A portion with a body of its own, taken before the buffer goes back. */
const keep = (portion: Batches.Portion) => {
  const body = portion.batch === undefined ? undefined : Buffer.from(portion.batch.body).toString()
  portion.batch?.release()
  return { ...portion, body }
}

const cut = (text: string, options: Batches.Options, size = 1000) =>
  TokenRecords.fromBytes(pieces(bytesOf(text), size)).pipe(
    Batches.fromPages(options),
    Stream.map(keep),
    Stream.runCollect
  )

const count = (ranges: ReadonlyArray<Batches.LineRange>) => ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0)

const Input = Schema.Struct({
  kinds: Schema.Array(Schema.Literals(["good", "good", "good", "bad", "blank", "long"])),
  batchSize: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 7 })),
  batchBytes: Schema.Int.check(Schema.isBetween({ minimum: 2, maximum: 900 })),
  size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 500 }))
})

describe("Batches", () => {
  it.effect.prop("cuts any input into portions that lie end to end and lose nothing", { input: Input }, ({ input }) =>
    Effect.gen(function* () {
      const rows = input.kinds.map((kind, i) =>
        kind === "bad" ? "{bad" : kind === "blank" ? "" : kind === "long" ? line(i + 1).padEnd(400) : line(i + 1)
      )
      const text = rows.join("\n")
      const bytes = bytesOf(text)
      const portions = yield* cut(text, input, input.size)

      let offset = 0
      for (const portion of portions) {
        assert.strictEqual(portion.bytes.from, offset)
        offset = portion.bytes.to
        const digest = createHash("sha256").update(bytes.subarray(portion.bytes.from, portion.bytes.to)).digest("hex")
        assert.strictEqual(portion.digest, digest)
        const { batch, body } = portion
        if (batch === undefined || body === undefined) continue
        assert.strictEqual(count(batch.lines), batch.records)
        const own = batch.lines.flatMap(({ from, to }) => rows.slice(from - 1, to))
        assert.strictEqual(body, `[${own.join(",")}]`)
        assert.isTrue(batch.records <= input.batchSize)
        assert.isTrue(batch.records === 1 || Buffer.byteLength(body) <= input.batchBytes)
      }
      const good = rows.flatMap((row, i) => (row.startsWith("{") && row !== "{bad" ? [i + 1] : []))
      const batched = portions
        .flatMap(({ batch }) => batch?.lines ?? [])
        .flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i))
      assert.deepStrictEqual(batched, good)
      const bad = rows.flatMap((row, i) => (row === "{bad" ? [i + 1] : []))
      assert.deepStrictEqual(
        portions.flatMap(({ rejections }) => rejections.map((r) => r.line)),
        bad
      )
    })
  )

  it.effect("closes at a body size to the byte", () =>
    Effect.gen(function* () {
      const text = `${line(1)}\n${line(2)}\n${line(3)}`
      const two = line(1).length * 2 + 3
      assert.deepStrictEqual(
        (yield* cut(text, { batchBytes: two })).map((p) => p.batch?.records),
        [2, 1]
      )
      assert.deepStrictEqual(
        (yield* cut(text, { batchBytes: two - 1 })).map((p) => p.batch?.records),
        [1, 1, 1]
      )
    })
  )

  it.effect("passes on rejections where no record comes between", () =>
    Effect.gen(function* () {
      const portions = yield* cut("{bad\n".repeat(2500), {})
      assert.strictEqual(
        portions.reduce((sum, p) => sum + p.rejections.length, 0),
        2500
      )
      assert.isTrue(portions.length > 1 && portions.every((p) => p.batch === undefined))
    })
  )

  it.effect("counts the records that have no access token", () =>
    Effect.gen(function* () {
      const without = line(2).replace(/,"accessToken":"[^"]*"/, "")
      const [portion] = yield* cut(`${line(1)}\n${without}\n${without.replace("}", ',"accessToken":null}')}`, {})
      assert.strictEqual(portion?.batch?.withoutAccessToken, 2)
    })
  )

  it.effect("closes a batch after a pause of its source, and loses nothing that comes later", () =>
    Effect.gen(function* () {
      const source = yield* Queue.unbounded<Uint8Array>()
      const seen: Array<number | undefined> = []
      const fiber = yield* Stream.fromQueue(source).pipe(
        (bytes) => TokenRecords.fromBytes(bytes),
        Batches.fromPages({ pause: "2 seconds" }),
        Stream.runForEach((portion) => Effect.sync(() => void seen.push(portion.batch?.records))),
        Effect.forkChild
      )
      yield* Queue.offer(source, bytesOf(`${line(1)}\n${line(2)}\n`))
      yield* TestClock.adjust("1900 millis")
      assert.deepStrictEqual(seen, [])
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(seen, [2])
      yield* TestClock.adjust("1 hour")
      yield* Queue.offer(source, bytesOf(`${line(3)}\n`))
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(seen, [2, 1])
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("uses a buffer again only after it was released", () =>
    Effect.gen(function* () {
      const held: Array<Batches.Batch> = []
      yield* TokenRecords.fromBytes(pieces(bytesOf(lines(50)), 333)).pipe(
        Batches.fromPages({ batchSize: 5 }),
        Stream.runForEach((portion) => Effect.sync(() => void (portion.batch && held.push(portion.batch))))
      )
      const expected = Array.from(
        { length: 10 },
        (_, b) => `[${Array.from({ length: 5 }, (_, i) => line(b * 5 + i + 1)).join(",")}]`
      )
      assert.deepStrictEqual(
        held.map(({ body }) => Buffer.from(body).toString()),
        expected
      )
    })
  )

  it.effect("halves a batch down to its records", () =>
    Effect.gen(function* () {
      const text = [line(1), "{bad", line(2), line(3).replace(/,"accessToken":"[^"]*"/, ""), line(4), line(5)].join(
        "\n"
      )
      const parts: Array<Batches.Batch> = []
      const split = (batch: Batches.Batch): void => {
        if (batch.records === 1) return void parts.push(batch)
        for (const half of Batches.halve(batch)) split(half)
      }
      yield* TokenRecords.fromBytes(Stream.make(bytesOf(text))).pipe(
        Batches.fromPages({}),
        Stream.runForEach(({ batch }) => Effect.sync(() => batch && split(batch)))
      )
      assert.deepStrictEqual(
        parts.map(({ lines }) => lines),
        [1, 3, 4, 5, 6].map((n) => [{ from: n, to: n }])
      )
      assert.deepStrictEqual(
        parts.map(({ body }) => Buffer.from(body).toString()),
        text
          .split("\n")
          .filter((l) => l !== "{bad")
          .map((l) => `[${l}]`)
      )
      assert.deepStrictEqual(
        parts.map((p) => p.withoutAccessToken),
        [0, 0, 1, 0, 0]
      )
    })
  )
})
