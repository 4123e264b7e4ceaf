/**
 * The last phase of a leg: finds out what became of the records that are unresolved. `Resolution` says how; here are the calls that it
 * makes, the events that they are told by, and the limits that they keep.
 *
 * A submission made to resolve is a batch of its own that names the one it resolves. Its intent is written before its first byte, as
 * any other: a crash in between leaves the resolved batch in doubt, and not a word in the journal that is not true.
 */
import { Secrets, TokenBatch, type TokenOperations } from "@tokenbatch/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type * as Batches from "./Batches.ts"
import * as Delivery from "./Delivery.ts"
import type { Ticket } from "./Flow.ts"
import * as Leg from "./Leg.ts"
import * as Lines from "./Lines.ts"
import type { OpenBatch, OpenBatches } from "./OpenBatches.ts"
import * as Polling from "./Polling.ts"
import * as Recall from "./Recall.ts"
import * as Resolution from "./Resolution.ts"
import { ResolutionPolicy } from "./ResolutionPolicy.ts"
import type { RunState } from "./RunState.ts"
import * as Submission from "./Submission.ts"

/** Calls for a batch are told in between when they are so many. */
const toldAfter = 50

/** Batches looked into at once; each holds its records meanwhile. */
const atOnce = 4

/** Ends what an earlier leg was in the middle of sending: whether it was taken is not known. */
export const closeInterrupted = Effect.fnUntraced(function* (leg: Leg.Leg, open: OpenBatches) {
  for (const { batch, ended, lines, phase, records, resolves } of open.all()) {
    const resolving = resolves === undefined ? undefined : { resolves }
    const message = "the process ended before the service had answered"
    const event = { batch, ...resolving, records, lines, code: "INTERRUPTED", message }
    if (phase === "Sent") yield* leg.emit({ _tag: "BatchUnresolved", ...event, polls: 0 })
    if (phase === "NotTaken" && !ended && resolves !== undefined)
      yield* leg.emit({ _tag: "BatchNotSubmitted", ...event })
  }
})

/** Whether there is something to find out about a batch. */
const isTarget = ({ ended, left, phase, resolves }: OpenBatch): boolean =>
  ended && resolves === undefined && left.length > 0 && (phase === "Failed" || phase === "Unresolved")

/** Whether the service has a batch and may still say how it ends. */
const isPending = ({ lost, phase, requestId }: OpenBatch): boolean =>
  phase === "Unresolved" && requestId !== undefined && !lost

/** The batches whose outcome was not waited for to its end, as things stand. */
export const pendingIn = (open: OpenBatches): Set<number> =>
  new Set(
    open
      .all()
      .filter((entry) => isTarget(entry) && isPending(entry))
      .map(({ batch }) => batch)
  )

/** What is needed of a run. */
export interface Run<R> {
  readonly leg: Leg.Leg
  readonly open: OpenBatches
  readonly recall: Recall.Recall<R>
  /** The state as it is now. */
  readonly state: () => RunState
  /** Batches whose outcome an earlier leg did not wait for: to be asked after once more. */
  readonly pending: ReadonlySet<number>
}

/** Looks into everything that is unresolved, unless the leg has stopped. */
export const resolve = Effect.fnUntraced(function* <R>(
  run: Run<R>,
  options: Delivery.Options
): Effect.fn.Return<void, never, R | TokenOperations.TokenOperations> {
  const { leg, open, pending, recall, state } = run
  const policy = yield* ResolutionPolicy
  const targets = open.all().filter((entry) => {
    if (!isTarget(entry)) return false
    return isPending(entry) ? pending.has(entry.batch) : choose(policy, entry) !== "leave"
  })
  if (leg.stopped || targets.length === 0) return

  // The least is what somebody has asked for, and counts for more than the most.
  const settle = Math.max(
    Math.min(2 * state().longest, Duration.toMillis(policy.settleAtMost)),
    Duration.toMillis(policy.settleAtLeast)
  )
  const waitSince = Effect.fnUntraced(function* (sent: number) {
    const wait = sent + settle - (yield* Clock.currentTimeMillis)
    if (wait > 0) yield* Leg.sleepUnlessStopping(leg, wait)
  })
  const sentBefore = leg.lastSent
  yield* leg.emit({
    _tag: "ResolutionStarted",
    batches: targets.length,
    records: targets.reduce((sum, { left }) => sum + Lines.count(left), 0),
    settle: Math.max(sentBefore + settle - (yield* Clock.currentTimeMillis), 0)
  })
  yield* waitSince(sentBefore)

  let spent = state().resolution?.calls ?? 0
  const tools: Tools = {
    policy,
    sentBefore,
    waitSince,
    resolution: yield* Resolution.make({
      policy,
      specimen: (field) => recall.specimens[field],
      onCalibrated: (trial) => leg.emit({ _tag: "Calibrated", ...trial })
    }),
    limited: (call) =>
      leg.flow.slots.withPermits(1)(
        Effect.suspend(() => {
          if (leg.stopped) return Effect.succeed<Resolution.Answer>({ _tag: "Stopped" })
          if (spent >= policy.budget) return Effect.succeed<Resolution.Answer>({ _tag: "OutOfBudget" })
          spent++
          return call
        })
      )
  }
  const pass = (entries: ReadonlyArray<OpenBatch>) =>
    recall.records(entries, open).pipe(
      Stream.mapEffect((recalled) => examine(run, recalled, tools, options), { concurrency: atOnce, unordered: true }),
      Stream.runDrain
    )
  const hadSpecimen = tools.resolution.specimen("access") !== undefined
  yield* pass(targets)
  // What could not be judged for want of a record that was created: by now there may be one.
  if (hadSpecimen || leg.stopped || tools.resolution.specimen("access") === undefined) return
  yield* pass(targets.filter(({ batch }) => open.get(batch) !== undefined))
})

const choose = (policy: ResolutionPolicy, entry: OpenBatch) =>
  entry.phase === "Failed" ? policy.onFailure(entry) : policy.onDoubt(entry)

interface Tools {
  readonly policy: ResolutionPolicy
  /** When the last batch was sent that is not for resolving: what is sent to resolve one batch is no matter to another. */
  readonly sentBefore: number
  readonly resolution: Resolution.Resolution
  /** Waits until the settle time since a moment is over. */
  readonly waitSince: (sent: number) => Effect.Effect<void>
  /** Makes a call in a slot, if the budget allows it and the leg goes on. */
  readonly limited: <R>(call: Effect.Effect<Resolution.Answer, never, R>) => Effect.Effect<Resolution.Answer, never, R>
}

/** Looks into one batch. */
const examine = Effect.fnUntraced(function* <R>(
  { leg, open, recall }: Run<R>,
  { batch, entry }: Recall.Recalled,
  { limited, policy, resolution, sentBefore, waitSince }: Tools,
  options: Delivery.Options
) {
  if (isPending(entry)) {
    const { records, requestId } = entry
    yield* leg.emit({ _tag: "BatchReopened", batch: entry.batch, records, from: "unresolved" })
    const ticket = leg.flow.adopt(TokenBatch.RequestId.make(requestId!))
    yield* Delivery.follow(leg, { index: entry.batch, batch }, ticket, options)
    const known = open.get(entry.batch)
    if (known === undefined || isPending(known)) return
  }
  // What an earlier leg had submitted to resolve it, and had a receipt for.
  for (const { batch: index, lines, records, requestId } of open.resolving(entry.batch)) {
    if (requestId === undefined) continue
    const told = { batch: index, resolves: entry.batch, records, lines }
    const ticket = leg.flow.adopt(TokenBatch.RequestId.make(requestId))
    const answer = yield* conclude(leg, told, ticket, batch.body, options)
    if (answer._tag === "Succeeded") recall.created(batch, lines)
  }
  const choice = choose(policy, entry)
  if (leg.stopped || choice === "leave" || open.get(entry.batch) === undefined) return

  const lines = Lines.each(batch.lines)
  const isLeft = new Set(Lines.each(entry.left).map(nameOf))
  const linesOf = (some: ReadonlyArray<Resolution.Candidate>) =>
    Lines.merge([...some].sort((a, b) => a.index - b.index).map(({ index }) => lines[index]!))
  const keyed: Array<Resolution.Candidate> = []
  const keyless: Array<Resolution.Candidate> = []
  for (let index = 0; index < batch.records; index++) {
    if (!isLeft.has(nameOf(lines[index]!))) continue
    const json = Redacted.make(Recall.textOf(batch, index))
    const group = hasAccessToken(json) ? keyed : keyless
    group.push({ index, json })
  }

  let calls = 0
  let lastSent = sentBefore
  const counted = (call: Effect.Effect<Resolution.Answer, never, TokenOperations.TokenOperations>) =>
    limited(
      Effect.suspend(() => {
        calls++
        // Told now and then, so that a crash does not make the budget forget what was spent.
        return calls < toldAfter ? call : Effect.andThen(tell(true), call)
      })
    )
  const tell = (halted: boolean) => {
    const left = Lines.count(open.get(entry.batch)?.left ?? [])
    const event = { _tag: "BatchExamined" as const, batch: entry.batch, calls, left }
    calls = 0
    return leg.emit(halted ? { ...event, halted } : event)
  }
  const context = yield* Effect.context<TokenOperations.TokenOperations>()
  const submit = (some: ReadonlyArray<Resolution.Candidate>, withoutAccessToken = 0) =>
    counted(
      Effect.ensuring(
        submitAgain(
          leg,
          {
            resolves: entry.batch,
            lines: linesOf(some),
            withoutAccessToken,
            possiblyTwice: entry.resubmitted ? 0 : withoutAccessToken
          },
          bodyOf(some.map((c) => c.json)),
          options
        ),
        Effect.map(Clock.currentTimeMillis, (now) => void (lastSent = now))
      )
    ).pipe(Effect.provideContext(context))

  let done = true
  if (keyed.length > 0) {
    done = yield* Resolution.resolve(
      resolution,
      {
        candidates: keyed,
        why: entry.phase === "Failed" ? "Failed" : "InDoubt",
        examined: entry.examined,
        inParts: entry.inParts
      },
      {
        submit,
        dryRun: (texts) => Effect.provideContext(counted(tryDry(leg, bodyOf(texts), options)), context),
        settle: ({ assumed, candidates, code, end, message }) =>
          leg.emit({
            _tag: "RecordsSettled",
            batch: entry.batch,
            end,
            records: candidates.length,
            lines: linesOf(candidates),
            code,
            message,
            ...(assumed === true ? { assumed } : undefined)
          }),
        settled: Effect.suspend(() => waitSince(lastSent))
      }
    )
  }
  if (done && policy.onDoubt(entry) === "resubmit" && keyless.length > 0) yield* submit(keyless, keyless.length)
  yield* tell(!done)
})

const nameOf = ({ file = "", from }: Batches.LineRange): string => `${from} ${file}`

const hasAccessToken = (json: Redacted.Redacted): boolean =>
  (JSON.parse(Redacted.value(json)) as { readonly accessToken?: unknown }).accessToken != null

const bodyOf = (texts: ReadonlyArray<Redacted.Redacted>): Uint8Array =>
  Buffer.from(`[${texts.map(Redacted.value).join(",")}]`)

/** A submission that is made to resolve another batch. */
interface Again {
  readonly batch: number
  readonly resolves: number
  readonly records: number
  readonly lines: ReadonlyArray<Batches.LineRange>
}

/** Really submits records again. */
const submitAgain = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  {
    lines,
    possiblyTwice,
    resolves,
    withoutAccessToken
  }: Pick<Again, "resolves" | "lines"> & { readonly withoutAccessToken: number; readonly possiblyTwice: number },
  body: Uint8Array,
  options: Delivery.Options
): Effect.fn.Return<Resolution.Answer, never, TokenOperations.TokenOperations> {
  const told: Again = { batch: ++leg.lastBatch, resolves, records: Lines.count(lines), lines }
  yield* leg.emit({
    _tag: "BatchIntended",
    ...told,
    withoutAccessToken,
    ...(possiblyTwice > 0 ? { possiblyTwice } : undefined)
  })
  const submitted = yield* Submission.submit(leg, { batch: told.batch, body }, options)
  switch (submitted._tag) {
    case "NotSubmitted": {
      const { code, message } = submitted
      yield* leg.emit({ _tag: "BatchNotSubmitted", ...told, code, message })
      return { _tag: "Stopped" }
    }
    case "InDoubt":
    case "Refused": {
      const { code, message } = submitted
      yield* leg.emit({ _tag: "BatchUnresolved", ...told, code, message, polls: 0 })
      return { _tag: submitted._tag === "Refused" ? "Failed" : "InDoubt", code, message }
    }
    case "Taken": {
      const { sent, ticket } = submitted
      yield* leg.emit({ _tag: "BatchAccepted", batch: told.batch, requestId: ticket.requestId })
      return yield* conclude(leg, told, ticket, body, options, sent)
    }
  }
})

/** Waits for the outcome of such a submission, and tells it. */
const conclude = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  told: Again,
  ticket: Ticket,
  body: Uint8Array,
  options: Delivery.Options,
  began?: number
): Effect.fn.Return<Resolution.Answer, never, TokenOperations.TokenOperations> {
  const { requestId } = ticket
  const outcome = yield* Polling.poll(leg, ticket, () => Secrets.tokenValues(body), options)
  const now = leg.flow.now()
  const elapsed = began === undefined ? undefined : { elapsed: now - began }
  switch (outcome._tag) {
    case "Succeeded": {
      const { lines: _, ...succeeded } = told
      yield* leg.emit({ _tag: "BatchSucceeded", ...succeeded, requestId, polls: outcome.polls, ...elapsed })
      return outcome
    }
    case "Failed":
      yield* leg.emit({ ...outcome, ...told, _tag: "BatchFailed", requestId, ...elapsed })
      return outcome
    case "Unresolved": {
      const { code, lost, message, polls } = outcome
      const gone = lost ? { lost: true as const } : undefined
      yield* leg.emit({ _tag: "BatchUnresolved", ...told, requestId, ...gone, code, message, polls })
      return leg.stopped ? { _tag: "Stopped" } : { _tag: "InDoubt", code, message }
    }
  }
})

/** A dry run, which nobody is told of: nothing comes of it but what it shows. */
const tryDry = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  body: Uint8Array,
  options: Delivery.Options
): Effect.fn.Return<Resolution.Answer, never, TokenOperations.TokenOperations> {
  const submitted = yield* Submission.submit(leg, { body }, { ...options, dryRun: true })
  switch (submitted._tag) {
    case "NotSubmitted":
      return { _tag: "Stopped" }
    case "InDoubt":
    case "Refused":
      return { ...submitted, _tag: submitted._tag === "Refused" ? "Failed" : "InDoubt" }
    case "Taken": {
      const outcome = yield* Polling.poll(leg, submitted.ticket, () => Secrets.tokenValues(body), options)
      if (outcome._tag !== "Unresolved") return outcome
      return leg.stopped ? { _tag: "Stopped" } : { ...outcome, _tag: "InDoubt" }
    }
  }
})
