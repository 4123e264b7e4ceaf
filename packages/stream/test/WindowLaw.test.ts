import { WindowLaw } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"

const bounds: WindowLaw.Bounds = { pollTimeout: 900_000 }

/** So many end, each of which took so long with the window full. */
const end = (
  state: WindowLaw.State,
  count: number,
  took: (window: number) => number,
  end: Partial<WindowLaw.End> = {}
) => {
  let now = WindowLaw.taken(state, 0)
  let at = end.at ?? 1000
  for (let i = 0; i < count; i++) {
    const held = WindowLaw.size(now)
    const time = took(held)
    at += time / held
    now = WindowLaw.ended(now, {
      sizing: false,
      inFlight: held - 1,
      isPressed: false,
      ...end,
      at,
      taken: { at: at - time, held }
    })
  }
  return now
}

describe("WindowLaw", () => {
  it("begins with 16, and has 64 once results come", () => {
    const state = WindowLaw.initial(bounds, 0)
    assert.strictEqual(WindowLaw.size(state), 16)
    const after = end(state, 16, () => 1000)
    assert.strictEqual(WindowLaw.size(after), 64)
    assert.strictEqual(after.reason, "ResultsCome")
    assert.strictEqual(WindowLaw.size(WindowLaw.initial({ ...bounds, most: 5 }, 0)), 5)
  })

  it("stays where it is while something else decides how much is done", () => {
    for (const held of [{ isPressed: true }, { sizing: true }]) {
      const state = WindowLaw.initial(bounds, 0)
      assert.strictEqual(WindowLaw.size(end(state, 200, () => 1000, held)), 16)
    }
  })

  it("takes a few quick results for little", () => {
    // One in ten seconds would be 45 in half the poll timeout, if it went on like that.
    const one = end(WindowLaw.initial(bounds, 0), 1, () => 1000, { at: 10_000 })
    assert.strictEqual(WindowLaw.size(one), 16)
    assert.isAbove(WindowLaw.size(end(WindowLaw.initial(bounds, 0), 4, () => 1000, { at: 40_000 })), 24)
  })

  it("has more where that is done faster by a tenth at least, and what it had where it is not", () => {
    // No batch takes longer for the others being there, up to 64; beyond that so much more is done.
    const after = (gain: number) => {
      const took = (window: number) => (window <= 64 ? 1000 : (1000 * window) / 64 / gain)
      return end(
        end(WindowLaw.initial(bounds, 0), 16, () => 1000),
        1000,
        took
      )
    }
    assert.deepInclude(after(1.05), { wanted: 64, reason: "Throughput" })
    assert.strictEqual(WindowLaw.size(after(1.15)), 96)
  })

  it("tries no more than twice as many as are worked on at once", () => {
    // The first ones, which had nothing to wait for, took a second.
    const tried = (millis: number) => {
      let state = WindowLaw.taken(WindowLaw.initial(bounds, 0), 0)
      const given = { sizing: false, inFlight: 0, isPressed: false }
      for (let at = 1000; at <= 16_000; at += 1000) {
        state = WindowLaw.ended(state, { ...given, at, taken: { at: at - 1000, held: 1 } })
      }
      assert.strictEqual(WindowLaw.size(state), 64)
      for (let i = 0; state.phase._tag !== "Higher" && i < 48; i++) {
        const at = 100_000 + i
        state = WindowLaw.ended(state, { ...given, at, taken: { at: at - millis, held: 64 } })
      }
      return WindowLaw.size(state)
    }
    assert.strictEqual(tried(1000), 96)
    // 64 in 1.6 seconds are 40 a second.
    assert.strictEqual(tried(1600), 80)
    assert.strictEqual(tried(1830), 64)
  })

  it("is a tenth below a full queue, and one larger with every few turns", () => {
    const full = WindowLaw.full(
      end(WindowLaw.initial(bounds, 0), 16, () => 1000),
      40
    )
    assert.strictEqual(WindowLaw.size(full), 36)
    assert.deepInclude(full, { cuts: 1, reason: "QueueFull" })
    const turn = 2 * 36
    assert.strictEqual(WindowLaw.size(end(full, turn - 1, () => 1000)), 36)
    const grown = end(full, turn, () => 1000)
    assert.strictEqual(WindowLaw.size(grown), 37)
    assert.strictEqual(grown.reason, "RoomAgain")
    // Beyond where it was full, faster and faster.
    assert.isAbove(WindowLaw.size(end(full, 2000, () => 1000)), 60)
    assert.isAtMost(WindowLaw.size(end(full, 20_000, () => 1000)), WindowLaw.defaultMost)
    assert.strictEqual(WindowLaw.size(WindowLaw.full(full, 1)), 1)
  })

  it("tells how many are taken from one full queue to the next, where it has as much room as ever", () => {
    const full = WindowLaw.full(WindowLaw.initial(bounds, 0), 10)
    assert.isAbove(WindowLaw.betweenCuts(full), 30)
    // It seems to have less and less room: still that of the first.
    const less = WindowLaw.full(WindowLaw.full(full, 6), 3)
    assert.isAtLeast(WindowLaw.betweenCuts(less), WindowLaw.betweenCuts(full))
  })

  it("is as it was before a trial, when that is over", () => {
    const full = WindowLaw.full(
      end(WindowLaw.initial(bounds, 0), 16, () => 1000),
      10
    )
    const trying = WindowLaw.unbounded(full)
    assert.strictEqual(WindowLaw.size(trying), 64)
    assert.deepStrictEqual(WindowLaw.restored(trying, full), full)
    assert.strictEqual(WindowLaw.size(WindowLaw.wasNotFull(full)), 64)
  })

  it("holds no more than is done in half the poll timeout, and as many again when more is", () => {
    const slow = end(WindowLaw.initial({ pollTimeout: 60_000 }, 0), 60, (window) => 5000 * window)
    assert.isAtMost(WindowLaw.size(slow), 7)
    assert.strictEqual(slow.reason, "PollTimeout")
    const again = end(slow, 200, (window) => 100 * window, { at: 1_000_000 })
    assert.isAtLeast(WindowLaw.size(again), 16)
  })

  it("does not go to and fro by one with the pace of the service", () => {
    // Half the poll timeout is worth nine and a half of them, somewhat more and somewhat less in turn.
    let state = WindowLaw.initial({ pollTimeout: 19_000 }, 0)
    const sizes = new Set<number>()
    for (let i = 0; i < 400; i++) {
      const pace = Math.floor(i / 20) % 2 === 0 ? 960 : 1040
      state = end(state, 1, (window) => pace * window, { at: 1000 * i })
      if (i >= 100) sizes.add(WindowLaw.size(state))
    }
    assert.strictEqual(sizes.size, 1, [...sizes].join())
    // But it goes with what is really more or less.
    for (const [pace, size] of [
      [800, 12],
      [2000, 5]
    ] as const) {
      const other = end(state, 100, (window) => pace * window, { at: 1_000_000 })
      assert.isAtMost(Math.abs(WindowLaw.size(other) - size), 1)
    }
  })

  it("takes the time that the service was away for none", () => {
    const before = WindowLaw.taken(WindowLaw.initial(bounds, 0), 1000)
    assert.strictEqual(WindowLaw.wasAway(before, (moment) => moment + 500).began, 1500)
  })

  it("does not learn a window that is given, but keeps below a full queue", () => {
    const given = WindowLaw.initial({ ...bounds, fixed: 20 }, 0)
    assert.strictEqual(WindowLaw.size(end(given, 500, (window) => 100 * window ** 2)), 20)
    const full = WindowLaw.full(given, 10)
    assert.strictEqual(WindowLaw.size(full), 9)
    const back = end(full, 2000, () => 1000)
    assert.strictEqual(WindowLaw.size(back), 20)
    assert.isUndefined(back.growth)
  })
})
