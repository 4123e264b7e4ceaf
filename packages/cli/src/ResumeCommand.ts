/** `tokenbatch resume`: goes on with a run that was cut off, stopped, or left something unresolved. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Connection from "./Connection.ts"
import * as CreateRun from "./CreateRun.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Inputs from "./Inputs.ts"
import * as Notifications from "./Notifications.ts"
import * as RunFolder from "./RunFolder.ts"

type Flags = CreateRun.Running & Pick<CreateRun.Settings, "heard"> & Omit<Connection.Settings, "fallback">

/** Goes on with a run: with the options that it began with, and these flags for the rest. */
export const goOn = Effect.fnUntraced(function* (found: RunFolder.Run, flags: Flags) {
  const { started } = found
  if (!found.resumable) {
    return yield* new Failure({
      problem: `${found.id} was ${started.dryRun ? "a dry run" : "against a sandbox that is gone"}: there is nothing to go on with.`,
      remedy: "Begin a new one with tokenbatch create."
    })
  }
  const names = started.inputs.map(({ identity }) => identity)
  const inputs = yield* Inputs.open(
    names,
    started.inputs.map(({ name }) => name)
  )
  const settings: CreateRun.Settings = {
    ...flags,
    dryRun: false,
    limit: Option.fromUndefinedOr(started.limit),
    batchSize: started.batchSize,
    batchBytes: started.batchBytes,
    allowUnknownFields: started.allowUnknownFields,
    requireAccessToken: started.requireAccessToken,
    sandboxLedger: Option.none(),
    sandbox: false,
    folder: Option.some(found),
    legs: found.state.legs
  }
  yield* CreateRun.checkOutputs(settings, inputs, flags)
  const { exitCode } = yield* CreateRun.run(settings, inputs).pipe(
    Effect.provide(Connection.layer({ ...flags, fallback: started.address }))
  )
  yield* ExitCode.set(exitCode)
})

export const resume = Command.make(
  "resume",
  {
    run: Argument.String("run").pipe(
      Argument.withDescription("The run's id or its folder; the latest that is not finished if none is named"),
      Argument.optional
    ),
    ...Flags.connection,
    ...Flags.running,
    ...Flags.notifying
  },
  Effect.fnUntraced(function* ({ run, ...flags }) {
    yield* CreateRun.checkPace(flags)
    const found = yield* RunFolder.find(run)
    const { context, heard } = yield* Notifications.listen(flags)
    yield* Effect.provideContext(goOn(found, { ...flags, heard }), context)
  }, Effect.scoped)
).pipe(
  Command.withDescription(
    "Go on with a run: what is known stays, what was in flight is asked after, what is unresolved is found out, and the rest of the input is read. Feed standard input again if the run read from there"
  ),
  Command.withExamples([
    { command: "tokenbatch resume", description: "The latest run that is not finished" },
    {
      command: "tokenbatch resume tokens.ndjson-20260101T020304-1a2b",
      description: "One by its id; see tokenbatch runs"
    }
  ])
)
