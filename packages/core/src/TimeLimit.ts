/**
 * A limit on how long an effect may take, for many effects at once that all have the same.
 *
 * `Effect.timeout` is a race with a sleep: two fibers and a timer for each effect. Here each runs in one fiber, and as long as any are under way
 * a single timer waits for the one that began first, since with one limit for all they come due in the order in which they began. An
 * effect that is ended is waited for, so that whoever goes on may use again what it was given. The clock is that of whoever makes the limit.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberHandle from "effect/FiberHandle"
import type * as Scope from "effect/Scope"

/** Runs an effect under the limit: once that is over the effect is interrupted, and what `onTimeout` gives is the failure. */
export type TimeLimit = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  onTimeout: () => E2
) => Effect.Effect<A, E | E2, R>

interface Running {
  readonly due: number
  readonly fiber: Fiber.Fiber<unknown, unknown>
  isOver: boolean
}

/** A limit that holds for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  limit: Duration.Duration
): Effect.fn.Return<TimeLimit, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const millis = Duration.toMillis(limit)
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  /** In the order in which they began. */
  const running = new Set<Running>()
  const beginTimer = yield* FiberHandle.makeRuntime<never>()
  let timer: Fiber.Fiber<void> | undefined

  const endOverdue: Effect.Effect<void> = Effect.suspend(() => {
    for (const one of running) {
      const left = one.due - now()
      if (left > 0) return Effect.andThen(Effect.sleep(Math.ceil(left)), endOverdue)
      // No longer waited for, though it may take a while to end.
      running.delete(one)
      one.isOver = true
      one.fiber.interruptUnsafe()
    }
    return Effect.void
  })

  const begin = (fiber: Fiber.Fiber<unknown, unknown>): Running => {
    const one = { due: now() + millis, fiber, isOver: false }
    running.add(one)
    if (running.size === 1) timer = beginTimer(endOverdue)
    fiber.addObserver(() => {
      // A timer that nobody needs would keep the process from ending.
      if (running.delete(one) && running.size === 0) timer?.interruptUnsafe()
    })
    return one
  }

  return <A, E, R, E2>(effect: Effect.Effect<A, E, R>, onTimeout: () => E2) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.forkChild(effect, { startImmediately: true }), (fiber) => {
        const one = begin(fiber)
        return restore(Fiber.await(fiber)).pipe(
          Effect.onInterrupt(() => Fiber.interrupt(fiber)),
          Effect.flatMap((exit): Effect.Effect<A, E | E2> =>
            one.isOver && Exit.hasInterrupts(exit) ? Effect.fail(onTimeout()) : exit
          )
        )
      })
    )
})
