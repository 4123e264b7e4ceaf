/** The stage alone, against a service that answers at once: every habit by every way a batch can be left, and what each costs. */
import { Resolution, ResolutionPolicy } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { dice } from "./fixtures.ts"

interface Requested {
  readonly subject: string
  readonly accessToken: string
  readonly refreshToken?: string
  readonly scopes?: ReadonlyArray<string>
}

interface Habits {
  readonly failureMode: "prefix" | "atomic"
  readonly inOrder: boolean
  readonly checksExisting: boolean
}

const makeService = ({ checksExisting, failureMode, inOrder }: Habits) => {
  const access = new Set<string>()
  const refresh = new Set<string>()
  const carryOut = (records: ReadonlyArray<Requested>, dryRun: boolean): Resolution.Answer => {
    const seen = { access: new Set<string>(), refresh: new Set<string>() }
    const look = !dryRun || checksExisting
    const done: Array<Requested> = []
    let code: string | undefined
    const order = inOrder ? records : records.toSorted((a, b) => spread(a.subject) - spread(b.subject))
    for (const record of order) {
      if (record.scopes?.includes("bad") === true) code = "BAD"
      else if (seen.access.has(record.accessToken) || (look && access.has(record.accessToken))) code = "ACCESS_EXISTS"
      else if (record.refreshToken !== undefined) {
        if (seen.refresh.has(record.refreshToken) || (look && refresh.has(record.refreshToken))) code = "REFRESH_EXISTS"
      }
      if (code !== undefined) break
      done.push(record)
      seen.access.add(record.accessToken)
      if (record.refreshToken !== undefined) seen.refresh.add(record.refreshToken)
    }
    if (!dryRun && (code === undefined || failureMode === "prefix")) {
      for (const { accessToken, refreshToken } of done) {
        assert.isFalse(access.has(accessToken))
        access.add(accessToken)
        if (refreshToken !== undefined) refresh.add(refreshToken)
      }
    }
    return code === undefined ? { _tag: "Succeeded" } : { _tag: "Failed", code, message: code, tokenCount: done.length }
  }
  return { access, refresh, carryOut }
}

const spread = (text: string) => [...text].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 16777619) >>> 0, 2166136261)

const record = (n: number, more: Partial<Requested> = {}): Requested => ({
  subject: `user-${n}`,
  accessToken: `access-value-${n}`,
  refreshToken: `refresh-value-${n}`,
  ...more
})

const candidatesOf = (records: ReadonlyArray<Requested>): ReadonlyArray<Resolution.Candidate> =>
  // An id that no JavaScript number can hold has to come through every change of values.
  records.map((r, index) => ({
    index,
    json: Redacted.make(JSON.stringify(r).replace("{", '{"clientId":9007199254740993,'))
  }))

/** Resolves records, and tells what was called what, and how many calls it took. */
const resolve = Effect.fnUntraced(function* (
  records: ReadonlyArray<Requested>,
  service: ReturnType<typeof makeService>,
  why: Resolution.Doubtful["why"],
  options: {
    readonly specimen?: boolean
    readonly policy?: Partial<ResolutionPolicy.ResolutionPolicy>
    readonly budget?: number
    readonly lose?: (call: number) => boolean
  } = {}
) {
  const ends = new Map<number, string>()
  const messages: Array<string> = []
  let submits = 0
  let dryRuns = 0
  const known = record(0, { accessToken: "known-access-value", refreshToken: "known-refresh-value" })
  if (options.specimen !== false) service.carryOut([known], false)
  const resolution = yield* Resolution.make({
    policy: { ...ResolutionPolicy.defaults, ...options.policy },
    specimen: () => (options.specimen === false ? undefined : candidatesOf([known])[0]!.json),
    onCalibrated: () => Effect.void
  })
  const parse = (json: Redacted.Redacted) => {
    assert.include(Redacted.value(json), '"clientId":9007199254740993')
    return JSON.parse(Redacted.value(json)) as Requested
  }
  const spent = () => submits + dryRuns >= (options.budget ?? Infinity)
  yield* Resolution.resolve(
    resolution,
    { candidates: candidatesOf(records), why },
    {
      submit: (some) =>
        Effect.sync(() => {
          if (spent()) return { _tag: "OutOfBudget" }
          submits++
          const answer = service.carryOut(
            some.map(({ json }) => parse(json)),
            false
          )
          if (options.lose?.(submits) === true) return { _tag: "InDoubt", code: "LOST", message: "" }
          if (answer._tag === "Succeeded") for (const { index } of some) ends.set(index, "created")
          return answer
        }),
      dryRun: (texts) =>
        Effect.sync(() => {
          if (spent()) return { _tag: "OutOfBudget" }
          dryRuns++
          return service.carryOut(texts.map(parse), true)
        }),
      settle: ({ candidates, end, message }) =>
        Effect.sync(() => {
          messages.push(message)
          for (const { index } of candidates) {
            assert.isFalse(ends.has(index), `${index} ends once`)
            ends.set(index, end)
          }
        }),
      settled: Effect.void
    }
  )
  return { ends, submits, dryRuns, calls: submits + dryRuns, messages }
})

/** No verdict may be wrong. */
const check = (
  records: ReadonlyArray<Requested>,
  ends: ReadonlyMap<number, string>,
  service: ReturnType<typeof makeService>
) => {
  for (const [index, { accessToken, scopes }] of records.entries()) {
    const end = ends.get(index)
    const there = service.access.has(accessToken)
    if (end === "created" || end === "existing") assert.isTrue(there, `${index} is called ${end}`)
    if (end === "failed") {
      const shared = records.filter((other) => other.accessToken === accessToken).length > 1
      assert.isTrue(scopes?.includes("bad") === true || !there || shared, `${index} is called failed`)
    }
  }
}

const open = (records: ReadonlyArray<Requested>, ends: ReadonlyMap<number, string>) =>
  records.filter((_, index) => !ends.has(index)).length

describe("Resolution", () => {
  for (const failureMode of ["prefix", "atomic"] as const) {
    for (const inOrder of [true, false]) {
      for (const checksExisting of [true, false]) {
        for (const left of ["taken", "not taken", "taken in part", "failed"] as const) {
          it.effect(
            `${failureMode}, ${inOrder ? "in order" : "shuffled"}, dry runs ${checksExisting ? "see" : "do not see"} what exists: a batch that was ${left}`,
            () =>
              Effect.gen(function* () {
                for (let seed = 1; seed <= 12; seed++) {
                  const roll = dice(seed * 7919)
                  const service = makeService({ failureMode, inOrder, checksExisting })
                  const records = Array.from({ length: 3 + roll(60) }, (_, i) => {
                    const kind = left === "taken" ? 9 : roll(12)
                    if (kind === 0) return record(i + 1, { scopes: ["bad"] })
                    if (kind === 1 && i > 0) return record(i + 1, { accessToken: `access-value-${1 + roll(i)}` })
                    if (kind === 2 && i > 0) return record(i + 1, { refreshToken: `refresh-value-${1 + roll(i)}` })
                    return record(i + 1)
                  })
                  // Somebody else's token with the refresh value of one of them.
                  if (roll(2) === 0 && left !== "taken") {
                    service.carryOut([record(9000, { refreshToken: "refresh-value-2" })], false)
                  }
                  if (left === "taken" || left === "failed") service.carryOut(records, false)
                  if (left === "taken in part") service.carryOut(records.slice(0, roll(records.length)), false)
                  const { ends } = yield* resolve(records, service, left === "failed" ? "Failed" : "InDoubt")
                  check(records, ends, service)
                  if (checksExisting) assert.strictEqual(open(records, ends), 0, `seed ${seed}`)
                }
              })
          )
        }
      }
    }
  }

  it.effect("finds a record to try things with by submitting halves, where none is known", () =>
    Effect.gen(function* () {
      const service = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
      const records = Array.from({ length: 200 }, (_, i) => record(i + 1))
      service.carryOut(records.slice(0, 70), false)
      const { ends } = yield* resolve(records, service, "InDoubt", { specimen: false })
      check(records, ends, service)
      assert.strictEqual(open(records, ends), 0)
      // Where nothing can be created, nothing can be tried, and nothing is said.
      const all = makeService({ failureMode: "atomic", inOrder: true, checksExisting: true })
      all.carryOut(records, false)
      const nothing = yield* resolve(records, all, "InDoubt", { specimen: false })
      assert.strictEqual(nothing.ends.size, 0)
    })
  )

  it.effect("submits again when the answer to that is lost as well, and gives up at last", () =>
    Effect.gen(function* () {
      const records = Array.from({ length: 20 }, (_, i) => record(i + 1))
      const service = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
      const once = yield* resolve(records, service, "InDoubt", { lose: (call) => call === 1 })
      assert.deepStrictEqual([...new Set(once.ends.values())], ["existing"])
      const never = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
      const lost = yield* resolve(records, never, "InDoubt", { lose: () => true })
      assert.isTrue(lost.submits <= 5)
    })
  )

  it.effect("stops where its budget ends, and says nothing of what is open then", () =>
    Effect.gen(function* () {
      const records = Array.from({ length: 100 }, (_, i) => record(i + 1, i % 9 === 0 ? { scopes: ["bad"] } : {}))
      for (let budget = 0; budget < 120; budget += 5) {
        const service = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
        service.carryOut(records, false)
        const { calls, ends } = yield* resolve(records, service, "Failed", { budget })
        assert.isTrue(calls <= budget)
        check(records, ends, service)
      }
    })
  )

  it.effect(
    "assumes order where it is told to, with a search in place of proofs, and not where it does not look so",
    () =>
      Effect.gen(function* () {
        const records = Array.from({ length: 1000 }, (_, i) => record(i + 1))
        const service = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
        service.carryOut(records.slice(0, 400), false)
        const assumed = yield* resolve(records, service, "Failed", { policy: { assumeInOrder: true } })
        check(records, assumed.ends, service)
        assert.strictEqual(open(records, assumed.ends), 0)
        assert.isTrue(assumed.calls < 40, `${assumed.calls} calls`)
        assert.isTrue(assumed.messages.every((message) => message.includes("if the service works in order")))
        const gaps = makeService({ failureMode: "prefix", inOrder: true, checksExisting: true })
        gaps.carryOut(
          records.filter((_, i) => i % 10 === 5),
          false
        )
        const proved = yield* resolve(records, gaps, "Failed", { policy: { assumeInOrder: true } })
        check(records, proved.ends, gaps)
      })
  )

  /** The figures of docs/guarantees.md. */
  it.effect("costs no more than is said", () =>
    Effect.gen(function* () {
      const habits = { failureMode: "prefix", inOrder: true, checksExisting: true } as const
      const records = Array.from({ length: 1000 }, (_, i) => record(i + 1))
      const costs: Record<string, number> = {}

      costs["not taken"] = (yield* resolve(records, makeService(habits), "InDoubt")).calls
      const taken = makeService(habits)
      taken.carryOut(records, false)
      costs["taken"] = (yield* resolve(records, taken, "InDoubt")).calls
      const kept = makeService(habits)
      kept.carryOut(records.slice(0, 400), false)
      costs["a prefix of 400 kept"] = (yield* resolve(records, kept, "Failed")).calls
      for (const k of [1, 3, 10]) {
        const spoilt = records.map((r, i) =>
          i % Math.floor(1000 / k) === 500 % Math.floor(1000 / k) ? { ...r, scopes: ["bad"] } : r
        )
        const atomic = makeService({ ...habits, failureMode: "atomic" })
        atomic.carryOut(spoilt, false)
        const { calls, ends } = yield* resolve(spoilt, atomic, "Failed")
        assert.strictEqual([...ends.values()].filter((end) => end === "failed").length, k)
        costs[`${k} bad, rolled back`] = calls
      }
      if (process.env["SHOW_COSTS"] !== undefined) console.log(costs)
      assert.strictEqual(costs["not taken"], 1)
      assert.isTrue(costs["taken"]! <= 1050)
      assert.isTrue(costs["a prefix of 400 kept"]! <= 450)
      assert.isTrue(costs["1 bad, rolled back"]! <= 30)
      assert.isTrue(costs["3 bad, rolled back"]! <= 60)
      assert.isTrue(costs["10 bad, rolled back"]! <= 180)
    })
  )
})
