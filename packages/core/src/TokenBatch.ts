/**
 * What the service answers: the receipt of a batch, and later its status.
 *
 * The wire is taken as it comes. Every field may be missing or null, unknown fields are ignored. A status has no value for
 * "running": a batch without a `result` is still worked on. A result that nobody knows yet is kept as it came and is never a success.
 *
 * Source: `token_create_batch_response` and `token_create_batch_status_response` in the service's OpenAPI description.
 */
import { identity } from "effect/Function"
import * as Schema from "effect/Schema"
import { Int64FromJson } from "./Int64.ts"

/** Names a batch that the service has accepted. It has to stand in a path, where dots alone and broken characters cannot. */
export const RequestId = Schema.NonEmptyString.check(
  Schema.makeFilter((id: string) => id.isWellFormed() && id !== "." && id !== "..", {
    message: "expected a request id that can stand in a path"
  })
).pipe(Schema.brand("RequestId"))
export type RequestId = typeof RequestId.Type

const wire = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** The body of a 200 to create, as it is on the wire. */
export const CreateResponse = Schema.Struct({
  resultCode: wire(Schema.String),
  resultMessage: wire(Schema.String),
  requestId: wire(Schema.String)
}).annotate({ identifier: "token_create_batch_response" })

/** The `status` in the body of a 200 to status, as it is on the wire. */
const WireStatus = Schema.Struct({
  batchKind: wire(Schema.String),
  requestId: wire(Schema.String),
  result: wire(Schema.String),
  errorCode: wire(Schema.String),
  errorDescription: wire(Schema.String),
  tokenCount: wire(Int64FromJson),
  createdAt: wire(Int64FromJson),
  modifiedAt: wire(Int64FromJson)
}).annotate({ identifier: "token_batch_status" })

/** The body of a 200 to status, as it is on the wire. */
export const StatusResponse = Schema.Struct({
  resultCode: wire(Schema.String),
  resultMessage: wire(Schema.String),
  status: wire(WireStatus)
}).annotate({ identifier: "token_create_batch_status_response" })

/** The body of a documented error, as it is on the wire (`result` in the OpenAPI description). */
export const ResultResponse = Schema.Struct({
  resultCode: wire(Schema.String),
  resultMessage: wire(Schema.String)
}).annotate({ identifier: "result" })

/** An accepted batch. The service has it, and has promised no more than to work on it. */
export const Receipt = Schema.Struct({
  requestId: RequestId,
  resultCode: Schema.optionalKey(Schema.String),
  resultMessage: Schema.optionalKey(Schema.String)
})
export interface Receipt extends Schema.Schema.Type<typeof Receipt> {}

/** How far a batch has come. `Unknown` is a result that is neither of the two documented ones: it is no success. */
export const BatchState = Schema.Literals(["Running", "Succeeded", "Failed", "Unknown"])
export type BatchState = typeof BatchState.Type

/** The status of a batch, with the absent fields left out. */
export const BatchStatus = Schema.Struct({
  state: BatchState,
  /** As it came. */
  result: Schema.optionalKey(Schema.String),
  /** As it came; `CREATE` for batches of this kind. */
  batchKind: Schema.optionalKey(Schema.String),
  errorCode: Schema.optionalKey(Schema.String),
  errorDescription: Schema.optionalKey(Schema.String),
  /** Tokens processed. */
  tokenCount: Schema.optionalKey(Schema.Number),
  /** Milliseconds since the Unix epoch. */
  createdAt: Schema.optionalKey(Schema.Number),
  /** Milliseconds since the Unix epoch. */
  modifiedAt: Schema.optionalKey(Schema.Number)
})
export interface BatchStatus extends Schema.Schema.Type<typeof BatchStatus> {}

/** Whether a status says how the batch ended. */
export const hasEnded = ({ state }: BatchStatus): boolean => state === "Succeeded" || state === "Failed"

/** What a `result` means, for a batch of a kind. What is not known, of either, is no success. */
export const stateOf = (result: string | null | undefined, batchKind?: string | null): BatchState => {
  if (result != null && batchKind != null && batchKind !== "CREATE") return "Unknown"
  switch (result) {
    case null:
    case undefined:
      return "Running"
    case "SUCCEEDED":
      return "Succeeded"
    case "FAILED":
      return "Failed"
    default:
      return "Unknown"
  }
}

/** The words that the service is documented to say: no echo of anything, and in most answers, so that nothing is looked for in those. */
const documented: ReadonlySet<string> = new Set(["SUCCEEDED", "FAILED", "CREATE"])

/**
 * The status in an answer; one without a `status` is of a batch still worked on.
 *
 * @param clean what to do with each text that is not a documented word: it may echo what was sent
 */
export const statusFromResponse = (
  response: typeof StatusResponse.Type,
  clean: (text: string) => string = identity
): BatchStatus => {
  const { requestId: _requestId, ...fields } = response.status ?? {}
  const present = Object.entries(fields).flatMap(([name, value]) =>
    value == null ? [] : [[name, typeof value === "string" && !documented.has(value) ? clean(value) : value]]
  )
  return { ...Object.fromEntries(present), state: stateOf(response.status?.result, response.status?.batchKind) }
}
