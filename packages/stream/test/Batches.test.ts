import { Batches, TokenRecords } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { createHash } from "node:crypto"
import { bytesOf, dice, line, lines, pieces, seconds } from "./fixtures.ts"

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
  it.effect.prop(
    "cuts any input into portions that lie end to end and lose nothing",
    { input: Input },
    ({ input }) =>
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
          assert.isTrue(portion.rejections.every((r) => r.offset >= portion.bytes.from && r.offset < portion.bytes.to))
          const { batch, body } = portion
          if (batch === undefined || body === undefined) continue
          assert.strictEqual(count(batch.lines), batch.records)
          const own = batch.lines.flatMap(({ from, to }) => rows.slice(from - 1, to))
          assert.strictEqual(body, `[${own.join(",")}]`)
          assert.isTrue(batch.records <= input.batchSize)
          assert.isTrue(batch.records === 1 || Buffer.byteLength(body) <= input.batchBytes)
        }
        assert.strictEqual(offset, bytes.length, "to the end, trailing blank lines included")
        // No batch is closed while it has room for the next record.
        for (const [i, { batch, body }] of portions.entries()) {
          const next = portions[i + 1]?.body
          if (batch === undefined || body === undefined || next === undefined) continue
          const first = rows[portions[i + 1]!.batch!.lines[0]!.from - 1]!
          assert.isTrue(batch.records === input.batchSize || body.length + 1 + first.length > input.batchBytes)
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
      }),
    { arbitrary: { size: 40, runs: 200 } }
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

  it.effect("lets a record that is larger than a body may be go alone", () =>
    Effect.gen(function* () {
      const large = line(2).padEnd(500)
      const portions = yield* cut([line(1), large, large, line(3), line(4)].join("\n"), { batchBytes: 300 })
      assert.deepStrictEqual(
        portions.map((p) => p.batch?.lines),
        [[{ from: 1, to: 1 }], [{ from: 2, to: 2 }], [{ from: 3, to: 3 }], [{ from: 4, to: 5 }]]
      )
      assert.strictEqual(portions[1]?.body, `[${large}]`)
    })
  )

  it.effect("closes a batch before it waits with too many rejections", () =>
    Effect.gen(function* () {
      const text = `${line(1)}\n${"{bad\n".repeat(25_000)}${line(2)}`
      const portions = yield* cut(text, {}, 10_000)
      assert.deepStrictEqual(
        portions.flatMap((p) => (p.batch === undefined ? [] : [p.batch.lines])),
        [[{ from: 1, to: 1 }], [{ from: 25_002, to: 25_002 }]]
      )
      const counts = portions.map((p) => p.rejections.length)
      assert.strictEqual(
        counts.reduce((a, b) => a + b),
        25_000
      )
      assert.isTrue(Math.max(...counts) < 13_000)
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

  it.effect("tells a live source's rejections after a pause, and does not lose the page that it was waiting for", () =>
    Effect.gen(function* () {
      const source = yield* Queue.unbounded<Uint8Array>()
      const buffer = new Uint8Array(1000)
      const seen: Array<readonly [number, string | undefined]> = []
      const fiber = yield* Stream.fromQueue(source).pipe(
        // As a file does: all pieces in one buffer.
        Stream.rechunk(1),
        Stream.map((piece) => {
          buffer.fill(0x23)
          buffer.set(piece)
          return buffer.subarray(0, piece.length)
        }),
        (bytes) => TokenRecords.fromBytes(bytes),
        Batches.fromPages({ batchSize: 3 }),
        Stream.map(keep),
        Stream.runForEach((p) => Effect.sync(() => void seen.push([p.rejections.length, p.body]))),
        Effect.forkChild
      )
      yield* Queue.offer(source, bytesOf("{bad\n{bad\n"))
      yield* seconds(2)
      assert.deepStrictEqual(seen, [[2, undefined]])
      yield* Queue.offer(source, bytesOf("\n\n"))
      yield* seconds(10)
      assert.strictEqual(seen.length, 1, "blank lines are nothing to tell")
      yield* Queue.offer(source, bytesOf(`${line(1)}\n${line(2).slice(0, 30)}`))
      yield* seconds(2)
      assert.deepStrictEqual(seen[1], [0, `[${line(1)}]`])
      yield* Queue.offerAll(source, [
        bytesOf(`${line(2).slice(30)}\n`),
        bytesOf(`${line(3)}\n`),
        bytesOf(`${line(4)}\n`)
      ])
      yield* seconds(0)
      yield* Effect.yieldNow
      yield* seconds(2)
      assert.deepStrictEqual(seen.slice(2), [[0, `[${[line(2), line(3), line(4)].join(",")}]`]])
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("passes on what it has before the failure of its source", () =>
    Effect.gen(function* () {
      const seen: Array<number | undefined> = []
      const failing = Stream.concat(Stream.make(bytesOf(`${lines(5)}\n`)), Stream.fail("gone" as const))
      const error = yield* TokenRecords.fromBytes(failing).pipe(
        Batches.fromPages({ batchSize: 2 }),
        Stream.runForEach(({ batch }) => Effect.sync(() => void seen.push(batch?.records))),
        Effect.flip
      )
      assert.strictEqual(error, "gone")
      assert.deepStrictEqual(seen, [2, 2, 1])
    })
  )

  it.effect.prop(
    "keeps a body whole from portion to release, however its buffers are used again",
    { seed: Schema.Int },
    ({ seed }) =>
      Effect.gen(function* () {
        const roll = dice(seed)
        const rows = Array.from({ length: 300 }, (_, i) => (roll(9) === 0 ? "{bad" : line(i + 1).padEnd(roll(300))))
        const held: Array<readonly [Batches.Batch, string]> = []
        const buffers = new Set<ArrayBufferLike>()
        let most = 0
        const letGo = () => {
          const [[batch, expected]] = held.splice(roll(held.length), 1) as [(typeof held)[number]]
          assert.strictEqual(Buffer.from(batch.body).toString(), expected)
          const halves = batch.records > 1 ? Batches.halve(batch) : []
          batch.body.fill(0x23)
          batch.release()
          // Halves have bodies of their own.
          for (const { body, records } of halves) {
            assert.strictEqual(JSON.parse(Buffer.from(body).toString()).length, records)
          }
        }
        yield* TokenRecords.fromBytes(pieces(bytesOf(rows.join("\n")), 1 + roll(2000))).pipe(
          Batches.fromPages({ batchSize: 1 + roll(9), batchBytes: 300 + roll(2000) }),
          Stream.runForEach(({ batch }) =>
            Effect.sync(() => {
              if (batch === undefined) return
              const own = batch.lines.flatMap(({ from, to }) => rows.slice(from - 1, to))
              held.push([batch, `[${own.join(",")}]`])
              buffers.add(batch.body.buffer)
              most = Math.max(most, held.length)
              while (held.length > 0 && roll(2) === 0) letGo()
            })
          )
        )
        while (held.length > 0) letGo()
        assert.isTrue(buffers.size <= most, `${buffers.size} buffers for ${most} batches at once`)
      })
  )

  it.effect("uses no buffer again that was not released", () =>
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

  it.effect("uses released buffers again, and makes new ones as large as bodies have become", () =>
    Effect.gen(function* () {
      const buffers = new Set<ArrayBufferLike>()
      const held: Array<Batches.Batch> = []
      const rows = Array.from({ length: 400 }, (_, i) => line(i + 1).padEnd(20_000)).join("\n")
      yield* TokenRecords.fromBytes(pieces(bytesOf(rows), 1 << 20)).pipe(
        Batches.fromPages({ batchSize: 10 }),
        Stream.runForEach((portion) =>
          Effect.sync(() => {
            const { batch } = portion
            if (batch === undefined) return
            buffers.add(batch.body.buffer)
            assert.strictEqual((JSON.parse(Buffer.from(batch.body).toString()) as ReadonlyArray<unknown>).length, 10)
            // Three are in flight at once.
            if (held.push(batch) > 3) held.shift()!.release()
          })
        )
      )
      assert.isAtMost(buffers.size, 4)
    })
  )

  it.effect.prop("takes any part of line ranges", { seed: Schema.Int }, ({ seed }) =>
    Effect.sync(() => {
      const roll = dice(seed)
      const ranges: Array<Batches.LineRange> = []
      for (let at = 1, i = roll(6); i > 0; i--) {
        const from = at + roll(5)
        at = from + 2 + roll(5)
        ranges.push({ file: `f${i}`, from, to: at - 1 })
      }
      const each = (some: ReadonlyArray<Batches.LineRange>) =>
        some.flatMap(({ file, from, to }) => Array.from({ length: to - from + 1 }, (_, i) => `${file}:${from + i}`))
      const from = roll(12)
      const to = from + roll(20)
      assert.deepStrictEqual(each(Batches.sliceLines(ranges, from, to)), each(ranges).slice(from, to))
    })
  )

  it.effect("halves a batch down to its records", () =>
    Effect.gen(function* () {
      const text = [
        line(1),
        "{bad",
        line(2),
        line(3).replace(/,"accessToken":"[^"]*"/, ""),
        line(4).replace('"token-4"', "null"),
        line(5)
      ].join("\n")
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
        [0, 0, 1, 1, 0]
      )
    })
  )
})
