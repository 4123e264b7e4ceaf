/**
 * Finds out what became of records whose fate is not known: of a batch in doubt, whose answer was lost, and of one that FAILED, which
 * may have been carried out in part.
 *
 * What makes it possible is that a token value which exists cannot be inserted again. So a record with its own access token can be
 * submitted again without ever making a second token, and whether it exists can be asked. Step by step:
 *
 * 1. A batch in doubt is submitted again. If that succeeds, nothing of it was there, and now all of it is created.
 * 2. Which records are bad? A dry run of copies with fresh token values tells; halves are tried until the bad ones stand alone. One is
 *    failed once it has failed repeatedly with one code while a control, a record known to be good, passed.
 * 3. The good ones are submitted again. If that succeeds, they are created. If not, some of them exist:
 * 4. Which? That nothing in a group exists is proved by a dry run of it that succeeds; that a record exists, by a control that carries
 *    its access token value and fails with the code that means so. What does not exist goes back to 3.
 *
 * That a dry run notices what exists is published nowhere, nor by which code it says so. So before 4 it is tried on a record that was
 * created in this run ({@link make}'s `specimen`), and where it does not bear out, 4 is not used and records stay unresolved.
 *
 * Nothing here knows of files, journals or HTTP: what it does to the world is {@link Calls}.
 */
import { Int64 } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { randomBytes } from "node:crypto"
import type { ResolutionPolicy } from "./ResolutionPolicy.ts"

/** A record to be resolved; it carries an access token of its own. */
export interface Candidate {
  /** Its place among the records of its batch, from 0. */
  readonly index: number
  /** The record as it was sent: one JSON object. */
  readonly json: Redacted.Redacted
}

/** What came of a call. */
export type Answer =
  | { readonly _tag: "Succeeded" }
  /** FAILED, or refused. `tokenCount`: tokens processed, as the service says. */
  | { readonly _tag: "Failed"; readonly code: string; readonly message: string; readonly tokenCount?: number }
  /** Nobody knows. */
  | { readonly _tag: "InDoubt"; readonly code: string; readonly message: string }
  /** The run stops: everything stays as it is. */
  | { readonly _tag: "Stopped" }
  /** No calls are left: the same. */
  | { readonly _tag: "OutOfBudget" }

/** The end of some records, found out without submitting them again. */
export interface Verdict {
  readonly end: "existing" | "failed"
  readonly candidates: ReadonlyArray<Candidate>
  readonly code: string
  readonly message: string
  /** Not proved: the service was taken to work in order. */
  readonly assumed?: true
}

/** What resolving does to the world. */
export interface Calls {
  /** Really submits records again, as they are. They are known to be created when it has succeeded. */
  readonly submit: (candidates: ReadonlyArray<Candidate>) => Effect.Effect<Answer>
  /** A dry run of records, as one batch. */
  readonly dryRun: (records: ReadonlyArray<Redacted.Redacted>) => Effect.Effect<Answer>
  /** Takes a verdict down. */
  readonly settle: (verdict: Verdict) => Effect.Effect<void>
  /** Waits until nothing that was sent can still be at work. */
  readonly settled: Effect.Effect<void>
}

/** Records of one batch, and why they are unresolved. */
export interface Doubtful {
  readonly candidates: ReadonlyArray<Candidate>
  readonly why: "InDoubt" | "Failed"
  /** Whether an earlier leg has looked into them to its end: what was submitted in vain then is not submitted once more. */
  readonly examined?: boolean | undefined
  /** Whether parts of them were submitted again, each by itself: what exists is no beginning then, however the service works. */
  readonly inParts?: boolean | undefined
}

/** Which of a record's token values. */
export type Field = "access" | "refresh"

/** What came of trying whether a dry run notices a value that exists. */
export interface Trial {
  readonly field: Field
  readonly borneOut: boolean
  /** The code that means "exists" here. */
  readonly code?: string
  readonly message?: string
}

/** What the batches of a leg share: records that are known to be good, and what the trial has shown. */
export interface Resolution {
  readonly policy: Pick<ResolutionPolicy, "assumeInOrder" | "rounds">
  /** A record that was created in this run, with a value for that field. */
  readonly specimen: (field: Field) => Redacted.Redacted | undefined
  /** Takes note of records that were created by submitting them again. */
  readonly created: (records: ReadonlyArray<Candidate>) => void
  /** Codes with which records failed that are known to be good: what they say denies nothing. */
  readonly noise: Set<string>
  /** Whether submitting halves down to single records has created nothing: it is not tried on another batch then. */
  barren: boolean
  /** Runs the trial, or gives what came of it before. `undefined` if it cannot be run, for want of a specimen. */
  readonly calibrate: (field: Field, calls: Calls) => Effect.Effect<Trial | undefined, Halt>
}

/** The run stops, or has no calls left. */
class Halt extends Schema.TaggedError<Halt>()("Halt", {}) {}

/** Attempts to submit a batch in doubt whose answers are lost again and again. */
const maxAttempts = 5

/**
 * How often a record must fail again, each time with the same code and while a control passes, to be called failed. More than once,
 * since a service may also fail for no reason of the record, and no more than that would be needed to call a created one failed.
 */
const confirmations = 3

/** Dry runs of either kind in a trial. */
const trialSize = 6

/** How often an answer that settles nothing is asked for again. */
const maxAsks = 3

/** Suspects that the service's `tokenCount` points at are looked at before halves are tried. */
const maxHints = 8

/** As many dry runs may fail, of records of which nothing has passed and without a control, before they are given up for now. */
const maxFailures = 64

/** As many existing records are proved before they are settled. */
const proofs = 64

/** Groups that are this small are asked about one by one. */
const fewRecords = 4

/** For one leg. */
export const make = Effect.fnUntraced(function* (options: {
  readonly policy: Pick<ResolutionPolicy, "assumeInOrder" | "rounds">
  /** A record that was created in this run and carries a value of its own for that field, if there is one. */
  readonly specimen: (field: Field) => Redacted.Redacted | undefined
  /** Told once for each field. */
  readonly onCalibrated: (trial: Trial) => Effect.Effect<void>
}): Effect.fn.Return<Resolution> {
  const lock = yield* Semaphore.make(1)
  const own: { [F in Field]?: Redacted.Redacted } = {}
  const trials: { [F in Field]?: Trial } = {}
  const noise = new Set<string>()
  const specimen = (field: Field) => options.specimen(field) ?? own[field]
  return {
    policy: options.policy,
    noise,
    barren: false,
    specimen,
    created: (records) => {
      for (const { json } of records) {
        own.access ??= json
        if (own.refresh !== undefined) return
        if (valueOf(json, "refresh") !== undefined) own.refresh = json
      }
    },
    calibrate: (field, calls) =>
      lock.withPermits(1)(
        Effect.gen(function* () {
          const known = trials[field]
          const record = specimen(field)
          if (known !== undefined || record === undefined) return known
          const trial = yield* runTrial(field, record, calls, noise)
          trials[field] = trial
          yield* options.onCalibrated(trial)
          return trial
        })
      )
  }
})

// -----------------------------------------------------------------------------
// Records
// -----------------------------------------------------------------------------

const fields = { access: "accessToken", refresh: "refreshToken" } as const

const valueOf = (json: Redacted.Redacted, field: Field): string | undefined => {
  const value = (JSON.parse(Redacted.value(json)) as Record<string, unknown>)[fields[field]]
  return typeof value === "string" ? value : undefined
}

const fresh = () => randomBytes(32).toString("base64url")

/** A copy of a record with token values of its own, all of them fresh but those that are given. */
const copyOf = (json: Redacted.Redacted, values: { readonly [F in Field]?: string | undefined } = {}) => {
  const record = JSON.parse(Redacted.value(json), Int64.reviver) as Record<string, unknown>
  record[fields.access] = values.access ?? fresh()
  if (record[fields.refresh] != null) record[fields.refresh] = values.refresh ?? fresh()
  return Redacted.make(JSON.stringify(record, Int64.rawJson))
}

/** Those that can go together, and those that carry a token value of one before them. */
const withoutRepeats = (candidates: ReadonlyArray<Candidate>) => {
  const seen = { access: new Set<string>(), refresh: new Set<string>() }
  const first: Array<Candidate> = []
  const repeats: Array<Candidate> = []
  for (const candidate of candidates) {
    const access = valueOf(candidate.json, "access")!
    const refresh = valueOf(candidate.json, "refresh")
    const isRepeat = seen.access.has(access) || (refresh !== undefined && seen.refresh.has(refresh))
    if (isRepeat) {
      repeats.push(candidate)
      continue
    }
    first.push(candidate)
    seen.access.add(access)
    if (refresh !== undefined) seen.refresh.add(refresh)
  }
  return { first, repeats }
}

// -----------------------------------------------------------------------------
// Calls
// -----------------------------------------------------------------------------

type Settled = Exclude<Answer, { readonly _tag: "Stopped" | "OutOfBudget" }>

const orHalt = (call: Effect.Effect<Answer>): Effect.Effect<Settled, Halt> =>
  Effect.flatMap(call, (answer) =>
    answer._tag === "Stopped" || answer._tag === "OutOfBudget" ? Effect.fail(new Halt()) : Effect.succeed(answer)
  )

/** All at once: true concurrency is for the calls to limit. */
const all = { concurrency: "unbounded" } as const

/**
 * Whether a dry run notices a value that exists, on a record that does: with its own value it has to fail with one code, with a fresh one
 * to pass. Asked six times each, and up to twice as often again where the answers differ, so that a service which sometimes fails for
 * no reason is not misunderstood: what such failures say, they also say of fresh values.
 */
const runTrial = Effect.fnUntraced(function* (
  field: Field,
  record: Redacted.Redacted,
  calls: Calls,
  noise: Set<string>
): Effect.fn.Return<Trial, Halt> {
  const value = valueOf(record, field)
  const ask = (values: { readonly [F in Field]?: string | undefined }) => orHalt(calls.dryRun([copyOf(record, values)]))
  const own: Array<Settled> = []
  const others: Array<Settled> = []
  for (let attempt = 1; attempt <= maxAsks; attempt++) {
    const asked = Array.from({ length: trialSize }, (_, i) => i)
    own.push(...(yield* Effect.forEach(asked, () => ask({ [field]: value }), all)))
    others.push(...(yield* Effect.forEach(asked, () => ask({}), all)))
    for (const answer of others) if (answer._tag === "Failed") noise.add(answer.code)
    if (own.some(({ _tag }) => _tag === "Succeeded")) {
      return { field, borneOut: false, message: `a dry run does not notice that the ${fields[field]} value exists` }
    }
    const [code, count] = mostCommonCode(own)
    const passed = others.filter(({ _tag }) => _tag === "Succeeded").length
    const enough = attempt === 1 ? trialSize : (own.length * 3) / 4
    if (code !== undefined && count >= enough && passed >= others.length / 2 && !noise.has(code)) {
      return { field, borneOut: true, code }
    }
  }
  return { field, borneOut: false, message: "dry runs of one record gave different answers" }
})

const mostCommonCode = (answers: ReadonlyArray<Settled>): readonly [code: string | undefined, count: number] => {
  const counts = new Map<string, number>()
  for (const answer of answers) {
    if (answer._tag === "Failed") counts.set(answer.code, (counts.get(answer.code) ?? 0) + 1)
  }
  return [...counts].sort(([, a], [, b]) => b - a)[0] ?? [undefined, 0]
}

// -----------------------------------------------------------------------------
// The steps
// -----------------------------------------------------------------------------

/**
 * Finds out about the records of one batch, as far as it goes; what is not settled then stays as it is. Gives whether it came to its end:
 * the run may stop before.
 */
export const resolve = (
  resolution: Resolution,
  { candidates, examined = false, inParts = false, why }: Doubtful,
  calls: Calls
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    if (examined && resolution.specimen("access") === undefined) resolution.barren = true
    return Effect.andThen(calls.settled, work(resolution, candidates, why, calls, inParts))
  }).pipe(
    Effect.as(true),
    Effect.catchTag("Halt", () => Effect.succeed(false))
  )

const work: (
  resolution: Resolution,
  candidates: ReadonlyArray<Candidate>,
  why: Doubtful["why"],
  calls: Calls,
  inParts: boolean
) => Effect.Effect<void, Halt> = Effect.fnUntraced(function* (resolution, candidates, why, calls, inParts) {
  // Records with one value cannot be created together: the first of them goes ahead.
  const { first, repeats } = withoutRepeats(candidates)
  const submit = (records: ReadonlyArray<Candidate>) =>
    Effect.tap(orHalt(calls.submit(records)), ({ _tag }) =>
      _tag === "Succeeded" ? Effect.sync(() => resolution.created(records)) : Effect.void
    )
  const steps: Steps = { resolution, calls, submit, inParts }

  const again = why === "InDoubt" ? yield* submitUntilKnown(first, steps) : undefined
  if (again?._tag !== "Succeeded") {
    const sorted = yield* sortOut(first, steps, { hints: maxHints, failures: maxFailures })
    yield* settleSorted(sorted, steps)
    const allGood = sorted.good.length === first.length
    yield* submitGood(sorted.good, steps, again !== undefined && allGood)
    // Without a control nothing could be said of these; by now there may be one.
    if (sorted.unclear.length > 0 && resolution.specimen("access") !== undefined) {
      const rest = yield* sortOut(sorted.unclear, steps, { hints: 0, failures: maxFailures })
      yield* settleSorted(rest, steps)
      yield* submitGood(rest.good, steps, false)
    }
  }
  const others = yield* settleRepeats(repeats, steps)
  if (others.length > 0) yield* work(resolution, others, "Failed", calls, steps.inParts)
})

/** What the steps work with. */
interface Steps {
  readonly resolution: Resolution
  readonly calls: Calls
  readonly submit: (records: ReadonlyArray<Candidate>) => Effect.Effect<Settled, Halt>
  /** Whether parts of the records were submitted again, each by itself. */
  inParts: boolean
}

/** Step 1. A lost answer to it is no worse than the one before; after the last, it is asked what is there. */
const submitUntilKnown = Effect.fnUntraced(function* (records: ReadonlyArray<Candidate>, { calls, submit }: Steps) {
  for (let attempt = 1; ; attempt++) {
    const answer = yield* submit(records)
    if (answer._tag !== "InDoubt") return answer
    yield* calls.settled
    if (attempt === maxAttempts) return answer
  }
})

/** What a dry run of copies shows: records that would be created, records that would not, and those of which it cannot be said. */
interface Sorted {
  readonly good: ReadonlyArray<Candidate>
  readonly bad: ReadonlyArray<{ readonly record: Candidate; readonly code: string; readonly message: string }>
  readonly unclear: ReadonlyArray<Candidate>
  /** Records that would not be created, but exist. */
  readonly existing: ReadonlyArray<Candidate>
}

const unsorted: Sorted = { good: [], bad: [], unclear: [], existing: [] }

const together = (parts: ReadonlyArray<Sorted>): Sorted => ({
  good: parts.flatMap(({ good }) => good),
  bad: parts.flatMap(({ bad }) => bad),
  unclear: parts.flatMap(({ unclear }) => unclear),
  existing: parts.flatMap(({ existing }) => existing)
})

const halvesOf = <A>(records: ReadonlyArray<A>) => {
  const middle = Math.ceil(records.length / 2)
  return [records.slice(0, middle), records.slice(middle)]
}

/** Step 2. */
const sortOut: (
  records: ReadonlyArray<Candidate>,
  steps: Steps,
  left: { hints: number; failures: number }
) => Effect.Effect<Sorted, Halt> = Effect.fnUntraced(function* (records, steps, left) {
  if (records.length === 0) return unsorted
  // Without a control none of them could be called failed, so that there is nothing to be found but a good one.
  if (left.failures <= 0 && steps.resolution.specimen("access") === undefined) return { ...unsorted, unclear: records }
  const answer = yield* orHalt(steps.calls.dryRun(records.map(({ json }) => copyOf(json))))
  if (answer._tag === "Succeeded") {
    left.failures = Infinity
    return { ...unsorted, good: records }
  }
  left.failures--
  if (records.length === 1) return yield* judge(records[0]!, answer, steps)
  const suspect = answer._tag === "Failed" ? answer.tokenCount : undefined
  const pointedAt = suspect === undefined ? undefined : records[suspect]
  if (suspect !== undefined && pointedAt !== undefined && left.hints > 0) {
    left.hints--
    const alone = yield* sortOut([pointedAt], steps, left)
    if (alone.good.length === 0) {
      const others = [records.slice(0, suspect), records.slice(suspect + 1)]
      return together([alone, ...(yield* Effect.forEach(others, (part) => sortOut(part, steps, left), all))])
    }
    // It points at nothing, so it is not to be followed any further.
    left.hints = 0
  }
  return together(yield* Effect.forEach(halvesOf(records), (part) => sortOut(part, steps, left), all))
})

/**
 * A record whose copy failed alone: bad, once it has failed again and again with one code while controls passed. Should it exist all the
 * same, that is what there is to say of it.
 */
const judge = Effect.fnUntraced(function* (
  record: Candidate,
  answer: Settled,
  steps: Steps
): Effect.fn.Return<Sorted, Halt> {
  const { calls, resolution } = steps
  const unclear: Sorted = { ...unsorted, unclear: [record] }
  const control = resolution.specimen("access")
  if (control === undefined || answer._tag !== "Failed") return unclear
  for (let confirmed = 0; confirmed < confirmations;) {
    if (!(yield* controlPasses(control, steps))) return unclear
    const again = yield* orHalt(calls.dryRun([copyOf(record.json)]))
    if (again._tag === "Succeeded") return { ...unsorted, good: [record] }
    if (again._tag !== "Failed" || again.code !== answer.code) return unclear
    confirmed++
  }
  const { code, message } = answer
  const trial = yield* resolution.calibrate("access", calls)
  if (resolution.noise.has(code)) return unclear
  if (trial?.borneOut === true) {
    const state = yield* existsTwice(record, trial, steps)
    if (state === "existing") return { ...unsorted, existing: [record] }
    if (state === "unclear") return unclear
  }
  return { ...unsorted, bad: [{ record, code, message }] }
})

/** Whether a known good record passes with fresh values. A service that sometimes fails for no reason is given some chances. */
const controlPasses = Effect.fnUntraced(function* (control: Redacted.Redacted, { calls, resolution }: Steps) {
  for (let asked = 0; asked < maxAsks; asked++) {
    const answer = yield* orHalt(calls.dryRun([copyOf(control)]))
    if (answer._tag === "Succeeded") return true
    if (answer._tag === "Failed") resolution.noise.add(answer.code)
  }
  return false
})

/** Settles what step 2 has shown. */
const settleSorted = Effect.fnUntraced(function* ({ bad, existing }: Sorted, { calls, resolution }: Steps) {
  for (const { code, message, record } of bad) {
    yield* calls.settle({ end: "failed", candidates: [record], code, message })
  }
  const trial = existing.length === 0 ? undefined : yield* resolution.calibrate("access", calls)
  if (trial !== undefined) yield* settleExisting(existing, trial, calls)
})

const settleExisting = (
  candidates: ReadonlyArray<Candidate>,
  { code = "" }: Trial,
  { settle }: Calls,
  assumed?: true
) =>
  settle({
    end: "existing",
    candidates,
    code,
    message: `a token with this access token value exists${assumed === undefined ? "" : ", if the service works in order"}`,
    ...(assumed === undefined ? undefined : { assumed })
  })

const settleTaken = (taken: Found["taken"], { settle }: Calls) =>
  Effect.forEach(
    taken,
    ({ code, record }) => {
      const message = "a token with this refresh token value exists, and none with this access token value"
      return settle({ end: "failed", candidates: [record], code, message })
    },
    { discard: true }
  )

/** Steps 3 and 4, for records that would be created if they did not exist. @param submitted whether they just were, and refused */
const submitGood = Effect.fnUntraced(function* (good: ReadonlyArray<Candidate>, steps: Steps, submitted: boolean) {
  const { calls, resolution, submit } = steps
  let left = good
  let refused = submitted
  for (let round = 1; left.length > 0 && round <= resolution.policy.rounds; round++) {
    if (!refused) {
      const answer = yield* submit(left)
      if (answer._tag === "Succeeded") return
      if (answer._tag === "InDoubt") yield* calls.settled
    }
    refused = false
    let trial = yield* resolution.calibrate("access", calls)
    if (trial === undefined && !resolution.barren) {
      left = yield* submitHalves(left, steps)
      resolution.barren = resolution.specimen("access") === undefined
      if (left.length === 0) return
      trial = yield* resolution.calibrate("access", calls)
    }
    if (trial === undefined || !trial.borneOut) return
    const { absent, assumed, existing, taken } = yield* whichExist(left, trial, steps)
    if (existing.length > 0) yield* settleExisting(existing, trial, calls, assumed)
    yield* settleTaken(taken, calls)
    left = absent
  }
})

/** Really submits halves of records of which some exist, until some are created: they are good to try things with. Gives the others. */
const submitHalves: (records: ReadonlyArray<Candidate>, steps: Steps) => Effect.Effect<ReadonlyArray<Candidate>, Halt> =
  Effect.fnUntraced(function* (records, steps) {
    if (records.length === 1) return records
    const left: Array<Candidate> = []
    for (const half of halvesOf(records)) {
      if (steps.resolution.specimen("access") !== undefined) {
        left.push(...half)
        continue
      }
      steps.inParts = true
      const answer = yield* steps.submit(half)
      if (answer._tag === "InDoubt") yield* steps.calls.settled
      if (answer._tag !== "Succeeded") left.push(...(yield* submitHalves(half, steps)))
    }
    return left
  })

/** What step 4 shows. `taken`: the refresh value of a record exists, its access value does not. Records in none of the three are unclear. */
interface Found {
  readonly existing: ReadonlyArray<Candidate>
  readonly absent: ReadonlyArray<Candidate>
  readonly taken: ReadonlyArray<{ readonly record: Candidate; readonly code: string }>
  /** Not all of the existing ones were proved. */
  readonly assumed?: true
}

const nothing: Found = { existing: [], absent: [], taken: [] }

const foundTogether = (parts: ReadonlyArray<Found>): Found => ({
  existing: parts.flatMap(({ existing }) => existing),
  absent: parts.flatMap(({ absent }) => absent),
  taken: parts.flatMap(({ taken }) => taken)
})

/** Step 4. */
const whichExist = Effect.fnUntraced(function* (
  records: ReadonlyArray<Candidate>,
  trial: Trial,
  steps: Steps
): Effect.fn.Return<Found, Halt> {
  // Most often what exists is a beginning: a good guess at its end saves most of the calls.
  let low = 0
  let high = records.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((yield* exists(records[middle]!, trial, steps)) === "existing") low = middle + 1
    else high = middle
  }
  let before = records.slice(0, low)
  const after = records.slice(low)
  if (steps.resolution.policy.assumeInOrder && !steps.inParts && (yield* looksInOrder(before, after, trial, steps))) {
    return { ...nothing, existing: before, absent: after, assumed: true }
  }
  // Some at a time, each settled when it is proved, so that a crash costs no more than some.
  while (before.length > proofs) {
    const some = before.slice(0, proofs)
    const { existing } = yield* oneByOne(some, trial, steps)
    if (existing.length < some.length) break
    yield* settleExisting(existing, trial, steps.calls)
    before = before.slice(proofs)
  }
  const found = foundTogether(yield* Effect.all([oneByOne(before, trial, steps), asGroup(after, trial, steps)], all))
  // An unbroken beginning speaks for itself. Elsewhere a failure for no reason would pass for a token that exists, should the service
  // have one code for both: that is asked once more.
  const { absent, existing } = found
  if (existing.length === before.length && existing.every((record, i) => record === before[i])) return found
  const states = yield* Effect.forEach(existing, (record) => exists(record, trial, steps), all)
  return {
    ...found,
    existing: existing.filter((_, i) => states[i] === "existing"),
    absent: [...absent, ...existing.filter((_, i) => states[i] === "absent")]
  }
})

/** Whether what exists is a beginning, as far as a look at both ends of it tells. */
const looksInOrder = Effect.fnUntraced(function* (
  before: ReadonlyArray<Candidate>,
  after: ReadonlyArray<Candidate>,
  trial: Trial,
  steps: Steps
) {
  const [first] = before
  if (first !== undefined && (yield* exists(first, trial, steps)) !== "existing") return false
  return after.length === 0 || (yield* passes(after, steps))
})

/** Whether a token with the access value of a record exists: what a control says that carries it. */
const exists = Effect.fnUntraced(function* (record: Candidate, trial: Trial, { calls, resolution }: Steps) {
  const control = resolution.specimen("access")!
  for (let asked = 0; asked < maxAsks; asked++) {
    const answer = yield* orHalt(calls.dryRun([copyOf(control, { access: valueOf(record.json, "access") })]))
    if (answer._tag === "Succeeded") return "absent" as const
    if (answer._tag === "Failed" && answer.code === trial.code) return "existing" as const
  }
  return "unclear" as const
})

/** The same, where nothing else speaks for it: that it exists is said by two answers. */
const existsTwice = (record: Candidate, trial: Trial, steps: Steps) =>
  Effect.flatMap(exists(record, trial, steps), (state) =>
    state === "existing" ? exists(record, trial, steps) : Effect.succeed(state)
  )

/** Records of which most are thought to exist. */
const oneByOne: (records: ReadonlyArray<Candidate>, trial: Trial, steps: Steps) => Effect.Effect<Found, Halt> =
  Effect.fnUntraced(function* (records, trial, steps) {
    const states = yield* Effect.forEach(records, (record) => exists(record, trial, steps), all)
    const existing = records.filter((_, i) => states[i] === "existing")
    const absent = records.filter((_, i) => states[i] === "absent")
    if (absent.length === 0) return { ...nothing, existing }
    const others = (yield* passes(absent, steps))
      ? { ...nothing, absent }
      : foundTogether(yield* Effect.forEach(absent, (record) => alone(record, trial, steps), all))
    return foundTogether([{ ...nothing, existing }, others])
  })

/** Records of which none is thought to exist. */
const asGroup: (records: ReadonlyArray<Candidate>, trial: Trial, steps: Steps) => Effect.Effect<Found, Halt> =
  Effect.fnUntraced(function* (records, trial, steps) {
    if (records.length === 0) return nothing
    if (yield* passes(records, steps)) return { ...nothing, absent: records }
    if (records.length <= fewRecords) return yield* oneByOne(records, trial, steps)
    return foundTogether(yield* Effect.forEach(halvesOf(records), (half) => asGroup(half, trial, steps), all))
  })

/** Whether records pass a dry run as they are: then none of them exists. */
const passes = (records: ReadonlyArray<Candidate>, { calls }: Steps) =>
  Effect.map(orHalt(calls.dryRun(records.map(({ json }) => json))), ({ _tag }) => _tag === "Succeeded")

/** A good record whose access value does not exist, and which may not pass together with others. */
const alone = Effect.fnUntraced(function* (
  record: Candidate,
  trial: Trial,
  steps: Steps
): Effect.fn.Return<Found, Halt> {
  for (let asked = 0; asked < maxAsks; asked++) {
    if (yield* passes([record], steps)) return { ...nothing, absent: [record] }
  }
  const refresh = valueOf(record.json, "refresh")
  const code = refresh === undefined ? undefined : yield* refreshExists(refresh, steps)
  if (code === undefined) return nothing
  // Asked last: another batch may have created the two values together meanwhile.
  const state = yield* exists(record, trial, steps)
  if (state === "existing") return { ...nothing, existing: [record] }
  return state === "absent" ? { ...nothing, taken: [{ record, code }] } : nothing
})

/** The code that says that a token with a refresh value exists, if it is known to. */
const refreshExists = Effect.fnUntraced(function* (refresh: string, { calls, resolution }: Steps) {
  const trial = yield* resolution.calibrate("refresh", calls)
  if (trial === undefined || !trial.borneOut) return undefined
  const answer = yield* orHalt(calls.dryRun([copyOf(resolution.specimen("refresh")!, { refresh })]))
  return answer._tag === "Failed" && answer.code === trial.code ? answer.code : undefined
})

/**
 * Settles what can be told of records that repeat a value without submitting them, which is most of them once the first has been
 * created: one question for each value. Gives the others.
 */
const settleRepeats = Effect.fnUntraced(function* (repeats: ReadonlyArray<Candidate>, steps: Steps) {
  const { calls, resolution } = steps
  const trial = repeats.length === 0 ? undefined : yield* resolution.calibrate("access", calls)
  if (trial === undefined || !trial.borneOut) return repeats
  const records = repeats.map((record) => ({
    record,
    access: valueOf(record.json, "access")!,
    refresh: valueOf(record.json, "refresh")
  }))
  // The access values last: another batch may create both values of a record meanwhile.
  const refreshValues = new Set(records.flatMap(({ refresh }) => (refresh === undefined ? [] : [refresh])))
  const codes = new Map(
    yield* Effect.forEach(
      refreshValues,
      (value) => Effect.map(refreshExists(value, steps), (code) => [value, code] as const),
      all
    )
  )
  const byAccess = new Map(records.map(({ access, record }) => [access, record]))
  const states = new Map(
    yield* Effect.forEach(
      byAccess,
      ([value, record]) => Effect.map(existsTwice(record, trial, steps), (state) => [value, state] as const),
      all
    )
  )
  const existing: Array<Candidate> = []
  const taken: Array<Found["taken"][number]> = []
  const others: Array<Candidate> = []
  for (const { access, record, refresh } of records) {
    const state = states.get(access)
    const code = refresh === undefined ? undefined : codes.get(refresh)
    if (state === "existing") existing.push(record)
    else if (state === "absent" && code !== undefined) taken.push({ record, code })
    else others.push(record)
  }
  if (existing.length > 0) yield* settleExisting(existing, trial, calls)
  yield* settleTaken(taken, calls)
  return others
})
