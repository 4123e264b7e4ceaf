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
