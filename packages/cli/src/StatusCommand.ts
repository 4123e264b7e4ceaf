/** `tokenbatch status`: asks the service how far a batch has come. */
import { AuthleteError, TokenBatch, TokenOperations } from "@tokenbatch/core"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Connection from "./Connection.ts"
import { ExitCode } from "./ExitCode.ts"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as Stdout from "./Stdout.ts"

export const status = Command.make(
  "status",
  {
    requestId: Argument.String("request-id").pipe(
      Argument.withDescription("The request ID of the batch, as create reports it"),
      Argument.withSchema(TokenBatch.RequestId)
    ),
    ...Flags.connection,
    json: Flags.json
  },
  Effect.fnUntraced(function* (flags) {
    const answer = yield* Effect.flatMap(TokenOperations.TokenOperations, (operations) =>
      Effect.result(operations.batchStatus(flags.requestId))
    ).pipe(Effect.provide(Connection.layer(flags, 1)))
    if (Result.isFailure(answer)) {
      const error = answer.failure
      process.stderr.write(`error: the status cannot be had: ${Format.quote(error.message)}\n`)
      const refused = error._tag === "ResultError" && (error.status === 401 || error.status === 403)
      if (flags.json) {
        yield* Stdout.write(
          `${JSON.stringify({ _tag: error._tag, code: AuthleteError.code(error), message: error.message })}\n`
        )
      }
      return yield* ExitCode.set(refused ? 4 : 3)
    }
    const batch = answer.success
    const iso = (millis: number | undefined) => (millis === undefined ? undefined : new Date(millis).toISOString())
    const rows = Object.entries({
      state: batch.state,
      result: batch.result,
      tokens: batch.tokenCount,
      error: batch.errorCode,
      description: batch.errorDescription,
      created: iso(batch.createdAt),
      modified: iso(batch.modifiedAt)
    }).filter(([, value]) => value !== undefined)
    yield* Stdout.write(
      flags.json
        ? `${JSON.stringify({ requestId: flags.requestId, ...batch })}\n`
        : rows.map(([name, value]) => `${name.padEnd(12)} ${Format.quote(String(value))}\n`).join("")
    )
    yield* ExitCode.set(batch.state === "Succeeded" ? 0 : batch.state === "Failed" ? 1 : 3)
  }, Effect.scoped)
).pipe(
  Command.withDescription("Ask how far a batch has come: exit code 0 succeeded, 1 failed, 3 not known yet"),
  Command.withExamples([{ command: "tokenbatch status 7f0f9c52-1c1c-4a2e-9c43-0d5f3c1d2b3a", description: "Ask once" }])
)
