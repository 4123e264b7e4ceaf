/**
 * When a batch is asked after: the delays between its polls, as a `Schedule`.
 *
 * The first poll comes after `first`; from then on the delay grows by `growth` up to `cap`. Each is jittered by a fifth either way, so
 * that batches that were accepted together are not polled together.
 */
import type * as Duration from "effect/Duration"
import * as Schedule from "effect/Schedule"

/** Options of {@link exponential}. */
export interface Options {
  /** Before the first poll. Default 100 milliseconds. */
  readonly first?: Duration.Input | undefined
  /** How much longer each delay is than the one before. Default 1.5. */
  readonly growth?: number | undefined
  /** The longest delay. Default 10 seconds. */
  readonly cap?: Duration.Input | undefined
}

/** Growing delays with a cap. Never ends: the deadline of `Polling` does. */
export const exponential = ({ cap = "10 seconds", first = "100 millis", growth = 1.5 }: Options = {}) =>
  Schedule.min([Schedule.exponential(first, growth), Schedule.spaced(cap)]).pipe(Schedule.jittered)

/** The same delay each time. */
export const fixed = (delay: Duration.Input) => Schedule.spaced(delay).pipe(Schedule.jittered)
