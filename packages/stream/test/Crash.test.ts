/** What a run promises, whatever happens to it: a crash at every write and every other call in turn, and a service with habits and faults. */
import { assert, describe, it } from "@effect/vitest"
import type { RunEvent } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { dice, inTime, line, summarize } from "./fixtures.ts"
import {
  fails,
  holdAgainst,
  live,
  makeLines,
  makeService,
  quiet,
  type Death,
  type Habits,
  type LegOptions
} from "./simulation.ts"

const options = { batchSize: 8, concurrency: 3, repeatable: true, giveUpAfter: "2 hours", keepGoing: true } as const

const habitsOf = (roll: (sides: number) => number): Habits => {
  const dryRunChecksExisting = roll(4) > 0
  return {
    failureMode: roll(2) === 0 ? "prefix" : "atomic",
    inOrder: roll(2) === 0,
    dryRunChecksExisting,
    // Where nothing can be asked, a record that fails four times for no reason of its own is called failed.
    faults: [0, 2, dryRunChecksExisting ? 10 : 3, dryRunChecksExisting ? 30 : 5][roll(4)]!
  }
}

describe("a run that is cut off", () => {
  for (const repeatable of [true, false]) {
    it.effect(
      `goes on after a crash at every write of its journal, ${repeatable ? "from a file" : "from a pipe fed again"}`,
      () =>
        Effect.gen(function* () {
          const lines = makeLines(7, 60)
          const whole = makeService(1, quiet)
          const { writes } = yield* inTime(live(lines, whole, [], { ...options, repeatable }))
          assert.isTrue(writes > 20)
          for (let write = 1; write <= writes; write++) {
            for (const written of [true, false]) {
              const service = makeService(1, quiet)
              const { events } = yield* inTime(
                live(lines, service, [{ at: { write, written } }], { ...options, repeatable })
              )
              holdAgainst(lines, events, service.ledger, { allKnown: true })
            }
          }
        })
    )
  }

  it.effect("goes on after a crash in every other call", () =>
    Effect.gen(function* () {
      const lines = makeLines(9, 60)
      const { calls } = yield* inTime(live(lines, makeService(2, quiet), [], options))
      for (let call = 1; call <= calls; call += 2) {
        const service = makeService(2, quiet)
        const { events } = yield* inTime(live(lines, service, [{ at: { call } }], options))
        holdAgainst(lines, events, service.ledger, { allKnown: true })
      }
    })
  )

  it.effect("goes on from a journal that has lost any part of its end", () =>
    Effect.gen(function* () {
      const lines = makeLines(11, 60)
      const { journal } = yield* inTime(live(lines, makeService(3, quiet), [], options))
      for (let kept = 1; kept < journal.length; kept++) {
        // The service has done everything; the journal knows of a part.
        const service = makeService(3, quiet)
        const whole = yield* inTime(live(lines, service, [], options))
        const { events } = yield* inTime(
          live(lines, service, [], { ...options, journal: whole.journal.slice(0, kept) })
        )
        // A record without a value is sent again when nothing is known of its having been sent.
        holdAgainst(lines, events, service.ledger, { mayBeTwice: true })
      }
    })
  )

  it.effect("submits nothing more once its journal cannot be written", () =>
    Effect.gen(function* () {
      const lines = makeLines(9, 120)
      const { writes } = yield* inTime(live(lines, makeService(4, quiet), [], options))
      for (let write = 1; write < writes; write += 3) {
        const service = makeService(4, quiet)
        const failed = yield* inTime(fails(lines, service, write, options))
        assert.deepInclude(failed.report.stopped, { reason: "JournalFailed" })
        assert.strictEqual(failed.exitCode, 3)
        // What is not in the journal has not been sent.
        const intended = new Set(failed.journal.flatMap((e) => (e._tag === "BatchIntended" ? [e.batch] : [])))
        const accepted = failed.events.flatMap((e) => (e._tag === "BatchAccepted" ? [e.batch] : []))
        assert.deepStrictEqual(
          accepted.filter((batch) => !intended.has(batch)),
          []
        )
        // What was told as known is in the journal, and stays so.
        const known = (told: ReadonlyArray<RunEvent.RunEvent>) =>
          told.flatMap((e) => (e._tag === "BatchSucceeded" || e._tag === "BatchRefused" ? [e.batch] : []))
        assert.deepStrictEqual(known(failed.events), known(failed.journal))
        const { events } = yield* inTime(live(lines, service, [], { ...options, journal: failed.journal }))
        holdAgainst(lines, events, service.ledger, { allKnown: true })
      }
    })
  )

  it.effect("sends records without a value again where it is told to, and says how many may be there twice", () =>
    Effect.gen(function* () {
      const lines = makeLines(13, 40)
      const resubmit = { ...options, policy: { onDoubt: () => "resubmit" as const } }
      const { calls } = yield* inTime(live(lines, makeService(5, quiet), [], resubmit))
      let twice = 0
      for (let call = 1; call <= calls; call += 2) {
        const service = makeService(5, quiet)
        const { events } = yield* inTime(live(lines, service, [{ at: { call } }], resubmit))
        holdAgainst(lines, events, service.ledger, { allKnown: true, mayBeTwice: true })
        const last = events.at(-1)
        const possibly = last?._tag === "RunFinished" ? last.report.possiblyTwice : 0
        const surely = [...service.ledger.keyless.values()].filter((times) => times > 1).length
        assert.isTrue(surely <= possibly, "no more than is said")
        twice += possibly
      }
      assert.isTrue(twice > 0)
    })
  )

  it.effect("asks after what a stop or a deadline has left, however often it dies at that", () =>
    Effect.gen(function* () {
      const lines = makeLines(17, 40)
      const impatient: LegOptions = {
        ...options,
        pollTimeout: "300 millis",
        stop: Effect.sleep("400 millis"),
        grace: "100 millis"
      }
      const first = yield* inTime(live(lines, makeService(6, quiet), [], impatient))
      assert.isTrue(first.journal.some((e) => e._tag === "BatchUnresolved" && e.requestId !== undefined))
      for (let call = 1; call <= 12; call++) {
        const service = makeService(6, quiet)
        const { journal } = yield* inTime(live(lines, service, [], impatient))
        const { events } = yield* inTime(live(lines, service, [{ at: { call } }], { ...options, journal }))
        holdAgainst(lines, events, service.ledger, { allKnown: true })
      }
    })
  )

  it.effect("finds out on resume even where it stops for what its records are like", () =>
    Effect.gen(function* () {
      const rows = Array.from({ length: 40 }, (_, i) =>
        line(i + 1).replace(/}$/, i % 4 === 1 && i > 4 ? ',"scopes":["bad"]}' : "}")
      )
      const service = makeService(8, { ...quiet, failureMode: "atomic" })
      const stops = { ...options, batchSize: 4, concurrency: 1, keepGoing: false }
      const first = yield* inTime(live(rows, service, [], stops))
      const { report } = summarize(first.events)
      assert.strictEqual(report.stopped?.reason, "SystematicRefusal")
      assert.isTrue(report.records.unresolved > 0)
      const { events } = yield* inTime(live(rows, service, [], { ...stops, journal: first.journal }))
      assert.strictEqual(summarize(events).report.records.unresolved, 0)
      holdAgainst(rows, events, service.ledger, { complete: false })
    })
  )

  it.effect("goes on behind blank lines at the end of an input that has grown", () =>
    Effect.gen(function* () {
      const rows = makeLines(21, 200).filter((text) => text.includes("accessToken") && !text.includes("bad"))
      const service = makeService(9, quiet)
      let journal: ReadonlyArray<RunEvent.RunEvent> = []
      for (const count of [8, 16, 24]) {
        const now = [...rows.slice(0, count), "", "", ""]
        const leg = yield* inTime(live(now, service, [], { ...options, journal }))
        journal = leg.journal
        holdAgainst(now, leg.events, service.ledger, { allKnown: true })
      }
    })
  )

  it.effect("leaves what it is told to leave", () =>
    Effect.gen(function* () {
      const lines = makeLines(13, 40)
      const policy = { onDoubt: () => "leave" as const, onFailure: () => "leave" as const }
      const { calls } = yield* inTime(live(lines, makeService(5, quiet), [], { ...options, policy }))
      for (let call = 1; call <= calls; call += 3) {
        const service = makeService(5, quiet)
        const { events } = yield* inTime(live(lines, service, [{ at: { call } }], { ...options, policy }))
        holdAgainst(lines, events, service.ledger)
        assert.isFalse(events.some(({ _tag }) => _tag === "ResolutionStarted"))
      }
    })
  )

  it.effect.prop(
    "never says what is not so, whatever the service is like and however often it dies",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 })) },
    ({ seed }) => anything(seed),
    { arbitrary: { runs: 150 } }
  )

  // What was submitted again in halves leaves no beginning, though the service works in order.
  it.effect("does not take for a beginning what was submitted again by parts", () => anything(625350821))

  /** A service with its habits, deaths and stops, out of a seed. */
  const anything = (seed: number) =>
    Effect.gen(function* () {
      const roll = dice(seed)
      const habits = habitsOf(roll)
      // An assumption holds where it holds: a value on two lines breaks it.
      const assumeInOrder = habits.inOrder && roll(3) === 0
      const lines = makeLines(roll(1_000_000), 1 + roll(80), { repeats: !assumeInOrder })
      const service = makeService(roll(1_000_000), habits)
      const deaths: ReadonlyArray<Death> = Array.from({ length: roll(5) }, () => ({
        at: roll(2) === 0 ? { call: 1 + roll(60) } : { write: 1 + roll(40), written: roll(2) === 0 }
      }))
      // A leg that is asked to stop, and one or two that are not.
      const stops = roll(2) === 0
      const batchSize = 1 + roll(12)
      const { journal } = yield* inTime(
        live(lines, service, deaths, {
          batchSize,
          concurrency: 1 + roll(5),
          repeatable: roll(3) > 0,
          keepGoing: true,
          giveUpAfter: "5 hours",
          pollTimeout: "1 hour",
          policy: { assumeInOrder },
          ...(stops ? { stop: Effect.sleep(`${200 + roll(5000)} millis`), grace: roll(1000) } : undefined)
        })
      )
      const { events } = yield* inTime(
        live(lines, service, roll(2) === 0 ? [{ at: { call: 1 + roll(20) } }] : [], {
          ...options,
          batchSize,
          pollTimeout: "1 hour",
          policy: { assumeInOrder },
          journal
        })
      )
      holdAgainst(lines, events, service.ledger, { allKnown: habits.faults === 0 && habits.dryRunChecksExisting })
    })
})
