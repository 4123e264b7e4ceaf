/** `tokenbatch create`: streams requests into batches and accounts for every line. */
import { TokenOperations } from "@tokenbatch/core"
import { Batches } from "@tokenbatch/stream"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Connection from "./Connection.ts"
import * as CreateRun from "./CreateRun.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as HttpTransport from "./HttpTransport.ts"
import * as Inputs from "./Inputs.ts"
import * as Notifications from "./Notifications.ts"
import { goOn } from "./ResumeCommand.ts"
import * as RunFolder from "./RunFolder.ts"

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
    batchSize: Flags.countOrAuto("batch-size").pipe(
      Flags.withDefault("Most records of a batch; auto to find it out", Batches.defaultBatchSize)
    ),
    batchBytes: Flags.size("batch-bytes").pipe(
      Flags.withDefaultSize("Most bytes of a batch's request body", Batches.defaultBatchBytes)
    ),
    ...Flags.running,
    ...Flags.notifying,
    runDir: Flag.String("run-dir").pipe(
      Flag.withMetavar("FOLDER"),
      Flag.withDescription(
        "Where the run's journal, rejects, results and report go (a folder of its own under the state directory)"
      ),
      Flag.optional
    ),
    journal: Flag.Boolean("journal").pipe(
      Flag.withDescription("Keep a journal of a run that reads from standard input as well; runs of files always do"),
      Flag.withDefault(false)
    ),
    resume: Flag.Boolean("resume").pipe(
      Flag.withDescription("Go on with the unfinished run of the same files, if there is one"),
      Flag.withDefault(false)
    ),
    new: Flag.Boolean("new").pipe(
      Flag.withDescription("Begin a new run although there is an unfinished one of the same files"),
      Flag.withDefault(false)
    )
  },
  Effect.fnUntraced(function* (flags) {
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
    if (flags.resume && (flags.new || flags.dryRun || flags.sandbox)) {
      return yield* new Failure({
        problem: `--resume goes on with a run, and ${flags.new ? "--new" : flags.dryRun ? "--dry-run" : "--sandbox"} begins another one.`,
        remedy: "Leave one of them out."
      })
    }
    yield* CreateRun.checkPace(flags)
    const inputs = yield* Inputs.open(flags.files)
    yield* CreateRun.checkOutputs({ ...flags, folder: Option.none() }, inputs, flags)
    const { context, endpoint, heard } = yield* Notifications.listen(flags)
    if (flags.sandbox) {
      const settings = { ...flags, heard, folder: yield* folderOf(flags, inputs), legs: 0 }
      const { exitCode } = yield* CreateRun.run(settings, inputs).pipe(
        Effect.provide(yield* sandboxLayer(flags, endpoint)),
        Effect.provideContext(context)
      )
      return yield* ExitCode.set(exitCode)
    }
    yield* Effect.gen(function* () {
      const before = flags.dryRun || flags.new ? undefined : yield* unfinishedRun(inputs)
      if (before === undefined && flags.resume) {
        return yield* new Failure({
          problem: "There is no unfinished run of these files at this service.",
          remedy: "See tokenbatch runs, or leave out --resume to begin a new one."
        })
      }
      if (before !== undefined && (flags.resume || (yield* askToResume(before)))) {
        yield* checkSame(before, flags)
        return yield* goOn(before, { ...flags, heard })
      }
      const settings = { ...flags, heard, folder: yield* folderOf(flags, inputs), legs: 0 }
      const { exitCode } = yield* CreateRun.run(settings, inputs)
      yield* ExitCode.set(exitCode)
    }).pipe(Effect.provide(Connection.layer(flags)), Effect.provideContext(context))
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

/** The folder of a new run, where it is to have one. */
const folderOf = Effect.fnUntraced(function* (
  flags: CreateRun.Outputs & {
    readonly runDir: Option.Option<string>
    readonly journal: boolean
    readonly rejectsWithInput: boolean
  },
  { paths, stdin }: Inputs.Inputs
) {
  if (!stdin || flags.journal || Option.isSome(flags.runDir)) {
    return Option.some<RunFolder.RunFolder>(yield* RunFolder.make(paths[0] ?? "stdin", flags.runDir))
  }
  if (flags.rejectsWithInput && Option.isNone(flags.rejects)) {
    return yield* new Failure({
      problem: "--rejects-with-input says what to write, and nothing says where.",
      remedy: "Add --rejects FILE, or --journal."
    })
  }
  return Option.none<RunFolder.RunFolder>()
})

/** A run of the same files that could be gone on with. Where there is none, nobody else begins one until this one has ended. */
const unfinishedRun = Effect.fnUntraced(function* ({ inputs, stdin }: Inputs.Inputs) {
  if (stdin) return undefined
  const { address } = yield* TokenOperations.TokenOperations
  const pinned = inputs.map(({ identity, name }) => ({
    identity: identity ?? "",
    ...(name === undefined ? undefined : { name })
  }))
  const find = RunFolder.unfinished(pinned, address)
  const before = yield* find
  if (before !== undefined) return before
  yield* RunFolder.hold(pinned, address)
  // Whoever held them until a moment ago may have left one.
  return yield* find
})

/** Refuses flags that say something else than what a run began with. Those that say nothing are as they were. */
const checkSame = Effect.fnUntraced(function* (
  { started }: RunFolder.Run,
  flags: {
    readonly batchSize: number | "auto"
    readonly batchBytes: number
    readonly limit: Option.Option<number>
    readonly allowUnknownFields: boolean
    readonly requireAccessToken: boolean
  }
) {
  const said: ReadonlyArray<readonly [flag: string, now: number | string | boolean | undefined, before: unknown]> = [
    ["--batch-size", flags.batchSize === Batches.defaultBatchSize ? undefined : flags.batchSize, started.batchSize],
    [
      "--batch-bytes",
      flags.batchBytes === Batches.defaultBatchBytes ? undefined : flags.batchBytes,
      started.batchBytes
    ],
    ["--limit", Option.getOrUndefined(flags.limit), started.limit],
    ["--allow-unknown-fields", flags.allowUnknownFields || undefined, started.allowUnknownFields],
    ["--require-access-token", flags.requireAccessToken || undefined, started.requireAccessToken]
  ]
  for (const [flag, now, before] of said) {
    if (now === undefined || now === before) continue
    return yield* new Failure({
      problem: `The run began with ${flag} ${String(before ?? "not given")}, and cannot go on with ${String(now)}.`,
      remedy: `Leave out ${flag}, or begin a new run with --new.`
    })
  }
})

/** Asks whether to go on with a run, where there is somebody to ask. */
const askToResume = Effect.fnUntraced(function* ({ id, started, state }: RunFolder.Run) {
  const { created, read } = state.records
  const age = Format.elapsed((yield* Clock.currentTimeMillis) - started.startedAt)
  const found = `There is an unfinished run of the same input, ${id}, begun ${age} ago: ${Format.plural(read, "line")} read, ${Format.integer(created)} created`
  // The question is drawn on standard output.
  if (!process.stdin.isTTY || !process.stdout.isTTY || !process.stderr.isTTY) {
    return yield* new Failure({
      problem: `${found}.`,
      remedy: "Go on with it: --resume (or tokenbatch resume). To submit everything again in a new run: --new."
    })
  }
  const Prompt = yield* Effect.promise(() => import("effect/cli/Prompt"))
  return yield* Effect.mapError(
    Prompt.run(Prompt.Confirm({ message: `${found}. Go on with it?`, initial: true })),
    () => new Failure({ problem: "Nothing was chosen.", remedy: "Use --resume or --new." })
  )
})

/** The embedded sandbox, loaded only when it is asked for. */
const sandboxLayer = Effect.fnUntraced(function* (
  flags: HttpTransport.Settings & { readonly sandboxLedger: Option.Option<string> },
  notificationEndpoint: URL | undefined
) {
  const { clientOf } = yield* Effect.promise(() => import("./EmbeddedSandbox.ts"))
  return clientOf(flags.sandboxLedger, HttpTransport.layer(flags), notificationEndpoint)
})
