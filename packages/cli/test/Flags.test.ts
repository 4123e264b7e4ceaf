import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import { parseDuration, parseSize } from "../src/Flags.ts"

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
})
