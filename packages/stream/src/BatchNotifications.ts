/**
 * Hints that a batch may have ended, so that a run asks for its status now and not when its schedule says.
 *
 * A service can be set up to POST to an endpoint when a batch has succeeded or failed. What it sends is published nowhere, and anybody can
 * send a POST. So a notification is only ever a hint: nothing in it is believed, and what a batch has come to is what its status says.
 *
 * **How the pieces fit**
 *
 * `NotificationRoute` takes the POSTs in an application's own HTTP server and hands their bodies to `notify`; whatever else hears of a
 * batch's end, a message queue say, can do the same. A run looks whether the service is there, and subscribes to `hints`: a batch whose
 * request ID stands in a body is polled now; where no ID does, or the body is empty, the one that is expected soonest. Without the
 * service a run keeps to its schedule.
 *
 * **What surprises**
 *
 * - The route and the run must share one instance: build `layer` once, as below, and not once for each of them.
 * - Hints are dropped where nobody has subscribed, and the oldest are where more than {@link capacity} wait. Nothing is lost by that: the
 *   schedule goes on. So a flood of forged POSTs takes no more memory than that many bodies.
 *
 * @example
 * ```ts
 * import { BatchNotifications, NotificationRoute } from "@tokenbatch/stream"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Layer, type Redacted } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { createServer } from "node:http"
 *
 * // "/hooks/" and some thirty random characters: whoever knows it can send hints.
 * declare const path: Redacted.Redacted
 *
 * // Provided to a run, it serves the route for as long, and hands on what comes in.
 * const Notified = HttpRouter.serve(NotificationRoute.layer(path)).pipe(
 *   Layer.provide(NotificationRoute.untraced(path)),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 8080 })),
 *   Layer.provideMerge(BatchNotifications.BatchNotifications.layer)
 * )
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"

/** Most hints that wait for a subscriber. When another one comes, the oldest is dropped. */
export const capacity = 256

/** Passes hints on, from whoever hears that a batch has ended to the runs of this process. */
export class BatchNotifications extends Context.Service<
  BatchNotifications,
  {
    /**
     * Gives a hint to all who have subscribed, and waits for none of them.
     *
     * @param body what came, in whatever format: request IDs are looked for in it as they stand. It may be empty
     */
    readonly notify: (body: string) => Effect.Effect<void>
    /** The hints from now on, until the scope closes. */
    readonly hints: Effect.Effect<PubSub.Subscription<string>, never, Scope.Scope>
  }
>()("@tokenbatch/stream/BatchNotifications") {
  /** Hints within this process. */
  static readonly layer: Layer.Layer<BatchNotifications> = Layer.effect(
    BatchNotifications,
    Effect.gen(function* () {
      const hints = yield* Effect.acquireRelease(PubSub.sliding<string>(capacity), PubSub.shutdown)
      return BatchNotifications.of({
        notify: (body) => Effect.asVoid(PubSub.publish(hints, body)),
        hints: PubSub.subscribe(hints)
      })
    })
  )
}
