/**
 * What became of an application's own values: the short-cut for those who have a stream of something and want tokens made of it.
 *
 * Every value comes out again, in a group with others that share its fate, so that an application can write the result back where
 * the value came from. Groups come in the order in which their fates are known.
 *
 * @example
 * ```ts
 * import { Outcome } from "@tokenbatch/stream"
 * import { Effect, Redacted, Stream } from "effect"
 *
 * interface Session { readonly id: number; readonly user: string; readonly token: Redacted.Redacted }
 * declare const sessions: Stream.Stream<Session>
 * declare const markMigrated: (ids: ReadonlyArray<number>) => Effect.Effect<void>
 *
 * const program = sessions.pipe(
 *   Outcome.create((session) => ({
 *     grantType: "AUTHORIZATION_CODE",
 *     clientId: 26837717140341n,
 *     subject: session.user,
 *     accessToken: session.token
 *   })),
 *   Stream.runForEach((outcome) =>
 *     outcome.end === "created" ? markMigrated(outcome.values.map((session) => session.id)) : Effect.logWarning(outcome.message)
 *   )
 * )
 * ```
 */
import type { TokenCreateRequest, TokenOperations } from "@tokenbatch/core"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { LineRange } from "./Batches.ts"
import { RunReport, StopReason, type RunEvent } from "./RunEvent.ts"
import * as TokenBatchRun from "./TokenBatchRun.ts"
import * as TokenRecords from "./TokenRecords.ts"

/** Values with one fate. */
export interface Outcome<A> {
  /** What became of them; see the six ends of a line. */
  readonly end: "created" | "failed" | "rejected" | "unresolved" | "notSubmitted"
  readonly values: ReadonlyArray<A>
  /** The service's code, or what stands for it. Empty for `created`. */
  readonly code: string
  /** Why, in words. Empty for `created`. */
  readonly message: string
}

/** The run stopped before the end of the stream. What was read has been reported; the rest was not read. */
export class RunStopped extends Schema.TaggedError<RunStopped>()("RunStopped", {
  reason: StopReason,
  reasonMessage: Schema.String,
  report: RunReport
}) {
  override get message() {
    return this.reasonMessage
  }
}

/** Creates a token for each value, and gives the values back with what became of them. A failure of the source comes last. */
export const create =
  <A>(request: (value: A) => TokenCreateRequest.TokenCreateRequest, options: TokenBatchRun.Options = {}) =>
  <E, R>(
    values: Stream.Stream<A, E, R>
  ): Stream.Stream<Outcome<A>, E | RunStopped, R | TokenOperations.TokenOperations> =>
    Stream.suspend(() => {
      const waiting = new Map<number, A>()
      const lines = new Map<number, ReadonlyArray<LineRange>>()
      let count = 0
      let failure: Cause.Cause<E> | undefined

      const take = (ranges: ReadonlyArray<{ readonly from: number; readonly to: number }>): ReadonlyArray<A> => {
        const taken: Array<A> = []
        for (const { from, to } of ranges) {
          for (let line = from; line <= to; line++) {
            if (waiting.has(line)) taken.push(waiting.get(line)!)
            waiting.delete(line)
          }
        }
        return taken
      }

      const outcomes = (event: RunEvent): Stream.Stream<Outcome<A>, E | RunStopped> => {
        switch (event._tag) {
          case "BatchIntended":
            lines.set(event.batch, event.lines)
            return Stream.empty
          case "BatchSplit":
            lines.delete(event.batch)
            return Stream.empty
          case "LinesRejected":
            return Stream.fromIterable(
              event.rejections.map(({ field, line, reason }) => ({
                end: "rejected" as const,
                values: take([{ from: line, to: line }]),
                code: "REJECTED",
                message: field === undefined ? reason : `${field} ${reason}`
              }))
            )
          case "BatchSucceeded": {
            const created = take(lines.get(event.batch) ?? [])
            lines.delete(event.batch)
            return Stream.succeed({ end: "created", values: created, code: "", message: "" })
          }
          case "BatchFailed":
          case "BatchUnresolved":
          case "BatchRefused":
          case "BatchNotSubmitted": {
            lines.delete(event.batch)
            const { code, message } = event
            return Stream.succeed({ end: endOf[event._tag], values: take(event.lines), code, message })
          }
          case "RunFinished": {
            if (failure !== undefined) return Stream.failCause(failure)
            const { stopped } = event.report
            return stopped === undefined
              ? Stream.empty
              : Stream.fail(
                  new RunStopped({ reason: stopped.reason, reasonMessage: stopped.message, report: event.report })
                )
          }
          default:
            return Stream.empty
        }
      }

      return values.pipe(
        Stream.map((value) => {
          waiting.set(++count, value)
          return request(value)
        }),
        Stream.tapCause((cause) => Effect.sync(() => void (failure = cause))),
        (requests) => TokenRecords.fromRequests(requests, options),
        (pages) => TokenBatchRun.fromPages(pages, options),
        Stream.flatMap(outcomes)
      )
    })

const endOf = {
  BatchFailed: "unresolved",
  BatchUnresolved: "unresolved",
  BatchRefused: "failed",
  BatchNotSubmitted: "notSubmitted"
} as const
