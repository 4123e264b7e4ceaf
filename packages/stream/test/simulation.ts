/**
 * A deterministic world to run in: a service in memory whose work goes on without the client, a journal that can be cut, and a client
 * that dies at a chosen moment. Everything follows from a seed; time is the test clock's.
 */
import { AuthleteError, TokenBatch, TokenOperations } from "@tokenbatch/core"
import { OpenBatches, ResolutionPolicy, RunEvent, RunJournal, TokenBatchRun } from "@tokenbatch/stream"
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { bytesOf, dice, ends, pieces, summarize } from "./fixtures.ts"

/** How the service is. */
export interface Habits {
  readonly failureMode: "prefix" | "atomic"
  readonly inOrder: boolean
  readonly dryRunChecksExisting: boolean
  /** How many calls in a hundred go wrong in some way. */
  readonly faults: number
}

interface Requested {
  readonly subject: string
  readonly accessToken?: string
  readonly refreshToken?: string
  readonly scopes?: ReadonlyArray<string>
}

interface Job {
  readonly id: string
  readonly records: ReadonlyArray<Requested>
  readonly dryRun: boolean
  readonly due: number
  /** Fails for no reason of a record before this one. */
  readonly failAt: number | undefined
  status: TokenBatch.BatchStatus
}

/** What the service has made. */
export interface Ledger {
  /** Access token values, and the batch that made each. */
  readonly access: Map<string, string>
  readonly refresh: Set<string>
  /** How many tokens were made for records without a value, by subject. */
  readonly keyless: Map<string, number>
}

const resultError = (status: 400 | 500, resultCode: string) => new AuthleteError.ResultError({ status, resultCode })

/** A service that goes on whatever becomes of its clients. */
export const makeService = (seed: number, { dryRunChecksExisting, failureMode, faults, inOrder }: Habits) => {
  const roll = dice(seed)
  const ledger: Ledger = { access: new Map(), refresh: new Set(), keyless: new Map() }
  const jobs = new Map<string, Job>()
  let calls = 0

  const whyNot = (record: Requested, batch: { access: Set<string>; refresh: Set<string> }, dryRun: boolean) => {
    const { accessToken, refreshToken, scopes } = record
    if (scopes?.includes("bad") === true) return "BAD"
    const look = !dryRun || dryRunChecksExisting
    if (accessToken !== undefined) {
      if (batch.access.has(accessToken) || (look && ledger.access.has(accessToken))) return "ACCESS_EXISTS"
    }
    if (refreshToken !== undefined) {
      if (batch.refresh.has(refreshToken) || (look && ledger.refresh.has(refreshToken))) return "REFRESH_EXISTS"
    }
    return undefined
  }

  const carryOut = (job: Job) => {
    const { dryRun, failAt, id } = job
    const records = [...job.records]
    // The same order for the same batch, but none that a client could guess.
    if (!inOrder) records.sort((a, b) => hash(`${id}${a.subject}`) - hash(`${id}${b.subject}`))
    const batch = { access: new Set<string>(), refresh: new Set<string>() }
    const done: Array<Requested> = []
    let code: string | undefined
    for (const record of records) {
      code = done.length === failAt ? "NO_REASON" : whyNot(record, batch, dryRun)
      if (code !== undefined) break
      done.push(record)
      if (record.accessToken !== undefined) batch.access.add(record.accessToken)
      if (record.refreshToken !== undefined) batch.refresh.add(record.refreshToken)
    }
    if (!dryRun && (code === undefined || failureMode === "prefix")) {
      for (const { accessToken, refreshToken, subject } of done) {
        if (accessToken === undefined) ledger.keyless.set(subject, (ledger.keyless.get(subject) ?? 0) + 1)
        else {
          assert.isFalse(ledger.access.has(accessToken), "a value exists once")
          ledger.access.set(accessToken, id)
        }
        if (refreshToken !== undefined) ledger.refresh.add(refreshToken)
      }
    }
    job.status =
      code === undefined
        ? { state: "Succeeded" }
        : { state: "Failed", errorCode: code, errorDescription: code, tokenCount: done.length }
  }

  /** Does all that is due. */
  const advance = Effect.map(Clock.currentTimeMillis, (now) => {
    for (const job of [...jobs.values()].sort((a, b) => a.due - b.due)) {
      if (job.status.state === "Running" && job.due <= now) carryOut(job)
    }
  })

  const goesWrong = () => roll(100) < faults

  const accept = Effect.fnUntraced(function* (body: string, dryRun: boolean) {
    const id = `request-${jobs.size + 1}`
    const records = JSON.parse(body) as ReadonlyArray<Requested>
    const due = (yield* Clock.currentTimeMillis) + 20 + roll(800)
    const failAt = goesWrong() ? roll(records.length) : undefined
    jobs.set(id, { id, records, dryRun, due, failAt, status: { state: "Running" } })
    return { requestId: TokenBatch.RequestId.make(id) }
  })

  const lost = () => new AuthleteError.TransportError({ code: "ECONNRESET", reason: "reset", sent: true })

  const layer = (onCall: (call: number) => Effect.Effect<void>) =>
    TokenOperations.TokenOperations.layerTest({
      createBatchEncoded: (bytes, options) =>
        Effect.gen(function* () {
          const body = new TextDecoder().decode(bytes)
          yield* advance
          yield* onCall(++calls)
          yield* Effect.sleep(roll(100))
          const fault = goesWrong() ? roll(7) : -1
          if (fault === 0) return yield* new AuthleteError.RateLimited({ status: 429 })
          if (fault === 1) {
            return yield* new AuthleteError.TransportError({ code: "ECONNREFUSED", reason: "refused", sent: false })
          }
          if (fault === 2) return yield* lost()
          if (fault === 3) return yield* resultError(500, "INTERNAL")
          const receipt = yield* accept(body, options?.dryRun === true)
          yield* Effect.sleep(roll(100))
          if (fault === 4) return yield* lost()
          if (fault === 5) return yield* resultError(500, "INTERNAL")
          if (fault === 6) return yield* new AuthleteError.RequestTimeout({ timeout: 1000, sent: true })
          return receipt
        }),
      batchStatus: (requestId) =>
        Effect.gen(function* () {
          yield* onCall(++calls)
          yield* Effect.sleep(roll(50))
          yield* advance
          if (goesWrong()) return yield* roll(2) === 0 ? resultError(500, "INTERNAL") : resultError(400, "UNKNOWN_ID")
          const job = jobs.get(requestId)
          return job === undefined ? yield* resultError(400, "UNKNOWN_ID") : job.status
        })
    })

  return { ledger, layer, calls: () => calls }
}

const hash = (text: string): number => {
  let h = 2166136261
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619)
  return h >>> 0
}

/** Lines: good records, bad ones, repeated values, records without a value, and lines that are no records. */
export const makeLines = (seed: number, count: number, { repeats = true }: { readonly repeats?: boolean } = {}) => {
  const roll = dice(seed)
  const lines: Array<string> = []
  for (let i = 1; i <= count; i++) {
    const kind = roll(20)
    if (kind === 0) {
      lines.push("{not JSON")
      continue
    }
    if (kind === 1) lines.push("")
    const of = (name: string) => `${name}-${repeats && kind === 2 && i > 3 ? i - 1 - roll(3) : i}`
    const record: Record<string, unknown> = {
      grantType: "AUTHORIZATION_CODE",
      clientId: 26837717140341,
      subject: `user-${i}`
    }
    if (kind !== 3) record["accessToken"] = of("access")
    if (kind % 2 === 0 && record["accessToken"] !== undefined) {
      record["refreshToken"] = repeats && kind === 4 && i > 4 ? `refresh-${i - 2}` : `refresh-${i}`
    }
    if (kind === 5) record["scopes"] = ["bad"]
    lines.push(JSON.stringify(record))
  }
  return lines
}

/** What a leg is to do before it dies: as many calls, or as many writes to the journal; or how the write that kills it ends. */
export interface Death {
  readonly at: { readonly call: number } | { readonly write: number; readonly written: boolean } | undefined
}

const died = Symbol("died")

/** Options of a run, and of the world around it. */
export interface LegOptions extends TokenBatchRun.Options {
  readonly repeatable: boolean
  readonly policy?: Partial<ResolutionPolicy.ResolutionPolicy>
  /** What earlier legs wrote. */
  readonly journal?: ReadonlyArray<RunEvent.RunEvent>
}

/** One process: runs until the end, or dies. */
const leg = Effect.fnUntraced(function* (
  lines: ReadonlyArray<string>,
  service: ReturnType<typeof makeService>,
  journal: Array<RunEvent.RunEvent>,
  { at }: Death,
  options: LegOptions,
  onAppend: () => Effect.Effect<void, RunJournal.JournalError> = () => Effect.void
) {
  const dead = yield* Deferred.make<typeof died>()
  const die = Effect.andThen(Deferred.succeed(dead, died), Effect.never)
  const from = service.calls()
  let writes = 0
  const inner = yield* Effect.provide(RunJournal.RunJournal, RunJournal.layerMemory(journal))
  const append: typeof inner.append = (events) =>
    Effect.suspend(() => {
      writes++
      if (at === undefined || !("write" in at) || at.write !== writes) {
        return Effect.andThen(onAppend(), inner.append(events))
      }
      return at.written ? Effect.andThen(inner.append(events), die) : die
    })
  const onCall = (call: number) =>
    at !== undefined && "call" in at && call - from === at.call ? Effect.asVoid(die) : Effect.void
  const { journal: _, policy, repeatable, ...rest } = options
  const run = TokenBatchRun.fromInputs([{ bytes: pieces(bytesOf(lines.join("\n")), 500), repeatable }], {
    pause: "1000 days",
    ...rest
  }).pipe(
    Stream.runCollect,
    Effect.provideService(RunJournal.RunJournal, { ...inner, append }),
    Effect.provide([service.layer(onCall), ResolutionPolicy.layer({ settleAtLeast: Duration.seconds(2), ...policy })]),
    Effect.orDie
  )
  const ended = yield* Effect.raceFirst(run, Deferred.await(dead)).pipe(Random.withSeed(`leg from call ${from}`))
  return { events: ended === died ? undefined : ended, writes, calls: service.calls() - from }
})

/** What became of a run in the end, with what it took. */
export const live = Effect.fnUntraced(function* (
  lines: ReadonlyArray<string>,
  service: ReturnType<typeof makeService>,
  deaths: ReadonlyArray<Death>,
  options: LegOptions
) {
  const journal: Array<RunEvent.RunEvent> = [...(options.journal ?? [])]
  for (const death of deaths) {
    const { events } = yield* leg(lines, service, journal, death, options)
    if (events !== undefined) break
  }
  const last = yield* leg(lines, service, journal, { at: undefined }, options)
  return { ...last, events: last.events!, journal }
})

/** A run whose journal cannot be written any more from some write on. */
export const fails = Effect.fnUntraced(function* (
  lines: ReadonlyArray<string>,
  service: ReturnType<typeof makeService>,
  from: number,
  options: LegOptions
) {
  const journal: Array<RunEvent.RunEvent> = []
  let writes = 0
  const full = new RunJournal.JournalError({ reason: "Io", message: "no space is left" })
  const { events } = yield* leg(lines, service, journal, { at: undefined }, options, () =>
    ++writes >= from ? Effect.fail(full) : Effect.void
  )
  return { ...summarize(events!), journal }
})

/** The end of each line, out of the events. */
const endsOf = (events: ReadonlyArray<RunEvent.RunEvent>) => {
  const open = new OpenBatches.OpenBatches()
  const found = new Map<number, string>()
  const put = (lines: ReadonlyArray<{ readonly from: number; readonly to: number }>, end: string) => {
    for (const { from, to } of lines) {
      for (let line = from; line <= to; line++) {
        assert.isFalse(found.has(line), `line ${line} ends twice: ${found.get(line)} and ${end}`)
        found.set(line, end)
      }
    }
  }
  for (const event of events) {
    for (const { line } of RunEvent.rejectionsOf(event)) put([{ from: line, to: line }], "rejected")
    if (event._tag === "BatchSucceeded") put(open.get(event.batch)!.lines, "created")
    if (event._tag === "BatchRefused") put(event.lines, "failed")
    if (event._tag === "RecordsSettled") put(event.lines, event.end)
    open.step(event)
  }
  for (const { end, lines } of open.leftovers()) put(lines, end)
  return found
}

/** Holds the end of every line against what the service has. */
export const holdAgainst = (
  lines: ReadonlyArray<string>,
  events: ReadonlyArray<RunEvent.RunEvent>,
  { access, keyless }: Ledger,
  options: { readonly complete?: boolean; readonly allKnown?: boolean; readonly mayBeTwice?: boolean } = {}
) => {
  const last = events.at(-1)
  if (last?._tag !== "RunFinished") throw new Error("the last event is not RunFinished")
  const { records } = last.report
  const found = endsOf(events)
  const physical = lines.flatMap((text) => text.split("\n"))
  const expected = physical.flatMap((text, i) => (text.trim() === "" ? [] : [i + 1]))
  if (options.complete !== false) {
    assert.deepStrictEqual(
      [...found.keys()].sort((a, b) => a - b),
      expected,
      "every line has an end"
    )
  }
  assert.strictEqual(ends(records), records.read, "the ends add up")
  const counts = Object.groupBy(found.values(), (end) => end)
  for (const end of ["created", "existing", "failed", "rejected", "unresolved", "notSubmitted"] as const) {
    assert.strictEqual(records[end], counts[end]?.length ?? 0, `as many ${end} as lines that are`)
  }
  const createdValues = new Set<string>()
  const sharing = new Map<string | undefined, number>()
  for (const text of physical) {
    const value = /"accessToken":"([^"]*)"/.exec(text)?.[1]
    sharing.set(value, (sharing.get(value) ?? 0) + 1)
  }
  // Without a record that is known to be created nothing can be tried, so that nothing can be proved.
  const hasSpecimen = [...found].some(([line, end]) => end === "created" && physical[line - 1]!.includes("accessToken"))
  for (const [line, end] of found) {
    const text = physical[line - 1]!
    if (end === "rejected") {
      assert.include(text, "{not JSON")
      continue
    }
    const { accessToken, scopes, subject } = JSON.parse(text) as Requested
    const there = accessToken === undefined ? (keyless.get(subject) ?? 0) > 0 : access.has(accessToken)
    const isBad = scopes?.includes("bad") === true
    const what = `line ${line} is called ${end}`
    if (end === "created") {
      assert.isTrue(there, what)
      assert.isFalse(accessToken !== undefined && createdValues.has(accessToken), `${what}, and so is another one`)
      if (accessToken !== undefined) createdValues.add(accessToken)
    }
    if (end === "existing") assert.isTrue(there && accessToken !== undefined, what)
    // Another line with the value, and a refresh value of its own, may have been created later.
    if (end === "failed") assert.isTrue(isBad || !there || (sharing.get(accessToken) ?? 0) > 1, what)
    if (end === "notSubmitted" && accessToken === undefined) assert.isFalse(there, what)
    if (options.allKnown === true && hasSpecimen) {
      assert.notStrictEqual(end, "notSubmitted", what)
      if (accessToken !== undefined) assert.notStrictEqual(end, "unresolved", what)
    }
  }
  for (const [subject, times] of keyless) {
    assert.isTrue(options.mayBeTwice === true || times === 1, `${subject} has ${times} tokens`)
  }
}

export const quiet: Habits = { failureMode: "prefix", inOrder: true, dryRunChecksExisting: true, faults: 0 }
