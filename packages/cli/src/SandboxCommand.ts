/** `tokenbatch sandbox`: an Authlete stand-in for other programs to try things with. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Signals from "./Signals.ts"
import * as Stdout from "./Stdout.ts"

export const sandbox = Command.make(
  "sandbox",
  {
    port: Flags.count("port", 0, 65_535).pipe(Flag.withDescription("0 takes any free one"), Flag.withDefault(0)),
    workers: Flags.count("workers").pipe(Flag.withDescription("Batches worked on at once"), Flag.withDefault(8)),
    setupTime: Flags.duration("setup-time").pipe(
      Flag.withDescription("Time before the first token of a batch"),
      Flag.withDefault(Duration.millis(20))
    ),
    timePerToken: Flags.duration("time-per-token").pipe(
      Flag.withDescription("Time for each token"),
      Flag.withDefault(Duration.micros(2n))
    ),
    failureMode: Flag.Literals("failure-mode", ["prefix", "atomic"]).pipe(
      Flag.withDescription("What a failed batch leaves: the tokens before the one that failed, or nothing"),
      Flag.withDefault("prefix")
    ),
    ledger: Flag.String("ledger").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write a JSON line for each token: its hash and its batch"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (flags) {
    const { Sandbox } = yield* Effect.promise(() => import("@tokenbatch/sandbox"))
    const { failureMode, ledger, port, setupTime, timePerToken, workers } = flags
    const serve = Effect.gen(function* () {
      const { baseUrl, bearer, serviceId } = yield* Sandbox.Sandbox
      yield* Stdout.write(
        `export AUTHLETE_BASE_URL=${baseUrl}\nexport AUTHLETE_SERVICE_ID=${serviceId}\nexport AUTHLETE_BEARER=${Redacted.value(bearer)}\n`
      )
      process.stderr.write("The sandbox is running; Ctrl-C ends it. Paste the lines above into another shell.\n")
      yield* Signals.first
      yield* ExitCode.set(0)
    })
    yield* serve.pipe(
      Effect.provide(
        Sandbox.Sandbox.layer({
          port,
          workers,
          setupTime,
          timePerToken,
          failureMode,
          ...(Option.isSome(ledger) ? { ledgerFile: ledger.value } : undefined)
        })
      ),
      Effect.mapError(
        (error) =>
          new Failure({
            problem: `The sandbox cannot run: ${describe(error)}.`,
            remedy: "Try another --port, or another --ledger."
          })
      )
    )
  })
).pipe(
  Command.withDescription("Run an Authlete stand-in on this machine, until Ctrl-C; prints the variables to reach it"),
  Command.withExamples([
    { command: "tokenbatch sandbox", description: "Any free port" },
    {
      command: "tokenbatch sandbox --port 8089 --workers 2 --setup-time 500ms --failure-mode atomic",
      description: "A slow one that rolls failed batches back"
    }
  ])
)

const describe = (error: { readonly message: string; readonly cause?: unknown }): string =>
  error.cause instanceof Error ? error.cause.message : error.message
