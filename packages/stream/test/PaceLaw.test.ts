import { PaceLaw } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"

/** Requests that are sent as soon as they may be, and taken at once; the state, and when the last one was. */
const go = (state: PaceLaw.State, count: number, from: number) => {
  let now = state
  let at = from
  for (let i = 0; i < count; i++) {
    at = Math.max(at, PaceLaw.next(now))
    now = PaceLaw.accepted(PaceLaw.sent(now, at), at)
  }
  return { state: now, at }
}

const refuse = (state: PaceLaw.State, at: number, polls = false, retryAfter?: number) =>
  PaceLaw.refused(state, { at, polls, retryAfter })

/** Spaced by so much, and more than a guess. */
const sure = (spacing: number): PaceLaw.State => ({
  ...refuse(go(PaceLaw.initial(0), 10, 0).state, 0),
  spacing,
  interval: spacing,
  widenedTo: spacing,
  refusedAt: spacing,
  agreed: 9,
  nextAt: 0
})

/** So many requests, each of them sent and taken so long after the one before. */
const every = (state: PaceLaw.State, millis: number, count: number, from: number) => {
  let now = state
  let at = from
  for (let i = 0; i < count; i++) {
    at += millis
    now = PaceLaw.accepted(PaceLaw.sent(now, at), at)
  }
  return { state: now, at }
}

describe("PaceLaw", () => {
  it("has nothing between requests until one was refused", () => {
    const { at, state } = go(PaceLaw.initial(0), 1000, 5)
    assert.strictEqual(at, 5)
    assert.strictEqual(state.spacing, 0)
    assert.isFalse(PaceLaw.isPressed(state))
    const spaced = refuse(state, 5)
    assert.isAbove(spaced.spacing, 0)
    assert.isAbove(PaceLaw.next(spaced), 5)
    assert.strictEqual(spaced.cuts, 1)
  })

  it("has a request come a spacing after the one before, wherever that was meant to be, and none sooner for a pause", () => {
    const once = PaceLaw.sent(sure(50), 100)
    assert.strictEqual(PaceLaw.next(once), 150)
    assert.strictEqual(PaceLaw.next(PaceLaw.sent(once, 110)), 200)
    assert.strictEqual(PaceLaw.next(PaceLaw.sent(once, 1000)), 1050)
    assert.strictEqual(PaceLaw.next(PaceLaw.sent(PaceLaw.initial(0), 100)), -Infinity)
    // Nor is what the service asked to wait shortened by another refusal.
    assert.isAtLeast(PaceLaw.next(refuse(refuse(sure(50), 1000, false, 7000), 1010)), 8000)
  })

  it("takes a first spacing from how long requests took to be taken, without a pause after them", () => {
    const taken = go(PaceLaw.initial(0), 10, 0).state
    assert.strictEqual(refuse(taken, 1000).spacing, (1000 + 1000) / 10)
    assert.strictEqual(refuse(taken, 30_000).spacing, 1000 / 10)
    assert.strictEqual(refuse(PaceLaw.initial(0), 0).spacing, 250)
    assert.deepInclude(refuse(taken, 1000), { widenedTo: 200, accepted: 0 })
  })

  it("takes what is known by other means for a guess, from then on", () => {
    const found = every(sure(50), 50, 20, 0)
    assert.deepInclude(PaceLaw.guessed(found.state, 5000, 300), {
      spacing: 300,
      interval: 300,
      widenedTo: 300,
      refusedAt: 0,
      agreed: 0,
      nextAt: 5300,
      accepted: 0,
      countedSince: 5000,
      cuts: found.state.cuts + 1
    })
    assert.strictEqual(PaceLaw.guessed(found.state, 5000, 60_000).spacing, 2000)
  })

  it("takes a first spacing for a guess where few were taken, or a status call was refused", () => {
    const few = refuse(go(PaceLaw.initial(0), 3, 0).state, 0)
    const many = refuse(go(PaceLaw.initial(0), 30, 0).state, 0)
    const polled = refuse(go(PaceLaw.initial(0), 30, 0).state, 0, true)
    assert.deepStrictEqual([few, many, polled].map(PaceLaw.isSure), [false, true, false])
    assert.deepStrictEqual(
      [few, many, polled].map(({ pollsCount }) => pollsCount),
      [false, false, true]
    )
    // What came in a burst is not what comes after it: less is thought of a large one.
    assert.approximately(few.spacing, 250 / 3, 1)
    assert.approximately(many.spacing, 1000 / 30, 1)
  })

  it("has a guess come closer by a tenth with each request, until refusals agree", () => {
    const guess = refuse(go(PaceLaw.initial(0), 2, 0).state, 0)
    const closer = go(guess, 5, 0)
    assert.approximately(closer.state.spacing, guess.spacing * 0.9 ** 5, 0.1 * guess.spacing)
    let now = closer
    let refusals = 0
    for (; !PaceLaw.isSure(now.state); refusals++) now = go(refuse(now.state, now.at), 2, now.at)
    assert.isAtMost(refusals, 6)
    // At another one each time they say nothing.
    now = closer
    for (let i = 0; i < 5; i++) now = go(refuse(now.state, now.at), 10, now.at)
    assert.isFalse(PaceLaw.isSure(now.state))
  })

  it("comes closer slowly about where the last refusal was, and in earnest after a long time", () => {
    const { state } = go(sure(50), 100, 0)
    assert.isAbove(state.spacing, 45)
    const later = go(sure(50), 200, 0).state
    assert.isBelow(later.spacing, 35)
    // However close they are already.
    assert.isBelow(go(sure(5), 100, 0).state.spacing, 4.95)
  })

  it("takes twice as long until then when one is refused at about the same, not where few were taken", () => {
    const first = go(sure(50), 130, 0)
    const again = refuse(first.state, first.at)
    assert.strictEqual(again.calm, 2 * first.state.calm)
    assert.strictEqual(refuse(go(again, 5, first.at).state, first.at + 250).calm, again.calm)
    // A limit that is far from where it was is another one.
    assert.strictEqual(refuse({ ...go(again, 100, first.at).state, spacing: 10 }, 20_000).calm, first.state.calm)
    // And a guess was not found at all.
    const guess = { ...first.state, agreed: 0 }
    assert.strictEqual(refuse(guess, first.at).calm, first.state.calm)
    let now = again
    for (let i = 0; i < 20; i++) now = refuse({ ...go(now, 100, 0).state, spacing: 50, widenedTo: 50 }, 6000)
    assert.isAtMost(now.calm, 2000)
  })

  it("widens by no more than a quarter at once, and never beyond two seconds", () => {
    let now = sure(50)
    for (let i = 0; i < 100; i++) {
      const wider = refuse(go(now, 1, 1e6 * i).state, 1e6 * i + 1)
      assert.isAtMost(wider.spacing, 1.25 * Math.max(now.spacing, now.interval) + 1e-9)
      now = wider
    }
    assert.isAtMost(now.spacing, 2000)
  })

  it("waits as long as the service asks", () => {
    assert.isAtLeast(PaceLaw.next(refuse(sure(50), 1000, false, 7000)), 8000)
  })

  it("has a guess come closer by less where each refusal is to be waited for", () => {
    const guess = go(PaceLaw.initial(0), 3, 0).state
    const shrunk = (retryAfter?: number) => {
      const before = refuse(guess, 0, false, retryAfter)
      // They come as close as they may, as others do later on.
      return go({ ...before, nextAt: 0 }, 5, 0).state.spacing / before.spacing
    }
    assert.isAbove(shrunk(2000), 1.2 * shrunk())
  })

  it("does not come closer where it is something else that holds requests up", () => {
    let now = sure(50)
    for (let i = 1; i <= 200; i++) now = PaceLaw.accepted(PaceLaw.sent(now, 1000 * i), 1000 * i)
    assert.strictEqual(now.spacing, 50)
    assert.isFalse(PaceLaw.isPressed(now))
  })

  it("comes closer in earnest as soon as it is well below the last refusal, unless it was found again", () => {
    const found = go({ ...sure(400), calm: 240 }, 100, 0).state
    const once = go(sure(400), 100, 0).state
    assert.isAbove(found.spacing, 320)
    assert.isBelow(once.spacing, 0.9 * found.spacing)
    // Until there it is as careful.
    assert.strictEqual(go(sure(400), 50, 0).state.spacing, go({ ...sure(400), calm: 240 }, 50, 0).state.spacing)
  })

  it("takes requests that came far apart for as close as they may come, more or less", () => {
    const far = every(sure(50), 200, 200, 0)
    const { spacing } = refuse(far.state, far.at)
    assert.isAtLeast(spacing, 0.85 * 200)
    assert.isAtMost(spacing, 200)
  })

  it("decides how much is done from the first refusal on, and not where requests come far apart all the same", () => {
    // Many came at once, and the last ones slowly.
    const slow = every(go(PaceLaw.initial(0), 40, 0).state, 1500, 3, 0)
    const first = refuse(slow.state, slow.at)
    assert.isTrue(PaceLaw.isPressed(first))
    const guess = refuse(go(PaceLaw.initial(0), 3, 0).state, 0)
    const far = every(guess, 1000, 20, 0)
    assert.isFalse(PaceLaw.isPressed(far.state))
    assert.isFalse(PaceLaw.isPressed(refuse(far.state, far.at)))
  })

  it("does not count the time that the service asked to wait, though one that was on its way is taken meanwhile", () => {
    const before = go(sure(400), 20, 0)
    const waiting = refuse(before.state, before.at, false, 10_000)
    const spacing = (state: PaceLaw.State) => {
      const after = go(state, 10, PaceLaw.next(waiting))
      return refuse(after.state, after.at).spacing
    }
    const late = PaceLaw.accepted(waiting, before.at + 8500)
    assert.approximately(spacing(late), spacing(waiting), 20)
  })

  it("takes the time that the service was away for none", () => {
    const before = go(sure(50), 20, 0)
    const away = PaceLaw.wasAway(before.state, (moment) => moment + 60_000)
    const usual = every(before.state, 50, 1, before.at)
    const after = every(away, 50, 1, before.at + 60_000)
    assert.strictEqual(after.state.accepted, 21)
    assert.deepInclude(after.state, { accepted: usual.state.accepted, interval: usual.state.interval })
    assert.strictEqual(refuse(after.state, after.at).spacing, refuse(usual.state, usual.at).spacing)
  })

  it("is as it was after a trial, but for what became known of status calls", () => {
    const before = { ...sure(50), pollsCount: false }
    const trial = { ...go(PaceLaw.unspaced(before), 20, 0).state, pollsCount: true }
    const after = PaceLaw.restored(trial, before, 1000)
    assert.deepInclude(after, { spacing: 50, agreed: 9, pollsCount: true, accepted: 0, countedSince: 1000 })
    assert.deepInclude(after, { lastAccepted: trial.lastAccepted, cuts: before.cuts + 1 })
    assert.strictEqual(PaceLaw.restored(trial, PaceLaw.initial(0), 1000), trial, "where nothing was between them")
    assert.isAbove(PaceLaw.next(after), 1000)
    assert.strictEqual(PaceLaw.hurried(before).spacing, 25)
    assert.isFalse(PaceLaw.isSure(PaceLaw.doubted(before)))
  })
})
