/** `tokenbatch sample`: realistic requests to try things with. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as IoError from "./IoError.ts"
import * as Stdout from "./Stdout.ts"

export const sample = Command.make(
  "sample",
  {
    count: Flags.count("count").pipe(
      Flag.withDescription("Lines, 1,000 unless given; more begin with the same ones"),
      Flag.withDefault(1000)
    ),
    seed: Flag.Int("seed").pipe(
      Flag.withMetavar("S"),
      Flag.withDescription("The same seed, 1 unless given, gives the same lines and token values"),
      Flag.withDefault(1)
    ),
    badLines: Flags.count("bad-lines", 0).pipe(
      Flag.withDescription("Lines that cannot be records, of ten kinds, spread among them"),
      Flag.withDefault(0)
    ),
    output: Flag.String("output").pipe(
      Flag.withAlias("o"),
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write there, not to standard output"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* ({ badLines, count, output, seed }) {
    if (badLines > count) {
      return yield* new Failure({ problem: "--bad-lines is more than --count.", remedy: "Ask for fewer bad lines." })
    }
    const { SampleRequests } = yield* Effect.promise(() => import("@tokenbatch/sandbox"))
    const lines = SampleRequests.stream({ count, seed, badLines })
    if (Option.isNone(output)) {
      yield* lines.pipe(
        Stream.takeWhile(() => !Stdout.isClosed()),
        Stream.runForEach(Stdout.write)
      )
      const lost = Stdout.lost()
      if (lost === undefined) return
      return yield* new Failure({ problem: `Standard output cannot be written on: ${lost}.`, remedy: "Make room." })
    }
    const fs = yield* FileSystem.FileSystem
    yield* Stream.run(lines, fs.sink(output.value)).pipe(
      Effect.mapError(
        (error) =>
          new Failure({
            problem: `${output.value} cannot be written: ${IoError.describe(error)}.`,
            remedy: "Name another file."
          })
      )
    )
  })
).pipe(
  Command.withDescription("Write realistic token requests as NDJSON"),
  Command.withExamples([
    { command: "tokenbatch sample --count 1000000 --output million.ndjson", description: "A million requests" },
    {
      command: "tokenbatch sample --count 20 --bad-lines 5 | tokenbatch validate",
      description: "See what is rejected, and why"
    }
  ])
)
