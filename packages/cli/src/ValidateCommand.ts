/** `tokenbatch validate`: the same checks as `create`, without a network. */
import { TokenRecords } from "@tokenbatch/stream"
import * as Arr from "effect/Array"
import * as Command from "effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as Inputs from "./Inputs.ts"
import * as OutputFiles from "./OutputFiles.ts"
import * as Progress from "./Progress.ts"
import * as Signals from "./Signals.ts"
import * as Stdout from "./Stdout.ts"
import * as Summary from "./Summary.ts"

export const validate = Command.make(
  "validate",
  { files: Flags.files, ...Flags.checks, json: Flags.jsonOf("the rejected lines and the counts"), quiet: Flags.quiet },
  Effect.fnUntraced(function* (flags) {
    if (flags.rejectsWithInput && Option.isNone(flags.rejects)) {
      return yield* new Failure({
        problem: "--rejects-with-input says what to write, and nothing says where.",
        remedy: "Add --rejects FILE."
      })
    }
    const input = yield* Inputs.open(flags.files)
    const { descriptors, files } = Inputs.taken(input)
    yield* OutputFiles.checkPaths([["--rejects", flags.rejects]], {
      files,
      descriptors: [...descriptors, ...(flags.json ? [["standard output", 1] as const] : [])]
    })
    const { rejects } = (yield* OutputFiles.create({ rejects: flags.rejects })).appends
    const rejectedLines = flags.rejectsWithInput ? OutputFiles.makeRejectedLines() : undefined

    let valid = 0
    let rejected = 0
    let withoutAccessToken = 0
    let stopped: string | undefined
    const examples = Summary.makeExamples()
    const startedAt = yield* Clock.currentTimeMillis
    const rateOf = Progress.makeRate(startedAt)
    const drawing = Progress.make({
      terminal: Progress.stderr({ shared: flags.json && process.stdout.isTTY === true }),
      text: (now, width) => {
        const read = valid + rejected
        return Progress.checkLine({ read, rejected, rate: rateOf(now, read), elapsed: now - startedAt }, width)
      },
      quiet: flags.quiet
    })
    const take = Effect.fnUntraced(function* (page: TokenRecords.RecordPage) {
      valid += page.count
      for (let i = 0; i < page.count; i++) withoutAccessToken += 1 - page.keyed[i]!
      const rejections = page.rejections
      if (!Arr.isReadonlyArrayNonEmpty(rejections)) return
      rejected += rejections.length
      const event = { _tag: "LinesRejected", rejections } as const
      examples.add(event)
      if (rejects !== undefined) {
        yield* rejects(
          rejectedLines === undefined ? rejections : rejections.map((r) => ({ ...r, ...rejectedLines.take(r) }))
        )
      }
      if (flags.json) yield* Stdout.write(`${JSON.stringify(event)}\n`)
    })

    const drawn = yield* Effect.forkChild(input.typed ? Effect.never : drawing.draw)
    if (input.typed) yield* drawing.say(Inputs.invitation)
    yield* TokenRecords.fromInputs(input.inputs, {
      allowUnknownFields: flags.allowUnknownFields,
      requireAccessToken: flags.requireAccessToken,
      onRejectedLine: rejectedLines?.keep,
      ...(Option.isSome(flags.limit) ? { limit: flags.limit.value } : undefined)
    }).pipe(
      Stream.interruptWhen(
        Effect.andThen(
          Signals.first,
          Effect.sync(() => void (stopped = "stopped by a signal"))
        )
      ),
      Stream.runForEach(take),
      Effect.catch((error) => Effect.sync(() => void (stopped = error.message)))
    )
    yield* Fiber.interrupt(drawn)
    yield* drawing.clear

    const read = valid + rejected
    const complete = stopped === undefined
    if (flags.json) {
      const finished = { _tag: "ValidationFinished", complete, records: { read, valid, rejected }, withoutAccessToken }
      yield* Stdout.write(`${JSON.stringify(finished)}\n`)
    }
    yield* drawing.say(
      [
        `${Format.plural(read, "line")} read, ${Format.plural(valid, "valid record")}, ${Format.integer(rejected)} rejected`,
        ...(withoutAccessToken > 0 ? [`${Format.plural(withoutAccessToken, "record")} without an accessToken`] : []),
        ...(read === 0 && complete ? [Summary.nothing] : []),
        ...examples.all().map(({ where, why }) => `  ${where}: ${why}`),
        ...(rejected > 0 && Option.isSome(flags.rejects) ? [`rejected lines: ${flags.rejects.value}`] : [])
      ].join("\n")
    )
    const lost = Stdout.lost()
    if (lost !== undefined) stopped ??= `standard output cannot be written on: ${lost}`
    if (stopped !== undefined) yield* drawing.sayError(`error: ${Format.quote(stopped)}`)
    yield* ExitCode.set(stopped !== undefined ? 3 : rejected > 0 ? 1 : 0)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Check lines as create does, without sending anything"),
  Command.withExamples([
    { command: "tokenbatch validate tokens.ndjson", description: "Find the lines that could not be sent" },
    {
      command: "tokenbatch validate --require-access-token --rejects rejects.ndjson tokens.ndjson.gz",
      description: "Keep them, with their reasons"
    }
  ])
)
