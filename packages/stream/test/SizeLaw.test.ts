import { assert, describe, it } from "@effect/vitest"
import * as SizeLaw from "../src/SizeLaw.ts"
import { dice } from "./fixtures.ts"

/** A service that works on one batch at a time, and takes so long for a batch and for a record of it, with so many batches there. */
const drive = (perBatch: number, perRecord: number, batches = 1000, held = 16, most = Infinity) => {
  let state = SizeLaw.initial
  let free = 0
  const there: Array<{ readonly records: number; readonly taken: number; readonly held: number; readonly at: number }> =
    []
  for (let i = 0, now = 0; i < batches; i++) {
    if (there.length === held) {
      const done = there.shift()!
      now = done.at
      state = SizeLaw.step(state, { _tag: "Done", ...done })
    }
    while (state.size > most)
      state = SizeLaw.step(state, { _tag: "TooMuch", records: state.size, at: now, forGood: true })
    const records = state.size
    free = Math.max(free, now) + perBatch + perRecord * records
    there.push({ records, taken: now, held: there.length + 1, at: free })
  }
  return state
}

describe("SizeLaw", () => {
  it("grows while more records are done in the same time", () => {
    assert.strictEqual(drive(1000, 0).size, SizeLaw.largest)
    // A batch costs as much as a thousand records: twice a thousand of them are done a third faster, twice eight thousand hardly.
    const { settled, size } = drive(1000, 1)
    assert.isTrue(settled)
    assert.isTrue(size >= 2000 && size <= 8000, String(size))
  })

  it("stays small where a larger batch is no gain", () => {
    assert.strictEqual(drive(1, 10).size, SizeLaw.first)
  })

  /** Batches of so many records, one after another, each of which takes a second. */
  const done = (state: SizeLaw.State, count: number, records: number, taken: number) => {
    let now = state
    for (let i = 0; i < count; i++) {
      now = SizeLaw.step(now, { _tag: "Done", records, taken: taken + i, held: 1, at: taken + i + 1000 })
    }
    return now
  }

  it("stays as it is where it is bytes that close batches", () => {
    const few = done(SizeLaw.initial, 15, 100, 0)
    assert.strictEqual(done(few, 16, SizeLaw.first, 100).size, 2 * SizeLaw.first, "fifteen of them are chance")
    const many = done(few, 1, 100, 100)
    assert.strictEqual(done(many, 100, SizeLaw.first, 200).size, SizeLaw.first)
    // What was so with smaller batches is no matter either.
    const larger = done(few, 16, SizeLaw.first, 100)
    assert.isFalse(done(larger, 1, 100, larger.since).settled)
  })

  it("measures nothing that was taken before the size was what it is", () => {
    const larger = done(SizeLaw.initial, 16, SizeLaw.first, 0)
    assert.strictEqual(larger.size, 2 * SizeLaw.first)
    const old = done(larger, 100, SizeLaw.first, larger.since - 200)
    assert.strictEqual(old, larger)
    assert.strictEqual(done(old, 17, old.size, old.since).size, 4 * SizeLaw.first)
  })

  it("halves what was too much, and does not try it again", () => {
    const state = drive(1000, 0.1, 1000, 16, 700)
    assert.isTrue(state.size <= 700 && state.size > 350, String(state.size))
    assert.strictEqual(SizeLaw.step(state, { _tag: "TooMuch", records: 100_000, at: 0, forGood: true }), state)
    const one = SizeLaw.step(SizeLaw.initial, { _tag: "TooMuch", records: 1, at: 0, forGood: true })
    assert.deepInclude(one, { size: 1, most: 1 })
    // It grows up to there, where that is more than it is.
    const tooMuch = (records: number, forGood: boolean) =>
      SizeLaw.step(SizeLaw.initial, { _tag: "TooMuch", records, at: 0, forGood })
    assert.strictEqual(done(tooMuch(700, true), 100, SizeLaw.first, 0).size, 350)
    assert.strictEqual(done(tooMuch(700, false), 16, SizeLaw.first, 0).size, 2 * SizeLaw.first)
    assert.strictEqual(tooMuch(2 * SizeLaw.first, false), SizeLaw.initial)
  })

  it("is never less than one nor more than the most, whatever it is told", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const roll = dice(seed)
      let state = SizeLaw.initial
      let at = 0
      for (let i = 0; i < 300; i++) {
        at += roll(100)
        const records = 1 + roll(20_000)
        state = SizeLaw.step(
          state,
          roll(8) === 0
            ? { _tag: "TooMuch", records, at, forGood: roll(2) === 0 }
            : {
                _tag: "Done",
                records: roll(2) === 0 ? state.size : records,
                taken: at - roll(100),
                held: 1 + roll(64),
                at
              }
        )
        assert.isTrue(Number.isInteger(state.size) && state.size >= 1 && state.size <= state.most)
        assert.isTrue(state.most <= SizeLaw.largest)
      }
    }
  })
})
