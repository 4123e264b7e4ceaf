/** The exit code of the process, chosen by the command that ran. */
import * as Effect from "effect/Effect"

/**
 * 0 all created, 1 some failed or rejected, 2 bad usage, 3 something is not known or not done, 4 the credentials were refused; 70 for a
 * fault of this program.
 */
export const ExitCode = {
  set: (code: number): Effect.Effect<void> => Effect.sync(() => void (process.exitCode = code)),
  badUsage: 2,
  fault: 70
} as const
