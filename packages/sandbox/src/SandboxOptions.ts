/** How a sandbox behaves: what it is called, how fast it works and what it promises as little as the real service does. */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { FaultPlan } from "./FaultPlan.ts"
import { RateLimit } from "./Limits.ts"

const Millis = Schema.Number.check(Schema.isGreaterThanOrEqualTo(0))

/** The options in full. Plain data, so that they can be handed to another thread. */
export const SandboxOptions = Schema.Struct({
  /** 0 takes any free port. The host is always this machine. */
  port: Schema.Int,
  serviceId: Schema.String,
  bearer: Schema.String,
  /** Batches worked on at once. */
  workers: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
  /** Milliseconds before the first token of a batch. */
  setupTime: Millis,
  /** Milliseconds a token. */
  timePerToken: Millis,
  /** What a FAILED batch leaves: the tokens before the one that failed, or nothing. */
  failureMode: Schema.Literals(["prefix", "atomic"]),
  /** Whether a dry run notices that a token value exists already. */
  dryRunChecksExisting: Schema.Boolean,
  /** Scopes that can be given; any if absent. */
  supportedScopes: Schema.optionalKey(Schema.Array(Schema.String)),
  /** A larger request body, in bytes, is refused with 413. */
  maxBodySize: Schema.Int,
  /** A file that gets a JSON line for each token: its hash and the request that made it. */
  ledgerFile: Schema.optionalKey(Schema.String),
  /**
   * A file that keeps what the sandbox knows, see `StateFile`: started anew with it, also after a kill, the sandbox goes on from there.
   * A ledger file is then written anew from it.
   */
  stateFile: Schema.optionalKey(Schema.String),
  /** What becomes of accepted batches that had no result when the sandbox was started anew: worked on again, or unknown. */
  lostOnRestart: Schema.Literals(["requeue", "forget"]),
  /** Whether the records of a batch are carried out in the order of the batch, or in an order of the dice's (of the plan's seed). */
  order: Schema.Literals(["inOrder", "shuffled"]),
  /** A URL that gets a POST whenever a batch has ended, see `Notifications`. */
  notificationEndpoint: Schema.optionalKey(Schema.String),
  /** What that POST holds, since the real service does not say: the request id as JSON, or nothing. */
  notificationBody: Schema.Literals(["requestId", "empty"]),
  /** Most batches that were taken and have no end yet, see `Limits`; any number if absent. */
  maxQueue: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** How often calls may come, see `Limits`; as often as they do if absent. */
  rateLimit: Schema.optionalKey(RateLimit),
  /** What goes wrong, and how often. */
  faults: Schema.optionalKey(FaultPlan)
})
export interface SandboxOptions extends Schema.Schema.Type<typeof SandboxOptions> {}

/** Options as people give them: durations in any form, the bearer redacted, and everything may be left out. */
export interface Input extends Partial<
  Omit<SandboxOptions, "bearer" | "notificationEndpoint" | "setupTime" | "timePerToken">
> {
  /** Default: a random one. */
  readonly bearer?: Redacted.Redacted | undefined
  /** Default 20 milliseconds. */
  readonly setupTime?: Duration.Input | undefined
  /** Default 2 microseconds. */
  readonly timePerToken?: Duration.Input | undefined
  /** Default: nobody is told. */
  readonly notificationEndpoint?: URL | undefined
}

/**
 * Fills in the defaults: any free port, service `sandbox`, 8 workers, `prefix`, dry runs that see existing values, 64 MiB, in order,
 * no notifications, no limits, and after a restart `requeue`.
 */
export const make = ({
  bearer,
  notificationEndpoint,
  setupTime = "20 millis",
  timePerToken = "2 micros",
  ...rest
}: Input = {}): SandboxOptions => ({
  port: 0,
  serviceId: "sandbox",
  workers: 8,
  failureMode: "prefix",
  dryRunChecksExisting: true,
  maxBodySize: 64 * 1024 * 1024,
  lostOnRestart: "requeue",
  order: "inOrder",
  notificationBody: "requestId",
  ...rest,
  ...(notificationEndpoint === undefined ? undefined : { notificationEndpoint: notificationEndpoint.href }),
  bearer: bearer === undefined ? `sandbox-${crypto.randomUUID()}` : Redacted.value(bearer),
  setupTime: Duration.toMillis(setupTime),
  timePerToken: Duration.toMillis(timePerToken)
})
