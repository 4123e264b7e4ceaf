import { WhimLaw } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import { dice } from "./fixtures.ts"

const many = (state: WhimLaw.State, count: number, step: (state: WhimLaw.State) => WhimLaw.State) =>
  Array.from({ length: count }).reduce<WhimLaw.State>((before) => step(before), state)

/** Cut some times, after so many taken each; more of them are as usual. */
const cutAfter = (taken: number, times = 5, usual = 30) => {
  let state = WhimLaw.initial
  for (let i = 0; i < times; i++) state = WhimLaw.cut(WhimLaw.refused(many(state, taken, WhimLaw.taken)), usual)
  return state
}

/** Requests of which one in so many is refused, at random, until a trial is over. */
const tryWith = (seed: number, oneIn: number, state: WhimLaw.State) => {
  const roll = dice(seed)
  let now = WhimLaw.begun(state)
  for (let i = 0; i < 1000; i++) {
    now = roll(oneIn) === 0 ? WhimLaw.refused(now) : WhimLaw.taken(now)
    if (!WhimLaw.isWhim(now)) return "denied"
    if (WhimLaw.isShown(now)) return "shown"
  }
  return "open"
}

describe("WhimLaw", () => {
  it("takes nothing for granted at first", () => {
    assert.isFalse(WhimLaw.isWhim(WhimLaw.refused(many(WhimLaw.initial, 1000, WhimLaw.taken))))
  })

  it("wants a trial when refusals are not rare, though less was handed in for some of them", () => {
    assert.isTrue(WhimLaw.wantsTrial(cutAfter(20)))
    assert.isFalse(WhimLaw.wantsTrial(cutAfter(40)), "they are as rare as usual")
    assert.isFalse(WhimLaw.wantsTrial(WhimLaw.begun(cutAfter(20))), "there was one")
    assert.isFalse(WhimLaw.wantsTrial(cutAfter(20, 4)), "four are chance")
    // It is about lately, however many were taken before.
    let later = cutAfter(1000)
    for (let i = 0; i < 5; i++) later = WhimLaw.cut(WhimLaw.refused(many(later, 20, WhimLaw.taken)), 30)
    assert.isTrue(WhimLaw.wantsTrial(later))
  })

  it("asks for more of them before the next trial", () => {
    let { needed } = WhimLaw.initial
    let state = cutAfter(5)
    for (let i = 0; i < 5; i++) {
      state = WhimLaw.denied(WhimLaw.begun(state))
      assert.isAbove(state.needed, needed)
      needed = state.needed
      state = many(many(state, needed, WhimLaw.refused), needed, (before) => WhimLaw.cut(before, 30))
    }
  })

  it("wants the next trial as soon as the first, where one has shown that they are whims", () => {
    const shown = many(WhimLaw.begun(cutAfter(20)), 32, WhimLaw.taken)
    assert.isTrue(WhimLaw.isShown(shown))
    const after = many(WhimLaw.granted(shown), 5, (before) => WhimLaw.cut(WhimLaw.refused(before), 30))
    assert.isTrue(WhimLaw.wantsTrial(after))
    assert.strictEqual(WhimLaw.granted(shown).share, shown.share, "and takes as many for granted")
  })

  it("begins another trial as it began the one before", () => {
    const first = WhimLaw.begun(cutAfter(20))
    let ended = first
    while (WhimLaw.isWhim(ended)) ended = WhimLaw.refused(ended)
    const another = WhimLaw.anew(ended)
    assert.isTrue(WhimLaw.isWhim(another))
    /** Refused in a row until they are too many, and taken in a row until none are taken for granted any more. */
    const lasts = (state: WhimLaw.State, step: (state: WhimLaw.State) => WhimLaw.State) => {
      let count = 0
      for (let now = state; WhimLaw.isWhim(now); count++) now = step(now)
      return count
    }
    assert.strictEqual(lasts(another, WhimLaw.refused), lasts(first, WhimLaw.refused))
    assert.strictEqual(lasts(another, WhimLaw.taken), lasts(first, WhimLaw.taken))
  })

  it("sees in a trial that a limit is met, after a few requests", () => {
    for (const taken of [4, 20, 100]) {
      let state = WhimLaw.begun(cutAfter(taken, 5, Infinity))
      let refused = 0
      while (WhimLaw.isWhim(state)) {
        state = WhimLaw.refused(state)
        refused++
      }
      assert.isAtMost(refused, taken < 20 ? 8 : 5, `after one in ${taken}`)
    }
  })

  it("sees in a trial that refusals have nothing to do with what is done", () => {
    for (const oneIn of [5, 20]) {
      const verdicts = Array.from({ length: 200 }, (_, seed) =>
        tryWith(seed + 1, oneIn, cutAfter(oneIn - 1, 5, Infinity))
      )
      const shown = verdicts.filter((verdict) => verdict === "shown").length
      assert.isAtLeast(shown, 170, `one in ${oneIn}`)
    }
  })

  it("sees it as soon after many that were taken", () => {
    const begun = WhimLaw.begun(cutAfter(4, 5, Infinity))
    const refusedUntil = (state: WhimLaw.State) => {
      let count = 0
      for (let now = state; count === 0 || WhimLaw.isWhim(now); count++) now = WhimLaw.refused(now)
      return count
    }
    const later = many(begun, 300, WhimLaw.taken)
    assert.strictEqual(later.share, begun.share)
    assert.strictEqual(refusedUntil(later), refusedUntil(begun))
  })

  it("is not deceived where the trial is what makes them come", () => {
    const verdicts = Array.from({ length: 200 }, (_, seed) => tryWith(seed + 1, 2, cutAfter(20)))
    assert.isAtMost(verdicts.filter((verdict) => verdict === "shown").length, 2)
  })

  it("never takes for granted that most are refused", () => {
    let state = WhimLaw.begun(cutAfter(1))
    assert.isAtMost(state.share, 0.5)
    let refused = 0
    while (WhimLaw.isWhim(state)) {
      state = refused++ % 10 === 9 ? WhimLaw.taken(state) : WhimLaw.refused(state)
      assert.isBelow(refused, 60)
    }
  })

  it("takes for granted as many as there are, and none once they have become rare", () => {
    const roll = dice(3)
    let state = WhimLaw.begun(cutAfter(19))
    for (let i = 0; i < 2000; i++) state = roll(20) === 0 ? WhimLaw.refused(state) : WhimLaw.taken(state)
    assert.approximately(state.share, 0.05, 0.03)
    assert.isTrue(WhimLaw.isWhim(WhimLaw.refused(state)))
    state = many(state, 1000, WhimLaw.taken)
    assert.strictEqual(state.share, 0)
    assert.isFalse(WhimLaw.isWhim(WhimLaw.refused(state)))
  })
})
