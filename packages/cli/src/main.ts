/** The program: parses the command line, runs the command, and ends with its exit code. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import { create } from "./CreateCommand.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Presenter from "./Presenter.ts"
import { runMain } from "./runMain.ts"
import { resume } from "./ResumeCommand.ts"
import { runs } from "./RunsCommand.ts"
import { sample } from "./SampleCommand.ts"
import { sandbox } from "./SandboxCommand.ts"
import { status } from "./StatusCommand.ts"
import { validate } from "./ValidateCommand.ts"
import { version } from "./version.ts"

const commands = [create, resume, runs, validate, status, sandbox, sample] as const

const tokenbatch = Command.make("tokenbatch").pipe(
  Command.withDescription("Stream token requests into Authlete's batch API, and prove what became of every line"),
  Command.withSubcommands(commands)
)

/** An unknown command alone, without its flags: with --help beside it, all there would be is the help of the program. */
const known = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [first = "-"] = args
  return first.startsWith("-") || commands.some(({ name }) => name === first) ? args : [first]
}

const program = Stdio.Stdio.use(({ args }) => args).pipe(
  Effect.flatMap((args) => Command.runWith(tokenbatch, { version })(known(args))),
  Effect.catch((error) => {
    if (error instanceof Failure) return Effect.fail(error)
    if (!CliError.isCliError(error)) return Effect.die(error)
    // The command line was explained already.
    return ExitCode.set(error._tag === "ShowHelp" && error.errors.length === 0 ? 0 : ExitCode.badUsage)
  }),
  Effect.provide([NodeServices.layer, Presenter.layer])
)

runMain(program)
