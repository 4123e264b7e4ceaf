import { RunState } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as Format from "../src/Format.ts"
import * as Progress from "../src/Progress.ts"

const records = { read: 20_000, created: 9500, existing: 0, failed: 0, rejected: 500, unresolved: 0, notSubmitted: 0 }
const state: RunState.RunState = { ...RunState.initial, records, inFlight: 10, recordsInFlight: 10_000, bytes: 4000 }
const snapshot = { state, elapsed: 10_000, rate: 950, size: 8000 }

describe("Format", () => {
  it.each([
    [0, "0.0s"],
    [4210, "4.2s"],
    [59_990, "60.0s"],
    [187_000, "3m 07s"],
    [3_720_000, "1h 02m"]
  ])("writes %i milliseconds", (millis, text) => assert.strictEqual(Format.elapsed(millis), text))

  it.each([
    [999, "999"],
    [9999, "9,999"],
    [12_345, "12.3k"],
    [1_234_567, "1.23M"]
  ])("writes %i in short", (n, text) => assert.strictEqual(Format.short(n), text))

  it("fits a text to a width", () => {
    assert.strictEqual(Format.fit("abcdef", 4), "abc…")
    assert.strictEqual(Format.fit("abcd", 4), "abcd")
  })
})

describe("Progress", () => {
  it("tells what there is to tell, and how long it will take by what has been seen to its end", () => {
    assert.strictEqual(
      Progress.line(snapshot),
      "25% 20.0k read  9,500 created  500 rejected  10 batches in flight  950/s  10.0s  30.0s left"
    )
    assert.strictEqual(
      Progress.line({ ...snapshot, size: undefined }),
      "20.0k read  9,500 created  500 rejected  10 batches in flight  950/s  10.0s"
    )
  })

  const draw = (isTty: boolean, millis: number, quiet = false) =>
    Effect.gen(function* () {
      let written = ""
      const terminal = { write: (text: string) => void (written += text), isTty, columns: () => 40 }
      const drawing = yield* Progress.make({ terminal, current: () => state, size: 8000, quiet })
      const fiber = yield* Effect.forkChild(drawing.draw)
      yield* TestClock.adjust(millis)
      yield* drawing.say("a message")
      yield* Fiber.interrupt(fiber)
      yield* drawing.clear
      return written
    })

  it.effect("draws one line over and over on a terminal, cut to its width, and takes it away for a message", () =>
    Effect.gen(function* () {
      const written = yield* draw(true, 1000)
      const drawn = written.split("\r\u001b[2K")
      assert.isTrue(drawn.length >= 8)
      assert.isTrue(drawn.slice(1, -1).every((line) => line.length <= 39 && !line.includes("\n")))
      assert.strictEqual(drawn.at(-1), "a message\n")
    })
  )

  it.effect("writes a line every five seconds elsewhere, and nothing when quiet", () =>
    Effect.gen(function* () {
      const written = yield* draw(false, 16_000)
      assert.strictEqual(written.split("\n").length - 1, 4)
      assert.notInclude(written, "\u001b")
      assert.strictEqual(yield* draw(false, 60_000, true), "")
    })
  )
})
