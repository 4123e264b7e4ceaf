/**
 * When a batch is asked after: the delays between its polls, as `Schedule`s. They take the last status, once there is one, and begin with the
 * delay before the first poll.
 *
 * `exponential` and `fixed` are what they say, jittered by a fifth either way, so that batches that were accepted together are not polled
 * together. `adaptive` learns from every poll of everyone who shares it, by `PollLaw`. A run that is given none of them does more than
 * that: its `Flow` also knows which batches wait, lets them share what polls there are while nothing is known, and follows notifications.
 */
import { TokenBatch } from "@tokenbatch/core"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as PollLaw from "./PollLaw.ts"

/** Delays between the polls of a batch. */
export type PollSchedule = Schedule.Schedule<unknown, TokenBatch.BatchStatus | undefined>

/** Options of {@link exponential}. */
export interface Options {
  /** Before the first poll. Default 100 milliseconds. */
  readonly first?: Duration.Input | undefined
  /** How much longer each delay is than the one before. Default 1.5. */
  readonly growth?: number | undefined
  /** The longest delay. Default 10 seconds. */
  readonly cap?: Duration.Input | undefined
}

/** The first delay is `first`; from then on it grows by `growth` up to `cap`, before it is jittered. Never ends: the deadline of `Polling` does. */
export const exponential = ({ cap = "10 seconds", first = "100 millis", growth = 1.5 }: Options = {}) =>
  Schedule.min([Schedule.exponential(first, growth), Schedule.spaced(cap)]).pipe(Schedule.jittered)

/** The same delay each time. */
export const fixed = (delay: Duration.Input) => Schedule.spaced(delay).pipe(Schedule.jittered)

/**
 * Delays that are learned: somewhat more than half of the first polls find the result. Share one schedule among all pollers. It has to be
 * told each status, also the one that says how the batch ended, with which it ends; a run does so. A poller that gives up before is taken to
 * be there still, which makes later ones wait a little longer.
 *
 * It begins with the delay before the first poll. `Effect.repeat` polls before it asks its schedule, which is one poll too early for each
 * batch.
 *
 * @example
 * ```ts
 * import { PollSchedule, TokenBatchRun, type TokenRecords } from "@tokenbatch/stream"
 *
 * declare const monday: TokenRecords.Input<never, never>
 * declare const tuesday: TokenRecords.Input<never, never>
 *
 * // What one run learns, the other one knows.
 * const pollSchedule = PollSchedule.adaptive()
 * const runs = [monday, tuesday].map((input) => TokenBatchRun.fromInputs([input], { pollSchedule }))
 * ```
 */
export const adaptive = (): Schedule.Schedule<
  TokenBatch.BatchStatus | undefined,
  TokenBatch.BatchStatus | undefined
> => {
  let law = PollLaw.initial
  let held = 0
  return Schedule.fromStep(
    Effect.map(Random.Random, (random) => {
      let asked: PollLaw.Asked | undefined
      return (now: number, status: TokenBatch.BatchStatus | undefined) => {
        const found = status !== undefined && TokenBatch.hasEnded(status)
        if (asked === undefined) {
          if (found) return Cause.done(status)
          asked = { taken: now, held: ++held, polls: 0, last: now }
        } else {
          law = PollLaw.step(law, {
            asked,
            sent: now,
            at: now,
            found,
            limited: false,
            learn: true,
            onTime: true,
            hinted: false
          })
          if (found) {
            held--
            return Cause.done(status)
          }
          asked = { ...asked, polls: asked.polls + 1, last: now }
        }
        const jitter = (random.nextDoubleUnsafe() * 2 - 1) * PollLaw.spread(law, asked)
        return Effect.succeed([status, Duration.millis(Math.max(PollLaw.dueByItself(law, asked) + jitter - now, 0))])
      }
    })
  )
}
