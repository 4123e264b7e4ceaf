/**
 * Whether the service is away, and for how long it has been: three calls in a row without an answer that shows it to be there.
 *
 * While it is, one status call at a time asks whether it is back, which changes nothing there. Effect's `CircuitBreaker` says when it is
 * away and how long to wait between these. It is told of each call and does not make them: a call that finds the service away has to wait
 * until it is back, where a breaker would have it fail.
 */
import type { AuthleteError } from "@tokenbatch/core"
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"

/** What is to happen when the service goes away, and when it is back. */
export interface Options {
  readonly now: () => number
  /** Milliseconds that it may be away. */
  readonly giveUpAfter: number
  /** A status call, of a batch that does not itself raise the question. */
  readonly ask: Effect.Effect<unknown, AuthleteError.AuthleteError>
  /** Called with the milliseconds that it has been away by then. */
  readonly onAway: (millis: number) => void
  /** Called with the milliseconds that it was away. */
  readonly onBack: (millis: number) => void
  /** In place of that: it has been away for too long. */
  readonly onGone: (last: AuthleteError.AuthleteError) => Effect.Effect<void>
  /** Asking met a defect. */
  readonly onDefect: (cause: Cause.Cause<never>) => Effect.Effect<unknown>
}

/** What a run knows of its service being away. */
export interface Outage {
  /** Tells of a call: why it got no answer, or that it did. */
  readonly heard: (error: AuthleteError.AuthleteError | undefined) => Effect.Effect<void>
  readonly isOut: () => boolean
  readonly isGone: () => boolean
  /** Whether it has been away, or is, since a moment; and for how many milliseconds. */
  readonly wasOutSince: (moment: number) => boolean
  readonly awaySince: (moment: number) => number
}

const key = "service"

/** As many calls in a row without an answer mean that the service is away. */
const away = 3

/** Calls without an answer that were further apart than this, in milliseconds, are no outage of all that time. */
const longestBefore = 10_000

/** Of outages that are long over nobody asks any more. */
const remembered = 64

/** Whether a failed call shows that the service is not there. Where it was a status call, see {@link saysNothing}. */
export const isAway = (error: AuthleteError.AuthleteError): boolean => {
  switch (error._tag) {
    case "TransportError":
    case "RequestTimeout":
      return true
    case "RateLimited":
      return false
    case "ResultError":
    case "UnexpectedResponse":
      return error.status >= 500
  }
}

/** Whether a failed status call leaves open whether the service is there: for it, a page that somebody else gives is no answer either. */
export const saysNothing = (error: AuthleteError.AuthleteError): boolean =>
  isAway(error) || (error._tag === "UnexpectedResponse" && error.status < 400)

/** Watches, for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Outage, never, Scope.Scope> {
  const { giveUpAfter, now } = options
  const scope = yield* Effect.scope
  const breaker = yield* CircuitBreaker.make({
    tripPolicy: CircuitBreaker.consecutive(away),
    openDuration: Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("5 seconds")])
  }).pipe(Effect.provide(CircuitBreaker.layerStoreMemory()))

  const outages: Array<{ readonly from: number; to: number }> = []
  /** Calls in a row that were not answered, and when the first of them was not. */
  let unanswered = 0
  let unansweredSince = 0
  let out = false
  let gone = false

  /** Asks until the service is back, or has been away for too long. */
  const probe = Effect.fnUntraced(function* (error: AuthleteError.AuthleteError) {
    const outage = outages[outages.length - 1]!
    const asked = options.ask.pipe(
      Effect.matchEffect({
        onSuccess: () => Effect.void,
        onFailure: (error) => (saysNothing(error) ? Effect.fail(error) : Effect.void)
      }),
      breaker.execute({ key }),
      Effect.result
    )
    let last = error
    for (;;) {
      const state = yield* Effect.orDie(breaker.state(key))
      const patience = outage.from + giveUpAfter - now()
      if (state._tag === "Open") {
        yield* Effect.sleep(Math.min(Duration.toMillis(state.retryAfter), Math.max(patience, 0)))
      }
      const answer = yield* asked
      if (Result.isSuccess(answer)) break
      if (answer.failure._tag !== "CircuitBreakerError") last = answer.failure
      if (now() - outage.from < giveUpAfter) continue
      gone = true
      break
    }
    outage.to = now()
    if (outages.length > remembered) outages.shift()
    out = false
    unanswered = 0
    if (gone) yield* options.onGone(last)
    else options.onBack(outage.to - outage.from)
  })

  return {
    isOut: () => out,
    isGone: () => gone,
    wasOutSince: (moment) => outages.length > 0 && outages[outages.length - 1]!.to > moment,
    awaySince: (moment) =>
      outages.reduce((sum, { from, to }) => sum + Math.max(Math.min(to, now()) - Math.max(from, moment), 0), 0),
    heard: Effect.fnUntraced(function* (error) {
      // What was under way when the service was found away says nothing of whether it is back.
      if (out) return
      if (error === undefined) {
        // Of one that was answered after another one the breaker learns nothing.
        if (unanswered === 0) return
        unanswered = 0
        yield* Effect.ignore(breaker.execute(Effect.void, { key }))
        return
      }
      if (unanswered++ === 0) unansweredSince = now()
      // Its outcome is what it was given; and its store, being in memory, does not fail.
      yield* Effect.ignore(breaker.execute(Effect.fail(error), { key }))
      const state = yield* Effect.orDie(breaker.state(key))
      if (state._tag !== "Open" || out || gone) return
      out = true
      const from = Math.max(unansweredSince, now() - longestBefore)
      outages.push({ from, to: Infinity })
      options.onAway(now() - from)
      yield* Effect.forkIn(Effect.catchCause(probe(error), options.onDefect), scope)
    })
  }
})
