import { assert, describe, it } from "@effect/vitest"
import { parseRetryAfter } from "@tokenbatch/core/HttpAnswer"

const now = Date.parse("2026-11-25T12:00:00Z")

describe("HttpAnswer", () => {
  it.each([
    [undefined, undefined],
    ["7", 7000],
    ["0", 0],
    ["1.5", 1500],
    [" 3 ", 3000],
    ["Wed, 25 Nov 2026 12:00:30 GMT", 30_000],
    ["Wed, 25 Nov 2026 11:00:00 GMT", 0],
    ["86400", 300_000],
    ["Thu, 25 Nov 2027 12:00:00 GMT", 300_000],
    ["soon", undefined],
    ["-5", undefined],
    ["", undefined]
  ])("reads Retry-After %j as %s milliseconds", (header, millis) =>
    assert.strictEqual(parseRetryAfter(header, now), millis)
  )
})
