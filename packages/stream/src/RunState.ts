/**
 * The state of a run, folded from its events. Pure: the same events give the same state, live or read back.
 */
import type { BatchCounts, FlowChanged, FlowReport, RecordCounts, RunEvent, RunReport, StopReason } from "./RunEvent.ts"

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
  /** Those of them that the service has taken. */
  readonly atService: number
  /** Most that were at once. */
  readonly mostAtService: number
  /** Their records, and those of halves whose turn has not come: what was read and has not ended. */
  readonly recordsInFlight: number
  readonly withoutAccessToken: number
  readonly possiblyTwice: number
  readonly polls: number
  /** Processes that had a share in it so far. */
  readonly legs: number
  /** When the leg began that is the last so far, and how many records the ones before it had created. */
  readonly leg: { readonly startedAt: number; readonly createdBefore: number }
  /** The longest time from handing a batch in to its result, in milliseconds. */
  readonly longest: number
  /** Whether it is being found out what became of unresolved records. */
  readonly resolving: boolean
  readonly resolution: RunReport["resolution"]
  /** Most batches in flight at once, where anything has said so in this leg. */
  readonly window: number | undefined
  /** Since when the service does not answer, in milliseconds since the Unix epoch. */
  readonly awaySince: number | undefined
  /** Until when the service has asked to wait, in milliseconds since the Unix epoch. */
  readonly pausedUntil: number
  /** What was found out about the pace. Its `awayMs` is without the time since `awaySince`. */
  readonly flow: FlowReport | undefined
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
  atService: 0,
  mostAtService: 0,
  recordsInFlight: 0,
  withoutAccessToken: 0,
  possiblyTwice: 0,
  polls: 0,
  legs: 0,
  leg: { startedAt: 0, createdBefore: 0 },
  longest: 0,
  resolving: false,
  resolution: undefined,
  window: undefined,
  awaySince: undefined,
  pausedUntil: 0,
  flow: undefined,
  bytes: 0,
  stopped: undefined
}

const add = <A extends RecordCounts | BatchCounts>(counts: A, more: Partial<A>): A => {
  const sum: Record<string, number> = { ...counts }
  for (const [key, value] of Object.entries(more)) sum[key] = (sum[key] ?? 0) + (value as number)
  return sum as A
}

interface BatchEnd {
  readonly requestId?: string
  readonly resolves?: number
  readonly records: number
  readonly polls?: number
  readonly elapsed?: number
}

/** Whether a batch that ends had been taken, and so one less is with the service. */
const left = ({ polls = 0, requestId }: Pick<BatchEnd, "requestId" | "polls">): number =>
  requestId !== undefined || polls > 0 ? 1 : 0

/** A batch ends: it and its records leave flight for where the event says. */
const end = (
  state: RunState,
  event: BatchEnd,
  records: Partial<RecordCounts>,
  batches: Partial<BatchCounts>
): RunState => ({
  ...state,
  records: add(state.records, records),
  batches: add(state.batches, batches),
  inFlight: state.inFlight - 1,
  atService: state.atService - left(event),
  recordsInFlight: state.recordsInFlight - event.records,
  polls: state.polls + (event.polls ?? 0),
  longest: Math.max(state.longest, event.elapsed ?? 0)
})

/** More batches are with the service. */
const taken = (state: RunState, more: number): Pick<RunState, "atService" | "mostAtService"> => {
  const atService = state.atService + more
  return { atService, mostAtService: Math.max(state.mostAtService, atService) }
}

/** A batch that was to resolve another one ends. Its records were unresolved and not in flight. */
const endResolving = (state: RunState, event: BatchEnd, records: Partial<RecordCounts>): RunState =>
  end(state, { ...event, records: 0 }, records, {})

const read = (state: RunState, rejected: number, bytes: number | undefined): RunState => ({
  ...state,
  records: rejected === 0 ? state.records : add(state.records, { read: rejected, rejected }),
  bytes: bytes ?? state.bytes
})

const noResolution = { calls: 0, assumed: 0 }

const noFlow: FlowReport = { refusals: 0, changes: {}, awayMs: 0 }

/** Whether the code of a create call that is made again says that there was too much to do: 429 or 503. */
export const isRefusal = (code: string): boolean => code === "HTTP 429" || code === "HTTP 503"

/** What was found out about the pace up to a moment, with an outage that goes on. `now`: milliseconds since the Unix epoch. */
export const flowAt = ({ awaySince, flow }: RunState, now: number): FlowReport | undefined =>
  flow === undefined || awaySince === undefined ? flow : { ...flow, awayMs: flow.awayMs + Math.max(now - awaySince, 0) }

/** Without what is so in one leg only. */
const withoutSpacing = ({ requestsPerSecond: _, ...flow }: FlowReport): FlowReport => flow

const changed = (state: RunState, event: FlowChanged): RunState => {
  const { at, batchSize, pause = 0, reason, requestsPerSecond, window } = event
  const isBack = reason === "Back"
  const before = (isBack ? flowAt(state, at) : state.flow) ?? noFlow
  const { least, most } = before.window ?? { least: window, most: window }
  return {
    ...state,
    window,
    awaySince: isBack ? undefined : (state.awaySince ?? (reason === "Away" ? at : undefined)),
    pausedUntil: Math.max(state.pausedUntil, at + pause),
    flow: {
      ...withoutSpacing(before),
      window: { last: window, least: Math.min(window, least), most: Math.max(window, most) },
      ...(requestsPerSecond === undefined ? undefined : { requestsPerSecond }),
      ...(batchSize === undefined ? undefined : { batchSize }),
      changes: { ...before.changes, [reason]: (before.changes[reason] ?? 0) + 1 }
    }
  }
}

/** The state after one more event. */
export const step = (state: RunState, event: RunEvent): RunState => {
  switch (event._tag) {
    case "RunStarted":
      return {
        ...state,
        runId: event.runId,
        startedAt: event.startedAt,
        dryRun: event.dryRun,
        legs: 1,
        leg: { startedAt: event.startedAt, createdBefore: 0 },
        window: event.concurrency
      }
    case "RunResumed":
      // Whether and why the run stopped, whether the input was read, and at which pace it goes, is for the new leg to say. How long
      // the service was away in a leg that was cut off meanwhile is not known.
      return {
        ...state,
        legs: state.legs + 1,
        leg: { startedAt: event.at, createdBefore: state.records.created },
        complete: false,
        stopped: undefined,
        resolving: false,
        window: event.concurrency,
        awaySince: undefined,
        flow: state.flow === undefined ? undefined : withoutSpacing(state.flow)
      }
    case "LinesRejected":
      return read(state, event.rejections.length, event.bytes?.to)
    case "BatchIntended": {
      const inFlight = state.inFlight + 1
      if (event.resolves !== undefined) {
        return { ...state, inFlight, possiblyTwice: state.possiblyTwice + (event.possiblyTwice ?? 0) }
      }
      if (event.parent !== undefined) return { ...state, inFlight }
      const { records, withoutAccessToken } = event
      const before = read(state, event.rejections?.length ?? 0, event.bytes?.to)
      return {
        ...before,
        inFlight,
        recordsInFlight: state.recordsInFlight + records,
        records: add(before.records, { read: records }),
        withoutAccessToken: state.withoutAccessToken + withoutAccessToken
      }
    }
    case "BatchReopened": {
      const { from, records } = event
      return {
        ...state,
        inFlight: state.inFlight + 1,
        // Only what has been taken is unresolved and can be asked after.
        ...taken(state, from === "unresolved" ? 1 : 0),
        recordsInFlight: state.recordsInFlight + records,
        records: add(state.records, { [from]: -records }),
        batches: from === "unresolved" ? add(state.batches, { submitted: -1, unresolved: -1 }) : state.batches
      }
    }
    case "BatchRetried": {
      if (!isRefusal(event.code)) return state
      const flow = state.flow ?? noFlow
      return { ...state, flow: { ...flow, refusals: flow.refusals + 1 } }
    }
    case "BatchAttempted":
      return state
    case "BatchAccepted":
      return { ...state, ...taken(state, 1) }
    case "FlowChanged":
      return changed(state, event)
    case "BatchSplit":
      // Its records stay in flight, as those of its halves.
      return {
        ...state,
        inFlight: state.inFlight - 1,
        atService: state.atService - left(event),
        polls: state.polls + event.polls
      }
    case "BatchSucceeded":
      return event.resolves === undefined
        ? end(state, event, { created: event.records }, { submitted: 1, succeeded: 1 })
        : endResolving(state, event, { created: event.records, unresolved: -event.records })
    case "BatchFailed":
      return event.resolves === undefined
        ? end(state, event, { unresolved: event.records }, { submitted: 1, failed: 1 })
        : endResolving(state, event, {})
    case "BatchRefused":
      return end(state, event, { failed: event.records }, { submitted: 1, failed: 1 })
    case "BatchUnresolved":
      return event.resolves === undefined
        ? end(state, event, { unresolved: event.records }, { submitted: 1, unresolved: 1 })
        : endResolving(state, event, {})
    case "BatchNotSubmitted":
      return event.resolves === undefined
        ? end(state, event, { notSubmitted: event.records }, {})
        : endResolving(state, event, {})
    case "ResolutionStarted":
      return { ...state, resolving: true, resolution: state.resolution ?? noResolution }
    case "Calibrated":
      return { ...state, resolution: { ...(state.resolution ?? noResolution), [event.field]: event.borneOut } }
    case "RecordsSettled": {
      const { assumed, records } = event
      return {
        ...state,
        records: add(state.records, { [event.end]: records, unresolved: -records }),
        resolution:
          assumed === undefined
            ? state.resolution
            : { ...(state.resolution ?? noResolution), assumed: (state.resolution?.assumed ?? 0) + records }
      }
    }
    case "BatchExamined":
      return {
        ...state,
        resolution: { ...(state.resolution ?? noResolution), calls: (state.resolution?.calls ?? 0) + event.calls }
      }
    case "RunStopping":
      // The first reason is the reason; but that a journal has failed must be told whatever came before.
      return event.reason === "JournalFailed" || state.stopped === undefined
        ? { ...state, stopped: { reason: event.reason, message: event.message } }
        : state
    case "InputEnded":
      return { ...state, complete: event.complete, bytes: event.bytes }
    case "RunFinished":
      // Its report knows when it was, and so how long the service had been away.
      return { ...state, resolving: false, awaySince: undefined, flow: event.report.flow ?? state.flow }
  }
}
