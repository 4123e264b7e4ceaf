import { PollLaw } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { dice } from "./fixtures.ts"

const asked = (taken: number, more: Partial<PollLaw.Asked> = {}): PollLaw.Asked => ({
  taken,
  held: 1,
  polls: 0,
  last: taken,
  ...more
})

/** After a poll that found nothing. */
const missed = (asked: PollLaw.Asked, at: number): PollLaw.Asked => ({ ...asked, polls: asked.polls + 1, last: at })

/** A poll at a moment that the law had given. */
const poll = (asked: PollLaw.Asked, at: number, found: boolean, more: Partial<PollLaw.Poll> = {}): PollLaw.Poll => ({
  asked,
  sent: at,
  at,
  found,
  learn: true,
  limited: false,
  onTime: true,
  hinted: false,
  ...more
})

/** Times of batches, from a seed. */
type Draw = (roll: (sides: number) => number) => number

const unit = (roll: (sides: number) => number) => (roll(1_000_000) + 0.5) / 1_000_000
const fixed: Draw = () => 1
const exponential: Draw = (roll) => -Math.log(unit(roll))
const lognormal =
  (sigma: number): Draw =>
  (roll) =>
    Math.exp(sigma * Math.sqrt(-2 * Math.log(unit(roll))) * Math.cos(2 * Math.PI * unit(roll)))

interface Result {
  /** Whether the first poll of each batch found the result. */
  readonly first: ReadonlyArray<boolean>
  readonly polls: ReadonlyArray<number>
  /** How long each result was there before it was found, and how long the batch had taken. */
  readonly lags: ReadonlyArray<number>
  readonly times: ReadonlyArray<number>
  readonly law: PollLaw.State
  readonly end: number
}

/**
 * Batches one after another, or so many at a time, each asked after as the law says.
 *
 * @param time of batch number `index`, in milliseconds
 */
const follow = (
  seed: number,
  count: number,
  time: (index: number, roll: (sides: number) => number) => number,
  options: {
    readonly law?: PollLaw.State
    readonly atOnce?: number
    readonly limited?: boolean
    readonly trip?: number
    /** Whether a notification tells of the end of batch number `index`. */
    readonly told?: (index: number) => boolean
    readonly from?: number
  } = {}
): Result => {
  const { limited = false, atOnce = 1, from = 0, told = () => false, trip = 1 } = options
  const roll = dice(seed)
  let law = options.law ?? PollLaw.initial
  interface One {
    asked: PollLaw.Asked
    readonly index: number
    readonly ready: number
    readonly hinted: boolean
    readonly jitter: number
    polls: number
    /** Under way since then. */
    sent: number | undefined
    turn: "due" | "hinted"
  }
  const first: Array<boolean> = []
  const polls: Array<number> = []
  const lags: Array<number> = []
  const times: Array<number> = []
  let now = from
  let next = 0
  const open: Array<One> = []
  const begin = () => {
    const index = next++
    const took = time(index, roll)
    const ready = now + took
    times[index] = took
    const jitter = (2 * unit(roll) - 1) * 0.999
    open.push({
      asked: asked(now, { held: open.length + 1 }),
      index,
      ready,
      hinted: told(index),
      jitter,
      polls: 0,
      sent: undefined,
      turn: "due"
    })
  }
  while (next < Math.min(count, atOnce)) begin()
  while (open.length > 0) {
    // What happens next: an answer, a notification, or somebody's turn.
    const asking = open.filter(({ sent }) => sent !== undefined).length
    const order = open.filter(({ sent }) => sent === undefined)
    if (PollLaw.order(law) === "waiting") order.sort((a, b) => a.asked.last - b.asked.last)
    let soonest: { at: number; run: () => void } = { at: Infinity, run: () => assert.fail("nothing can happen") }
    const may = (at: number, run: () => void) => {
      if (at < soonest.at) soonest = { at, run }
    }
    for (const one of open) {
      if (one.sent !== undefined) {
        const { sent } = one
        may(sent + trip, () => {
          const found = one.ready <= sent
          const hinted = one.turn === "hinted"
          law = PollLaw.step(law, {
            asked: one.asked,
            sent,
            at: now,
            found,
            learn: true,
            limited,
            onTime: !hinted,
            hinted
          })
          one.sent = undefined
          if (one.asked.polls === 0 && !hinted) first[one.index] = found
          if (!hinted) one.asked = { ...one.asked, polls: one.asked.polls + 1 }
          one.asked = { ...one.asked, last: now }
          if (!found) return
          polls[one.index] = one.polls
          lags[one.index] = sent - one.ready
          open.splice(open.indexOf(one), 1)
          if (next < count) begin()
        })
      } else if (one.hinted && one.ready > now) {
        may(one.ready, () => {
          one.sent = now
          one.polls++
          one.turn = "hinted"
        })
      }
    }
    for (const [place, one] of order.entries()) {
      const due = PollLaw.due(law, one.asked, place, asking)
      assert.isFalse(Number.isNaN(due))
      if (one.asked.polls > 0) assert.isTrue(due >= one.asked.last, "not before the last poll was answered")
      may(Math.max(due + (due === Infinity ? 0 : one.jitter * PollLaw.spread(law, one.asked)), now), () => {
        one.sent = now
        one.polls++
        one.turn = "due"
      })
    }
    now = soonest.at
    soonest.run()
  }
  return { first, polls, lags, times, law, end: now }
}

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length
const share = (values: ReadonlyArray<boolean>) => values.filter(Boolean).length / values.length

/** A law that knows what there is to know of batches that all take so long. */
const knowing = (millis: number, count = 100) => follow(7, count, () => millis).law

const shapes = [
  ["fixed", fixed],
  ["lognormal 0.2", lognormal(0.2)],
  ["lognormal 0.6", lognormal(0.6)],
  ["exponential", exponential]
] as const

const seeds = [1, 2, 3]

/** Which share of the first polls should find a result: where about two polls a batch are made, and where requests are limited. */
const usualAim = 0.56
const limitedAim = 0.88

describe("PollLaw while little is known", () => {
  it("asks after one at a time, later and later", () => {
    let law = PollLaw.initial
    const all = [0, 10, 20].map((taken) => asked(taken))
    assert.isFalse(PollLaw.isKnown(law))
    const gaps: Array<number> = []
    let before = 0
    for (let i = 0; i < 60; i++) {
      const due = all.map((one, place) => PollLaw.due(law, one, place, 0))
      assert.isTrue(due[0]! > before && due[0]! < Infinity)
      assert.deepStrictEqual(due.slice(1), [Infinity, Infinity])
      assert.strictEqual(PollLaw.due(law, all[0]!, 0, 1), Infinity, "not while another is asked after")
      gaps.push(due[0]! - before)
      before = due[0]!
      law = PollLaw.step(law, poll(all[0]!, before, false))
    }
    for (const [i, gap] of gaps.entries()) if (i > 1) assert.isTrue(gap >= gaps[i - 1]! - 1e-9)
    assert.isTrue(gaps[20]! > 2 * gaps[0]!)
    assert.isTrue(gaps.at(-1)! < 60_000, "and never stops")
  })

  it("asks after the one that was taken first, and in turn the one that has waited longest", () => {
    let law = PollLaw.initial
    const orders: Array<string> = []
    for (let i = 0; i < 6; i++) {
      orders.push(PollLaw.order(law))
      law = PollLaw.step(law, poll(asked(0), 1000 * (i + 1), false))
    }
    assert.deepStrictEqual(orders, ["taken", "waiting", "taken", "waiting", "taken", "waiting"])
    law = PollLaw.step(law, poll(asked(0), 10_000, true))
    assert.strictEqual(PollLaw.order(law), "taken", "a result brings the one behind it")
  })

  it("asks at once after a result, one more at a time", () => {
    let law = PollLaw.step(PollLaw.initial, poll(asked(0), 2000, false))
    const all = [0, 0, 0, 0].map((taken) => asked(taken))
    const now = () => all.filter((one, place) => PollLaw.due(law, one, place, 0) <= 2000).length
    assert.strictEqual(now(), 0)
    const found: Array<number> = []
    for (let i = 0; i < 3; i++) {
      law = PollLaw.step(law, poll(asked(0), 2000, true))
      found.push(now())
    }
    assert.deepStrictEqual(found, [2, 3, 4])
    law = PollLaw.step(law, poll(asked(0), 2000, false))
    assert.strictEqual(now(), 0)
    const later = all.map((one, place) => PollLaw.due(law, one, place, 0))
    assert.strictEqual(later.filter((due) => due < Infinity).length, 1, "and one at a time when there is none")
  })

  it("gives each batch a time of its own after enough results", () => {
    let law = PollLaw.initial
    let results = 0
    for (; !PollLaw.isKnown(law); results++) {
      assert.isTrue(results < 50)
      law = PollLaw.step(law, poll(asked(1000 * results), 1000 * results + 500, true))
    }
    assert.isTrue(results > 2)
    const due = [0, 100, 5000].map((taken, place) => PollLaw.due(law, asked(taken), place, 60))
    assert.isTrue(
      due.every((at, i) => at > [0, 100, 5000][i]! && at < [1000, 1100, 6000][i]!),
      due.join()
    )
    assert.approximately(due[1]! - due[0]!, 100, 1e-6)
    assert.approximately(due[2]! - due[0]!, 5000, 1e-6)
  })

  it("takes no more polls than its results are worth, however long the first one takes", () => {
    for (const millis of [50, 1000, 20_000, 300_000]) {
      const { lags, polls } = follow(1, 16, () => millis, { atOnce: 16, trip: 10 })
      const count = polls.reduce((sum, n) => sum + n, 0)
      // The same ladder for all of them: a batch's worth of misses for the first one, and little more.
      assert.isTrue(count <= 16 + 70, `${millis}: ${count}`)
      assert.isTrue(Math.max(...lags) < Math.max(1000, 0.3 * millis + 10_000), `${millis}: ${lags.join()}`)
    }
  })
})

describe("PollLaw", () => {
  describe.each(shapes)("where times are %s", (name, draw) => {
    it.each(seeds)(
      "steers the share of first polls that find the result, to about two polls a batch (seed %i)",
      (seed) => {
        for (const millis of [50, 1000, 30_000]) {
          const { first, polls } = follow(seed, 2000, (_, roll) => millis * draw(roll))
          const late = first.slice(500)
          assert.isTrue(share(late) > 0.43 && share(late) < 0.64, `${name}, ${millis}: ${share(late)}`)
          const count = mean(polls.slice(500))
          assert.isTrue(count > 1.2 && count < 2.05, `${name}, ${millis}: ${count} polls`)
        }
      }
    )

    it.each(seeds)("steers it as well while many are under way (seed %i)", (seed) => {
      const { first, polls } = follow(seed, 1500, (_, roll) => 1000 * draw(roll), { atOnce: 8, trip: 20 })
      assert.approximately(share(first.slice(300)), usualAim, 0.1, name)
      assert.isTrue(mean(polls.slice(300)) < 2.2)
    })

    it.each(seeds)("asks less where requests are limited (seed %i)", (seed) => {
      const { first, polls } = follow(seed, 3000, (_, roll) => 1000 * draw(roll), { limited: true })
      assert.approximately(share(first.slice(1000)), limitedAim, 0.08, name)
      assert.isTrue(mean(polls.slice(1000)) < 1.3)
    })

    it.each(seeds)("does not stay late where all first polls find at the start (seed %i)", (seed) => {
      // It expects ten times as long as it takes: nothing it sees says that it comes too late.
      const law = knowing(10_000)
      const { first, lags } = follow(seed, 1000, (_, roll) => 1000 * draw(roll), { law, from: 10_000_000 })
      assert.isTrue(first.slice(0, 5).every(Boolean))
      const reached = first.slice(150, 600)
      assert.isTrue(share(reached) < usualAim + 0.15, String(share(reached)))
      assert.isTrue(mean(lags.slice(150)) < 1200, String(mean(lags.slice(150))))
    })

    it.each(seeds)("follows a service that becomes 3 times slower, and as fast again (seed %i)", (seed) => {
      const turns = [600, 1200]
      const { first, lags, polls, times } = follow(
        seed,
        1800,
        (index, roll) => 1000 * draw(roll) * (index >= turns[0]! && index < turns[1]! ? 3 : 1)
      )
      for (const [from, to] of [
        [300, 600],
        [750, 1200],
        [1350, 1800]
      ] as const) {
        assert.approximately(share(first.slice(from, to)), usualAim, 0.13, `${name}, ${from} to ${to}`)
        assert.isTrue(mean(polls.slice(from, to)) < 2.3, `${name}, ${from} to ${to}: ${mean(polls.slice(from, to))}`)
        assert.isTrue(mean(lags.slice(from, to)) < 0.65 * mean(times.slice(from, to)), `${name}, ${from} to ${to}`)
      }
      // And it does not cost much on the way.
      for (const turn of turns)
        assert.isTrue(mean(polls.slice(turn, turn + 100)) < 5, `${mean(polls.slice(turn, turn + 100))}`)
    })
  })

  it.each(seeds)(
    "spends two polls a batch where that brings results sooner, and not where they are all alike (seed %i)",
    (seed) => {
      const twoSharp: Draw = (roll) => (roll(5) === 0 ? 3 : 0.5)
      const spent = (draw: Draw) => mean(follow(seed, 3000, (_, roll) => 1000 * draw(roll)).polls.slice(1000))
      for (const draw of [lognormal(0.6), exponential, twoSharp]) assert.approximately(spent(draw), 1.97, 0.06)
      assert.isBelow(spent(fixed), 1.75)
    }
  )

  it("finds results soon where they take always as long", () => {
    for (const seed of seeds) {
      const { lags } = follow(seed, 1000, () => 1000, { trip: 5 })
      assert.isTrue(mean(lags.slice(200)) < 100, String(mean(lags.slice(200))))
    }
  })

  it("learns that batches take longer where more are there, if they do", () => {
    const worksOnOne = (held: number) => 100 * held
    const learn = (time: (held: number) => number) => {
      const roll = dice(5)
      let law = PollLaw.initial
      for (let i = 0; i < 600; i++) {
        const one = asked(1_000_000 * i, { held: 1 + roll(60) })
        let state = one
        for (let found = false; !found;) {
          const at = PollLaw.due(law, state, 0, 0)
          found = at >= one.taken + time(one.held)
          law = PollLaw.step(law, poll(state, at, found))
          state = missed(state, at)
        }
      }
      return law
    }
    const queues = learn(worksOnOne)
    for (const held of [4, 16, 60]) {
      const first = PollLaw.firstPoll(queues, held)
      assert.isTrue(first > 0.6 * worksOnOne(held) && first < 1.6 * worksOnOne(held), `${held}: ${first}`)
    }
    const does = learn(() => 1000)
    assert.isTrue(PollLaw.firstPoll(does, 60) < 1.3 * PollLaw.firstPoll(does, 1))
    // Nor does it believe that more are done faster.
    const odd = learn((held) => 5000 / held)
    assert.isTrue(PollLaw.firstPoll(odd, 60) >= PollLaw.firstPoll(odd, 1))
  })

  it("expects what it did of each number of batches while more are there than before", () => {
    /** One after another that each take a tenth of a second for each that is there, asked after by somebody else. */
    const see = (state: PollLaw.State, count: number, heldOf: (index: number) => number) => {
      let law = state
      for (let i = 0; i < count; i++) {
        const held = heldOf(i)
        law = PollLaw.step(law, poll(asked(0, { held }), 100 * held, true, { onTime: false }))
      }
      return law
    }
    const few = see(PollLaw.initial, 100, (index) => 1 + (index % 10))
    const many = see(few, 30, () => 40)
    for (const held of [5, 40]) {
      for (const law of [few, many]) assert.approximately(PollLaw.firstPoll(law, held), 90 * held, 15 * held)
    }
  })

  it("moves a first poll by little where those that say so had begun before it was moved", () => {
    const before = knowing(1000)
    const moved = (sentOf: (index: number) => number) => {
      let law = before
      for (let i = 0; i < 10; i++) {
        const sent = 1_000_000 + sentOf(i)
        law = PollLaw.step(law, poll(asked(sent - 1000), sent, false, { at: sent + 100 }))
      }
      return Math.log(PollLaw.firstPoll(law, 1) / PollLaw.firstPoll(before, 1))
    }
    const together = moved((index) => index)
    assert.isAbove(together, 0)
    assert.isBelow(together, 0.25 * moved((index) => 1000 * index))
  })

  it("goes by what was seen at a time for no more than about that time, however often it was seen", () => {
    const before = knowing(1000)
    const seen = (millis: number, found: boolean) => {
      let law = before
      for (let i = 1; i <= 200; i++) {
        const taken = 1_000_000 * i
        law = PollLaw.step(law, poll(asked(taken), taken + millis, found))
      }
      return PollLaw.firstPoll(law, 1)
    }
    // That it is there after a second says nothing of half a second; nor that it is not, of two.
    assert.approximately(seen(1000, true), 750, 50)
    assert.approximately(seen(1000, false), 1350, 50)
    // Polls that came far too late, or too early, say nothing at all.
    for (const late of [seen(3000, true), seen(300, false)]) {
      assert.approximately(late, PollLaw.firstPoll(before, 1), 1e-6)
    }
  })

  it("asks again before the time that a batch has taken has doubled, however late others had their result", () => {
    /** When, after a first poll at the usual time, where second polls have found nothing for long. */
    const second = (millis: number) => {
      let law = knowing(millis)
      for (let i = 1; i <= 100; i++) {
        const taken = 1_000_000 * i
        law = PollLaw.step(law, poll(missed(asked(taken), taken + millis), taken + 2 * millis, false))
      }
      assert.isAbove(law.gaps[0]!.share, 2)
      const one = missed(asked(0), millis)
      const due = PollLaw.due(law, one, 0, 0)
      assert.strictEqual(PollLaw.dueByItself(law, one), due)
      return due
    }
    assert.isAbove(second(1000), 1500)
    assert.isAtMost(second(1000), 2000)
    // Of a tenth of a second it is no matter.
    assert.isAbove(second(20), 40)
    assert.isAtMost(second(20), 120)
  })

  it("asks ever more rarely after a batch that never ends, and never stops", () => {
    for (const law of [PollLaw.initial, knowing(50), knowing(1000), knowing(60_000)]) {
      for (const byItself of [false, true]) {
        let state = law
        let one = asked(1_000_000_000)
        const gaps: Array<number> = []
        while (one.last < one.taken + 4 * 3_600_000) {
          const due = byItself ? PollLaw.dueByItself(state, one) : PollLaw.due(state, one, 0, 0)
          assert.isTrue(due > one.last && due < Infinity)
          gaps.push(due - one.last)
          assert.isTrue(gaps.length < 5000)
          // What never ends teaches nothing to what it is held against here.
          if (!PollLaw.isKnown(law)) state = PollLaw.step(state, poll(one, due, false))
          one = missed(one, due)
        }
        // Up to a bound: at least as often as its age doubles, and at least every ten seconds while nothing is known.
        for (const [i, gap] of gaps.slice(2).entries()) assert.isTrue(gap >= gaps[i + 1]! - 1e-6, `${i}`)
        const elapsed = gaps.map((_, i) => gaps.slice(0, i).reduce((sum, n) => sum + n, 0))
        for (const [i, gap] of gaps.slice(1).entries()) {
          assert.isTrue(gap <= Math.max(elapsed[i + 1]!, 10_000) + 1e-6, `${gap} after ${elapsed[i + 1]}`)
        }
      }
    }
  })

  it("goes on learning of others while one never ends", () => {
    // One in twenty takes a hundred times as long.
    const { first, lags, polls } = follow(3, 3000, (index) => (index % 20 === 7 ? 100_000 : 1000), { atOnce: 8 })
    assert.isTrue(share(first.slice(500)) > 0.4)
    assert.isTrue(mean(polls.slice(500)) < 3)
    const usual = lags.filter((_, index) => index >= 500 && index % 20 !== 7)
    assert.isTrue(mean(usual) < 200, String(mean(usual)))
  })

  it("does not ask without pause, however fast the service has been", () => {
    const law = follow(1, 100, () => 0, { trip: 0 }).law
    let one = asked(1_000_000)
    for (let i = 0; i < 20; i++) {
      const due = PollLaw.due(law, one, 0, 0)
      assert.isTrue(due >= one.last + (i === 0 ? 0 : 4), `${i}`)
      one = missed(one, due)
    }
    assert.isTrue(one.last - one.taken > 1000)
  })

  it("moves a first poll by less than it is put off by, so that polls do not line up", () => {
    for (const law of [knowing(50), knowing(1000), follow(2, 500, (_, roll) => 1000 * exponential(roll)).law]) {
      const spread = PollLaw.spread(law, asked(0))
      assert.isTrue(spread > 0 && spread <= 0.2 * PollLaw.firstPoll(law, 1))
    }
    assert.strictEqual(PollLaw.spread(PollLaw.initial, asked(0)), 0)
  })

  describe("notifications", () => {
    it("teach nothing of when to ask", () => {
      for (const found of [false, true]) {
        for (const at of [1, 500, 5000]) {
          const before = knowing(1000)
          let law = before
          // Once each: it takes more of them to be relied on, and they would come later then.
          for (let i = 0; i < 4; i++) {
            const taken = 1_000_000 * (i + 1)
            law = PollLaw.step(law, poll(asked(taken), taken + at, found, { onTime: false, hinted: true }))
            assert.approximately(PollLaw.firstPoll(law, 1), PollLaw.firstPoll(before, 1), 1e-6)
            assert.deepStrictEqual(law.gaps, before.gaps)
          }
        }
      }
    })

    it("that are always right make polls wait, and they come back when there are none any more", () => {
      const quiet = follow(4, 500, () => 1000)
      assert.isFalse(PollLaw.isTold(quiet.law))
      const first = PollLaw.due(quiet.law, asked(0), 0, 0)

      const told = follow(5, 500, () => 1000, { law: quiet.law, told: () => true, from: quiet.end })
      assert.isTrue(PollLaw.isTold(told.law))
      assert.isTrue(PollLaw.due(told.law, asked(0), 0, 0) > 1.4 * first)
      assert.isTrue(mean(told.polls.slice(100)) < 1.05, "one poll a batch")
      assert.isTrue(mean(told.lags.slice(100)) < 10, "at once")

      const silent = follow(6, 500, () => 1000, { law: told.law, from: told.end })
      assert.isFalse(PollLaw.isTold(silent.law))
      assert.isTrue(mean(silent.lags.slice(0, 10)) < 1500, "found by the schedule all the same")
      assert.isTrue(mean(silent.lags.slice(50)) < 150, String(mean(silent.lags.slice(50))))
      assert.approximately(PollLaw.due(silent.law, asked(0), 0, 0), first, 0.3 * first)
    })

    it("that can be relied on leave it at that: polls that waited for one teach nothing of when to ask", () => {
      const before = { ...knowing(1000), told: 1 }
      assert.isTrue(PollLaw.isTold(before))
      for (const found of [false, true]) {
        const one = asked(1_000_000)
        const after = PollLaw.step(before, poll(one, PollLaw.due(before, one, 0, 0), found))
        assert.strictEqual(PollLaw.firstPoll(after, 1), PollLaw.firstPoll(before, 1))
        const again = PollLaw.step(before, poll(missed(one, 1_002_000), 1_002_100, found))
        assert.deepStrictEqual(again.gaps, before.gaps)
      }
    })

    it("that are missing now and then cost a late poll each, and no more", () => {
      const { lags, polls } = follow(8, 1000, () => 1000, { told: (index) => index % 10 !== 3 })
      assert.isTrue(mean(polls.slice(100)) < 1.5)
      assert.isTrue(Math.max(...lags.slice(100)) < 2500, String(Math.max(...lags.slice(100))))
    })
  })

  it.prop(
    "gives moments, whatever it is told",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 })) },
    ({ seed }) => {
      const roll = dice(seed)
      const pace = [1, 30, 5000, 1_000_000][roll(4)]!
      const finds = [0, 10, 50, 90, 100][roll(5)]!
      let law = PollLaw.initial
      let now = roll(1000)
      let open: Array<PollLaw.Asked> = []
      for (let i = 0; i < 200; i++) {
        if (roll(3) > 0) now += roll(pace)
        if (open.length === 0 || roll(3) === 0) open.push(asked(now, { held: open.length + 1 }))
        const index = roll(open.length)
        const one = open[index]!
        const hinted = roll(5) === 0
        const found = roll(100) < finds
        const sent = one.last + roll(now - one.last + 1)
        const given: PollLaw.Poll = {
          asked: one,
          sent,
          at: now,
          found,
          learn: roll(5) > 0,
          limited: roll(2) === 0,
          onTime: !hinted && roll(5) > 0,
          hinted
        }
        const before = JSON.stringify(law)
        const after = PollLaw.step(law, given)
        assert.deepStrictEqual(PollLaw.step(law, given), after, "the same of the same")
        assert.strictEqual(JSON.stringify(law), before, "and it is not changed")
        law = after
        const next = { ...one, polls: one.polls + (hinted ? 0 : 1), last: now }
        if (found) open = open.filter((other) => other !== one)
        else open[index] = next
        for (let look = 0; look < 3 && open.length > 0; look++) {
          const place = roll(open.length)
          const other = open[place]!
          const due = PollLaw.due(law, other, place, roll(3))
          const alone = PollLaw.dueByItself(law, other)
          const spread = PollLaw.spread(law, other)
          assert.isFalse(Number.isNaN(due))
          assert.isTrue(Number.isFinite(alone), `${alone}`)
          assert.isTrue(Number.isFinite(spread) && spread >= 0)
          if (other.polls > 0) assert.isTrue(due >= other.last && alone >= other.last)
          else assert.isTrue(alone > other.taken && (due > other.taken || !PollLaw.isKnown(law)))
        }
        // Somebody is asked after some time, if nobody is now.
        if (open.length > 0) assert.isTrue(PollLaw.due(law, open[0]!, 0, 0) < Infinity)
        assert.isTrue(PollLaw.firstPoll(law, 1 + roll(256)) > 0)
        for (const gap of law.gaps) assert.isTrue(gap.share > 0 && gap.share < 10)
      }
    }
  )
})

describe("a result of which nothing is to be learned", () => {
  it("brings the next ones all the same, more at a time, and no time of their own", () => {
    // As when batches are taken up that an earlier leg has handed in.
    let law = PollLaw.initial
    const asked: PollLaw.Asked = { taken: 0, held: 64, polls: 0, last: 0 }
    for (let i = 0; i < 20; i++) {
      law = PollLaw.step(law, poll(asked, 200 + i, true, { learn: false }))
      assert.isTrue(PollLaw.due(law, asked, i, 0) <= 200 + i, "at once")
    }
    assert.isFalse(PollLaw.isKnown(law))
    assert.strictEqual(law.ends, 0)
  })
})
