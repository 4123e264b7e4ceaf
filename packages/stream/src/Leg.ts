/**
 * A leg: one process's share of a run. What its batches have to know of one another: whether the service has taken any, how many may be
 * in flight, whether and why the run stops, and where events go.
 *
 * A stop has two moments. When the leg is `stopping`, nothing more is read or submitted, and what waits for its next attempt waits no
 * longer. When it is `halted`, the grace of what is in flight is over as well.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Flow } from "./Flow.ts"
import type { RunEvent, StopReason } from "./RunEvent.ts"

/** One process's share of a run. Its fields change as the leg goes on. */
export interface Leg {
  /** Says that something happened, and waits until that is written down and passed on. */
  readonly emit: (event: RunEvent) => Effect.Effect<void>
  /** Says it at once, when it is called; what it gives waits. For what must come in an order that waiting would spoil. */
  readonly emitUnsafe: (event: RunEvent) => Effect.Effect<void>
  /** How many batches are in flight at once, and when they are handed in and asked after. */
  readonly flow: Flow
  /** The number of the batch that was intended last. */
  lastBatch: number
  /** When a create call that was no dry run last ended or was given up, in milliseconds since the Unix epoch; before any, when the leg began. */
  lastSent: number
  /** Whether the service has taken a create call of this leg. */
  anyTaken: boolean
  /** When it last took one, by the flow's clock. */
  lastTaken: number
  /** Held by the one call that is made while nothing has been taken yet. */
  readonly first: Semaphore.Semaphore
  /** Whether somebody has stopped the leg, or it has ended. */
  stopped: boolean
  /** Why it was stopped, if it was. */
  reason: StopReason | undefined
  /** Whether somebody asked it to stop, whatever stopped it first. */
  requested: boolean
  stopping: Deferred.Deferred<void>
  halted: boolean
  /** What is under way until then: see {@link untilHalted}. */
  readonly calls: FiberSet.FiberSet<unknown, unknown>
}

/** A leg that has just begun, for as long as the scope is open. */
export const make = (
  options: Pick<Leg, "emitUnsafe" | "flow"> & { readonly lastBatch?: number }
): Effect.Effect<Leg, never, Scope.Scope> =>
  Effect.gen(function* () {
    return {
      emit: (event) => Effect.suspend(() => options.emitUnsafe(event)),
      emitUnsafe: options.emitUnsafe,
      flow: options.flow,
      lastBatch: options.lastBatch ?? 0,
      lastSent: yield* Clock.currentTimeMillis,
      anyTaken: false,
      lastTaken: -Infinity,
      first: yield* Semaphore.make(1),
      stopped: false,
      reason: undefined,
      requested: false,
      stopping: yield* Deferred.make<void>(),
      halted: false,
      calls: yield* FiberSet.make<unknown, unknown>()
    }
  })

/** Stops the leg. The first reason is the one that is told, before anything ends because of it: whoever comes later waits until it is. */
export const stop = Effect.fnUntraced(function* (leg: Leg, reason: StopReason, message: string) {
  if (reason === "Requested") leg.requested = true
  if (leg.stopped) return yield* Deferred.await(leg.stopping)
  leg.stopped = true
  leg.reason = reason
  leg.flow.stop()
  // Whoever stops it may be interrupted for that very reason while the event is written down; nobody else would complete this then.
  yield* Effect.ensuring(
    leg.emit({ _tag: "RunStopping", reason, message }),
    Effect.suspend(() => Deferred.succeed(leg.stopping, undefined))
  )
})

/** Stops the leg because events cannot be written down any more. Gives the event that says so, which goes ahead of the unwritten ones. */
export const fail = (leg: Leg, message: string): RunEvent => {
  leg.stopped = true
  leg.reason = "JournalFailed"
  leg.flow.stop()
  Deferred.doneUnsafe(leg.stopping, Effect.void)
  return { _tag: "RunStopping", reason: "JournalFailed", message }
}

/**
 * Lets a leg go on that has stopped for what its records or its input are like, to find out what became of the unresolved ones: no more
 * of them is submitted, and that is no reason not to find out. Gives whether it goes on, or never stopped.
 */
export const goOn = (leg: Leg): Effect.Effect<boolean> =>
  Effect.sync(() => {
    if (!leg.stopped) return true
    const soft = leg.reason === "SystematicRefusal" || leg.reason === "TooManyRejects" || leg.reason === "Unreadable"
    if (!soft || leg.requested || leg.flow.isGone()) return false
    leg.stopped = false
    leg.flow.goOn()
    leg.stopping = Deferred.makeUnsafe<void>()
    return true
  })

/** Ends the leg. A stop that has begun is told first, and none can begin any more. */
export const end = Effect.fnUntraced(function* (leg: Leg) {
  if (leg.stopped) return yield* Deferred.await(leg.stopping)
  leg.stopped = true
})

/** Halts the leg: the grace of what is in flight is over. */
export const halt = (leg: Leg): Effect.Effect<void> =>
  Effect.suspend(() => {
    leg.halted = true
    leg.flow.halt()
    return FiberSet.clear(leg.calls)
  })

/** Sleeps, and tells whether the leg began to stop meanwhile. */
export const sleepUnlessStopping = (leg: Leg, millis: number): Effect.Effect<boolean> =>
  Effect.raceFirst(Effect.as(Effect.sleep(millis), false), Effect.as(Deferred.await(leg.stopping), true))

/** Runs an effect until the leg is halted; `onHalted` is the result if that comes first. */
export const untilHalted = <A, E, R, B>(
  leg: Leg,
  effect: Effect.Effect<A, E, R>,
  onHalted: () => B
): Effect.Effect<A | B, E, R> =>
  Effect.uninterruptibleMask((restore) =>
    leg.halted
      ? Effect.sync(onHalted)
      : // A race with the halt would be two fibers for each call of a run, where one does.
        Effect.flatMap(FiberSet.run(leg.calls, effect), (call) =>
          restore(Fiber.await(call)).pipe(
            // Whoever is interrupted gives back what the call may still use, so it has to have ended.
            Effect.onInterrupt(() => Fiber.interrupt(call)),
            Effect.flatMap((exit): Effect.Effect<A | B, E> =>
              leg.halted && Exit.hasInterrupts(exit) ? Effect.sync(onHalted) : exit
            )
          )
        )
  )
