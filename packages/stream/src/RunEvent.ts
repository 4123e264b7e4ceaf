/**
 * What happens in a run, as data. Everything that anyone wants to know about a run is a fold over its events: the progress, the
 * report, what to do on resume.
 *
 * Batches are numbered from 1 in the order in which they were intended. A batch that is split ends with `BatchSplit`; its parts are
 * batches of their own that name it as their parent. Every other batch ends with exactly one of `BatchSucceeded`, `BatchFailed`,
 * `BatchRefused`, `BatchUnresolved` and `BatchNotSubmitted`. No event holds a token value or a credential.
 */
import * as Schema from "effect/Schema"
import { ByteRange, LineRange } from "./Batches.ts"
import { Rejection } from "./TokenRecords.ts"

const batch = Schema.Int
const Millis = Schema.Number

/** The run begins. */
export const RunStarted = Schema.TaggedStruct("RunStarted", {
  runId: Schema.String,
  /** Milliseconds since the Unix epoch. */
  startedAt: Millis,
  dryRun: Schema.Boolean,
  batchSize: Schema.Int,
  batchBytes: Schema.Int,
  concurrency: Schema.Int,
  limit: Schema.optionalKey(Schema.Int)
})

/** Lines that cannot be records. */
export const LinesRejected = Schema.TaggedStruct("LinesRejected", { rejections: Schema.NonEmptyArray(Rejection) })

/** A batch is about to be submitted. `bytes` and `digest` are of the input up to its end, for batches cut from the input. */
export const BatchIntended = Schema.TaggedStruct("BatchIntended", {
  batch,
  parent: Schema.optionalKey(Schema.Int),
  records: Schema.Int,
  withoutAccessToken: Schema.Int,
  lines: Schema.Array(LineRange),
  bytes: Schema.optionalKey(ByteRange),
  digest: Schema.optionalKey(Schema.String)
})

/** A create call was answered so that it can be made again: the batch was certainly not taken, or this is a dry run. */
export const BatchRetried = Schema.TaggedStruct("BatchRetried", {
  batch,
  /** Which attempt it was, from 1. */
  attempt: Schema.Int,
  code: Schema.String,
  message: Schema.String,
  /** Milliseconds until the next attempt. */
  delay: Millis
})

/** The service has taken the batch. */
export const BatchAccepted = Schema.TaggedStruct("BatchAccepted", { batch, requestId: Schema.String })

/** The batch was not taken for something in it, or failed in a dry run: its halves are tried instead. */
export const BatchSplit = Schema.TaggedStruct("BatchSplit", {
  batch,
  records: Schema.Int,
  code: Schema.String,
  message: Schema.String,
  polls: Schema.Int
})

/** The service confirmed the batch: its records are created. */
export const BatchSucceeded = Schema.TaggedStruct("BatchSucceeded", {
  batch,
  requestId: Schema.String,
  records: Schema.Int,
  polls: Schema.Int
})

/** The service gave the batch up, perhaps after doing a part of it: its records are unresolved. */
export const BatchFailed = Schema.TaggedStruct("BatchFailed", {
  batch,
  requestId: Schema.String,
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  /** Tokens processed, as the service says. */
  tokenCount: Schema.optionalKey(Schema.Number),
  polls: Schema.Int
})

/** The service denied this very record: it is failed. */
export const BatchRefused = Schema.TaggedStruct("BatchRefused", {
  batch,
  records: Schema.Literal(1),
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  polls: Schema.Int
})

/** The batch was sent and its fate is not known: in doubt, or without a result when the run had to go. */
export const BatchUnresolved = Schema.TaggedStruct("BatchUnresolved", {
  batch,
  requestId: Schema.optionalKey(Schema.String),
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  polls: Schema.Int
})

/** The batch was read and certainly not taken. */
export const BatchNotSubmitted = Schema.TaggedStruct("BatchNotSubmitted", {
  batch,
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String
})

/** Why a run stops before the end of its input. */
export const StopReason = Schema.Literals([
  /** Somebody asked: a signal, or the `stop` option. */
  "Requested",
  /** The service refused the credentials: 401, or 403 before anything was taken. */
  "CredentialsRefused",
  /** What answers at the address is not the service. */
  "WrongAddress",
  /** The service was away for longer than `giveUpAfter`. */
  "GivenUp",
  /** Three batches in a row were refused or failed, with one code. */
  "SystematicRefusal",
  /** More lines were rejected than `maxRejects` allows. */
  "TooManyRejects",
  /** The input cannot be read on. */
  "Unreadable"
])
export type StopReason = typeof StopReason.Type

/** Nothing more is read; what is in flight gets its grace. */
export const RunStopping = Schema.TaggedStruct("RunStopping", { reason: StopReason, message: Schema.String })

/** Nothing more will be read. */
export const InputEnded = Schema.TaggedStruct("InputEnded", {
  /** Whether the input was read to its end, or to the limit. */
  complete: Schema.Boolean,
  /** Bytes read, after decompression. */
  bytes: Schema.Int
})

/** What became of the lines: the six ends add up to `read`. */
export const RecordCounts = Schema.Struct({
  read: Schema.Int,
  created: Schema.Int,
  existing: Schema.Int,
  failed: Schema.Int,
  rejected: Schema.Int,
  unresolved: Schema.Int,
  notSubmitted: Schema.Int
})
export interface RecordCounts extends Schema.Schema.Type<typeof RecordCounts> {}

/** What became of the batches that were sent; a batch that was split counts as its parts. */
export const BatchCounts = Schema.Struct({
  submitted: Schema.Int,
  succeeded: Schema.Int,
  failed: Schema.Int,
  unresolved: Schema.Int
})
export interface BatchCounts extends Schema.Schema.Type<typeof BatchCounts> {}

/** What became of a run. */
export const RunReport = Schema.Struct({
  runId: Schema.String,
  /** Whether the input was read to its end, or to the limit. */
  complete: Schema.Boolean,
  /** Under a dry run nothing was created: the counts say what would have been. */
  dryRun: Schema.Boolean,
  records: RecordCounts,
  batches: BatchCounts,
  /** Records that were sent without an access token of their own. */
  withoutAccessToken: Schema.Int,
  polls: Schema.Int,
  elapsedMs: Millis,
  /** Why the run stopped early, if it did. */
  stopped: Schema.optionalKey(Schema.Struct({ reason: StopReason, message: Schema.String }))
})
export interface RunReport extends Schema.Schema.Type<typeof RunReport> {}

/** The end, and what became of every line. */
export const RunFinished = Schema.TaggedStruct("RunFinished", { report: RunReport })

/** Anything that happens in a run. */
export const RunEvent = Schema.Union([
  RunStarted,
  LinesRejected,
  BatchIntended,
  BatchRetried,
  BatchAccepted,
  BatchSplit,
  BatchSucceeded,
  BatchFailed,
  BatchRefused,
  BatchUnresolved,
  BatchNotSubmitted,
  RunStopping,
  InputEnded,
  RunFinished
])
export type RunEvent = typeof RunEvent.Type
