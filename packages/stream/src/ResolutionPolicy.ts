/**
 * What a run does about records whose fate is not known: a service, so that an application can decide otherwise.
 *
 * The default is to find out, since it costs little and cannot make a token twice: a record with its own access token can be submitted
 * again, for a value that exists cannot be inserted; everything else is asked by dry runs, which create nothing. An application may
 * have reasons not to: every call counts against a rate limit, or it has a better way to know what exists. Records without an access
 * token of their own are never sent again, unless that is asked for by name (`resubmit`), and then the report says how many may be
 * there twice.
 *
 * @example
 * ```ts
 * import { ResolutionPolicy, TokenBatchRun } from "@tokenbatch/stream"
 * import { Stream } from "effect"
 *
 * declare const lines: Stream.Stream<Uint8Array>
 *
 * // Leave large batches alone, and spend no more than a thousand calls.
 * const events = TokenBatchRun.fromBytes(lines).pipe(
 *   Stream.provide(
 *     ResolutionPolicy.layer({
 *       onFailure: ({ records }) => (records > 5000 ? "leave" : "resolve"),
 *       budget: 1000
 *     })
 *   )
 * )
 * ```
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"

/** A batch whose records are unresolved. */
export interface Doubtful {
  readonly records: number
  /** How many of them do not carry their own access token. */
  readonly withoutAccessToken: number
  /** The last answer's code and message, or what stands for them. */
  readonly code: string
  readonly message: string
  /** Of a FAILED batch: tokens processed, as the service says. */
  readonly tokenCount?: number | undefined
}

/** What is done about unresolved records. */
export interface ResolutionPolicy {
  /** About a batch that may or may not have been taken. `resubmit`: find out, and send records without an access token again as well. */
  readonly onDoubt: (batch: Doubtful) => "resolve" | "resubmit" | "leave"
  /** About a batch that the service gave up. */
  readonly onFailure: (batch: Doubtful) => "resolve" | "leave"
  /**
   * Most calls that a run makes for it, over all its legs; of a leg that crashed up to fifty a batch are not counted. What is left then
   * stays unresolved, for the next leg with a larger one.
   */
  readonly budget: number
  /** How often the records of a batch that are proved absent are submitted again. */
  readonly rounds: number
  /** Take it that the service works in the order of a batch's records, in place of a proof for each existing one. */
  readonly assumeInOrder: boolean
  /**
   * How long nothing of ours is sent before it is asked what is there: twice the longest time that a batch took, within these bounds. It
   * has to be so long that no copy of a batch whose answer was lost is still at work.
   */
  readonly settleAtLeast: Duration.Duration
  readonly settleAtMost: Duration.Duration
}

/** Find out, with up to 50,000 calls and three rounds, after 5 to 60 seconds; nothing is assumed. */
export const defaults: ResolutionPolicy = {
  onDoubt: () => "resolve",
  onFailure: () => "resolve",
  budget: 50_000,
  rounds: 3,
  assumeInOrder: false,
  settleAtLeast: Duration.seconds(5),
  settleAtMost: Duration.minutes(1)
}

/** The policy of a run. */
export const ResolutionPolicy: Context.Reference<ResolutionPolicy> = Context.Reference<ResolutionPolicy>(
  "@tokenbatch/stream/ResolutionPolicy",
  { defaultValue: () => defaults }
)

/** The default policy, with changes. */
export const layer = (policy: Partial<ResolutionPolicy>): Layer.Layer<never> =>
  Layer.succeed(ResolutionPolicy, { ...defaults, ...policy })

/** Leaves everything as it is. */
export const layerLeave: Layer.Layer<never> = layer({ onDoubt: () => "leave", onFailure: () => "leave" })
