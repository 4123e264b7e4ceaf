/**
 * What became of an application's own values: the short-cut for those who have a stream of something and want tokens made of it.
 *
 * Every value comes out again, in a group with others that share its fate, so that an application can write the result back where
 * the value came from. Groups come in the order in which their fates are known; what is unresolved or not submitted comes last, since
 * until the end it may still be found out. Such a run keeps no journal.
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
import { OpenBatches } from "./OpenBatches.ts"
import { rejectionsOf, RunReport, StopReason, type RunEvent } from "./RunEvent.ts"
import { none, RunJournal } from "./RunJournal.ts"
import * as TokenBatchRun from "./TokenBatchRun.ts"

/** Values with one fate. */
export interface Outcome<A> {
  /** What became of them; see the six ends of a line. */
  readonly end: "created" | "existing" | "failed" | "rejected" | "unresolved" | "notSubmitted"
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
      const open = new OpenBatches()
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

      const group = (
        end: Outcome<A>["end"],
        lines: ReadonlyArray<{ readonly from: number; readonly to: number }>,
        { code, message }: Pick<Outcome<A>, "code" | "message">
      ): Outcome<A> => ({ end, values: take(lines), code, message })

      const groupsOf = (event: RunEvent): ReadonlyArray<Outcome<A>> => {
        switch (event._tag) {
          case "BatchSucceeded":
            return [group("created", open.get(event.batch)?.lines ?? [], { code: "", message: "" })]
          case "BatchRefused":
            return [group("failed", event.lines, event)]
          case "RecordsSettled":
            return [group(event.end, event.lines, event)]
          case "RunFinished":
            return open.leftovers().map((left) => group(left.end, left.lines, left))
          default:
            return rejectionsOf(event).map(({ field, line, reason }) =>
              group("rejected", [{ from: line, to: line }], {
                code: "REJECTED",
                message: field === undefined ? reason : `${field} ${reason}`
              })
            )
        }
      }

      const outcomes = (event: RunEvent): Stream.Stream<Outcome<A>, E | RunStopped> => {
        const groups = Stream.fromIterable(groupsOf(event))
        open.step(event)
        if (event._tag !== "RunFinished") return groups
        const { report } = event
        const { stopped } = report
        if (failure !== undefined) return Stream.concat(groups, Stream.failCause(failure))
        return stopped === undefined
          ? groups
          : Stream.concat(
              groups,
              Stream.fail(new RunStopped({ reason: stopped.reason, reasonMessage: stopped.message, report }))
            )
      }

      return values.pipe(
        Stream.map((value) => {
          waiting.set(++count, value)
          return request(value)
        }),
        Stream.tapCause((cause) => Effect.sync(() => void (failure = cause))),
        (requests) => TokenBatchRun.fromRequests(requests, options),
        Stream.provideService(RunJournal, none),
        // There is no journal, so there is nothing to resume.
        Stream.orDie,
        Stream.flatMap(outcomes)
      )
    })
