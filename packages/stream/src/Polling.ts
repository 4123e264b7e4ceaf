/**
 * From a receipt to an outcome: asks for the status until there is a result or the deadline has passed. When, is for the leg's `Flow` to
 * find out, or for a schedule to say.
 *
 * An answer that settles nothing (an unknown id, a 5xx, a page of HTML, a reset) is asked again. The deadline counts only time in
 * which the service answers, this batch or others, so that an outage does not turn everything in flight into unresolved.
 */
import { AuthleteError, Secrets, TokenOperations, TokenBatch } from "@tokenbatch/core"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { Ticket } from "./Flow.ts"
import * as Leg from "./Leg.ts"
import type { PollSchedule } from "./PollSchedule.ts"
import { defaultGiveUpAfter } from "./Submission.ts"

/** What became of an accepted batch, and how often it was asked after. */
export type Outcome =
  | { readonly _tag: "Succeeded"; readonly polls: number }
  | {
      readonly _tag: "Failed"
      readonly code: string
      readonly message: string
      readonly tokenCount?: number
      readonly polls: number
    }
  | {
      readonly _tag: "Unresolved"
      readonly code: string
      readonly message: string
      /** The service does not know the request ID: as good as no receipt. */
      readonly lost: boolean
      readonly polls: number
    }

/** Options of {@link poll}. */
export interface Options {
  /** The delay before each poll. Default: found out, see `PollLaw`. Where it ends, the batch is unresolved. */
  readonly pollSchedule?: PollSchedule | undefined
  /** How long to wait for a result, while the service answers. Default 15 minutes. */
  readonly pollTimeout?: Duration.Input | undefined
  /** How long the service may be away. Default 1 hour. */
  readonly giveUpAfter?: Duration.Input | undefined
}

export const defaultPollTimeout = Duration.minutes(15)

/** Whether a failed poll says that no batch has the request ID. Which code says so is published nowhere; a refusal of the request does. */
const isUnknownId = (error: AuthleteError.AuthleteError): boolean =>
  (error._tag === "ResultError" || error._tag === "UnexpectedResponse") &&
  (error.status === 400 || error.status === 404 || error.status === 410)

/**
 * Waits for the outcome of a batch. Never fails: what happened is the result.
 *
 * @param secrets the token values of the batch, which a service may quote in its error description
 */
export const poll = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  ticket: Ticket,
  secrets: () => ReadonlyArray<string>,
  options: Options = {}
): Effect.fn.Return<Outcome, never, TokenOperations.TokenOperations> {
  const outcome = yield* ask(leg, ticket, secrets, options)
  leg.flow.ended(ticket, outcome._tag !== "Unresolved")
  return outcome
})

const ask = Effect.fnUntraced(function* (
  leg: Leg.Leg,
  ticket: Ticket,
  secrets: () => ReadonlyArray<string>,
  { giveUpAfter = defaultGiveUpAfter, pollSchedule, pollTimeout = defaultPollTimeout }: Options
): Effect.fn.Return<Outcome, never, TokenOperations.TokenOperations> {
  const operations = yield* TokenOperations.TokenOperations
  const { flow } = leg
  const step = pollSchedule === undefined ? undefined : yield* Schedule.toStep(pollSchedule)
  // A schedule goes by the wall clock.
  const nextDelay =
    step &&
    ((status: TokenBatch.BatchStatus | undefined) =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => step(now, status)))
  const deadline = Duration.toMillis(pollTimeout)
  const awayLimit = Duration.toMillis(giveUpAfter)

  let polls = 0
  /** Polls that count for when the next one is: all but those that were refused, or that a notification had brought forward. */
  let misses = 0
  let waited = 0
  let asked = flow.now()
  let answered = asked
  let last = { code: "NO_RESULT", message: "the service has not said how the batch ended" }
  let retryAfter = 0
  let lost = false
  let status: TokenBatch.BatchStatus | undefined

  const unresolved = (why: { readonly code: string; readonly message: string }, lost = false): Outcome => ({
    _tag: "Unresolved",
    ...why,
    lost,
    polls
  })
  const stopped = () =>
    unresolved({ code: "STOPPED", message: "the run stopped before the service had said how the batch ended" })

  for (;;) {
    const delay = nextDelay === undefined ? undefined : yield* Effect.option(nextDelay(status))
    if (delay?._tag === "None") return unresolved(last, lost)
    // As long as the service asks for, but not beyond the moment at which it has been away for too long.
    const patience = Math.max(answered + awayLimit + flow.awaySince(answered) - asked, 0)
    const wait = Math.min(retryAfter, patience)
    const turn = yield* flow.turn({
      ticket,
      misses,
      last: asked,
      least: wait,
      delay: delay === undefined ? undefined : Duration.toMillis(delay.value[1]),
      // To find that the deadline has come, or that the service has been away for too long.
      latest: asked + Math.min(deadline - waited, patience)
    })
    if (turn === "halted") return stopped()
    if (turn === "gone") return unresolved(last, lost)
    let sent = asked
    const begin = Effect.sync(() => void (sent = flow.now()))
    const answer = yield* Leg.untilHalted(
      leg,
      flow.limited.pipe(Effect.andThen(begin), Effect.andThen(Effect.result(operations.batchStatus(ticket.requestId)))),
      () => "halted" as const
    )
    if (answer === "halted") return stopped()

    polls++
    const now = flow.now()
    const counts = yield* flow.polled({ ticket, misses, last: asked, sent, turn }, answer)
    retryAfter = 0
    const away = flow.awaySince(answered)
    if (counts) {
      waited += now - asked - flow.awaySince(asked)
      answered = now
    }
    if (turn !== "hinted" && (Result.isSuccess(answer) || answer.failure._tag !== "RateLimited")) misses++
    asked = now
    lost = Result.isFailure(answer) && isUnknownId(answer.failure)

    if (Result.isSuccess(answer)) {
      status = answer.success
      // So that a schedule can learn from it; that it ends with it is no news.
      if (nextDelay !== undefined && TokenBatch.hasEnded(status)) yield* Effect.ignore(nextDelay(status))
      if (status.state === "Succeeded") return { _tag: "Succeeded", polls }
      if (status.state === "Failed") {
        const hidden = secrets()
        return {
          _tag: "Failed",
          code: Secrets.strike(status.errorCode ?? "FAILED", hidden),
          message: Secrets.strike(status.errorDescription ?? "the service gave no reason", hidden),
          ...(status.tokenCount === undefined ? undefined : { tokenCount: status.tokenCount }),
          polls
        }
      }
      last =
        status.state === "Unknown"
          ? {
              code: "UNKNOWN_RESULT",
              message: `the service gave a result that is not known: ${Secrets.strike(status.result ?? "", secrets())}`
            }
          : { code: "NO_RESULT", message: "the batch was still being worked on when the service last answered" }
    } else {
      const error = answer.failure
      const hidden = secrets()
      last = {
        code: Secrets.strike(AuthleteError.code(error), hidden),
        message: Secrets.strike(error.message, hidden)
      }
      if (error._tag === "RateLimited") retryAfter = error.retryAfter ?? 0
      if (
        (error._tag === "ResultError" || error._tag === "UnexpectedResponse") &&
        (error.status === 401 || error.status === 403)
      ) {
        yield* Leg.stop(leg, "CredentialsRefused", last.message)
        return unresolved(last)
      }
    }

    if (waited >= deadline) return unresolved(last, lost)
    if (now - answered - away >= awayLimit) {
      yield* Leg.stop(leg, "GivenUp", `the service has not answered for too long: ${last.message}`)
      return unresolved(last)
    }
  }
})
