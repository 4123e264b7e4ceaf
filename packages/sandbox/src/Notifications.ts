/**
 * Tells an endpoint that a batch has ended: a POST for each, as a service does that has a `tokenBatchNotificationEndpoint`.
 *
 * What the real service sends is published nowhere, so the option `notificationBody` chooses: `{"requestId":"..."}`, or an empty body,
 * with which a client must be able to do as well. A notification is sent when the batch has its result; a fault may hide that result from
 * the status for longer. It is sent once, without retries, and nothing waits for it: few are under way at once, more of them wait their turn,
 * and what is too much for that is dropped. How many came through is counted.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import type { SandboxOptions } from "./SandboxOptions.ts"

/** Most notifications that are under way at once. */
const atOnce = 8

/** Most notifications that wait to be sent; what is more than that is dropped. */
const waiting = 1024

/** How long an answer may take. */
const timeout = "5 seconds"

/** What became of the notifications so far. */
export interface Counts {
  /** Answered with a status from 200 to 299. */
  readonly delivered: number
  /** Not answered in time, not answered at all, or with another status. */
  readonly failed: number
  /** Not sent, since too many were waiting. */
  readonly dropped: number
  /** Why the latest that failed did: a status, or what kept it from being answered. It never names the endpoint. */
  readonly lastFailure: string | undefined
}

/** Sends notifications. */
export class Notifications extends Context.Service<
  Notifications,
  {
    /** Says that a batch has ended. Returns at once, and never fails. */
    readonly endedUnsafe: (requestId: string) => void
    /** What became of them so far. */
    readonly counts: Effect.Effect<Counts>
  }
>()("@tokenbatch/sandbox/Notifications") {
  /** Notifications to the endpoint that the options name; none without one. */
  static readonly layer = ({ notificationBody, notificationEndpoint }: SandboxOptions): Layer.Layer<Notifications> =>
    notificationEndpoint === undefined
      ? Layer.succeed(Notifications, { endedUnsafe: () => {}, counts: Effect.succeed(none) })
      : Layer.effect(Notifications, make(notificationEndpoint, notificationBody))
}

const none: Counts = { delivered: 0, failed: 0, dropped: 0, lastFailure: undefined }

const make = Effect.fnUntraced(function* (endpoint: string, kind: SandboxOptions["notificationBody"]) {
  const queue = yield* Queue.dropping<string>(waiting)
  let counts = none

  const sender = Effect.gen(function* () {
    const requestId = yield* Queue.take(queue)
    yield* Effect.matchEffect(post(endpoint, kind === "empty" ? undefined : JSON.stringify({ requestId })), {
      onSuccess: () => Effect.sync(() => void (counts = { ...counts, delivered: counts.delivered + 1 })),
      onFailure: (lastFailure) =>
        Effect.sync(() => void (counts = { ...counts, failed: counts.failed + 1, lastFailure }))
    })
  })
  yield* Effect.forEach(Array.from({ length: atOnce }), () => Effect.forkScoped(Effect.forever(sender)), {
    discard: true
  })

  return Notifications.of({
    endedUnsafe: (requestId) => {
      if (!Queue.offerUnsafe(queue, requestId)) counts = { ...counts, dropped: counts.dropped + 1 }
    },
    counts: Effect.sync(() => counts)
  })
})

/** Sends one notification. Fails with the reason. Not by an `HttpClient`, whose spans hold the URL: its path may be a secret. */
const post = (endpoint: string, body: string | undefined): Effect.Effect<void, string> =>
  Effect.tryPromise({
    try: async (signal) => {
      const answer = await fetch(endpoint, {
        method: "POST",
        redirect: "manual",
        signal,
        ...(body === undefined ? undefined : { body, headers: { "content-type": "application/json" } })
      })
      await answer.body?.cancel()
      return answer
    },
    catch: (error) => String((error as { readonly cause?: { readonly code?: unknown } }).cause?.code ?? "no connection")
  }).pipe(
    Effect.flatMap(({ ok, status }) => (ok ? Effect.void : Effect.fail(`HTTP ${status}`))),
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail("no answer in time") })
  )
