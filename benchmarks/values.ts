/**
 * The product through its public API, typed values in: `values.ts COUNT BASE_URL BATCH_SIZE [baseline]`.
 *
 * The values are those of the file `plain`, made in this process, which costs about as much as running them. With `baseline` they are
 * made and dropped, so that this cost can be subtracted.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import type { TokenCreateRequest } from "@tokenbatch/core"
import { SampleRequests } from "@tokenbatch/sandbox"
import { TokenBatchRun } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { seed } from "./data.ts"
import * as Runs from "./runs.ts"

const [count, baseUrl, batchSize, mode] = process.argv.slice(2)

const redacted = (value: string | undefined) => (value === undefined ? undefined : Redacted.make(value))

const toValue = (line: string): TokenCreateRequest.TokenCreateRequest => {
  const record = JSON.parse(line)
  return {
    ...record,
    // What a JavaScript number cannot hold is given as a bigint, with all its digits.
    clientId: Number.isSafeInteger(record.clientId) ? record.clientId : BigInt(/"clientId":(\d+)/.exec(line)![1]!),
    accessToken: redacted(record.accessToken),
    refreshToken: redacted(record.refreshToken)
  }
}

const values = SampleRequests.stream({ count: Number(count), seed }).pipe(
  Stream.map((chunk) => Buffer.from(chunk).toString().trimEnd().split("\n").map(toValue)),
  Stream.flattenIterable
)

await (
  mode === "baseline"
    ? Stream.runDrain(values)
    : TokenBatchRun.fromRequests(values, Runs.options(Number(batchSize))).pipe(Runs.drain)
).pipe(Effect.provide([Runs.serviceAt(baseUrl!), NodeServices.layer]), Effect.runPromise)
