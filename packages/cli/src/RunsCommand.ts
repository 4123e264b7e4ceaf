/** `tokenbatch runs`: what runs there are, and how far they have come. */
import * as Command from "effect/cli/Command"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as RunFolder from "./RunFolder.ts"
import * as Stdout from "./Stdout.ts"

const describe = ({ finished, resumable, started, state }: RunFolder.Run): string => {
  const kind = started.dryRun ? "dry run, " : started.sandbox === true ? "sandbox, " : ""
  return `${kind}${finished ? "finished" : resumable ? "unfinished" : "ended"}${state.legs > 1 ? `, ${state.legs} legs` : ""}`
}

export const runs = Command.make(
  "runs",
  { json: Flags.jsonOf("the runs") },
  Effect.fnUntraced(function* ({ json }) {
    const { runs: found, unreadable } = yield* RunFolder.list
    const now = yield* Clock.currentTimeMillis
    for (const run of found) {
      const { finished, id, path, resumable, started, state } = run
      const { startedAt } = started
      const { created, read } = state.records
      const open = state.recordsInFlight + state.records.unresolved + state.records.notSubmitted
      yield* Stdout.write(
        json
          ? `${JSON.stringify({ id, folder: path, startedAt, finished, resumable, inputs: started.inputs, address: started.address, records: state.records, inFlight: state.recordsInFlight })}\n`
          : `${id}\n  ${describe(run)}, ${Format.elapsed(now - startedAt)} ago: ${Format.plural(read, "line")} read, ${Format.integer(created)} created, ${Format.integer(open)} open\n  ${path}\n`
      )
    }
    for (const { id, path, problem } of unreadable) {
      yield* Stdout.write(
        json ? `${JSON.stringify({ id, folder: path, problem })}\n` : `${id}\n  cannot be read: ${problem}\n  ${path}\n`
      )
    }
    if (found.length + unreadable.length === 0 && !json) process.stderr.write("There are no runs yet.\n")
  })
).pipe(
  Command.withDescription("List runs, the latest first: how far they have come, and whether they can go on"),
  Command.withExamples([{ command: "tokenbatch runs", description: "All of them" }])
)
