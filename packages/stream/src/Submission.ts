/**
 * From a batch to its receipt: makes the create call, and again where the batch was certainly not taken.
 *
 * What an answer means is said by `CreateAnswer` alone; here is what is done about it. Every attempt after the first is told before it is
 * made (`BatchAttempted`), so that a journal never calls a batch certainly not taken that is on its way. A batch that may have been taken is never sent
 * again, except under a dry run, where nothing can be created. The first batch of a leg goes alone until one is taken, so that a
 * wrong address or credential costs one call.
 */
import { AuthleteError, CreateAnswer, TokenOperations } from "@tokenbatch/core"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { Ticket } from "./Flow.ts"
import * as Leg from "./Leg.ts"

/** What became of handing a batch in. Codes and messages are the last answer's. */
export type Submitted =
  | {
      readonly _tag: "Taken"
      readonly ticket: Ticket
      /** When the call began that was taken, by the clock of the leg's `Flow`. */
      readonly sent: number
    }
  /** Certainly not taken, for something in it. */
  | { readonly _tag: "Refused"; readonly code: string; readonly message: string }
  | { readonly _tag: "InDoubt"; readonly code: string; readonly message: string }
  /** Certainly not taken, and the leg has stopped. */
  | { readonly _tag: "NotSubmitted"; readonly code: string; readonly message: string }

/** What the retry schedule is told: the answer, and how long the service asked to wait, in milliseconds. */
export interface NotTaken {
  readonly error: AuthleteError.AuthleteError
  readonly retryAfter: number | undefined
}

/** Options of {@link submit}. */
export interface Options {
  readonly dryRun?: boolean | undefined
  /**
   * Delays between attempts. Default {@link defaultRetrySchedule}, but after a refusal for there being too much to do, when the leg's
   * `Flow` decides. Where it ends, the attempts have run out.
   */
  readonly retrySchedule?: Schedule.Schedule<unknown, NotTaken> | undefined
  /** The attempts of a batch have run out after this long without being taken. Default 1 hour. */
  readonly giveUpAfter?: Duration.Input | undefined
}

export const defaultGiveUpAfter = Duration.hours(1)

/** From half a second, doubling up to 30 seconds, jittered; never less than the service asked for. */
export const defaultRetrySchedule: Schedule.Schedule<unknown, NotTaken> = Schedule.min([
  Schedule.exponential("500 millis"),
  Schedule.spaced("30 seconds")
]).pipe(
  Schedule.jittered,
  Schedule.setInputType<NotTaken>(),
  Schedule.modifyDelay(({ duration, input }) =>
    Effect.succeed(Duration.max(duration, Duration.millis(input.retryAfter ?? 0)))
  )
)

/** A batch to be handed in. */
export interface Job {
  /** Its number in the run. Calls without one are told to nobody. */
  readonly batch?: number | undefined
  readonly body: Uint8Array
  /** How many records it has, where that may say something about how large batches are to be. */
  readonly records?: number | undefined
  /** Whether it was handed in before and certainly not taken: this attempt has to be told as well then. */
  readonly again?: boolean | undefined
}

/** Hands a batch in. Never fails: what happened is the result. */
export const submit = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  job: Job,
  options: Options = {}
): Effect.fn.Return<Submitted, never, TokenOperations.TokenOperations> {
  if (leg.anyTaken) return yield* attempts(leg, job, options)
  const first = yield* leg.first.withPermit(
    // Whoever waited here may find that somebody else's call was taken meanwhile.
    Effect.suspend(() => (leg.anyTaken ? Effect.undefined : attempts(leg, job, options)))
  )
  return first ?? (yield* attempts(leg, job, options))
})

const attempts = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  { again = false, batch, body, records = 0 }: Job,
  { dryRun = false, giveUpAfter = defaultGiveUpAfter, retrySchedule }: Options
): Effect.fn.Return<Submitted, never, TokenOperations.TokenOperations> {
  const operations = yield* TokenOperations.TokenOperations
  const { flow } = leg
  const nextDelay = yield* Schedule.toStep(retrySchedule ?? defaultRetrySchedule)
  const patience = Duration.toMillis(giveUpAfter)
  let notTakenSince: number | undefined
  let last = { code: "STOPPED", message: "the run stopped before the batch was sent" }
  const call = Effect.ensuring(
    Effect.result(operations.createBatchEncoded(body, { dryRun })),
    dryRun ? Effect.void : Effect.map(Clock.currentTimeMillis, (now) => void (leg.lastSent = now))
  )
  for (let attempt = 1; ; attempt++) {
    const admitted = yield* flow.admit
    if (admitted && batch !== undefined && (again || attempt > 1)) yield* leg.emit({ _tag: "BatchAttempted", batch })
    if (!admitted || leg.stopped) {
      if (admitted) flow.withdraw()
      yield* Deferred.await(leg.stopping)
      return { _tag: "NotSubmitted", ...last }
    }

    let begun = false
    let sent = 0
    const begin = Effect.sync(() => {
      begun = true
      sent = flow.now()
    })
    const answer = yield* Leg.untilHalted(
      leg,
      flow.limited.pipe(Effect.andThen(begin), Effect.andThen(call)),
      () => "halted" as const
    )
    if (answer === "halted") {
      flow.withdraw()
      if (!begun) return { _tag: "NotSubmitted", ...last }
      const message = "the run stopped before the service had answered"
      return { _tag: dryRun ? "NotSubmitted" : "InDoubt", code: "STOPPED", message }
    }
    const ticket = yield* flow.submitted(sent, answer, records)
    if (Result.isSuccess(ticket)) {
      leg.anyTaken = true
      leg.lastTaken = flow.now()
      return { _tag: "Taken", ticket: ticket.success, sent }
    }

    const error = ticket.failure
    const meaning = CreateAnswer.meaning(error, { anyTaken: leg.anyTaken })
    last = { code: AuthleteError.code(error), message: error.message }
    switch (meaning._tag) {
      case "TooLarge":
      case "Refused":
        return { _tag: "Refused", ...last }
      case "CredentialsRefused":
      case "WrongAddress":
        yield* Leg.stop(leg, meaning._tag, last.message)
        return { _tag: "NotSubmitted", ...last }
      case "InDoubt":
        if (!dryRun) return { _tag: "InDoubt", ...last }
    }

    const now = flow.now()
    // As long as it takes others it is there, and the turn of this one comes.
    notTakenSince = Math.max(notTakenSince ?? now, leg.lastTaken)
    const retryAfter = meaning._tag === "NotTaken" ? meaning.retryAfter : undefined
    const paced = error._tag === "RateLimited" && retrySchedule === undefined
    // A schedule goes by the wall clock.
    const delay = paced
      ? undefined
      : yield* Effect.option(nextDelay(yield* Clock.currentTimeMillis, { error, retryAfter }))
    const millis =
      delay === undefined ? flow.createIn() : delay._tag === "Some" ? Duration.toMillis(delay.value[1]) : Infinity
    // While the service is away altogether, it is for the flow to say when that has been too long.
    if (millis === Infinity || now + millis - notTakenSince - flow.awaySince(notTakenSince) > patience) {
      yield* Leg.stop(leg, "GivenUp", `the service has not taken a batch for too long: ${last.message}`)
      return { _tag: "NotSubmitted", ...last }
    }
    if (batch !== undefined) yield* leg.emit({ _tag: "BatchRetried", batch, attempt, ...last, delay: millis })
    if (!paced) yield* Leg.sleepUnlessStopping(leg, millis)
  }
})
