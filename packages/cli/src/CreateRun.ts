/**
 * A run, begun or gone on with, from settings to report: composes the service, the inputs and the outputs around stream's
 * `TokenBatchRun`.
 *
 * A signal completes the run's `stop`; the run then ends in order, and a second signal ends the process at once. What a run writes goes
 * through here event by event: standard output for machines, the rejects and results files, and the drawing for a person. A run that
 * goes on begins with the events of its earlier legs, so what is written and drawn is of the whole run.
 */
import {
  OpenBatches,
  ResolutionPolicy,
  type Resumption,
  RunEvent,
  RunJournal,
  RunReport,
  RunState,
  TokenBatchRun
} from "@tokenbatch/stream"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Failure } from "./Failure.ts"
import * as Format from "./Format.ts"
import * as Inputs from "./Inputs.ts"
import * as Logs from "./Logs.ts"
import type { Heard } from "./NotificationListener.ts"
import * as OutputFiles from "./OutputFiles.ts"
import * as Progress from "./Progress.ts"
import type { RunFolder } from "./RunFolder.ts"
import * as Signals from "./Signals.ts"
import * as Stdout from "./Stdout.ts"
import * as Summary from "./Summary.ts"

/** How a run goes, whether it begins or goes on. */
export interface Running {
  readonly concurrency: Option.Option<number>
  readonly maxConcurrency: Option.Option<number>
  readonly maxRequestsPerSecond: Option.Option<number>
  readonly pollTimeout: Duration.Duration
  readonly giveUpAfter: Duration.Duration
  readonly keepGoing: boolean
  readonly maxRejects: Option.Option<number>
  readonly onDoubt: "resolve" | "resubmit" | "leave"
  readonly onFailure: "resolve" | "leave"
  readonly assumeInOrder: boolean
  readonly resolveBudget: number
  readonly settleTime: Duration.Duration
  readonly rejects: Option.Option<string>
  readonly rejectsWithInput: boolean
  readonly results: Option.Option<string>
  readonly json: boolean
  readonly quiet: boolean
}

/** What a run is to do, once the service and the inputs are there. */
export interface Settings extends Running {
  readonly dryRun: boolean
  readonly limit: Option.Option<number>
  readonly batchSize: number | "auto"
  readonly batchBytes: number
  readonly allowUnknownFields: boolean
  readonly requireAccessToken: boolean
  readonly sandboxLedger: Option.Option<string>
  readonly sandbox: boolean
  /** Where its journal is, and what else it leaves; a run without one cannot go on in another process. */
  readonly folder: Option.Option<RunFolder>
  /** Processes that had a share in it before; 0 for a new run. */
  readonly legs: number
  /** What has come in where notifications are listened for. */
  readonly heard?: (() => Heard) | undefined
}

const grace = 10_000

/** Refuses a bound of what is found out where nothing is to be found out. */
export const checkPace = ({ concurrency, maxConcurrency }: Pick<Running, "concurrency" | "maxConcurrency">) =>
  Option.isSome(concurrency) && Option.isSome(maxConcurrency)
    ? new Failure({
        problem: "--concurrency says how many batches are in flight: there is nothing for --max-concurrency to bound.",
        remedy: "Leave out --max-concurrency, or --concurrency to have it found out up to that many."
      })
    : Effect.void

/** Where outputs are asked for. */
export type Outputs = Pick<Settings, "rejects" | "results" | "sandboxLedger">

/** The outputs of a run: where they are asked for, or in its folder. */
const outputs = ({ folder, rejects, results }: Pick<Settings, "folder" | "rejects" | "results">) => ({
  rejects: Option.orElse(rejects, () => Option.map(folder, (files) => files.rejects)),
  results: Option.orElse(results, () => Option.map(folder, (files) => files.results))
})

/** Refuses outputs that would be written over each other, or over what is read. */
export const checkOutputs = (
  settings: Outputs & Pick<Settings, "folder" | "json">,
  inputs: Inputs.Inputs,
  { bearerFile }: { readonly bearerFile: Option.Option<string> }
) => {
  const { rejects, results } = outputs(settings)
  const { descriptors, files } = Inputs.taken(inputs)
  return OutputFiles.checkPaths(
    [
      ["--rejects", rejects],
      ["--results", results],
      ["--sandbox-ledger", settings.sandboxLedger]
    ],
    {
      files: [
        ...files,
        ...(Option.isSome(bearerFile) ? [["the bearer file", bearerFile.value] as const] : []),
        ...(Option.isSome(settings.folder) ? [["the run's journal", settings.folder.value.journal] as const] : [])
      ],
      descriptors: [...descriptors, ...(settings.json ? [["standard output", 1] as const] : [])]
    }
  )
}

const policy = ({ assumeInOrder, onDoubt, onFailure, resolveBudget, settleTime }: Running) =>
  ResolutionPolicy.layer({
    assumeInOrder,
    onDoubt: () => onDoubt,
    onFailure: () => onFailure,
    budget: resolveBudget,
    settleAtLeast: settleTime
  })

const journal = ({ folder }: Settings) =>
  Option.isNone(folder)
    ? Layer.empty
    : RunJournal.layerFile(folder.value.journal).pipe(
        Layer.catch((error) =>
          Layer.effectDiscard(new Failure({ problem: `${error.message}.`, remedy: "Nothing was sent." }))
        )
      )

/** Runs, and gives the report. */
export const run = (settings: Settings, inputs: Inputs.Inputs) =>
  Effect.provide(go(settings, inputs), [journal(settings), policy(settings)])

const go = Effect.fnUntraced(function* (settings: Settings, { inputs, size, stdin, typed }: Inputs.Inputs) {
  const files = outputs(settings)
  const begun = (yield* RunJournal.RunJournal).begun
  // Of a run that goes on, they take the place of what is there when it does go on.
  const { appends, commit } = yield* OutputFiles.create(files, { aside: begun })
  const { rejects, results } = appends
  const rejectedLines = settings.rejectsWithInput ? OutputFiles.makeRejectedLines() : undefined

  let state = RunState.initial
  let report: RunReport.RunReport | undefined
  const open = new OpenBatches.OpenBatches()
  /** Bytes of an input that had been read to its end before. */
  let wholeBefore: number | undefined
  /** Whether what comes is happening now, and not read back. */
  let live = !begun
  const examples = Summary.makeExamples()
  let warned = false
  let outputFailure: string | undefined
  let lastRetrySaid = 0
  const paceNotice = Progress.makePaceNotices()
  /** Whether it was said that batches are refused for there being too much to do. */
  let refusalsSaid = false
  let tooLargeSaid = false
  let settledAt: number | undefined
  const stop = yield* Deferred.make<void>()
  const startedAt = yield* Clock.currentTimeMillis
  const rateOf = Progress.makeRate(startedAt)
  /** What the legs before this one had done. */
  let before = state
  const drawing = Progress.make({
    terminal: Progress.stderr({ shared: settings.json && process.stdout.isTTY === true }),
    text: (now, width) =>
      Progress.line(
        {
          state,
          before,
          elapsed: now - startedAt,
          now,
          rate: rateOf(now, state.records.created - before.records.created),
          settledAt,
          size,
          limit: Option.getOrUndefined(settings.limit)
        },
        width
      ),
    quiet: settings.quiet
  })

  const fail = (message: string) =>
    Effect.suspend(() => {
      outputFailure = message
      return Effect.andThen(drawing.sayError(`error: ${message}; stopping`), Deferred.succeed(stop, undefined))
    })

  const tell = (event: RunEvent.RunEvent): Effect.Effect<void> => {
    if (!live) {
      if (event._tag === "InputEnded") wholeBefore = event.complete ? event.bytes : undefined
      if (event._tag !== "RunResumed" || event.leg <= settings.legs) return Effect.void
      live = true
      return Effect.andThen(
        Effect.catch(commit, (error) => fail(error.message)),
        drawing.say(resumed(event, state))
      )
    }
    switch (event._tag) {
      case "RunStarted": {
        const { baseUrl, serviceId } = event.address
        return event.sandbox === true ? Effect.void : drawing.say(`to ${baseUrl}, service ${Format.quote(serviceId)}`)
      }
      case "InputEnded": {
        const more = wholeBefore === undefined ? 0 : event.bytes - wholeBefore
        return more > 0
          ? drawing.say(`the input has grown by ${Format.plural(more, "byte")} since it was read to its end`)
          : Effect.void
      }
      case "ResolutionStarted":
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          settledAt = now + event.settle
          return drawing.say(
            `finding out about ${Format.plural(event.records, "unresolved record")} in ${Format.plural(event.batches, "batch", "batches")}${event.settle >= 1000 ? `, after waiting ${Format.elapsed(event.settle)} for late batches` : ""}`
          )
        })
      case "Calibrated":
        return event.borneOut
          ? Effect.void
          : drawing.say(
              `warning: what exists cannot be found out by dry runs here: ${Format.quote(event.message ?? "")}`
            )
      case "BatchIntended":
        if (warned || event.withoutAccessToken === 0) return Effect.void
        warned = true
        return drawing.say(
          "warning: some records have no accessToken; nobody will know the values of the tokens made for them (--require-access-token rejects such records)"
        )
      case "BatchRetried":
        // While the service is away nothing is made again, whatever was to be.
        if (state.awaySince !== undefined) return Effect.void
        // Many batches meet the same refusal: one of them is enough to say so.
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (now - lastRetrySaid < 1000 || (refusalsSaid && RunState.isRefusal(event.code))) return Effect.void
          lastRetrySaid = now
          return drawing.say(
            `retrying batch ${event.batch}${event.delay < 50 ? "" : ` in ${Format.elapsed(event.delay)}`}: ${Format.quote(event.message)} (attempt ${event.attempt + 1})`
          )
        })
      case "BatchSplit":
        if (tooLargeSaid || event.code !== "HTTP 413") return Effect.void
        tooLargeSaid = true
        return drawing.say(
          `the service refuses batches of ${Format.plural(event.records, "record")} for their size: they are halved, each anew (--batch-size auto finds a size that is taken)`
        )
      case "FlowChanged": {
        const notice = paceNotice(event)
        refusalsSaid ||= event.reason === "TooFast" || event.reason === "QueueFull"
        return notice === undefined ? Effect.void : drawing.say(notice)
      }
      case "RunStopping":
        settledAt = undefined
        return event.reason === "Requested" ? Effect.void : drawing.say(`stopping: ${Format.quote(event.message)}`)
      default:
        return Effect.void
    }
  }

  const write = (events: ReadonlyArray<RunEvent.RunEvent>) =>
    outputFailure !== undefined
      ? Effect.void
      : Effect.gen(function* () {
          if (results !== undefined) yield* results(events.flatMap(OutputFiles.resultsOf))
          if (rejects !== undefined) {
            const rejections = events.flatMap(RunEvent.rejectionsOf)
            yield* rejects(
              rejectedLines === undefined ? rejections : rejections.map((r) => ({ ...r, ...rejectedLines.take(r) }))
            )
          }
        }).pipe(Effect.catch((error) => fail(error.message)))

  const consume = Effect.fnUntraced(function* (events: ReadonlyArray<RunEvent.RunEvent>) {
    for (const event of events) {
      state = RunState.step(state, event)
      if (state.legs <= settings.legs) before = state
      open.step(event)
      if (event._tag === "RunFinished") report = event.report
      examples.add(event)
      yield* tell(event)
    }
    yield* write(events)
    if (settings.json) yield* Stdout.write(events.map((event) => `${JSON.stringify(event)}\n`).join(""))
  })

  const events = TokenBatchRun.fromInputs(inputs, {
    ...(Option.isSome(settings.folder) ? { runId: settings.folder.value.id } : undefined),
    dryRun: settings.dryRun,
    batchSize: settings.batchSize,
    batchBytes: settings.batchBytes,
    concurrency: Option.getOrUndefined(settings.concurrency),
    maxConcurrency: Option.getOrUndefined(settings.maxConcurrency),
    maxRequestsPerSecond: Option.getOrUndefined(settings.maxRequestsPerSecond),
    pollTimeout: settings.pollTimeout,
    giveUpAfter: settings.giveUpAfter,
    keepGoing: settings.keepGoing,
    allowUnknownFields: settings.allowUnknownFields,
    requireAccessToken: settings.requireAccessToken,
    limit: Option.getOrUndefined(settings.limit),
    maxRejects: Option.getOrUndefined(settings.maxRejects),
    onRejectedLine: rejectedLines?.keep,
    sandbox: settings.sandbox,
    stop: Deferred.await(stop),
    grace
  })

  const drawn = yield* Effect.forkChild(typed ? Effect.never : drawing.draw)
  if (typed) yield* drawing.say(Inputs.invitation)
  const stopInOrder = Effect.suspend(() =>
    Effect.andThen(
      drawing.say(
        `stopping: waiting up to ${grace / 1000} s for ${Format.plural(state.atService, "batch", "batches")} in flight; press Ctrl-C again to end at once`
      ),
      Deferred.succeed(stop, undefined)
    )
  )
  const signals = yield* Effect.forkChild(
    Signals.handle(Effect.asVoid(stopInOrder), () => {
      Effect.runSync(
        drawing.sayError(
          `ended at once: ${Format.plural(state.recordsInFlight, "record")} in flight may or may not have been taken`
        )
      )
      const run = resumable(settings)
      if (run !== undefined) Effect.runSync(drawing.sayError(Summary.howToGoOn(run)))
    }),
    { startImmediately: true }
  )
  yield* Stream.runForEachArray(events, consume).pipe(
    Effect.mapError(
      (error) =>
        new Failure({
          problem: `The run cannot go on: ${error.message}.`,
          // Not a mistake, but a run that is not complete.
          ...(error._tag === "CannotResume" && error.reason === "Stopped" ? { code: 3 } : undefined),
          remedy: `Nothing was sent. ${error._tag === "CannotResume" ? remedies(stdin)[error.reason] : "See what the journal's folder allows."}`
        })
    ),
    Effect.provide(Logs.layer((line) => Effect.runSync(drawing.say(line)))),
    Effect.ensuring(Effect.andThen(Fiber.interruptAll([drawn, signals]), drawing.clear))
  )

  if (report === undefined) return yield* Effect.die(new Error("the run ended without a report"))
  const leftovers = open.leftovers()
  examples.left(leftovers)
  if (results !== undefined && outputFailure === undefined) {
    yield* Effect.catch(results(leftovers.flatMap(OutputFiles.resultsOfLeftover)), (error) =>
      Effect.sync(() => void (outputFailure = error.message))
    )
  }
  if (Option.isSome(settings.folder)) {
    yield* Effect.catch(OutputFiles.writeReport(settings.folder.value.report, report), (error) =>
      Effect.sync(() => void (outputFailure ??= error.message))
    )
  }
  const left = [
    ...(report.records.rejected > 0 && Option.isSome(files.rejects)
      ? [["rejected lines", files.rejects.value] as const]
      : []),
    ...(Option.isSome(files.results) && report.records.read > report.records.created
      ? [[Summary.resultsFile, files.results.value] as const]
      : []),
    ...(Option.isSome(settings.sandboxLedger) ? [["the sandbox's ledger", settings.sandboxLedger.value] as const] : [])
  ]
  const lost = Stdout.lost()
  if (lost !== undefined) outputFailure ??= `standard output cannot be written on: ${lost}`
  const { sandbox } = settings
  yield* drawing.say(
    Summary.render({
      report,
      outputFailure,
      examples: examples.all(),
      files: left,
      sandbox,
      heard: settings.heard?.(),
      maxConcurrency: Option.getOrUndefined(settings.maxConcurrency),
      run: RunReport.exitCode(report) > 1 ? resumable(settings) : undefined
    })
  )
  const reported = RunReport.exitCode(report)
  // What could not be written is something that is not known.
  const exitCode = outputFailure === undefined || reported === 2 || reported === 4 ? reported : 3
  if (settings.quiet && exitCode >= 2) yield* drawing.sayError(Summary.error({ report, outputFailure }))
  return { report, exitCode }
})

/** What can be done where a run cannot go on. */
const remedies = (stdin: boolean): Record<Resumption.CannotResume["reason"], string> => ({
  Differs: "Give it what it began with, or begin a new run with create --new.",
  InputChanged: stdin
    ? "It read standard input: feed it the same input again from the beginning, or begin a new run."
    : "Put the file back as it was, or begin a new run with create --new.",
  Unreadable: "See that the input can be read, and resume once more.",
  Stopped: "Resume once more."
})

/** What is said when a run goes on. */
const resumed = (
  { cutOff }: Extract<RunEvent.RunEvent, { readonly _tag: "RunResumed" }>,
  { records, recordsInFlight, runId }: RunState.RunState
): string =>
  [
    `resuming ${runId}: ${Format.plural(records.read, "line")} read before, ${Format.integer(records.created)} created, ${Format.integer(recordsInFlight + records.unresolved + records.notSubmitted)} open`,
    ...(cutOff === undefined
      ? []
      : [`the journal's last ${Format.plural(cutOff, "byte")} were no whole event and have been cut off`])
  ].join("\n")

/** What to give `resume` to go on with a run as it was: its id and, since they are not remembered, the bounds of its pace. */
const resumable = (settings: Settings): string | undefined => {
  const { dryRun, folder, sandbox } = settings
  if (Option.isNone(folder) || dryRun || sandbox) return undefined
  const bounds = [
    ["--concurrency", settings.concurrency],
    ["--max-concurrency", settings.maxConcurrency],
    ["--max-requests-per-second", settings.maxRequestsPerSecond]
  ] as const
  return [
    folder.value.id,
    ...bounds.flatMap(([flag, value]) => (Option.isSome(value) ? [flag, String(value.value)] : []))
  ].join(" ")
}
