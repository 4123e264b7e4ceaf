import { PollSchedule } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"

/** The first delays of a schedule, in milliseconds. */
const delays = Effect.fnUntraced(function* (schedule: Schedule.Schedule<unknown>, count: number) {
  const step = yield* Schedule.toStep(schedule)
  const found: Array<number> = []
  for (let now = 0; found.length < count; now += found.at(-1)!) {
    const [, delay] = yield* step(now, undefined)
    found.push(Duration.toMillis(delay))
  }
  return found
})

describe("PollSchedule", () => {
  it.effect.each([
    [PollSchedule.exponential(), 100, 1.5, 10_000],
    [PollSchedule.exponential({ first: "2 seconds", growth: 3, cap: "1 minute" }), 2000, 3, 60_000],
    [PollSchedule.exponential({ first: "5 seconds", cap: "1 second" }), 1000, 1, 1000],
    [PollSchedule.fixed("3 seconds"), 3000, 1, 3000]
  ] as const)("%#: grows up to its cap, jittered by a fifth", ([schedule, first, growth, cap]) =>
    Effect.gen(function* () {
      const found = yield* delays(schedule, 40)
      for (const [i, delay] of found.entries()) {
        const own = Math.min(first * growth ** i, cap)
        assert.isTrue(delay >= own * 0.799 && delay <= own * 1.201, `${i}: ${delay}`)
      }
      assert.isTrue(new Set(found.slice(-10)).size > 1, "jittered")
    })
  )
})
