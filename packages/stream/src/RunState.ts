/**
 * The state of a run, folded from its events. Pure: the same events give the same state, live or read back.
 */
import type { BatchCounts, RecordCounts, RunEvent, StopReason } from "./RunEvent.ts"

/** Where a run stands. */
export interface RunState {
  readonly runId: string
  readonly startedAt: number
  readonly dryRun: boolean
  /** Whether the input was read to its end, or to the limit. */
  readonly complete: boolean
  readonly records: RecordCounts
  readonly batches: BatchCounts
  /** Batches that have been intended and have not ended. */
  readonly inFlight: number
  /** Their records, and those of halves whose turn has not come: what was read and has not ended. */
  readonly recordsInFlight: number
  readonly withoutAccessToken: number
  readonly polls: number
  /** How far the input has been cut into batches, in bytes. */
  readonly bytes: number
  readonly stopped: { readonly reason: StopReason; readonly message: string } | undefined
}

/** Before the first event. */
export const initial: RunState = {
  runId: "",
  startedAt: 0,
  dryRun: false,
  complete: false,
  records: { read: 0, created: 0, existing: 0, failed: 0, rejected: 0, unresolved: 0, notSubmitted: 0 },
  batches: { submitted: 0, succeeded: 0, failed: 0, unresolved: 0 },
  inFlight: 0,
  recordsInFlight: 0,
  withoutAccessToken: 0,
  polls: 0,
  bytes: 0,
  stopped: undefined
}

const add = <A extends RecordCounts | BatchCounts>(counts: A, more: Partial<A>): A => {
  const sum: Record<string, number> = { ...counts }
  for (const [key, value] of Object.entries(more)) sum[key] = (sum[key] ?? 0) + (value as number)
  return sum as A
}

/** A batch ends: it and its records leave flight for where the event says. */
const end = (
  state: RunState,
  event: { readonly records: number; readonly polls?: number },
  records: Partial<RecordCounts>,
  batches: Partial<BatchCounts>
): RunState => ({
  ...state,
  records: add(state.records, records),
  batches: add(state.batches, batches),
  inFlight: state.inFlight - 1,
  recordsInFlight: state.recordsInFlight - event.records,
  polls: state.polls + (event.polls ?? 0)
})

/** The state after one more event. */
export const step = (state: RunState, event: RunEvent): RunState => {
  switch (event._tag) {
    case "RunStarted":
      return { ...state, runId: event.runId, startedAt: event.startedAt, dryRun: event.dryRun }
    case "LinesRejected": {
      const rejected = event.rejections.length
      return { ...state, records: add(state.records, { read: rejected, rejected }) }
    }
    case "BatchIntended": {
      const inFlight = state.inFlight + 1
      if (event.parent !== undefined) return { ...state, inFlight }
      return {
        ...state,
        inFlight,
        recordsInFlight: state.recordsInFlight + event.records,
        records: add(state.records, { read: event.records }),
        withoutAccessToken: state.withoutAccessToken + event.withoutAccessToken,
        bytes: event.bytes?.to ?? state.bytes
      }
    }
    case "BatchRetried":
    case "BatchAccepted":
      return state
    case "BatchSplit":
      // Its records stay in flight, as those of its halves.
      return { ...state, inFlight: state.inFlight - 1, polls: state.polls + event.polls }
    case "BatchSucceeded":
      return end(state, event, { created: event.records }, { submitted: 1, succeeded: 1 })
    case "BatchFailed":
      return end(state, event, { unresolved: event.records }, { submitted: 1, failed: 1 })
    case "BatchRefused":
      return end(state, event, { failed: event.records }, { submitted: 1, failed: 1 })
    case "BatchUnresolved":
      return end(state, event, { unresolved: event.records }, { submitted: 1, unresolved: 1 })
    case "BatchNotSubmitted":
      return end(state, event, { notSubmitted: event.records }, {})
    case "RunStopping":
      // The first reason is the reason.
      return { ...state, stopped: state.stopped ?? { reason: event.reason, message: event.message } }
    case "InputEnded":
      return { ...state, complete: event.complete, bytes: event.bytes }
    case "RunFinished":
      return state
  }
}
