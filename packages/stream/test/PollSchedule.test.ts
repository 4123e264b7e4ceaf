import type { TokenBatch } from "@tokenbatch/core"
import { PollSchedule } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { inTime, lines, run, service } from "./fixtures.ts"

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

const running: TokenBatch.BatchStatus = { state: "Running" }

/** Batches that are asked after with a schedule of theirs, so many at once; each takes some time. */
const followed = Effect.fnUntraced(function* (
  schedule: ReturnType<typeof PollSchedule.adaptive>,
  count: number,
  time: (index: number) => number,
  options: { readonly atOnce?: number; readonly end?: TokenBatch.BatchStatus } = {}
) {
  const { atOnce = 1, end = { state: "Succeeded" } } = options
  return yield* Effect.forEach(
    Array.from({ length: count }),
    (_, index) =>
      Effect.gen(function* () {
        const taken = yield* Clock.currentTimeMillis
        const ready = taken + time(index)
        let polls = 0
        // As its documentation has it.
        const status = Effect.map(Clock.currentTimeMillis, (now): TokenBatch.BatchStatus => {
          polls++
          return now < ready ? running : end
        })
        const last = yield* Effect.repeat(status, schedule)
        return { last, polls, lag: (yield* Clock.currentTimeMillis) - ready }
      }),
    { concurrency: atOnce }
  )
})

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

describe("PollSchedule.adaptive", () => {
  it.effect.each([50, 1000, 40_000])("learns when results are there: after %i ms", (time) =>
    Effect.gen(function* () {
      for (const atOnce of [1, 8]) {
        const found = yield* inTime(followed(PollSchedule.adaptive(), 400, () => time, { atOnce }))
        const late = found.slice(200)
        // The first one is made before there is anything to wait for.
        const polls = mean(late.map(({ polls }) => polls - 1))
        assert.isTrue(polls < 2.3, `${polls} polls a batch`)
        const lag = mean(late.map(({ lag }) => lag))
        assert.isTrue(lag < (atOnce === 1 ? 0.1 : 0.35) * time + 10, `${lag} ms late`)
        assert.isTrue(found.every(({ last, lag }) => last?.state === "Succeeded" && lag >= 0))
      }
    })
  )

  it.effect("ends with the status that says how the batch ended, whatever that is", () =>
    Effect.gen(function* () {
      for (const end of [{ state: "Succeeded" }, { state: "Failed", errorCode: "E" }] as const) {
        for (const time of [0, 3000]) {
          const [one] = yield* inTime(followed(PollSchedule.adaptive(), 1, () => time, { end }))
          assert.deepStrictEqual(one!.last, end)
          if (time === 0) assert.strictEqual(one!.polls, 1)
        }
      }
    })
  )

  it.effect("asks again where the status says nothing, ever more rarely", () =>
    Effect.gen(function* () {
      for (const status of [undefined, running, { state: "Unknown", result: "PAUSED" }] as const) {
        const step = yield* Schedule.toStep(PollSchedule.adaptive())
        let now = 0
        const found: Array<number> = []
        for (let i = 0; i < 100; i++) {
          const [, delay] = yield* step(now, status)
          found.push(Duration.toMillis(delay))
          now += found.at(-1)!
        }
        assert.isTrue(
          found.every((delay, i) => delay > 0 && delay < 60_000 && (i < 2 || delay >= found[i - 1]! - 1e-6))
        )
        assert.isTrue(found.at(-1)! > 10 * found[0]!)
      }
    })
  )

  it.effect("is learned by all who share it, and by nobody else", () =>
    Effect.gen(function* () {
      const schedule = PollSchedule.adaptive()
      yield* inTime(followed(schedule, 100, () => 20_000))
      const [told] = yield* inTime(followed(schedule, 1, () => 20_000))
      const [untold] = yield* inTime(followed(PollSchedule.adaptive(), 1, () => 20_000))
      assert.isTrue(told!.polls <= 5 && untold!.polls > told!.polls, `${told!.polls}, ${untold!.polls}`)
    })
  )

  it.effect("follows a service that becomes slower and faster", () =>
    Effect.gen(function* () {
      const found = yield* inTime(
        followed(PollSchedule.adaptive(), 900, (index) => (index >= 300 && index < 600 ? 3000 : 1000))
      )
      for (const [from, to, time] of [
        [150, 300, 1000],
        [450, 600, 3000],
        [750, 900, 1000]
      ] as const) {
        const part = found.slice(from, to)
        assert.isTrue(mean(part.map(({ polls }) => polls - 1)) < 2.3)
        assert.isTrue(mean(part.map(({ lag }) => lag)) < 0.2 * time)
      }
    })
  )

  it.effect("does not let polls line up", () =>
    Effect.gen(function* () {
      const schedule = PollSchedule.adaptive()
      yield* inTime(followed(schedule, 50, () => 10_000))
      const first: Array<number> = []
      for (let i = 0; i < 20; i++) {
        const step = yield* Schedule.toStep(schedule)
        const [, delay] = yield* step(1_000_000_000, running)
        first.push(Duration.toMillis(delay))
      }
      assert.isTrue(new Set(first).size > 15)
    })
  )

  it.effect("serves a run", () =>
    Effect.gen(function* () {
      const taken = new Map<string, number>()
      const against = service({
        create: (_, call) =>
          Effect.map(Clock.currentTimeMillis, (now) => {
            taken.set(`request-${call}`, now)
            return `request-${call}`
          }),
        status: (id) =>
          Effect.map(Clock.currentTimeMillis, (now) =>
            now < taken.get(id)! + 5000 ? running : { state: "Succeeded" as const }
          )
      })
      const { exitCode, report } = yield* inTime(
        run(lines(300), against, { batchSize: 1, concurrency: 8, pollSchedule: PollSchedule.adaptive() })
      )
      assert.strictEqual(exitCode, 0)
      assert.isTrue(report.polls < 2.8 * 300, String(report.polls))
      assert.isTrue(report.elapsedMs < 1.25 * (300 / 8) * 5000, String(report.elapsedMs))
    })
  )
})
