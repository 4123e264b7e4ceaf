/**
 * `npm start`: the main job from nothing. Writes a sample with a few bad lines, streams it through the sandbox as `create --sandbox`
 * does, and holds the report against what the sample was made to give and against the sandbox's own ledger.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Batches, Polling, ResolutionPolicy, Submission } from "@tokenbatch/stream"
import { SampleRequests } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { fileURLToPath } from "node:url"
import * as CreateRun from "./CreateRun.ts"
import { clientOf } from "./EmbeddedSandbox.ts"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as HttpTransport from "./HttpTransport.ts"
import * as Inputs from "./Inputs.ts"
import * as IoError from "./IoError.ts"
import { runMain } from "./runMain.ts"

const lines = 100_000
const badLines = 10

const say = (text: string) => Effect.sync(() => void process.stderr.write(`${text}\n`))

const demo = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const root = fileURLToPath(new URL("../../..", import.meta.url))
  const folder = path.join(root, ".tokenbatch-demo")
  yield* fs.makeDirectory(folder, { recursive: true })
  const named = (name: string) => path.join(path.relative(process.cwd(), folder), name)
  const sample = named("sample.ndjson")
  const ledger = named("ledger.ndjson")

  yield* say(
    `Writing ${sample}: ${lines.toLocaleString("en-US")} realistic token requests, ${badLines} of them spoilt ...`
  )
  yield* Stream.run(SampleRequests.stream({ count: lines, badLines }), fs.sink(sample))

  yield* say("Streaming it through create-batch and batch-status of a sandbox on this machine ...")
  const inputs = yield* Inputs.open([sample])
  const settings: CreateRun.Settings = {
    dryRun: false,
    limit: Option.none(),
    batchSize: Batches.defaultBatchSize,
    batchBytes: Batches.defaultBatchBytes,
    concurrency: Option.none(),
    maxConcurrency: Option.none(),
    maxRequestsPerSecond: Option.none(),
    pollTimeout: Polling.defaultPollTimeout,
    giveUpAfter: Submission.defaultGiveUpAfter,
    keepGoing: false,
    onDoubt: "resolve",
    onFailure: "resolve",
    assumeInOrder: false,
    resolveBudget: ResolutionPolicy.defaults.budget,
    settleTime: ResolutionPolicy.defaults.settleAtLeast,
    allowUnknownFields: false,
    requireAccessToken: false,
    maxRejects: Option.none(),
    rejects: Option.some(named("rejects.ndjson")),
    rejectsWithInput: false,
    results: Option.some(named("results.ndjson")),
    sandboxLedger: Option.some(ledger),
    sandbox: true,
    folder: Option.none(),
    legs: 0,
    json: false,
    quiet: false
  }
  const { exitCode, report } = yield* CreateRun.run(settings, inputs).pipe(
    Effect.provide(clientOf(settings.sandboxLedger, HttpTransport.layer(settings)))
  )

  // Stopped by a signal, or without room for its files: the summary has said so.
  if (exitCode > 1) return yield* ExitCode.set(exitCode)

  const entries = (yield* fs.readFileString(ledger)).trimEnd().split("\n")
  const tokens = new Set(entries.map((entry) => (JSON.parse(entry) as { readonly tokenHash: string }).tokenHash)).size
  const expected = {
    complete: true,
    read: lines,
    created: lines - badLines,
    rejected: badLines,
    entriesInLedger: lines - badLines,
    tokensInLedger: lines - badLines
  }
  const { created, read, rejected } = report.records
  const found = {
    complete: report.complete,
    read,
    created,
    rejected,
    entriesInLedger: entries.length,
    tokensInLedger: tokens
  }
  const asExpected = JSON.stringify(found) === JSON.stringify(expected)
  yield* say(
    asExpected
      ? `The report is what the sample was made to give, and the sandbox's ledger has the same ${tokens.toLocaleString("en-US")} tokens.`
      : `The report is not what the sample was made to give.\n  expected ${JSON.stringify(expected)}\n  found    ${JSON.stringify(found)}`
  )
  yield* say(
    `\nThe sample: ${sample}\nNext, your own file, checked without sending anything and then against a sandbox:\n  npx tokenbatch validate FILE.ndjson\n  npx tokenbatch create --sandbox FILE.ndjson`
  )
  yield* ExitCode.set(asExpected ? 0 : 1)
}).pipe(Effect.scoped)

runMain(
  demo.pipe(
    Effect.catchTag("PlatformError", (error) =>
      Effect.fail(
        new Failure({
          problem: `The demo cannot write its files: ${IoError.describe(error)}.`,
          remedy: "It needs a checkout that you can write to, and 60 MB of room."
        })
      )
    ),
    Effect.provide(NodeServices.layer)
  )
)
