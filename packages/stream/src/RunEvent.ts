/**
 * What happens in a run, as data. Everything that anyone wants to know about a run is a fold over its events: the progress, the
 * report, what to do on resume. A journal is these events written down, so they are plain JSON: what is encoded is what is there.
 *
 * Batches are numbered from 1 in the order in which they were intended. A batch that is split ends with `BatchSplit`; its parts are
 * batches of their own that name it as their parent. Every other batch ends with exactly one of `BatchSucceeded`, `BatchFailed`,
 * `BatchRefused`, `BatchUnresolved` and `BatchNotSubmitted`, unless it is taken up again later (`BatchReopened`).
 *
 * Records of a batch that ended unresolved may be settled afterwards: by submitting them again, in batches that say which one they
 * resolve (`resolves`), or by `RecordsSettled`. A run that goes on in another process says `RunResumed` there.
 *
 * No event holds a token value or a credential.
 */
import * as Schema from "effect/Schema"
import { ByteRange, LineRange } from "./Batches.ts"
import { Rejection } from "./TokenRecords.ts"

const batch = Schema.Int
const Millis = Schema.Number
/** The batch whose records are submitted again, where that is what a batch is for. */
const resolves = Schema.optionalKey(Schema.Int)
/** From handing the batch in to its end. */
const elapsed = Schema.optionalKey(Millis)

/** The version of these events, as written to a journal: a reader refuses what is newer than itself. */
export const format = 1

/** What a run is: a leg that goes on with it must agree in all of this. */
export const Pinned = Schema.Struct({
  /** Where the tokens are made. */
  address: Schema.Struct({ baseUrl: Schema.String, serviceId: Schema.String }),
  dryRun: Schema.Boolean,
  /** Most records of a batch, or that this is found out. */
  batchSize: Schema.Union([Schema.Int, Schema.Literal("auto")]),
  batchBytes: Schema.Int,
  maxLineBytes: Schema.Int,
  limit: Schema.optionalKey(Schema.Int),
  allowUnknownFields: Schema.Boolean,
  requireAccessToken: Schema.Boolean,
  /** The inputs in their order: what identifies them, a path say, and what they are called in positions. */
  inputs: Schema.Array(Schema.Struct({ identity: Schema.String, name: Schema.optionalKey(Schema.String) }))
})
export interface Pinned extends Schema.Schema.Type<typeof Pinned> {}

/** The run begins. */
export const RunStarted = Schema.TaggedStruct("RunStarted", {
  /** The version of the events that follow. */
  format: Schema.Int,
  runId: Schema.String,
  /** Milliseconds since the Unix epoch. */
  startedAt: Millis,
  /** Batches in flight at once, where that is not found out. */
  concurrency: Schema.optionalKey(Schema.Int),
  ...Pinned.fields,
  /** Whether it is against a sandbox that is gone afterwards. */
  sandbox: Schema.optionalKey(Schema.Literal(true))
})

/** The run goes on in another process. What came before is what is known of it. */
export const RunResumed = Schema.TaggedStruct("RunResumed", {
  /** Milliseconds since the Unix epoch. */
  at: Millis,
  /** Which process it is in the order of them, from 2. */
  leg: Schema.Int,
  concurrency: Schema.optionalKey(Schema.Int),
  /** Bytes at the end of the journal that were no whole event and were cut off. */
  cutOff: Schema.optionalKey(Schema.Int)
})

/** Lines that cannot be records, in a stretch of the input without a batch. */
export const LinesRejected = Schema.TaggedStruct("LinesRejected", {
  rejections: Schema.NonEmptyArray(Rejection),
  bytes: Schema.optionalKey(ByteRange),
  digest: Schema.optionalKey(Schema.String)
})

/**
 * A batch is about to be submitted. `bytes` and `digest` are of the stretch of input that it was cut from, and `rejections` are the
 * lines in there that cannot be records: one event, so that what has been read is one offset.
 */
export const BatchIntended = Schema.TaggedStruct("BatchIntended", {
  batch,
  parent: Schema.optionalKey(Schema.Int),
  resolves,
  records: Schema.Int,
  withoutAccessToken: Schema.Int,
  lines: Schema.Array(LineRange),
  bytes: Schema.optionalKey(ByteRange),
  digest: Schema.optionalKey(Schema.String),
  rejections: Schema.optionalKey(Schema.NonEmptyArray(Rejection)),
  /** Records without an access token that are sent again here for the first time, though they may have been taken before. */
  possiblyTwice: Schema.optionalKey(Schema.Int)
})
export interface BatchIntended extends Schema.Schema.Type<typeof BatchIntended> {}

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

/** The create call is about to be made again. */
export const BatchAttempted = Schema.TaggedStruct("BatchAttempted", { batch })

/** A batch that had ended in an earlier leg, or whose outcome was not waited for, is taken up again. */
export const BatchReopened = Schema.TaggedStruct("BatchReopened", {
  batch,
  records: Schema.Int,
  /** The end that it leaves. */
  from: Schema.Literals(["unresolved", "notSubmitted"])
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
  resolves,
  records: Schema.Int,
  polls: Schema.Int,
  elapsed
})

/** The service gave the batch up, perhaps after doing a part of it: its records are unresolved. */
export const BatchFailed = Schema.TaggedStruct("BatchFailed", {
  batch,
  requestId: Schema.String,
  resolves,
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  /** Tokens processed, as the service says. */
  tokenCount: Schema.optionalKey(Schema.Number),
  polls: Schema.Int,
  elapsed
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
  /** The service does not know the request ID any more, which is as good as no receipt. */
  lost: Schema.optionalKey(Schema.Literal(true)),
  resolves,
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  polls: Schema.Int
})

/** The batch was read and certainly not taken. */
export const BatchNotSubmitted = Schema.TaggedStruct("BatchNotSubmitted", {
  batch,
  resolves,
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String
})

/** The pace at which batches are handed in has changed. */
export const FlowChanged = Schema.TaggedStruct("FlowChanged", {
  /** Milliseconds since the Unix epoch. Where the service is away: since when. */
  at: Millis,
  reason: Schema.Literals([
    /** The first results are there, so as many are handed in as will be done in time. */
    "ResultsCome",
    /** To see what the throughput does, or whether refusals have to do with the pace. */
    "Trial",
    /** What was tried is better, or what was before is. */
    "Throughput",
    /** The service's queue was full. */
    "QueueFull",
    /** It may have room again. */
    "RoomAgain",
    /** Requests came too fast for the service. */
    "TooFast",
    /** It refuses some whatever is done: so many are no longer taken for a full queue, or for coming too fast. */
    "Whims",
    /** It has asked to wait for a while, of at least five seconds. */
    "Paused",
    /** As many as are done in half the poll timeout, which became fewer or more. */
    "PollTimeout",
    /** Requests have to wait, lest they be more a second than was allowed. Told once a leg. */
    "MaxRequests",
    /** Results take much longer, or much less long, than they did. */
    "Drift",
    /** Batches of another size are done better, or to see whether they are. */
    "BatchSize",
    /** The service does not answer: everything waits. */
    "Away",
    /** It answers again. */
    "Back"
  ]),
  /** Most batches with the service at once. */
  window: Schema.Int,
  /** Requests are spaced to be no more than this; absent where they are not. */
  requestsPerSecond: Schema.optionalKey(Schema.Number),
  /** Most records of a batch, where that is found out. */
  batchSize: Schema.optionalKey(Schema.Int),
  /** Milliseconds that the service has asked to wait from now on. */
  pause: Schema.optionalKey(Millis)
})
export interface FlowChanged extends Schema.Schema.Type<typeof FlowChanged> {}

/** Everything else has ended; now it is found out what became of the records that are unresolved. */
export const ResolutionStarted = Schema.TaggedStruct("ResolutionStarted", {
  batches: Schema.Int,
  records: Schema.Int,
  /** Milliseconds waited before, so that nothing of ours is still at work. */
  settle: Millis
})

/** What was tried before leaning on it: whether a dry run notices a token value that exists, and by which code. */
export const Calibrated = Schema.TaggedStruct("Calibrated", {
  field: Schema.Literals(["access", "refresh"]),
  borneOut: Schema.Boolean,
  code: Schema.optionalKey(Schema.String),
  message: Schema.optionalKey(Schema.String)
})

/** Records of an unresolved batch whose end has been proved without submitting them again. */
export const RecordsSettled = Schema.TaggedStruct("RecordsSettled", {
  batch,
  end: Schema.Literals(["existing", "failed"]),
  records: Schema.Int,
  lines: Schema.Array(LineRange),
  code: Schema.String,
  message: Schema.String,
  /** Not proved: it was assumed that the service works in order. */
  assumed: Schema.optionalKey(Schema.Literal(true))
})

/** A batch has been looked into as far as it goes for now. */
export const BatchExamined = Schema.TaggedStruct("BatchExamined", {
  batch,
  /** Dry runs and submissions that it took. */
  calls: Schema.Int,
  /** Records that are still unresolved. */
  left: Schema.Int,
  /** The run stopped, or had no calls left, before it came to an end. */
  halted: Schema.optionalKey(Schema.Literal(true))
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
  "Unreadable",
  /** What happens cannot be written down any more. */
  "JournalFailed"
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

/** At which pace batches were handed in, and why: what was found out while the run went on, of all its legs. */
export const FlowReport = Schema.Struct({
  /** Most batches with the service at once: the last that was decided, and the least and the most. Absent where nothing was. */
  window: Schema.optionalKey(Schema.Struct({ last: Schema.Int, least: Schema.Int, most: Schema.Int })),
  /** Most requests a second at the end; absent where they were not spaced. */
  requestsPerSecond: Schema.optionalKey(Schema.Number),
  /** Most records of a batch at the end, where that was found out. */
  batchSize: Schema.optionalKey(Schema.Int),
  /** How often create calls were refused for there being too much to do (429, 503) and were to be made again. */
  refusals: Schema.Int,
  /** How often the pace changed for each reason. */
  changes: Schema.Record(FlowChanged.fields.reason, Schema.optionalKey(Schema.Int)),
  /** How long the service did not answer, in milliseconds, as far as is known: not what a leg that was cut off had of it. */
  awayMs: Millis
})
export interface FlowReport extends Schema.Schema.Type<typeof FlowReport> {}

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
  /** Records without an access token of their own that were sent again though the first might have been taken. */
  possiblyTwice: Schema.Int,
  /** Processes that had a share in it. */
  legs: Schema.Int,
  /** What it took to find out what became of unresolved records, and what that leans on. */
  resolution: Schema.optionalKey(
    Schema.Struct({
      calls: Schema.Int,
      /** Records called existing because the service was assumed to work in order. */
      assumed: Schema.Int,
      /** Whether a dry run was found to notice an access or a refresh token value that exists. */
      access: Schema.optionalKey(Schema.Boolean),
      refresh: Schema.optionalKey(Schema.Boolean)
    })
  ),
  polls: Schema.Int,
  /** Absent where the pace was given, or nothing was learned of it. */
  flow: Schema.optionalKey(FlowReport),
  /** Most batches with the service at once, as far as the run knew. Absent in reports from before it was counted. */
  mostInFlight: Schema.optionalKey(Schema.Int),
  /** From its first event to its last, with the time between its legs. */
  elapsedMs: Millis,
  /**
   * Of a run with several legs, what the last one did. How long the others took is not known where they were cut off: few events say when
   * they were.
   */
  lastLeg: Schema.optionalKey(Schema.Struct({ created: Schema.Int, elapsedMs: Millis })),
  /** Why the run stopped early, if it did. */
  stopped: Schema.optionalKey(Schema.Struct({ reason: StopReason, message: Schema.String }))
})
export interface RunReport extends Schema.Schema.Type<typeof RunReport> {}

/** The end, and what became of every line. */
export const RunFinished = Schema.TaggedStruct("RunFinished", { report: RunReport })

/** Anything that happens in a run. */
export const RunEvent = Schema.Union([
  RunStarted,
  RunResumed,
  LinesRejected,
  BatchIntended,
  BatchRetried,
  BatchAttempted,
  BatchReopened,
  BatchAccepted,
  BatchSplit,
  BatchSucceeded,
  BatchFailed,
  BatchRefused,
  BatchUnresolved,
  BatchNotSubmitted,
  FlowChanged,
  ResolutionStarted,
  Calibrated,
  RecordsSettled,
  BatchExamined,
  RunStopping,
  InputEnded,
  RunFinished
])
export type RunEvent = typeof RunEvent.Type

/** The rejections that an event tells of. */
export const rejectionsOf = (event: RunEvent): ReadonlyArray<Rejection> =>
  event._tag === "LinesRejected" || event._tag === "BatchIntended" ? (event.rejections ?? []) : []
