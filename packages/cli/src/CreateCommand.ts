/** `tokenbatch create`: streams requests into batches and accounts for every line. */
import { Batches, Polling, Submission, TokenBatchRun } from "@tokenbatch/stream"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Connection from "./Connection.ts"
import * as CreateRun from "./CreateRun.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as HttpTransport from "./HttpTransport.ts"
import * as Inputs from "./Inputs.ts"
import * as OutputFiles from "./OutputFiles.ts"

export const create = Command.make(
  "create",
  {
    files: Flags.files,
    ...Flags.connection,
    ...Flags.checks,
    sandbox: Flag.Boolean("sandbox").pipe(
      Flag.withDescription("Run against a sandbox of its own: nothing is created at Authlete, no credential is needed"),
      Flag.withDefault(false)
    ),
    sandboxLedger: Flag.String("sandbox-ledger").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write a JSON line for each token that the sandbox creates: its hash and its batch"),
      Flag.optional
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Have everything processed and nothing created; names every record that would fail"),
      Flag.withDefault(false)
    ),
    batchSize: Flags.count("batch-size").pipe(
      Flag.withDescription("Most records of a batch"),
      Flag.withDefault(Batches.defaultBatchSize)
    ),
    batchBytes: Flags.size("batch-bytes").pipe(
      Flag.withDescription("Most bytes of a batch's request body"),
      Flag.withDefault(Batches.defaultBatchBytes)
    ),
    concurrency: Flags.count("concurrency").pipe(
      Flag.withDescription("Most batches in flight, from being handed in to their outcome"),
      Flag.withDefault(TokenBatchRun.defaultConcurrency)
    ),
    pollTimeout: Flags.duration("poll-timeout").pipe(
      Flag.withDescription("How long to wait for a batch's outcome while the service answers"),
      Flag.withDefault(Polling.defaultPollTimeout)
    ),
    giveUpAfter: Flags.duration("give-up-after").pipe(
      Flag.withDescription("How long the service may be away"),
      Flag.withDefault(Submission.defaultGiveUpAfter)
    ),
    keepGoing: Flag.Boolean("keep-going").pipe(
      Flag.withDescription("Go on though batch after batch is refused with one code"),
      Flag.withDefault(false)
    ),
    maxRejects: Flags.count("max-rejects", 0).pipe(
      Flag.withDescription("Stop when more lines than this are rejected"),
      Flag.optional
    ),
    results: Flag.String("results").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write a JSON line for each range of lines that is not created: its end, code and message"),
      Flag.optional
    ),
    json: Flags.json,
    quiet: Flags.quiet
  },
  Effect.fnUntraced(function* (flags) {
    if (flags.rejectsWithInput && Option.isNone(flags.rejects)) {
      return yield* new Failure({
        problem: "--rejects-with-input says what to write, and nothing says where.",
        remedy: "Add --rejects FILE."
      })
    }
    if (!flags.sandbox && Option.isSome(flags.sandboxLedger)) {
      return yield* new Failure({
        problem: "--sandbox-ledger is the ledger of a sandbox, and there is none.",
        remedy: "Add --sandbox, or leave it out."
      })
    }
    const elsewhere = [flags.baseUrl, flags.region, flags.serviceId, flags.bearerFile].some(Option.isSome)
    if (flags.sandbox && elsewhere) {
      return yield* new Failure({
        problem: "--sandbox runs against a sandbox of its own, and other flags name a service.",
        remedy: "Leave out --sandbox, or --base-url, --region, --service-id and --bearer-file."
      })
    }
    const inputs = yield* Inputs.open(flags.files)
    yield* OutputFiles.checkPaths(
      [
        ["--rejects", flags.rejects],
        ["--results", flags.results],
        ["--sandbox-ledger", flags.sandboxLedger]
      ],
      {
        files: [
          ...Inputs.taken(inputs).files,
          ...(Option.isSome(flags.bearerFile) ? [["the bearer file", flags.bearerFile.value] as const] : [])
        ],
        descriptors: [...Inputs.taken(inputs).descriptors, ...(flags.json ? [["standard output", 1] as const] : [])]
      }
    )
    const run = CreateRun.run(flags, inputs)
    const { exitCode } = yield* flags.sandbox
      ? Effect.provide(run, yield* sandboxLayer(flags))
      : Effect.provide(run, Connection.layer(flags, flags.concurrency))
    yield* ExitCode.set(exitCode)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Create a token for each line of NDJSON, in batches, and account for every line"),
  Command.withExamples([
    { command: "tokenbatch create --sandbox tokens.ndjson", description: "Try it with a sandbox, no account needed" },
    {
      command: "tokenbatch create --dry-run --limit 1000 tokens.ndjson",
      description: "Have the service process the first thousand records without creating anything"
    },
    {
      command: "tokenbatch create --rejects rejects.ndjson --results results.ndjson tokens.ndjson.gz",
      description: "Create all of them, and keep what was not created and why"
    },
    {
      command: "export-tokens | tokenbatch create --json - > events.ndjson",
      description: "From one program to another"
    }
  ])
)

/** The embedded sandbox, loaded only when it is asked for. */
const sandboxLayer = Effect.fnUntraced(function* (flags: {
  readonly concurrency: number
  readonly sandboxLedger: Option.Option<string>
}) {
  const { clientOf } = yield* Effect.promise(() => import("./EmbeddedSandbox.ts"))
  return clientOf(flags.sandboxLedger, HttpTransport.layer(flags.concurrency))
})
