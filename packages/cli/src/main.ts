/** The program: parses the command line, runs the command, and ends with its exit code. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Logger from "effect/Logger"
import * as Runtime from "effect/Runtime"
import * as Stdout from "./Stdout.ts"
import { create } from "./CreateCommand.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Presenter from "./Presenter.ts"
import { sample } from "./SampleCommand.ts"
import { sandbox } from "./SandboxCommand.ts"
import { status } from "./StatusCommand.ts"
import { validate } from "./ValidateCommand.ts"
import { version } from "./version.ts"

const tokenbatch = Command.make("tokenbatch").pipe(
  Command.withDescription("Stream token requests into Authlete's batch API, and prove what became of every line"),
  Command.withSubcommands([create, validate, status, sandbox, sample])
)

const program = Effect.andThen(Stdout.guard, Command.run(tokenbatch, { version })).pipe(
  Effect.catch((error) => {
    if (error instanceof Failure) process.stderr.write(`error: ${error.message}\n`)
    // The command line was explained already.
    else if (!CliError.isCliError(error)) return Effect.die(error)
    const isHelp = CliError.isCliError(error) && error._tag === "ShowHelp" && error.errors.length === 0
    return ExitCode.set(isHelp ? 0 : ExitCode.badUsage)
  }),
  Effect.provide([NodeServices.layer, Presenter.layer]),
  // Standard output is for events.
  Effect.provideService(Logger.LogToStderr, true)
)

// Not the platform's runMain: that one interrupts the program on the first signal, where a run has to be stopped in order.
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
})

runMain(program, {
  disableErrorReporting: true,
  teardown: (exit, onExit) => {
    if (Exit.isSuccess(exit)) return onExit(Number(process.exitCode ?? 0))
    if (Cause.hasInterruptsOnly(exit.cause)) return onExit(130)
    const error = Cause.squash(exit.cause)
    process.stderr.write(
      `tokenbatch has a fault; please report it:\n${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
    )
    onExit(ExitCode.fault)
  }
})
