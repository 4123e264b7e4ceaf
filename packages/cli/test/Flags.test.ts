import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { parseDuration, parseSize, showDuration, showSize } from "../src/Flags.ts"

describe("Flags", () => {
  it.each([
    ["500ms", 500],
    ["90s", 90_000],
    ["15m", 900_000],
    ["1.5 hours", 5_400_000],
    ["1h", 3_600_000],
    ["2 minutes", 120_000]
  ])("reads the duration %j", (text, millis) => assert.strictEqual(Duration.toMillis(parseDuration(text)), millis))

  it.each(["", "5", "5x", "-1s", "0s", "s", "1 h 5"])("refuses the duration %j", (text) =>
    assert.throws(() => parseDuration(text), "a duration such as")
  )

  it.each([
    ["1000000", 1_000_000],
    ["4MiB", 4 * 1024 * 1024],
    ["4 MiB", 4 * 1024 * 1024],
    ["500kB", 500_000],
    ["500KB", 500_000],
    ["2mb", 2_000_000]
  ])("reads the size %j", (text, bytes) => assert.strictEqual(parseSize(text), bytes))

  it.each(["", "x", "-5", "1", "4 parsecs"])("refuses the size %j", (text) =>
    assert.throws(() => parseSize(text), "a size such as")
  )

  it.each([
    [Duration.micros(2n), "2 micros"],
    [Duration.millis(20), "20ms"],
    [Duration.millis(1500), "1500ms"],
    [Duration.seconds(60), "1m"],
    [Duration.seconds(90), "90s"],
    [Duration.hours(1), "1h"]
  ])("shows %s as it can be written", (duration, shown) => {
    assert.strictEqual(showDuration(duration), shown)
    assert.isTrue(Duration.equals(parseDuration(shown), duration))
  })

  it.each([
    [1000, "1kB"],
    [4 * 1024 * 1024, "4MiB"],
    [1024, "1KiB"],
    [500_000_000, "500MB"],
    [1_000_001, "1000001"]
  ])("shows %d bytes as they can be written", (bytes, shown) => {
    assert.strictEqual(showSize(bytes), shown)
    assert.strictEqual(parseSize(shown), bytes)
  })
})
