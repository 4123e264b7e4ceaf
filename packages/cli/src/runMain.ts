/** How a program of this package runs: ends with the exit code that was chosen, and says what a user can mend in words. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { ExitCode } from "./ExitCode.ts"
import type { Failure } from "./Failure.ts"
import * as Format from "./Format.ts"
import * as Logs from "./Logs.ts"
import * as Stdout from "./Stdout.ts"

const fault = (error: unknown): void => {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  process.stderr.write(`tokenbatch has a fault, sorry; please report it:\n${Format.printable(text)}\n`)
}

// Not the platform's runMain: that one interrupts the program on the first signal, where a run has to be stopped in order.
const run = Runtime.makeRunMain(({ fiber, teardown }) => {
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
})

/** Runs a program. Failures are told in words, with the exit code for bad usage. */
export const runMain = (program: Effect.Effect<void, Failure>): void => {
  // Thrown outside of any effect: it must not end in a code that says something else.
  process.on("uncaughtException", (error) => {
    fault(error)
    process.exit(ExitCode.fault)
  })
  const told = Effect.andThen(Stdout.guard, program).pipe(
    Effect.catch((error) => {
      process.stderr.write(`error: ${Format.printable(error.message)}\n`)
      return ExitCode.set(error.code ?? ExitCode.badUsage)
    }),
    // Nobody takes spans.
    Effect.withTracerEnabled(false),
    // Standard output is for events.
    Effect.provide(Logs.layer((line) => void process.stderr.write(`${line}\n`)))
  )
  run(told, {
    disableErrorReporting: true,
    teardown: (exit, onExit) => {
      if (Exit.isSuccess(exit)) return onExit(Number(process.exitCode ?? 0))
      if (Cause.hasInterruptsOnly(exit.cause)) return onExit(130)
      fault(Cause.squash(exit.cause))
      onExit(ExitCode.fault)
    }
  })
}
