/**
 * SIGINT, SIGTERM, and SIGHUP (a connection that was dropped). The first one asks; who handles it does so in order. The second one ends the process at once, and so does the
 * first where nobody handles it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

const numbers = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/**
 * Runs `onFirst` at the first signal, and ends the process at the second, after `lastWords`. Never ends by itself: the signals stay
 * ours until it is interrupted.
 */
export const handle = (onFirst: Effect.Effect<void>, lastWords: () => void = () => {}): Effect.Effect<never> =>
  Effect.scoped(
    Effect.gen(function* () {
      const came = yield* Deferred.make<void>()
      let seen = false
      const handlers = (Object.keys(numbers) as Array<keyof typeof numbers>).map((signal) => {
        const handler = () => {
          if (seen) {
            lastWords()
            process.exit(128 + numbers[signal])
          }
          seen = true
          Deferred.doneUnsafe(came, Effect.void)
        }
        process.on(signal, handler)
        return [signal, handler] as const
      })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => handlers.forEach(([signal, handler]) => process.off(signal, handler)))
      )
      yield* Deferred.await(came)
      yield* onFirst
      return yield* Effect.never
    })
  )

/** Completes with the first signal. While it is awaited, that signal does not end the process. */
export const first: Effect.Effect<void> = Effect.gen(function* () {
  const came = yield* Deferred.make<void>()
  yield* Effect.raceFirst(handle(Effect.asVoid(Deferred.succeed(came, undefined))), Deferred.await(came))
})
