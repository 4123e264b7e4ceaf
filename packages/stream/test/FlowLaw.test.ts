import { FlowLaw, PaceLaw, WhimLaw, WindowLaw } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { dice } from "./fixtures.ts"

const bounds: WindowLaw.Bounds = { pollTimeout: 900_000 }

const fold = (state: FlowLaw.State, ...observations: ReadonlyArray<FlowLaw.Observation>) =>
  observations.reduce((before, observation) => FlowLaw.step(before, observation), state)

/** So many batches, handed in and taken at a moment. */
const take = (state: FlowLaw.State, count: number, at = 0) => {
  let now = state
  for (let i = 0; i < count; i++) now = fold(now, { _tag: "Sent", at }, { _tag: "Taken", at, sent: at })
  return now
}

const refuse = (state: FlowLaw.State, at: number, retryAfter?: number) =>
  fold(state, { _tag: "Sent", at }, { _tag: "Refused", at, sent: at, retryAfter })

const pollAt = (at: number, refused: boolean, sent = at, retryAfter?: number): FlowLaw.Observation => ({
  _tag: "Polled",
  at,
  sent,
  refused,
  retryAfter
})

/** Nothing that it is made of can be changed any more. */
const freeze = <A>(value: A): A => {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) freeze(part)
  }
  return value
}

/** How a service in a model is. */
interface Habits {
  readonly workers: number
  /** Milliseconds of work, where so many are worked on. */
  readonly work: (busy: number, at: number) => number
  /** More than so many are refused. */
  readonly full?: number
  /** Requests a second, status calls included, after a burst (of as many, if that is not given). */
  readonly perSecond?: number
  readonly burst?: number
  /** Whether one is refused for no reason. */
  readonly refuses?: () => boolean
}

/**
 * Hands in as the law says, against a model in which the same happens each time. Each result is asked after once, when it is there; and once more
 * where the law wants to know.
 */
const drive = (habits: Habits, batches: number, given: WindowLaw.Bounds = bounds) => {
  const trip = 10
  const { full = Infinity, perSecond = Infinity, burst = perSecond, refuses, workers } = habits
  let law = FlowLaw.initial(given, 0)
  let now = 0
  let left = batches
  let done = 0
  let asking = false
  const queued: Array<() => void> = []
  let inService = 0
  let busy = 0
  let tokens = burst
  let filled = 0
  const later: Array<{ readonly at: number; readonly run: () => void }> = []
  const windows: Array<number> = [FlowLaw.windowOf(law)]
  const reasons: Array<FlowLaw.Reason> = []
  const times: Array<number> = []
  /** How many had been taken when one was refused. */
  const refusals: Array<number> = []
  let taken = 0
  let mostHeld = 0
  let mostPosting = 0

  const at = (moment: number, run: () => void) => {
    const index = later.findIndex((other) => other.at > moment)
    later.splice(index < 0 ? later.length : index, 0, { at: moment, run })
  }
  const observe = (observation: FlowLaw.Observation) => {
    const before = law
    law = FlowLaw.step(law, observation)
    mostHeld = Math.max(mostHeld, law.held)
    mostPosting = Math.max(mostPosting, law.posting)
    const reason = FlowLaw.decision(before, law)
    if (reason === undefined) return
    windows.push(FlowLaw.windowOf(law))
    reasons.push(reason)
  }
  const allowed = () => {
    if (refuses?.() === true) return false
    if (perSecond === Infinity) return true
    tokens = Math.min(burst, tokens + ((now - filled) * perSecond) / 1000)
    filled = now
    if (tokens < 1) return false
    tokens--
    return true
  }
  const work = () => {
    while (busy < workers && queued.length > 0) {
      busy++
      const end = queued.shift()!
      at(now + habits.work(busy, now), () => {
        busy--
        inService--
        end()
        work()
      })
    }
  }
  const ask = (then: (refused: boolean) => void) => {
    const sent = now
    law = FlowLaw.step(law, { _tag: "Asked", at: now })
    const refused = !allowed()
    at(now + trip, () => {
      observe({ _tag: "Polled", at: now, sent, refused })
      then(refused)
    })
  }
  const finish = (ticket: { readonly at: number; readonly held: number }): void => {
    const due = FlowLaw.nextPoll(law)
    if (due > now) return at(due, () => finish(ticket))
    ask((refused) => {
      if (refused) return finish(ticket)
      times.push(now - ticket.at)
      observe({ _tag: "Ended", at: now, taken: ticket })
      done++
    })
  }
  const create = () => {
    const sent = now
    left--
    observe({ _tag: "Sent", at: now })
    const tooFast = !allowed()
    if (tooFast || inService >= full) {
      at(now + trip, () => {
        refusals.push(taken)
        left++
        observe({ _tag: "Refused", at: now, sent })
      })
      return
    }
    inService++
    let ticket: { readonly at: number; readonly held: number } | undefined
    let ended = false
    queued.push(() => {
      ended = true
      if (ticket !== undefined) finish(ticket)
    })
    work()
    at(now + trip, () => {
      taken++
      observe({ _tag: "Taken", at: now, sent })
      ticket = { at: now, held: law.held }
      if (ended) finish(ticket)
    })
  }
  for (let turns = 0; done < batches; turns++) {
    assert.isTrue(turns < 100 * batches + 1000, "it comes to an end")
    while (left > 0 && FlowLaw.nextCreate(law) <= now) create()
    if (FlowLaw.wantsPoll(law) && !asking) {
      asking = true
      ask(() => {
        asking = false
      })
    }
    const next = Math.min(later[0]?.at ?? Infinity, left > 0 ? FlowLaw.nextCreate(law) : Infinity)
    assert.isTrue(next < Infinity && next >= now, `something happens next, at ${next}`)
    now = next
    while (later.length > 0 && later[0]!.at <= now) later.shift()!.run()
  }
  return { law, windows, reasons, refusals, times, mostHeld, mostPosting, took: now }
}

const always = (millis: number) => () => millis

describe("FlowLaw", () => {
  it("begins with few: two create calls at once, one more with each that is taken, up to its first window", () => {
    let law = FlowLaw.initial(bounds, 0)
    assert.strictEqual(FlowLaw.windowOf(law), WindowLaw.firstWindow)
    const most: Array<number> = []
    for (let count = 0; law.held < WindowLaw.firstWindow; count++) {
      assert.isTrue(count < 100)
      let sent = 0
      for (; FlowLaw.nextCreate(law) <= 0; sent++) law = fold(law, { _tag: "Sent", at: 0 })
      most.push(law.posting)
      law = fold(law, { _tag: "Taken", at: 0, sent: 0 })
    }
    assert.deepStrictEqual(most.slice(0, 4), [2, 3, 4, 5])
    assert.strictEqual(FlowLaw.nextCreate(law), Infinity, "and no more than the window")
    assert.strictEqual(law.posting + law.held, WindowLaw.firstWindow)
  })

  it("takes its usual window once results come", () => {
    let law = take(FlowLaw.initial(bounds, 0), WindowLaw.firstWindow)
    for (let i = 1; i <= WindowLaw.firstWindow; i++) {
      law = fold(law, { _tag: "Ended", at: 100 * i, taken: { at: 0, held: i } })
    }
    assert.strictEqual(FlowLaw.windowOf(law), WindowLaw.usualWindow)
    assert.strictEqual(law.window.reason, "ResultsCome")
    assert.isTrue(FlowLaw.nextCreate(law) <= 1600)
  })

  it("finds that a service queues: no more at once is done faster", () => {
    for (const [workers, millis] of [
      [1, 100],
      [4, 1000],
      [12, 50]
    ] as const) {
      const { law, mostHeld, reasons, took, windows } = drive({ workers, work: always(millis) }, 1000)
      assert.isTrue(
        FlowLaw.windowOf(law) >= 3 * workers && FlowLaw.windowOf(law) <= WindowLaw.usualWindow,
        `${workers}: ${FlowLaw.windowOf(law)}`
      )
      assert.isTrue(mostHeld <= WindowLaw.usualWindow)
      assert.isTrue(
        windows.slice(1).every((window) => window >= 2 * workers),
        "and loses nothing by trying"
      )
      assert.isTrue(took < 1.05 * (1000 / workers) * millis + 3 * millis + 200, `${workers}: ${took}`)
      assert.isTrue(windows.length < 8, "and leaves it at that")
      assert.isTrue(reasons.every((reason) => ["ResultsCome", "Trial", "Throughput"].includes(reason)))
    }
  })

  it("finds that there is room, and goes no further than its bound", () => {
    const habits: Habits = { workers: 200, work: always(1000) }
    const { law, took } = drive(habits, 3000)
    assert.isTrue(FlowLaw.windowOf(law) > 1.5 * WindowLaw.usualWindow, String(FlowLaw.windowOf(law)))
    assert.isTrue(FlowLaw.windowOf(law) <= WindowLaw.defaultMost)
    // Faster than its usual window would do it.
    assert.isTrue(took < (3000 / WindowLaw.usualWindow) * 1000)
    const bounded = drive(habits, 1000, { ...bounds, most: 80 })
    assert.isTrue(bounded.mostHeld <= 80 && bounded.windows.every((window) => window <= 80))
    const narrow = drive(habits, 100, { ...bounds, most: 3 })
    assert.isTrue(narrow.windows.every((window) => window <= 3))
    assert.strictEqual(narrow.mostHeld, 3)
  })

  it("finds that a service slows down under load, and gives it less", () => {
    for (const best of [8, 16, 24]) {
      // Twice as many take four times as long.
      const habits: Habits = { workers: Infinity, work: (busy) => 500 * Math.max(1, busy / best) ** 2 }
      const { law, reasons, took } = drive(habits, 4000)
      assert.isTrue(
        FlowLaw.windowOf(law) >= best / 2 && FlowLaw.windowOf(law) <= 2 * best,
        `${best}: ${FlowLaw.windowOf(law)}`
      )
      assert.include(reasons, "Trial")
      assert.isTrue(took < 2 * (4000 / best) * 500, `${best}: ${took}`)
    }
  })

  it("notices that results take much less long than they did, and gives the service more again", () => {
    const slow = (busy: number) => 500 * Math.max(1, busy / 12) ** 2
    const habits: Habits = { workers: Infinity, work: (busy, at) => (at < 300_000 ? slow(busy) : 200) }
    const { law, reasons, windows } = drive(habits, 10_000)
    assert.include(reasons, "Drift")
    const fewest = Math.min(...windows.slice(1))
    assert.isTrue(
      fewest <= 24 && FlowLaw.windowOf(law) >= 2 * fewest,
      `${windows.join()} in the end ${FlowLaw.windowOf(law)}`
    )
  })

  describe("a refusal", () => {
    const held = 20
    // Taken before anything ends: adopted, as the first window does not let it happen otherwise.
    const full = () => {
      let law = take(FlowLaw.initial(bounds, 0), 4)
      for (let i = 0; i < held - 4; i++) law = fold(law, { _tag: "Adopted", at: 0 })
      return law
    }

    it("with a status call that is answered: the queue is full, and the window a tenth below", () => {
      const doubtful = refuse(full(), 1000)
      assert.isTrue(FlowLaw.wantsPoll(doubtful))
      assert.strictEqual(FlowLaw.nextCreate(doubtful), Infinity, "nothing is handed in while it is not known")
      assert.isTrue(FlowLaw.nextPoll(doubtful) <= 1000)
      const old = fold(doubtful, pollAt(1010, false, 990))
      assert.isTrue(FlowLaw.wantsPoll(old), "what was asked before says nothing of it")
      const law = fold(old, pollAt(1020, false))
      assert.isFalse(FlowLaw.wantsPoll(law))
      assert.strictEqual(FlowLaw.decision(old, law), "QueueFull")
      assert.strictEqual(law.pace.spacing, 0)
      assert.isTrue(FlowLaw.windowOf(law) < WindowLaw.firstWindow || FlowLaw.windowOf(law) < held)
      assert.isTrue(FlowLaw.windowOf(law) >= Math.min(0.8 * held, WindowLaw.firstWindow))
    })

    it("with a status call that is refused: too fast, and requests are spaced", () => {
      const before = full()
      const law = fold(refuse(before, 1000), pollAt(1020, true))
      assert.strictEqual(FlowLaw.decision(before, law), "TooFast")
      assert.isTrue(law.pace.spacing > 0)
      assert.strictEqual(FlowLaw.windowOf(law), FlowLaw.windowOf(before))
      assert.isFalse(FlowLaw.wantsPoll(law))
      // Status calls as well, as they are refused.
      assert.isTrue(FlowLaw.nextPoll(law) > 1020)
      const asked = FlowLaw.step(law, { _tag: "Asked", at: FlowLaw.nextPoll(law) })
      assert.approximately(FlowLaw.nextPoll(asked) - FlowLaw.nextPoll(law), law.pace.spacing, 1e-6)
      const ended = { _tag: "Ended", at: 1100 } as const
      const free = Array.from({ length: held }, () => ended).reduce<FlowLaw.State>(FlowLaw.step, law)
      const first = FlowLaw.nextCreate(free)
      const second = FlowLaw.nextCreate(fold(free, { _tag: "Sent", at: first }))
      assert.isTrue(first > 1020 && second - first > 0.9 * law.pace.spacing)
    })

    it("waits as long as the service asks", () => {
      const law = fold(refuse(full(), 1000, 7000), pollAt(1010, false), { _tag: "Ended", at: 1020 })
      const free = Array.from({ length: held - 1 }, () => ({ _tag: "Ended", at: 1030 }) as const).reduce<FlowLaw.State>(
        FlowLaw.step,
        law
      )
      assert.isTrue(FlowLaw.nextCreate(free) >= 8000 && FlowLaw.nextCreate(free) < Infinity)
    })

    it("that is taken for granted, or comes late, waits as long as the service asks as well", () => {
      const few = take(FlowLaw.initial(bounds, 0), 4)
      const granting = { ...few, whims: { ...WhimLaw.initial, share: 0.5, lately: 0.5 } }
      const refused = refuse(granting, 1000, 7000)
      const polled = fold(granting, pollAt(1000, true, 1000, 7000))
      const late = fold({ ...few, cutAt: 2000 }, pollAt(2010, true, 1000, 7000))
      for (const [law, until] of [
        [refused, 8000],
        [polled, 8000],
        [late, 9010]
      ] as const) {
        assert.isAtLeast(FlowLaw.nextCreate(law), until)
        assert.isBelow(FlowLaw.nextCreate(law), Infinity)
        assert.deepInclude(
          law,
          { window: few.window, cutAt: law === late ? 2000 : few.cutAt },
          "and changes nothing else"
        )
      }
    })

    it("is not waited for while others are there to end first, but from the third in a row on", () => {
      let law = take(FlowLaw.initial(bounds, 0), 12)
      const waits: Array<number> = []
      for (const at of [1000, 2000, 3000]) {
        law = fold(refuse(law, at), pollAt(at, false))
        while (FlowLaw.nextCreate(law) === Infinity) law = fold(law, { _tag: "Ended", at })
        waits.push(FlowLaw.nextCreate(law) - at)
      }
      assert.deepStrictEqual(waits.slice(0, 2), [0, 0])
      assert.isAtLeast(waits[2]!, 1000)
    })

    it("with next to nothing there is not about how many", () => {
      const nothing = fold(take(FlowLaw.initial(bounds, 0), 1), {
        _tag: "Ended",
        at: 500,
        taken: { at: 0, held: 1 }
      })
      const ended = { _tag: "Ended", at: 500, taken: { at: 0, held: 4 } } as const
      const many = full()
      const left = (count: number) =>
        Array.from({ length: held - count }, () => ended).reduce<FlowLaw.State>(FlowLaw.step, many)
      const few = left(3)
      for (const before of [nothing, few]) {
        const law = refuse(before, 1000)
        assert.isFalse(FlowLaw.wantsPoll(law))
        assert.strictEqual(FlowLaw.decision(before, law), "TooFast")
        assert.isTrue(FlowLaw.windowOf(law) >= FlowLaw.windowOf(before))
        assert.isTrue(law.pace.spacing > 0)
      }
      // Where there are some, others may have filled the queue; but not where it was how fast before.
      const some = left(8)
      assert.isTrue(FlowLaw.wantsPoll(refuse(some, 1000)))
      const spaced = fold(refuse(some, 1000), pollAt(1020, true))
      assert.isTrue(spaced.pace.spacing > 0)
      const again = refuse(spaced, 5000)
      assert.isFalse(FlowLaw.wantsPoll(again))
      assert.strictEqual(again.window, spaced.window)
    })

    it("with a queue that seems to have room for one: tries one more, and takes it for a matter of how fast if it is taken", () => {
      const sent = (state: FlowLaw.State, at: number) => fold(state, { _tag: "Sent", at })
      let law = take(FlowLaw.initial(bounds, 0), 1)
      const window = FlowLaw.windowOf(law)
      law = fold(refuse(law, 20), pollAt(30, false))
      assert.strictEqual(FlowLaw.windowOf(law), 1)
      for (let i = 0; i < 3; i++) {
        const at = FlowLaw.nextCreate(law)
        assert.isTrue(at > 100 && at < 2000, "though nothing has ended")
        law = sent(law, at)
        assert.strictEqual(FlowLaw.nextCreate(law), Infinity, "one only")
        law = fold(law, { _tag: "Taken", at: at + 10, sent: at })
      }
      assert.strictEqual(law.pace.cuts, 1)
      assert.isTrue(law.pace.spacing >= 200 && law.pace.spacing < 500, String(law.pace.spacing))
      assert.strictEqual(FlowLaw.windowOf(law), window)
      assert.isFalse(law.pace.pollsCount)
    })

    it("with a queue that has room for one: tries less and less often, and not once something has ended", () => {
      let law = take(FlowLaw.initial(bounds, 0), 1)
      law = fold(refuse(law, 20), pollAt(30, false))
      let last = 30
      let wait = 0
      for (let i = 0; i < 6; i++) {
        const at = FlowLaw.nextCreate(law)
        assert.isTrue(at - last > wait, `${at - last} after ${wait}`)
        wait = at - last
        last = at
        law = refuse(law, at)
        assert.isFalse(FlowLaw.wantsPoll(law))
        assert.strictEqual(FlowLaw.windowOf(law), 1)
        assert.strictEqual(law.pace.spacing, 0)
      }
      const ended = fold(law, { _tag: "Ended", at: last + 10, taken: { at: 0, held: 1 } })
      assert.isTrue(FlowLaw.nextCreate(ended) <= last + 10)
      const again = take(ended, 1, last + 10)
      assert.strictEqual(FlowLaw.nextCreate(again), Infinity)
      // Where one ends every half second, another one may well have by then.
      const one = take(FlowLaw.initial(bounds, 0), 1)
      const busy = { ...one, window: { ...one.window, rate: 1 / 500 } }
      assert.strictEqual(FlowLaw.nextCreate(fold(refuse(busy, 20), pollAt(30, false))), Infinity)
    })

    it("with a queue that seems to have room for one: takes no two in a row for a pace, with one refused after them", () => {
      let law = fold(refuse(take(FlowLaw.initial(bounds, 0), 1), 20), pollAt(30, false))
      for (const isTaken of [true, true, false, true]) {
        const at = FlowLaw.nextCreate(law)
        law = isTaken ? take(law, 1, at) : refuse(law, at)
        assert.strictEqual(law.pace.spacing, 0)
      }
      assert.strictEqual(law.held, 4)
    })

    it("with a queue that has room for one: tries soon again once there is room for more", () => {
      const pollTimeout = 10_000_000
      let law = fold(refuse(take(FlowLaw.initial({ pollTimeout }, 0), 1), 20), pollAt(30, false))
      for (let i = 0; i < 4; i++) law = refuse(law, FlowLaw.nextCreate(law))
      /** As many end, one after another, and one is refused then. */
      const wait = (count: number) => {
        let now = law
        let at = 0
        for (let i = 0; i < count; i++) {
          at += 100_000
          now = fold(now, { _tag: "Ended", at, taken: { at: at - 100_000, held: 1 } })
          while (FlowLaw.nextCreate(now) <= at) now = take(now, 1, at)
        }
        return FlowLaw.nextCreate(fold(refuse(now, at + 20), pollAt(at + 30, false))) - at
      }
      assert.isAbove(wait(1), 2000, "not before there is")
      assert.isBelow(wait(8), 1000)
    })

    it("with a queue that has room for one: does not take one that was withdrawn for under way", () => {
      let law = fold(refuse(take(FlowLaw.initial(bounds, 0), 1), 20), pollAt(30, false))
      law = fold(law, { _tag: "Sent", at: FlowLaw.nextCreate(law) }, { _tag: "Withdrawn" })
      assert.isUndefined(law.again)
      assert.isTrue(FlowLaw.nextCreate(fold(law, { _tag: "Ended", at: 1000 })) <= 1000)
    })

    it("counts once with all that were on their way when it came", () => {
      let law = full()
      for (let i = 0; i < 5; i++) law = fold(law, { _tag: "Sent", at: 990 })
      law = fold(law, { _tag: "Refused", at: 1000, sent: 990 })
      const first = fold(law, { _tag: "Refused", at: 1005, sent: 990 })
      assert.deepInclude(first, { refusals: law.refusals, window: law.window, pace: law.pace })
      for (const refused of [false, true]) {
        const known = fold(first, pollAt(1010, refused))
        const after = fold(
          known,
          { _tag: "Refused", at: 1020, sent: 990 },
          { _tag: "Refused", at: 1030, sent: 990 },
          { _tag: "Refused", at: 1040, sent: 990 }
        )
        assert.strictEqual(after.posting, 0)
        assert.deepInclude(after, { window: known.window, pace: known.pace, refusals: known.refusals })
        assert.isFalse(FlowLaw.wantsPoll(after))
      }
    })

    it("after refusal with nothing taken at all waits longer each time, up to half a minute, and is not about how fast", () => {
      let law = FlowLaw.initial(bounds, 0)
      const waits: Array<number> = []
      let at = 0
      for (let i = 0; i < 20; i++) {
        law = refuse(law, at)
        const next = FlowLaw.nextCreate(law)
        waits.push(next - at)
        at = next
        assert.strictEqual(law.pace.spacing, 0)
        assert.strictEqual(FlowLaw.windowOf(law), WindowLaw.firstWindow)
      }
      assert.isTrue(waits[0]! > 0 && waits[0]! < 2000, String(waits[0]))
      for (const [i, wait] of waits.entries()) assert.isTrue(i === 0 || wait >= waits[i - 1]!)
      assert.isTrue(waits[3]! > waits[0]!)
      assert.strictEqual(Math.max(...waits), 30_000)
      // And not any more once something is taken.
      law = refuse(take(law, 1, at), at + 1000)
      assert.isTrue(
        FlowLaw.nextCreate(fold(law, pollAt(at + 1010, false), { _tag: "Ended", at: at + 1020 })) < at + 5000
      )
    })

    it("again and again, however slowly it is asked, does not make it slower without end", () => {
      let law = take(FlowLaw.initial(bounds, 0), 1)
      let at = 1000
      let widest = 0
      for (let i = 0; i < 2000; i++) {
        at = Math.max(at, FlowLaw.nextCreate(law) === Infinity ? at : FlowLaw.nextCreate(law)) + 10
        law = fold(law, { _tag: "Ended", at }, { _tag: "Sent", at }, { _tag: "Taken", at, sent: at })
        // Now there is nothing but this one, and the service refuses each second call.
        at = Math.max(at, FlowLaw.nextPoll(law)) + 10
        law = fold(refuse(law, at), pollAt(at + 10, true, at))
        widest = Math.max(widest, law.pace.spacing)
      }
      assert.isTrue(widest > 0 && widest <= 5000, String(widest))
    })
  })

  it("takes no time in which it handed nothing in for a pace", () => {
    // The first window went at once, and has been worked on for half a minute since.
    const before = take(FlowLaw.initial(bounds, 0), 12)
    const law = fold(refuse(before, 30_000), pollAt(30_010, true))
    assert.strictEqual(FlowLaw.decision(before, law), "TooFast")
    assert.isTrue(law.pace.spacing < 500, `${law.pace.spacing} ms between requests`)
  })

  it("stays a little below a full queue", () => {
    const full = 24
    const { law, mostHeld, reasons, refusals, took } = drive({ workers: 4, work: always(200), full }, 2000)
    assert.include(reasons, "QueueFull")
    assert.include(reasons, "RoomAgain")
    assert.isTrue(FlowLaw.windowOf(law) > full / 2 && FlowLaw.windowOf(law) <= full + 2, String(FlowLaw.windowOf(law)))
    assert.isTrue(mostHeld <= full)
    assert.strictEqual(law.pace.spacing, 0)
    const late = refusals.filter((taken) => taken > 300).length
    assert.isTrue(late <= 0.03 * 1700, String(late))
    assert.isTrue(took < 1.1 * (2000 / 4) * 200)
  })

  it("finds how fast it may be", () => {
    // A create call and a status call for each.
    const { law, refusals, took } = drive({ workers: 100, work: always(500), perSecond: 20 }, 1000)
    assert.approximately(law.pace.spacing, 1000 / 20, 15)
    assert.isTrue(law.pace.pollsCount)
    assert.isTrue(refusals.length < 70, String(refusals.length))
    assert.isTrue(took < 1.3 * (1000 / 10) * 1000, String(took))
  })

  it("does not come closer than requests have come, while it is not how fast that holds them up", () => {
    let law = take(FlowLaw.initial(bounds, 0), 10)
    law = fold(refuse(law, 1000), pollAt(1020, true))
    const { spacing } = law.pace
    assert.isTrue(spacing > 50 && spacing < 1000)
    // One a second, and each of them is done: none of this tells that they may come faster than one a second.
    let at = Math.ceil(FlowLaw.nextPoll(law))
    for (let i = 0; i < 1000; i++) {
      at += 1000
      const sent = { _tag: "Sent", at } as const
      law = fold(law, { _tag: "Ended", at }, sent, { _tag: "Taken", at, sent: at })
    }
    assert.isTrue(law.pace.spacing > spacing / 3, `${law.pace.spacing} of ${spacing}`)
  })

  it("does not come much closer than requests have come, though some of them follow each other at once", () => {
    const spaced = fold(refuse(take(FlowLaw.initial(bounds, 0), 10), 1000), pollAt(1020, true))
    for (const [agreed, least] of [
      [9, 0.6],
      [0, 0.35]
    ] as const) {
      let law: FlowLaw.State = { ...spaced, pace: { ...spaced.pace, agreed } }
      let at = Math.ceil(FlowLaw.nextPoll(law))
      let taken = 0
      for (let i = 0; i < 1000; i++) {
        at += 300
        let sent = at
        // Of three, two are held up by nothing but the spacing.
        for (let k = 0; k < 3; k++) {
          sent = Math.max(sent, FlowLaw.nextCreate(law))
          if (sent > at + 300) continue
          law = fold(law, { _tag: "Sent", at: sent }, { _tag: "Taken", at: sent, sent }, { _tag: "Ended", at: sent })
          taken++
        }
      }
      const pace = (1000 * 300) / taken
      assert.isTrue(law.pace.spacing > least * pace, `${law.pace.spacing} at ${pace}`)
      assert.isTrue(law.pace.spacing < pace, `${law.pace.spacing} at ${pace}`)
    }
  })

  it("asks a full queue for more the more rarely, by its turns, the less of it there is, but not without end", () => {
    const turns = (held: number) => {
      let law = take(FlowLaw.initial(bounds, 0), 4)
      for (let i = 0; i < held - 4; i++) law = fold(law, { _tag: "Adopted", at: 0 })
      for (let i = 4; i > held; i--) law = fold(law, { _tag: "Ended", at: 500 })
      law = fold(refuse(law, 1000), pollAt(1020, false))
      const window = FlowLaw.windowOf(law)
      let ends = 0
      while (FlowLaw.windowOf(law) === window && ends++ < 1000) {
        const at = 2000 + ends
        law = fold(law, { _tag: "Ended", at, taken: { at: 1000, held } }, { _tag: "Adopted", at })
      }
      return ends / window
    }
    // So often that one with little of a queue that is shared comes to more, and so seldom that few are refused.
    for (const [held, least, most] of [
      [2, 7, 8],
      [5, 7, 8],
      [8, 5, 6],
      [14, 4, 5],
      [60, 2, 4]
    ] as const) {
      assert.isAtLeast(turns(held), least, String(held))
      assert.isAtMost(turns(held), most, String(held))
    }
  })

  it("is not held up by a spacing that is much closer than requests come, and gives the service more as usual", () => {
    let law = take(FlowLaw.initial(bounds, 0), 10)
    law = fold(refuse(law, 1000), pollAt(1020, true))
    assert.isTrue(PaceLaw.isPressed(law.pace))
    const far = 4 * law.pace.spacing
    let at = Math.ceil(FlowLaw.nextPoll(law))
    for (let i = 0; i < 200; i++) {
      at += far
      law = fold(law, { _tag: "Ended", at, taken: { at: at - 10 * far, held: 10 } })
      law = fold(law, { _tag: "Sent", at }, { _tag: "Taken", at, sent: at })
    }
    assert.isFalse(PaceLaw.isPressed(law.pace))
    assert.strictEqual(FlowLaw.windowOf(law), WindowLaw.usualWindow)
  })

  it("gives the service as many again, when they are done in half the poll timeout", () => {
    // Eight of them take most of it, so that the window is cut now and then: which must not be for good.
    const roll = dice(7)
    const work = () => 1000 * Math.exp((roll(2000) - 1000) / 800)
    const { law, took } = drive({ workers: 8, work }, 600, { pollTimeout: 2600 })
    assert.isTrue(FlowLaw.windowOf(law) >= 7, String(FlowLaw.windowOf(law)))
    assert.isTrue(took < 1.3 * (600 / 8) * 1190, String(took))
  })

  it("keeps to a queue that is full where the poll timeout bounds it as well, and says nothing twice", () => {
    let law = take(FlowLaw.initial({ pollTimeout: 100_000 }, 0), 4)
    let at = 0
    let window = FlowLaw.windowOf(law)
    let decisions = 0
    // One at a time, a second each at first and then five: ten are done in half the timeout.
    const work = (count: number, millis: number) => {
      for (let i = 0; i < count; i++) {
        while (law.held < FlowLaw.windowOf(law)) law = take(law, 1, at)
        at += millis
        const { held } = law
        const before = law
        law = fold(law, { _tag: "Ended", at, taken: { at: at - held * millis, held } })
        const reason = FlowLaw.decision(before, law)
        if (reason === undefined) assert.strictEqual(FlowLaw.windowOf(law), window)
        else assert.notStrictEqual(FlowLaw.windowOf(law), window, reason)
        if (reason !== undefined) decisions++
        window = FlowLaw.windowOf(law)
      }
    }
    work(300, 1000)
    work(300, 5000)
    assert.strictEqual(law.window.reason, "PollTimeout")
    assert.isTrue(FlowLaw.windowOf(law) <= 11, String(FlowLaw.windowOf(law)))
    assert.isTrue(decisions < 60, String(decisions))
    law = fold(refuse(law, at), pollAt(at + 10, false))
    assert.strictEqual(law.window.reason, "QueueFull")
    const full = FlowLaw.windowOf(law)
    assert.isTrue(full < window)
    window = full
    work(10, 5000)
    assert.strictEqual(FlowLaw.windowOf(law), full)
    assert.isFalse(
      Number.isNaN(
        FlowLaw.windowOf(
          fold(take(FlowLaw.initial({ pollTimeout: Infinity }, 0), 1), {
            _tag: "Ended",
            at: 0,
            taken: { at: 0, held: 1 }
          })
        )
      )
    )
  })

  it("does not take for a pace what a burst of one was, and finds one that is far closer soon", () => {
    const { law, refusals, took } = drive({ workers: 100, work: always(50), perSecond: 20, burst: 1 }, 300)
    assert.approximately(law.pace.spacing, 1000 / 20, 20)
    assert.isTrue(refusals.length < 40, String(refusals.length))
    // A create call and a status call for each.
    assert.isTrue(took < 1.8 * (600 / 20) * 1000, String(took))
  })

  it("hands in as usual where the service refuses whatever is done, a window that is given included", () => {
    for (const [oneIn, bound] of [
      [20, 1.7],
      [5, 2.5]
    ] as const) {
      for (const seed of [1, 2, 3, 4, 5]) {
        for (const fixed of [undefined, 32]) {
          const roll = dice(seed)
          const { law, took } = drive({ workers: 16, work: always(500), refuses: () => roll(oneIn) === 0 }, 1500, {
            ...bounds,
            fixed
          })
          assert.isTrue(took < bound * (1500 / 16) * 500, `${took} with one in ${oneIn}, ${seed}, ${fixed}`)
          assert.isAtLeast(FlowLaw.windowOf(law), 16)
        }
      }
    }
  })

  it("is as it was before when a trial meets the limit, and says so", () => {
    const whims = { ...WhimLaw.initial, taken: 100, refused: 4, cuts: 4 }
    const held = 20
    let law = take(FlowLaw.initial(bounds, 0), 4)
    for (let i = 0; i < held - 4; i++) law = fold(law, { _tag: "Adopted", at: 0 })
    for (const polls of [false, true]) {
      const accepted = polls ? { ...law.pace, spacing: 100, agreed: 9, widenedTo: 100 } : law.pace
      const before = { ...law, whims, pace: accepted }
      let trying = fold(refuse(before, 1000), pollAt(1010, polls))
      assert.isDefined(trying.trial)
      assert.strictEqual(FlowLaw.decision(before, trying), "Trial")
      assert.strictEqual(FlowLaw.windowOf(trying), WindowLaw.usualWindow)
      assert.strictEqual(trying.pace.spacing, 0)
      const { pace, window } = trying.trial!
      let refused = 0
      let last = trying
      for (let at = 1100; trying.trial !== undefined; at += 10) {
        last = trying
        trying = refuse(trying, at)
        refused++
      }
      assert.isAtMost(refused, 12)
      assert.strictEqual(FlowLaw.windowOf(trying), WindowLaw.size(window))
      assert.strictEqual(trying.pace.spacing, pace.spacing)
      assert.strictEqual(FlowLaw.decision(last, trying), polls ? "TooFast" : "QueueFull")
      assert.isFalse(FlowLaw.wantsPoll(trying))
    }
  })

  describe("a trial", () => {
    /** It begins at 1010. So many were there, which were done in a tenth of a second. */
    const trying = (count: number, given = bounds) => {
      let law = take(FlowLaw.initial(given, 0), count)
      for (let i = 0; i < WindowLaw.firstWindow; i++) {
        law = fold(law, { _tag: "Ended", at: 100 + i, taken: { at: i, held: 4 } }, { _tag: "Adopted", at: 100 + i })
      }
      const whims = { ...WhimLaw.initial, taken: 20, refused: 4, cuts: 4 }
      const begun = fold(refuse({ ...law, whims }, 1000), pollAt(1010, false))
      assert.isDefined(begun.trial)
      return begun
    }

    it("begins with two create calls at once, where that is not given", () => {
      const atOnce = (state: FlowLaw.State) => {
        let law = state
        while (FlowLaw.nextCreate(law) <= 2000) law = fold(law, { _tag: "Sent", at: 2000 })
        return law.posting
      }
      assert.strictEqual(atOnce(trying(12)), 2)
      assert.strictEqual(atOnce(trying(12, { ...bounds, fixed: 32 })), 32 - 12)
    })

    it("keeps to its window, however long results take", () => {
      let law = trying(12)
      for (let at = 10_000; at < 20_000; at += 100) {
        law = fold(law, { _tag: "Ended", at, taken: { at: at - 6400, held: 64 } }, { _tag: "Adopted", at })
      }
      assert.strictEqual(FlowLaw.windowOf(law), WindowLaw.usualWindow)
    })

    it("is shown by nothing that was on its way before it", () => {
      const taken = (sent: number) => {
        let law = trying(12)
        for (let i = 0; i < 40; i++) law = fold(law, { _tag: "Sent", at: sent }, { _tag: "Taken", at: 1020, sent })
        return law
      }
      assert.isDefined(taken(1009).trial)
      assert.isUndefined(taken(1011).trial)
    })
  })

  it("says of a trial that it begins, and what it has shown", () => {
    const law = take(FlowLaw.initial(bounds, 0), 12)
    const whims = { ...WhimLaw.initial, taken: 20, refused: 4, cuts: 4 }
    const trying = fold(refuse({ ...law, whims }, 1000), pollAt(1010, false))
    assert.isDefined(trying.trial)
    let before = trying
    let after = trying
    for (let at = 1100; after.trial !== undefined; at += 10) {
      before = after
      after = fold(after, { _tag: "Ended", at, taken: { at: 0, held: 12 } }, { _tag: "Sent", at })
      after = fold(after, { _tag: "Taken", at, sent: at })
    }
    assert.strictEqual(FlowLaw.decision(before, after), "Whims")
    assert.isAbove(FlowLaw.windowOf(after), FlowLaw.windowOf(law))
    // What was taken for granted is not acted on.
    const refused = refuse(after, 5000)
    assert.deepInclude(refused, { window: after.window, pace: after.pace })
    assert.isFalse(FlowLaw.wantsPoll(refused))
  })

  it("asks nothing about a refusal where spacing holds requests back, or status calls are refused as well", () => {
    const spaced = fold(refuse(take(FlowLaw.initial(bounds, 0), 10), 1000), pollAt(1020, true))
    const again = refuse(take(spaced, 1, 5000), 5000)
    assert.isFalse(FlowLaw.wantsPoll(again))
    assert.isAbove(again.pace.spacing, spaced.pace.spacing)
    const own = take(FlowLaw.initial(bounds, 0), 10)
    const pressed = { ...own, pace: { ...own.pace, spacing: 100, interval: 100, agreed: 9 } }
    assert.isFalse(FlowLaw.wantsPoll(refuse(pressed, 5000)))
    // It is the window that holds them back.
    assert.isTrue(FlowLaw.wantsPoll(refuse({ ...pressed, pace: { ...pressed.pace, interval: 1000 } }, 5000)))
  })

  it("takes nothing that was taken while the service seemed away for later than it is", () => {
    const before = take(FlowLaw.initial(bounds, 0), 1, 3_000_000)
    const law = take(fold(before, { _tag: "WasAway", at: 3_600_000, millis: 3_600_000 }), 8, 3_600_100)
    assert.isAtLeast(law.pace.interval, 0)
    assert.isFalse(PaceLaw.isPressed(law.pace))
  })

  it("comes closer faster where requests are far apart, and little where they are not", () => {
    const shrunk = (spacing: number) => {
      let law = take(FlowLaw.initial(bounds, 0), 10)
      law = fold(refuse(law, 1000), pollAt(1020, true))
      let at = Math.ceil(FlowLaw.nextPoll(law))
      // They have come as far apart as that up to now.
      const lastAccepted = at - spacing
      law = { ...law, pace: { ...law.pace, spacing, agreed: 9, widenedTo: spacing, interval: spacing, lastAccepted } }
      for (let i = 0; i < 20; i++) {
        law = fold(law, { _tag: "Sent", at }, { _tag: "Taken", at, sent: at }, { _tag: "Ended", at })
        at = FlowLaw.nextCreate(law)
      }
      return 1 - law.pace.spacing / spacing
    }
    assert.isAbove(shrunk(50), 0)
    assert.isAbove(shrunk(400), 2.5 * shrunk(50))
    assert.isBelow(shrunk(1000), 0.05)
  })

  it("holds no more than is done in half the poll timeout", () => {
    for (const [workers, millis] of [
      [1, 20_000],
      [1, 10_000],
      [2, 40_000],
      [4, 50_000]
    ] as const) {
      const { law, times } = drive({ workers, work: always(millis) }, 200)
      const worth = (workers / millis) * (bounds.pollTimeout / 2)
      assert.isTrue(FlowLaw.windowOf(law) <= worth * 1.1 + 1, `${FlowLaw.windowOf(law)} of ${worth}`)
      assert.isTrue(Math.max(...times) < 0.7 * bounds.pollTimeout, String(Math.max(...times)))
    }
    // It has become slower since.
    const { law, times } = drive({ workers: 1, work: (_, at) => (at < 600_000 ? 5000 : 20_000) }, 400)
    assert.isTrue(FlowLaw.windowOf(law) <= (bounds.pollTimeout / 2 / 20_000) * 1.2, String(FlowLaw.windowOf(law)))
    assert.isTrue(times.slice(-100).every((time) => time < 0.7 * bounds.pollTimeout))
  })

  it("takes no time of which nothing is to be learned for the pace of the service", () => {
    // A hundred were done in ten seconds; then the service was away for an hour, with some that it goes on with.
    let law = FlowLaw.initial(bounds, 0)
    for (let at = 100; at <= 10_000; at += 100) {
      law = fold(take(law, 1, at - 50), { _tag: "Ended", at, taken: { at: at - 50, held: 1 } })
    }
    law = take(law, 10, 10_000)
    const window = FlowLaw.windowOf(law)
    for (let i = 0; i < 10; i++) law = fold(law, { _tag: "Ended", at: 3_600_000 + 10 * i })
    assert.isTrue(FlowLaw.windowOf(law) >= window, `${FlowLaw.windowOf(law)} after ${window}`)
  })

  it("keeps below a queue that is full with fewer than a window that is given, and comes back to that", () => {
    const { law, reasons, refusals, windows } = drive({ workers: 4, work: always(100), full: 12 }, 1000, {
      ...bounds,
      fixed: 64
    })
    assert.isTrue(windows.every((window) => window <= 64))
    assert.isTrue(FlowLaw.windowOf(law) <= 14, String(FlowLaw.windowOf(law)))
    assert.deepStrictEqual([...new Set(reasons)].sort(), ["QueueFull", "RoomAgain"])
    // All at once in the beginning, and few later.
    assert.isBelow(refusals.filter((taken) => taken > 100).length, 50)
    let back = fold(refuse(take(FlowLaw.initial({ ...bounds, fixed: 8 }, 0), 6), 1000), pollAt(1010, false))
    assert.strictEqual(FlowLaw.windowOf(back), 5)
    for (let at = 1020; FlowLaw.windowOf(back) < 8; at += 10) {
      assert.isTrue(at < 20_000)
      back = fold(back, { _tag: "Ended", at, taken: { at: at - 100, held: 5 } }, { _tag: "Adopted", at })
    }
    for (let at = 30_000; at < 40_000; at += 10) {
      back = fold(back, { _tag: "Ended", at, taken: { at: at - 100, held: 5 } }, { _tag: "Adopted", at })
      assert.strictEqual(FlowLaw.windowOf(back), 8)
    }
  })

  it("does not move a window that is given, whatever the service does otherwise", () => {
    for (const fixed of [1, 5, 300]) {
      for (const habits of [
        { workers: 400, work: always(100) },
        { workers: 100, work: (busy: number) => 100 * busy },
        { workers: 10, work: always(100), perSecond: 30 },
        { workers: 1, work: always(400_000) }
      ] as ReadonlyArray<Habits>) {
        const { law, mostHeld, mostPosting, windows } = drive(habits, 400, { ...bounds, fixed })
        assert.isTrue(windows.every((window) => window === fixed))
        assert.strictEqual(FlowLaw.windowOf(law), fixed)
        assert.isTrue(mostHeld <= fixed && mostPosting <= fixed)
        if (habits.perSecond === undefined) {
          assert.strictEqual(mostPosting, fixed, "without a ramp")
        }
      }
    }
  })

  it("hands fewer in at once after one timed out", () => {
    const law = take(FlowLaw.initial(bounds, 0), 12)
    const after = fold(law, { _tag: "Sent", at: 1 }, { _tag: "Lost", timedOut: true })
    assert.isTrue(after.ramp < law.ramp && after.ramp >= 2)
    // However many were taken before.
    let long = law
    for (let i = 0; i < 1000; i++) long = fold(take(long, 1, 1), { _tag: "Ended", at: 1, taken: { at: 0, held: 12 } })
    const fewer = fold(long, { _tag: "Sent", at: 1 }, { _tag: "Lost", timedOut: true })
    assert.isAtMost(fewer.ramp, FlowLaw.windowOf(long) / 2)
    const refusedForItself = fold(law, { _tag: "Sent", at: 1 }, { _tag: "Lost" })
    assert.strictEqual(refusedForItself.ramp, law.ramp)
    assert.strictEqual(refusedForItself.posting, 0)
  })

  const Fuzz = {
    seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 - 1 }))
  }

  it.prop("keeps its promises, whatever is observed", Fuzz, ({ seed }) => {
    const roll = dice(seed)
    const fixed = roll(5) === 0 ? 1 + roll(80) : undefined
    const most = roll(3) === 0 ? 1 + roll(300) : undefined
    const given: WindowLaw.Bounds = { fixed, most, pollTimeout: 1 + roll(roll(2) === 0 ? 2000 : 1_000_000) }
    /** How the service is in this one: how many of a hundred calls are refused or lost, and how much time goes by. */
    const refuses = [0, 3, 30, 95][roll(4)]!
    const loses = [0, 5, 40][roll(3)]!
    const pace = [1, 20, 1000, 100_000][roll(4)]!
    const flow = 1 + roll(5)
    let now = roll(1000)
    let law = freeze(FlowLaw.initial(given, now))
    const posting: Array<number> = []
    const polling: Array<number> = []
    const held: Array<{ readonly at: number; readonly held: number } | undefined> = []
    const pick = <A>(all: Array<A>) => all.splice(roll(all.length), 1)[0]!

    const observe = (observation: FlowLaw.Observation) => {
      const before = law
      law = FlowLaw.step(before, freeze(observation))
      assert.deepStrictEqual(FlowLaw.step(before, observation), law, "the same of the same")
      freeze(law)
    }
    const retryAfter = () => (roll(3) === 0 ? { retryAfter: roll(3 * pace) } : undefined)

    for (let i = 0; i < 400; i++) {
      // Often nothing goes by between one and the next.
      if (roll(3) > 0) now += roll(pace)
      const choice = roll(10)
      if (choice < 3) {
        if (FlowLaw.nextCreate(law) > now && FlowLaw.nextCreate(law) < Infinity && roll(2) === 0) {
          now = Math.ceil(FlowLaw.nextCreate(law))
        }
        for (let many = roll(flow * 3); many > 0 && FlowLaw.nextCreate(law) <= now; many--) {
          posting.push(now)
          observe({ _tag: "Sent", at: now })
        }
      } else if (choice < 6) {
        for (let many = roll(flow * 3); many > 0 && posting.length > 0; many--) {
          const sent = pick(posting)
          const fate = roll(100)
          if (fate < refuses) observe({ _tag: "Refused", at: now, sent, ...retryAfter() })
          else if (fate < refuses + loses) {
            if (roll(4) === 0) observe({ _tag: "Withdrawn" })
            else observe({ _tag: "Lost", timedOut: roll(2) === 0 })
          } else {
            observe({ _tag: "Taken", at: now, sent })
            held.push({ at: now, held: held.length + 1 })
          }
        }
      } else if (choice === 6) {
        if (roll(10) === 0) {
          observe({ _tag: "Adopted", at: now })
          held.push(undefined)
        }
        if (held.length > 0) {
          law = freeze(FlowLaw.step(law, { _tag: "Asked", at: now }))
          polling.push(now)
        }
      } else if (choice === 7) {
        if (polling.length > 0) {
          observe({ _tag: "Polled", at: now, sent: pick(polling), refused: roll(100) < refuses, ...retryAfter() })
        }
      } else {
        for (let many = roll(flow * 4); many > 0 && held.length > 0; many--) {
          const taken = pick(held)
          observe(
            taken === undefined || roll(10) === 0 ? { _tag: "Ended", at: now } : { _tag: "Ended", at: now, taken }
          )
        }
      }

      assert.strictEqual(law.posting, posting.length)
      assert.strictEqual(law.held, held.length)
      assert.isTrue(
        Number.isInteger(FlowLaw.windowOf(law)) && FlowLaw.windowOf(law) >= 1,
        `window ${FlowLaw.windowOf(law)}`
      )
      if (fixed !== undefined) assert.isTrue(FlowLaw.windowOf(law) <= fixed)
      else assert.isTrue(FlowLaw.windowOf(law) <= (most ?? WindowLaw.defaultMost))
      assert.isTrue(law.pace.spacing >= 0 && law.pace.spacing <= 5000, `spacing ${law.pace.spacing}`)
      for (const moment of [FlowLaw.nextCreate(law), FlowLaw.nextPoll(law)]) assert.isFalse(Number.isNaN(moment))
      assert.isTrue(FlowLaw.nextPoll(law) < Infinity)
      assert.isTrue(law.ramp >= 2)
      if (FlowLaw.nextCreate(law) === Infinity) {
        assert.isTrue(law.posting + law.held > 0 || law.doubt !== undefined, "something can still happen")
      }
      if (law.doubt !== undefined) {
        assert.isTrue(law.held > 0, "somebody can be asked after")
        assert.isTrue(FlowLaw.wantsPoll(law))
        // Whatever a status call comes to, it is known then; and when there is nobody left.
        for (const refused of [false, true]) assert.isUndefined(fold(law, pollAt(now, refused)).doubt)
        const none = held.reduce<FlowLaw.State>((before) => FlowLaw.step(before, { _tag: "Ended", at: now }), law)
        assert.isTrue(none.posting > 0 || FlowLaw.nextCreate(none) < Infinity)
      }
    }
    // When all has ended, the next can be handed in some time.
    for (const sent of posting) observe({ _tag: "Refused", at: now, sent })
    for (const taken of held) observe({ _tag: "Ended", at: now, taken })
    assert.isTrue(FlowLaw.nextCreate(law) < Infinity)
  })
})
