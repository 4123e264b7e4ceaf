/**
 * SIGINT and SIGTERM. The first one asks; who handles it does so in order. The second one ends the process at once, and so does the
 * first where nobody handles it.
 */
import * as Effect from "effect/Effect"

const numbers = { SIGINT: 2, SIGTERM: 15 } as const

/** Completes with the first signal. While it is awaited, that signal does not end the process; any later one does. */
export const first: Effect.Effect<keyof typeof numbers> = Effect.callback((resume) => {
  let seen = false
  const handlers = (Object.keys(numbers) as Array<keyof typeof numbers>).map((signal) => {
    const handler = () => {
      if (seen) process.exit(128 + numbers[signal])
      seen = true
      resume(Effect.succeed(signal))
    }
    process.on(signal, handler)
    return [signal, handler] as const
  })
  return Effect.sync(() => handlers.forEach(([signal, handler]) => process.off(signal, handler)))
})
