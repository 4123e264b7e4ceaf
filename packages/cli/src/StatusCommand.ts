/** `tokenbatch status`: asks the service how far a batch has come. */
import { AuthleteError, TokenBatch, TokenOperations } from "@tokenbatch/core"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
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
    json: Flags.json.pipe(Flag.withDescription("Write the answer to standard output, as a JSON object"))
  },
  Effect.fnUntraced(function* (flags) {
    const answer = yield* Effect.flatMap(TokenOperations.TokenOperations, (operations) =>
      Effect.result(operations.batchStatus(flags.requestId))
    ).pipe(Effect.provide(Connection.layer({ ...flags, concurrency: Option.some(1), maxConcurrency: Option.none() })))
    if (Result.isFailure(answer)) {
      const error = answer.failure
      const { exitCode, problem, remedy } = meaning(error)
      process.stderr.write(`error: ${problem}: ${Format.quote(once(error))}\n${remedy}`)
      if (flags.json) {
        yield* Stdout.write(
          `${JSON.stringify({ requestId: flags.requestId, _tag: error._tag, code: AuthleteError.code(error), message: error.message })}\n`
        )
      }
      return yield* ExitCode.set(exitCode)
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
  Command.withDescription(
    "Ask how far a batch has come. Exit code: 0 succeeded; 1 failed; 2 the service does not know the request ID, or bad usage; 3 no result yet, or no answer; 4 the credentials were refused"
  ),
  Command.withExamples([{ command: "tokenbatch status 7f0f9c52-1c1c-4a2e-9c43-0d5f3c1d2b3a", description: "Ask once" }])
)

/** What a call that failed says about the batch. */
const meaning = (error: AuthleteError.AuthleteError) => {
  const status = "status" in error ? error.status : undefined
  switch (status) {
    case 400:
      return {
        exitCode: 2,
        problem: "the service does not know this request ID",
        remedy: "Check the ID, and that its batch was for this service. Right after it was accepted, ask again.\n"
      }
    case 404:
    case 410:
      return {
        exitCode: 2,
        problem: "there is no such request ID at this address",
        remedy: "Check the ID, the service's ID and the base URL.\n"
      }
    case 401:
    case 403:
      return {
        exitCode: 4,
        problem: "the credentials were refused",
        remedy: "Check the bearer (AUTHLETE_BEARER or --bearer-file) and that it is for this service.\n"
      }
    default:
      return { exitCode: 3, problem: "the status cannot be had", remedy: "" }
  }
}

/** What was said, with the result code once: the service often repeats it at the head of its message. */
const once = (error: AuthleteError.AuthleteError): string =>
  error._tag === "ResultError" && error.resultMessage?.includes(error.resultCode) === true
    ? `HTTP ${error.status}: ${error.resultMessage}`
    : error.message
