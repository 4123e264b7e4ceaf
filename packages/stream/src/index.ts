/**
 * From bytes to outcomes: streams token requests into batches, submits and polls them, and accounts for every line.
 */
export * as Batches from "./Batches.ts"
export * as ByteSource from "./ByteSource.ts"
export * as OpenBatches from "./OpenBatches.ts"
export * as Outcome from "./Outcome.ts"
export * as Polling from "./Polling.ts"
export * as PollSchedule from "./PollSchedule.ts"
export * as Resolution from "./Resolution.ts"
export * as ResolutionPolicy from "./ResolutionPolicy.ts"
export * as Resumption from "./Resumption.ts"
export * as RunEvent from "./RunEvent.ts"
export * as RunJournal from "./RunJournal.ts"
export * as RunReport from "./RunReport.ts"
export * as RunState from "./RunState.ts"
export * as Submission from "./Submission.ts"
export * as TokenBatchRun from "./TokenBatchRun.ts"
export * as TokenRecords from "./TokenRecords.ts"
