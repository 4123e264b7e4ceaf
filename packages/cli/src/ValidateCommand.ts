/** `tokenbatch validate`: the same checks as `create`, without a network. */
import { TokenRecords } from "@tokenbatch/stream"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as Inputs from "./Inputs.ts"
import * as OutputFiles from "./OutputFiles.ts"
import * as Stdout from "./Stdout.ts"
import * as Summary from "./Summary.ts"

export const validate = Command.make(
  "validate",
  { files: Flags.files, ...Flags.checks, json: Flags.json, quiet: Flags.quiet },
  Effect.fnUntraced(function* (flags) {
    if (flags.rejectsWithInput && Option.isNone(flags.rejects)) {
      return yield* new Failure({
        problem: "--rejects-with-input says what to write, and nothing says where.",
        remedy: "Add --rejects FILE."
      })
    }
    const { inputs, paths } = yield* Inputs.open(flags.files)
    yield* OutputFiles.checkPaths([["--rejects", flags.rejects]], paths)
    const rejects = Option.isSome(flags.rejects) ? yield* OutputFiles.create(flags.rejects.value) : undefined
    const rejectedLines = flags.rejectsWithInput ? OutputFiles.makeRejectedLines() : undefined

    let valid = 0
    let rejected = 0
    let withoutAccessToken = 0
    let examples: ReadonlyArray<Summary.Example> = []
    const take = Effect.fnUntraced(function* (page: TokenRecords.RecordPage) {
      valid += page.count
      for (let i = 0; i < page.count; i++) withoutAccessToken += 1 - page.keyed[i]!
      const rejections = page.rejections
      if (rejections.length === 0) return
      rejected += rejections.length
      const event = { _tag: "LinesRejected", rejections: rejections as [TokenRecords.Rejection] } as const
      examples = [...examples, ...Summary.examplesOf(event)].slice(0, Summary.maxExamples)
      if (rejects !== undefined) {
        yield* rejects(
          rejectedLines === undefined ? rejections : rejections.map((r) => ({ ...r, ...rejectedLines.take(r) }))
        )
      }
      if (flags.json) yield* Stdout.write(`${JSON.stringify(event)}\n`)
    })
    const unreadable = yield* TokenRecords.fromInputs(inputs, {
      allowUnknownFields: flags.allowUnknownFields,
      requireAccessToken: flags.requireAccessToken,
      onRejectedLine: rejectedLines?.keep,
      ...(Option.isSome(flags.limit) ? { limit: flags.limit.value } : undefined)
    }).pipe(Stream.runForEach(take), Effect.match({ onSuccess: () => undefined, onFailure: (error) => error.message }))

    const read = valid + rejected
    const complete = unreadable === undefined
    if (flags.json) {
      const finished = { _tag: "ValidationFinished", complete, records: { read, valid, rejected }, withoutAccessToken }
      yield* Stdout.write(`${JSON.stringify(finished)}\n`)
    }
    if (!flags.quiet) {
      const lines = [
        `${Format.plural(read, "line")} read, ${Format.plural(valid, "valid record")}, ${Format.integer(rejected)} rejected`,
        ...(withoutAccessToken > 0 ? [`${Format.plural(withoutAccessToken, "record")} without an accessToken`] : []),
        ...examples.map(({ where, why }) => `  ${where}: ${why}`),
        ...(rejected > 0 && Option.isSome(flags.rejects) ? [`rejected lines: ${flags.rejects.value}`] : [])
      ]
      process.stderr.write(`${lines.join("\n")}\n`)
    }
    if (!complete) process.stderr.write(`error: ${unreadable}\n`)
    yield* ExitCode.set(complete ? (rejected > 0 ? 1 : 0) : 3)
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
