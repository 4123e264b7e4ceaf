/**
 * A run of `create`, from settings to report: composes the service, the inputs and the outputs around stream's `TokenBatchRun`.
 *
 * A signal completes the run's `stop`; the run then ends in order, and a second signal ends the process at once. What a run writes goes
 * through here event by event: standard output for machines, the rejects and results files, and the drawing for a person.
 */
import { RunReport, RunState, TokenBatchRun, type RunEvent } from "@tokenbatch/stream"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Format from "./Format.ts"
import * as Inputs from "./Inputs.ts"
import * as Logs from "./Logs.ts"
import * as OutputFiles from "./OutputFiles.ts"
import * as Progress from "./Progress.ts"
import * as Signals from "./Signals.ts"
import * as Stdout from "./Stdout.ts"
import * as Summary from "./Summary.ts"

/** What `create` was asked to do, once the service and the inputs are there. */
export interface Settings {
  readonly dryRun: boolean
  readonly limit: Option.Option<number>
  readonly batchSize: number
  readonly batchBytes: number
  readonly concurrency: number
  readonly pollTimeout: Duration.Duration
  readonly giveUpAfter: Duration.Duration
  readonly keepGoing: boolean
  readonly allowUnknownFields: boolean
  readonly requireAccessToken: boolean
  readonly maxRejects: Option.Option<number>
  readonly rejects: Option.Option<string>
  readonly rejectsWithInput: boolean
  readonly results: Option.Option<string>
  readonly sandboxLedger: Option.Option<string>
  readonly sandbox: boolean
  readonly json: boolean
  readonly quiet: boolean
}

const grace = 10_000

const optional = <K extends string, A>(key: K, value: Option.Option<A>) =>
  (Option.isSome(value) ? { [key]: value.value } : {}) as { readonly [P in K]?: A }

/** Runs, and gives the report. */
export const run = Effect.fnUntraced(function* (settings: Settings, { inputs, size, typed }: Inputs.Inputs) {
  const { rejects, results } = yield* OutputFiles.create({ rejects: settings.rejects, results: settings.results })
  const rejectedLines = settings.rejectsWithInput ? OutputFiles.makeRejectedLines() : undefined

  let state = RunState.initial
  let report: RunReport.RunReport | undefined
  const examples = Summary.makeExamples()
  let warned = false
  let outputFailure: string | undefined
  let lastRetrySaid = 0
  const stop = yield* Deferred.make<void>()
  const startedAt = yield* Clock.currentTimeMillis
  const rateOf = Progress.makeRate(startedAt)
  const drawing = Progress.make({
    terminal: Progress.stderr({ shared: settings.json && process.stdout.isTTY === true }),
    text: (now, width) =>
      Progress.line(
        {
          state,
          elapsed: now - startedAt,
          rate: rateOf(now, state.records.created),
          size,
          limit: Option.getOrUndefined(settings.limit)
        },
        width
      ),
    quiet: settings.quiet
  })

  const tell = (event: RunEvent.RunEvent): Effect.Effect<void> => {
    switch (event._tag) {
      case "BatchIntended":
        if (warned || event.withoutAccessToken === 0) return Effect.void
        warned = true
        return drawing.say(
          "warning: some records have no accessToken; nobody will know the values of the tokens made for them (--require-access-token rejects such records)"
        )
      case "BatchRetried":
        // Many batches meet the same refusal: one of them is enough to say so.
        return Effect.flatMap(Clock.currentTimeMillis, (now) => {
          if (now - lastRetrySaid < 1000) return Effect.void
          lastRetrySaid = now
          return drawing.say(
            `retrying batch ${event.batch} in ${Format.elapsed(event.delay)}: ${Format.quote(event.message)} (attempt ${event.attempt + 1})`
          )
        })
      case "RunStopping":
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
            const rejections = events.flatMap((event) => (event._tag === "LinesRejected" ? event.rejections : []))
            yield* rejects(
              rejectedLines === undefined ? rejections : rejections.map((r) => ({ ...r, ...rejectedLines.take(r) }))
            )
          }
        }).pipe(
          Effect.catch((error) => {
            outputFailure = error.message
            return Effect.andThen(
              drawing.sayError(`error: ${error.message}; stopping`),
              Deferred.succeed(stop, undefined)
            )
          })
        )

  const consume = Effect.fnUntraced(function* (events: ReadonlyArray<RunEvent.RunEvent>) {
    for (const event of events) {
      state = RunState.step(state, event)
      if (event._tag === "RunFinished") report = event.report
      examples.add(event)
      yield* tell(event)
    }
    yield* write(events)
    if (settings.json) yield* Stdout.write(events.map((event) => `${JSON.stringify(event)}\n`).join(""))
  })

  const events = TokenBatchRun.fromInputs(inputs, {
    dryRun: settings.dryRun,
    batchSize: settings.batchSize,
    batchBytes: settings.batchBytes,
    concurrency: settings.concurrency,
    pollTimeout: settings.pollTimeout,
    giveUpAfter: settings.giveUpAfter,
    keepGoing: settings.keepGoing,
    allowUnknownFields: settings.allowUnknownFields,
    requireAccessToken: settings.requireAccessToken,
    ...optional("limit", settings.limit),
    ...optional("maxRejects", settings.maxRejects),
    onRejectedLine: rejectedLines?.keep,
    stop: Deferred.await(stop),
    grace
  })

  const drawn = yield* Effect.forkChild(typed ? Effect.never : drawing.draw)
  if (typed) yield* drawing.say(Inputs.invitation)
  const stopInOrder = Effect.suspend(() =>
    Effect.andThen(
      drawing.say(
        `stopping: waiting up to ${grace / 1000} s for ${Format.plural(state.inFlight, "batch", "batches")} in flight; press Ctrl-C again to end at once`
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
    }),
    { startImmediately: true }
  )
  yield* Stream.runForEachArray(events, consume).pipe(
    Effect.provide(Logs.layer((line) => Effect.runSync(drawing.say(line))))
  )
  yield* Fiber.interruptAll([drawn, signals])
  yield* drawing.clear

  if (report === undefined) return yield* Effect.die(new Error("the run ended without a report"))
  const files = [
    ...(report.records.rejected > 0 && Option.isSome(settings.rejects)
      ? [["rejected lines", settings.rejects.value] as const]
      : []),
    ...(Option.isSome(settings.results) ? [[Summary.resultsFile, settings.results.value] as const] : []),
    ...(Option.isSome(settings.sandboxLedger) ? [["the sandbox's ledger", settings.sandboxLedger.value] as const] : [])
  ]
  const lost = Stdout.lost()
  if (lost !== undefined) outputFailure ??= `standard output cannot be written on: ${lost}`
  const { sandbox } = settings
  yield* drawing.say(Summary.render({ report, outputFailure, examples: examples.all(), files, sandbox }))
  const reported = RunReport.exitCode(report)
  // What could not be written is something that is not known.
  const exitCode = outputFailure === undefined || reported === 2 || reported === 4 ? reported : 3
  if (settings.quiet && exitCode >= 2) yield* drawing.sayError(Summary.error({ report, outputFailure }))
  return { report, exitCode }
})
