/**
 * What a sandbox takes at most, as a service does that has a pace of its own: calls a second (`rateLimit`), and batches that are not done
 * yet (`maxQueue`). A call beyond a limit is answered 429, and nothing of it is taken. Without limits everything is let through.
 *
 * The `rateLimited` fault refuses by the dice, however slowly calls come. A limit lets a client through that keeps to it.
 *
 * **Rate**
 *
 * A bucket holds `burst` tokens, and gets `perSecond` of them a second. A call takes one; a call that finds none is refused, and takes none.
 * Create and status calls take from the same bucket, or create calls alone do (`on`). The bucket is that of Effect's `RateLimiter`, which
 * counts in whole milliseconds: no more than `burst` calls come through in one.
 *
 * **Queue**
 *
 * `BatchWorkers` counts the batches that were taken and have no end yet: those that wait, those that are worked on (so a `maxQueue` below
 * the number of workers leaves some idle), dry runs too. One that a fault keeps from being worked on holds its place, for ever if need be.
 * One that has its end, hidden by a fault or not, holds none. Status calls are not affected.
 *
 * **In which order**
 *
 * 1. Credentials: a 401 or a 403 takes no token.
 * 2. `resetBeforeBody`, and `refuse` before all: what breaks on the wire never gets to a limit.
 * 3. The body is read to its end, so that the client gets to read the answer.
 * 4. The rate. What is refused here is not looked at (413, 400), and no rule of the plan is asked.
 * 5. The faults of calls.
 * 6. The queue, when the batch would be taken: `slowBeforeAccept` asks late. Where a fault would come after that, the 429 comes in its place.
 *
 * So with a rate, which calls draw their faults depends on when they come: the same plan gives the same faults to the calls that are let
 * through.
 *
 * @example
 * ```ts
 * import { Sandbox } from "@tokenbatch/sandbox"
 *
 * const Narrow = Sandbox.Sandbox.layer({
 *   maxQueue: 40,
 *   rateLimit: { perSecond: 20, burst: 5, on: "create", retryAfter: 1 }
 * })
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"

/** How often calls may come. */
export const RateLimit = Schema.Struct({
  /** Calls a second, in the long run. */
  perSecond: Schema.Finite.check(Schema.isGreaterThan(0)),
  /** Most calls at once, after a time without any. Default: those of a tenth of a second, one at least. */
  burst: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  /** Which calls count, and are refused. Default `both`. */
  on: Schema.optionalKey(Schema.Literals(["create", "both"])),
  /** `Retry-After`, in seconds. Default: the header is left out. */
  retryAfter: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)))
})
export interface RateLimit extends Schema.Schema.Type<typeof RateLimit> {}

/** A call is beyond a limit. */
export class LimitReached extends Schema.TaggedError<LimitReached>()("LimitReached", {
  limit: Schema.Literals(["rateLimit", "maxQueue"]),
  /** `Retry-After`, in seconds. */
  retryAfter: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return this.limit === "rateLimit" ? "Calls come too fast." : "Too many batches wait."
  }
}

/** Keeps the rate. The queue is kept by `BatchWorkers`. */
export class Limits extends Context.Service<
  Limits,
  {
    /** Lets a call through that has been read. */
    readonly ofCall: (operation: "create" | "status") => Effect.Effect<void, LimitReached>
  }
>()("@tokenbatch/sandbox/Limits") {
  /** Keeps a rate, with a full bucket at first; lets everything through without one. */
  static readonly layer = (rateLimit?: RateLimit): Layer.Layer<Limits> =>
    rateLimit === undefined
      ? Layer.succeed(Limits, { ofCall: () => Effect.void })
      : Layer.effect(Limits, make(rateLimit))
}

const make = Effect.fnUntraced(function* ({
  perSecond,
  burst = Math.max(1, Math.floor(perSecond / 10)),
  on = "both",
  retryAfter
}: RateLimit) {
  // Of this sandbox alone, also where others are in the same application.
  const limiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory, { local: true })
  const take = limiter.consume({
    key: "calls",
    algorithm: "token-bucket",
    limit: burst,
    window: (burst / perSecond) * 1000
  })
  const keep = Effect.asVoid(
    Effect.mapError(
      take,
      () => new LimitReached({ limit: "rateLimit", ...(retryAfter === undefined ? undefined : { retryAfter }) })
    )
  )
  return Limits.of({ ofCall: (operation) => (operation === "create" || on === "both" ? keep : Effect.void) })
})

const codes = { rateLimit: "SBX429001", maxQueue: "SBX429002" }

/** The answer to a call that is beyond a limit. */
export const answer = ({
  limit,
  message,
  retryAfter
}: LimitReached): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.succeed(
    HttpServerResponse.jsonUnsafe(
      { resultCode: codes[limit], resultMessage: `[${codes[limit]}] ${message}` },
      { status: 429, headers: retryAfter === undefined ? {} : { "retry-after": String(retryAfter) } }
    )
  )
