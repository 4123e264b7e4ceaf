import { Resolution } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { dice } from "./fixtures.ts"
import {
  candidate,
  fates,
  heldAgainst,
  makeResolution,
  makeWorld,
  specimenRow,
  type Fate,
  type Habits,
  type Row
} from "./fixtures/resolution.ts"

/** Records, every third of them with a refresh token. */
const rows = (count: number, change: (row: Row, i: number) => Row = (row) => row): ReadonlyArray<Row> =>
  Array.from({ length: count }, (_, i) =>
    change(
      { subject: `user-${i}`, accessToken: `a-${i}`, ...(i % 3 === 0 ? { refreshToken: `r-${i}` } : undefined) },
      i
    )
  )

/** Bad ones spread over the batch; repeated values; refresh values that are another's. */
const mixed = (count: number, { bad, repeats }: { readonly bad: number; readonly repeats: boolean }) => {
  const isBad = new Set(Array.from({ length: bad }, (_, k) => Math.floor(((k + 0.5) * count) / bad)))
  return rows(count, (row, i) => {
    if (isBad.has(i)) return { ...row, bad: true }
    if (!repeats) return row
    if (i % 7 === 4) return { ...row, accessToken: `a-${i - 2}` }
    if (i % 7 === 5) return { ...row, refreshToken: `r-${i - (i % 3)}` }
    if (i % 11 === 8) return { ...row, refreshToken: "r-elsewhere" }
    return row
  })
}

const habitsOf: ReadonlyArray<Habits> = (["prefix", "atomic"] as const).flatMap((failureMode) =>
  (["inOrder", "shuffled"] as const).flatMap((order) =>
    [true, false].map((dryRunChecksExisting) => ({ failureMode, order, dryRunChecksExisting }))
  )
)

const nameOf = ({ dryRunChecksExisting, failureMode, order }: Habits) =>
  `${failureMode}, ${order}, dry runs ${dryRunChecksExisting ? "see" : "do not see"} what exists`

/** Resolves one batch after it has suffered its fate. */
const resolved = Effect.fnUntraced(function* (
  habits: Habits,
  fate: Fate,
  batch: ReadonlyArray<Row>,
  options: {
    readonly specimen?: boolean
    readonly assumeInOrder?: boolean
    readonly allow?: number
    readonly at?: number
    readonly rounds?: number
  } = {}
) {
  const world = makeWorld(habits)
  world.add(specimenRow)
  world.add({ subject: "elsewhere", accessToken: "a-elsewhere", refreshToken: "r-elsewhere" })
  world.suffer(batch, fate, options.at)
  if (options.allow !== undefined) world.allow(options.allow, options.allow % 2 === 0 ? "Stopped" : "OutOfBudget")
  const { resolution, trials } = yield* makeResolution(options)
  const candidates = batch.map(candidate)
  yield* Resolution.resolve(resolution, { candidates, why: fate === "failed" ? "Failed" : "InDoubt" }, world.calls)
  const open = heldAgainst(world, candidates)
  const endsAre = candidates.map((c) => world.ends.get(c)?.end ?? "open")
  const made = world.log.flatMap(({ answer, kind, rows }) =>
    kind === "submit" && answer._tag === "Succeeded" ? rows : []
  )
  return { world, trials, candidates, open, ends: endsAre, made, calls: world.log.length }
})

const cases = [1, 2, 9, 30].flatMap((count) =>
  [0, 1, 3].flatMap((bad) =>
    [false, true].flatMap((repeats) =>
      [true, false].flatMap((specimen) => [1, 2].map((seed) => ({ count, bad, repeats, specimen, seed })))
    )
  )
)

/** The service that most tests need no other than. */
const plain: Habits = { failureMode: "prefix", order: "inOrder", dryRunChecksExisting: true }
const atomic: Habits = { ...plain, failureMode: "atomic" }
const shuffled: Habits = { ...plain, order: "shuffled" }
const blind: Habits = { ...plain, dryRunChecksExisting: false }

const countsOf = (ends: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(Object.groupBy(ends, (end) => end)).map(([end, some]) => [end, some!.length]))

describe("Resolution", () => {
  for (const habits of habitsOf) {
    for (const fate of fates) {
      it.effect(`is right about a batch that was ${fate}: ${nameOf(habits)}`, () =>
        Effect.gen(function* () {
          for (const { bad, count, repeats, seed, specimen } of cases) {
            const batch = mixed(count, { bad, repeats })
            if (fate === "failed" && count === 1 && bad === 0) continue
            const { ends, made, open, trials, world } = yield* resolved({ ...habits, seed }, fate, batch, { specimen })
            const what = `${count} records, ${bad} bad, repeats ${repeats}, specimen ${specimen}, seed ${seed}: ${ends.join()}`
            for (const { borneOut } of trials) assert.strictEqual(borneOut, habits.dryRunChecksExisting, what)
            if (!habits.dryRunChecksExisting) assert.notInclude(ends, "existing", what)
            if (!habits.dryRunChecksExisting || (!specimen && made.length === 0)) continue

            // That a refresh value is another's takes a control that has one, at the time.
            const isTaken = ({ accessToken, refreshToken }: Row) =>
              !world.ledger.has(accessToken) && refreshToken !== undefined && world.refresh.has(refreshToken)
            assert.isEmpty(specimen ? open : open.filter((row) => !isTaken(row)), what)
            for (const row of batch) {
              if (row.bad !== true && !isTaken(row)) assert.isTrue(world.ledger.has(row.accessToken), what)
            }
          }
        })
      )
    }
  }

  it.effect.prop(
    "never says what is not so, whatever goes wrong and whenever it ends",
    { seed: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2 ** 31 })) },
    ({ seed }) =>
      Effect.gen(function* () {
        const roll = dice(seed)
        const habits: Habits = {
          ...habitsOf[roll(habitsOf.length)]!,
          spurious: [0, 3, 10, 30][roll(4)]!,
          lost: [0, 3, 10, 30][roll(4)]!,
          seed
        }
        const batch = mixed(1 + roll(60), { bad: roll(4), repeats: roll(2) === 0 })
        // The world holds each verdict against what is there.
        yield* resolved(habits, fates[roll(3)]!, batch, {
          specimen: roll(4) > 0,
          at: roll(batch.length),
          ...(roll(2) === 0 ? { allow: roll(80) } : undefined)
        })
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect("says nothing more from the moment that the run stops, wherever that is", () =>
    Effect.gen(function* () {
      const batch = mixed(12, { bad: 1, repeats: true })
      const whole = yield* resolved(plain, "takenInPart", batch)
      assert.isEmpty(whole.open)
      for (let allow = 0; allow < whole.calls; allow++) {
        const { calls, open } = yield* resolved(plain, "takenInPart", batch, { allow })
        assert.strictEqual(calls, allow)
        if (allow === 0) assert.strictEqual(open.length, batch.length)
      }
    })
  )

  const thousand = rows(1000)
  const threeBad = mixed(1000, { bad: 3, repeats: false })
  /** Calls at most: those that the trial takes, and a logarithm or two, are in the 60. */
  const costs: ReadonlyArray<
    readonly [string, Habits, Fate, ReadonlyArray<Row>, Parameters<typeof resolved>[3], number, Record<string, number>]
  > = [
    ["in doubt, not taken", plain, "notTaken", thousand, {}, 1, { created: 1000 }],
    ["in doubt, taken", plain, "taken", thousand, {}, 1060, { existing: 1000 }],
    ["in doubt, taken, if in order", plain, "taken", thousand, { assumeInOrder: true }, 60, { existing: 1000 }],
    ["in doubt, taken, nothing to try with", plain, "taken", thousand, { specimen: false }, 2000, { open: 1000 }],
    ["in doubt, taken, dry runs do not see it", blind, "taken", thousand, {}, 60, { open: 1000 }],
    ["FAILED for no reason, undone", atomic, "failed", thousand, { at: 400 }, 2, { created: 1000 }],
    ["FAILED, 400 kept", plain, "failed", thousand, { at: 400 }, 460, { existing: 400, created: 600 }],
    [
      "FAILED, 400 kept, if in order",
      plain,
      "failed",
      thousand,
      { at: 400, assumeInOrder: true },
      60,
      { existing: 400, created: 600 }
    ],
    ["FAILED, 400 kept out of order", shuffled, "failed", thousand, { at: 400 }, 2100, { existing: 400, created: 600 }],
    ["FAILED for 3 bad records, pointed at", atomic, "failed", threeBad, {}, 60, { failed: 3, created: 997 }],
    [
      "FAILED for 3 bad records, not pointed at",
      { ...atomic, order: "shuffled" },
      "failed",
      threeBad,
      {},
      130,
      { failed: 3, created: 997 }
    ],
    [
      "FAILED for 3 bad records, 166 before them kept",
      plain,
      "failed",
      threeBad,
      {},
      166 + 120,
      { existing: 166, failed: 3, created: 831 }
    ]
  ]
  for (const [name, habits, fate, batch, options, most, expected] of costs) {
    it.effect(`takes ${most} calls at most: 1000 records ${name}`, () =>
      Effect.gen(function* () {
        const { calls, ends } = yield* resolved(habits, fate, batch, options)
        assert.deepStrictEqual(countsOf(ends), expected)
        assert.isAtMost(calls, most)
      })
    )
  }

  it.effect("says of what it took to exist, and of nothing else, that it was assumed", () =>
    Effect.gen(function* () {
      for (const assumeInOrder of [true, false]) {
        const { world } = yield* resolved(plain, "failed", rows(50), { at: 20, assumeInOrder })
        const existing = [...world.ends.values()].filter(({ end }) => end === "existing")
        assert.strictEqual(existing.length, 20)
        for (const { assumed } of existing) assert.strictEqual(assumed, assumeInOrder)
      }
    })
  )

  it.effect("submits what is absent again no more often than it may", () =>
    Effect.gen(function* () {
      const { ends } = yield* resolved(plain, "failed", rows(50), { at: 20, rounds: 1 })
      assert.deepStrictEqual(countsOf(ends), { existing: 20, open: 30 })
    })
  )

  it.effect("waits after a lost answer to its own submission before it asks anything", () =>
    Effect.gen(function* () {
      for (const fate of fates) {
        for (const loseSubmits of [1, 2, 4, 5, 6]) {
          const { open } = yield* resolved({ ...plain, loseSubmits }, fate, mixed(30, { bad: 1, repeats: true }))
          assert.isEmpty(open, `${fate}, ${loseSubmits} lost`)
        }
      }
    })
  )

  it.effect("calls a record bad by its own code, and submits it no more", () =>
    Effect.gen(function* () {
      const batch = mixed(40, { bad: 3, repeats: false })
      const { candidates, world } = yield* resolved(plain, "failed", batch)
      batch.forEach(({ bad }, i) => {
        const known = world.ends.get(candidates[i]!)!
        assert.strictEqual(known.code === "BAD", bad === true)
        assert.strictEqual(known.end === "failed", bad === true)
      })
      for (const { kind, rows } of world.log) assert.isFalse(kind === "submit" && rows.some(({ bad }) => bad === true))
    })
  )

  it.effect("dry runs never carry a value of a record but to ask whether it exists", () =>
    Effect.gen(function* () {
      const { world } = yield* resolved(plain, "notTaken", mixed(40, { bad: 3, repeats: false }))
      // Up to the next submission: copies alone.
      const from = world.log.findIndex(({ kind }) => kind === "dryRun")
      const to = world.log.findIndex(({ kind }, i) => kind === "submit" && i > from)
      const values = world.log.slice(from, to).flatMap(({ rows }) => rows.map(({ accessToken }) => accessToken))
      const own = values.filter((value) => value.startsWith("a-") && value !== specimenRow.accessToken)
      // Whether the three bad ones exist may be asked.
      assert.isAtMost(own.length, 6)
      assert.strictEqual(new Set(values).size + own.length >= values.length - 6, true)
    })
  )

  it.effect("tries what a dry run notices once for all batches, and tells it", () =>
    Effect.gen(function* () {
      const world = makeWorld(plain)
      world.add(specimenRow)
      const { resolution, trials } = yield* makeResolution()
      const batches = Array.from({ length: 5 }, (_, k) =>
        rows(20, (row) => ({
          ...row,
          accessToken: `${row.accessToken}-${k}`,
          ...(row.refreshToken === undefined ? undefined : { refreshToken: `${row.refreshToken}-${k}` })
        })).map(candidate)
      )
      for (const batch of batches) {
        const texts = batch.map(({ json }) => JSON.parse(Redacted.value(json)) as Row)
        world.suffer(texts, "taken")
      }
      yield* Effect.forEach(
        batches,
        (candidates) => Resolution.resolve(resolution, { candidates, why: "InDoubt" }, world.calls),
        { concurrency: "unbounded" }
      )
      for (const batch of batches) assert.isEmpty(heldAgainst(world, batch))
      assert.deepStrictEqual(
        trials.map(({ borneOut, code, field }) => ({ field, borneOut, code })),
        [{ field: "access", borneOut: true, code: "ACCESS_EXISTS" }]
      )
    })
  )

  it.effect("tells apart what exists: an access value, or only a refresh value", () =>
    Effect.gen(function* () {
      const batch = rows(12, (row, i) => (i === 6 ? { ...row, refreshToken: "r-elsewhere" } : row))
      const { candidates, trials, world } = yield* resolved(plain, "takenInPart", batch)
      assert.deepInclude(world.ends.get(candidates[6]!), { end: "failed", code: "REFRESH_EXISTS" })
      assert.deepStrictEqual(
        trials.map(({ borneOut, code, field }) => ({ field, borneOut, code })),
        [
          { field: "access", borneOut: true, code: "ACCESS_EXISTS" },
          { field: "refresh", borneOut: true, code: "REFRESH_EXISTS" }
        ]
      )
    })
  )

  it.effect("believes no dry run that lets a value pass which exists", () =>
    Effect.gen(function* () {
      const { ends, trials, world } = yield* resolved(blind, "takenInPart", rows(30))
      assert.notInclude(ends, "existing")
      assert.strictEqual(trials.length, 1)
      assert.deepInclude(trials[0], { field: "access", borneOut: false })
      assert.include(trials[0]!.message, "does not notice")
      assert.strictEqual(world.log.filter(({ kind }) => kind === "submit").length, 1)
    })
  )

  for (const [name, answers] of [
    ["each time with another code", { changing: true, all: false }],
    ["while a known good one fails as well", { changing: false, all: true }]
  ] as const) {
    it.effect(`does not call a record bad that fails ${name}`, () =>
      Effect.gen(function* () {
        const world = makeWorld(atomic)
        world.add(specimenRow)
        const candidates = rows(8, (row, i) => (i === 3 ? { ...row, bad: true } : row)).map(candidate)
        const { resolution } = yield* makeResolution()
        let asked = 0
        yield* Resolution.resolve(
          resolution,
          { candidates, why: "Failed" },
          {
            ...world.calls,
            dryRun: (texts) =>
              Effect.map(world.calls.dryRun(texts), (answer) => {
                if (answer._tag !== "Failed" && !(answers.all && texts.length === 1)) return answer
                return { _tag: "Failed", code: answers.changing ? `CODE_${++asked}` : "BAD", message: "" } as const
              })
          }
        )
        assert.isUndefined(world.ends.get(candidates[3]!))
      })
    )
  }

  it.effect("gets what it needs to try things with by submitting halves", () =>
    Effect.gen(function* () {
      const { ends, made, open } = yield* resolved(plain, "takenInPart", rows(40), { specimen: false, at: 25 })
      assert.isEmpty(open)
      assert.isAbove(made.length, 0)
      assert.strictEqual(countsOf(ends)["existing"], 25)
    })
  )

  it.effect("asks once about a value that many records repeat", () =>
    Effect.gen(function* () {
      const oneAccess = rows(1000, (row) => ({ subject: row.subject, accessToken: "a-same" }))
      const access = yield* resolved(plain, "taken", oneAccess)
      assert.deepStrictEqual(countsOf(access.ends), { existing: 1000 })
      assert.isAtMost(access.calls, 60)
      const oneRefresh = rows(1000, (row) => ({ ...row, refreshToken: "r-same" }))
      const refresh = yield* resolved(plain, "notTaken", oneRefresh)
      assert.deepStrictEqual(countsOf(refresh.ends), { created: 1, failed: 999 })
      assert.isAtMost(refresh.calls, 1060)
    })
  )

  it.effect("does not say that an access value is absent which another batch creates meanwhile", () =>
    Effect.gen(function* () {
      const twin: Row = { subject: "twin", accessToken: "a-9", refreshToken: "r-9" }
      let met = 0
      for (let moment = 1; moment < 60; moment++) {
        const world = makeWorld(plain)
        world.add(specimenRow)
        world.add({ subject: "elsewhere", accessToken: "a-elsewhere", refreshToken: "r-elsewhere" })
        const batch = rows(10, (row, i) => (i === 8 ? { ...row, refreshToken: "r-elsewhere" } : row))
        world.suffer(batch, "takenInPart")
        const { resolution } = yield* makeResolution()
        let asked = 0
        const calls: Resolution.Calls = {
          ...world.calls,
          dryRun: (texts) =>
            Effect.tap(world.calls.dryRun(texts), () =>
              Effect.sync(() => {
                if (++asked !== moment || world.ledger.has(twin.accessToken)) return
                met++
                world.add(twin)
              })
            )
        }
        yield* Resolution.resolve(resolution, { candidates: batch.map(candidate), why: "InDoubt" }, calls)
      }
      assert.isAbove(met, 10)
    })
  )

  it.effect("takes a failure for no reason for no sign that a token exists, though the codes are the same", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= 200; seed++) {
        const habits = { ...habitsOf[0]!, order: "shuffled", spurious: 1, oneCode: true, seed } as const
        yield* resolved(
          habits,
          "takenInPart",
          rows(40, (row, i) => (i === 20 ? { ...row, bad: true } : row))
        )
      }
    })
  )
})
