/**
 * How many batches may be with the service at once: a law that is folded over how long they took, and over full queues.
 *
 * The window begins at 16, so that a slow service is not given more than it can do before anybody's patience ends, and is 64 once results come.
 * Which way it goes from there is told by the time to a result (Little's law: throughput is the window over the time to a result). First it
 * is held against that of the first batches, which were few:
 *
 * - it is hardly longer: nothing waits there. The window grows by half for as long as the throughput rises with it.
 * - it is longer, and less than in proportion: the service is nearly busy. The window stays.
 * - it is longer about in proportion: a smaller window is tried. Where the time shrinks as the window does, the service queues: more in flight
 *   wait longer, nothing else, and the window goes back. Where it shrinks faster, the service slows down under load, and the window goes on
 *   down to where the throughput is highest.
 *
 * Where the service's **queue is full** the window is a tenth below what was in flight, and grows by one whenever some turns of the window pass
 * without a refusal, faster once it is well beyond what was full. Cutting by a share and growing by a number is what makes two clients of one
 * service come to equal shares (Chiu and Jain 1989).
 *
 * It is never more than the service does in half the poll timeout, going by what it has done so far, and as many again when it does more.
 *
 * Part of `FlowLaw`, which says what it is made of and where that comes from.
 */

/** Bounds that the caller sets. */
export interface Bounds {
  /** A window that is not learned: fewer only while the queue of the service is full with fewer. */
  readonly fixed?: number | undefined
  /** The largest window. Default 256. */
  readonly most?: number | undefined
  /** Milliseconds that a batch may take, from being taken to its result. */
  readonly pollTimeout: number
}

/** Why the window changed. */
export type Reason =
  /** The first results are there. */
  | "ResultsCome"
  /** To see what the throughput does. */
  | "Trial"
  /** What was tried is better, or what was before is. */
  | "Throughput"
  /** The queue of the service was full, or has room again. */
  | "QueueFull"
  | "RoomAgain"
  /** As many as are done in half the poll timeout, which became fewer or more. */
  | "PollTimeout"
  /** The service answers differently from before. */
  | "Drift"

/** The window before there are results, and from then on. */
export const firstWindow = 16
export const usualWindow = 64
export const defaultMost = 256

/** The time to a result as it was with a window. */
interface Measured {
  readonly window: number
  readonly mean: number
}

/** Time to a result, being measured. */
interface Sample {
  /** As many have to end first, which were there before. */
  readonly skip: number
  /** Only what was taken from then on counts. */
  readonly since: number
  readonly count: number
  readonly sum: number
}

const noSample = (since: number, skip = 0): Sample => ({ skip, since, count: 0, sum: 0 })

/** The first batches: how long they took, and how many were there. */
interface First {
  readonly count: number
  readonly sum: number
  readonly held: number
}

/** What is being found out. */
type Phase =
  /** Nothing: measures what there is. Something is tried then, unless it is settled. */
  | { readonly _tag: "Usual"; readonly measured?: Measured | undefined; readonly settled: boolean }
  /** Whether less in flight is done as fast. */
  | { readonly _tag: "Lower"; readonly from: Measured; readonly best: Measured }
  /** Whether more in flight is done faster. */
  | { readonly _tag: "Higher"; readonly from: Measured }
  /** Between two windows, of which the larger was too much. */
  | { readonly _tag: "Between"; readonly best: Measured }

/** How the window grows where the queue was full. */
interface Growth {
  /** As it was before that. */
  readonly before: number
  /** As many were there when it was full, the last time and at most. */
  readonly ceiling: number
  readonly highest: number
  /** By so many, when so many more have ended. */
  readonly step: number
  readonly left: number
}

/** What is known. Times are milliseconds on one clock. */
export interface State {
  readonly bounds: Bounds
  /** As many as were found to be best. */
  readonly wanted: number
  /** As many as are done in half the poll timeout, going by what was done so far. */
  readonly inTime: number
  readonly phase: Phase
  readonly sample: Sample
  readonly first: First
  /** When the first batch was taken, and how many have ended since. */
  readonly began: number | undefined
  readonly ends: number
  /** Ends per millisecond, recent ones. */
  readonly rate: number
  readonly growth: Growth | undefined
  /** How often the queue was full. */
  readonly cuts: number
  /** Why it last changed. */
  readonly reason: Reason | undefined
}

/** Before anything was observed. */
export const initial = (bounds: Bounds, at: number): State => ({
  bounds,
  wanted: bounds.fixed ?? Math.min(firstWindow, mostOf(bounds)),
  inTime: Infinity,
  phase: { _tag: "Usual", settled: bounds.fixed !== undefined },
  sample: noSample(at),
  first: { count: 0, sum: 0, held: 0 },
  began: undefined,
  ends: 0,
  rate: 0,
  growth: undefined,
  cuts: 0,
  reason: undefined
})

const mostOf = ({ fixed, most = defaultMost }: Bounds) => fixed ?? most

/** Most batches with the service at once, those included that are being handed in. */
export const size = ({ inTime, wanted }: State): number => Math.min(wanted, inTime)

/** Whether it has grown beyond what the queue was last full with. */
export const isBeyondFull = ({ growth, wanted }: State): boolean => growth !== undefined && wanted > growth.ceiling

/** A batch was taken. */
export const taken = (state: State, at: number): State => (state.began === undefined ? { ...state, began: at } : state)

/** The service was away for a while: of that time nothing is to be learned. */
export const wasAway = (state: State, later: (moment: number) => number): State =>
  state.began === undefined ? state : { ...state, began: later(state.began) }

/** The queue was full with so many there. */
export const full = (state: State, held: number): State => {
  const wanted = Math.max(1, Math.min(size(state), Math.floor(held * 0.9)))
  const { before = state.wanted, highest = held } = state.growth ?? {}
  return {
    ...state,
    wanted,
    growth: { before, ceiling: held, highest: Math.max(highest, held), step: 1, left: turn(wanted) },
    phase: { _tag: "Usual", settled: true },
    cuts: state.cuts + 1,
    reason: "QueueFull"
  }
}

/** It was not full after all: as many as before. */
export const wasNotFull = (state: State): State => ({
  ...state,
  wanted: state.growth?.before ?? state.wanted,
  growth: undefined
})

/**
 * About how many are taken from one full queue to the next, where it has as much room as it ever had: the window is cut by a tenth, and that
 * has to grow again.
 */
export const betweenCuts = ({ growth, wanted }: State): number => {
  const window = growth?.highest ?? wanted
  return Math.max(1, window / 10) * turn(window)
}

/** As many as if the queue had never been full, to see what comes of it. */
export const unbounded = (state: State): State => {
  const { fixed } = state.bounds
  return {
    ...state,
    wanted: fixed ?? Math.min(Math.max(usualWindow, state.growth?.before ?? state.wanted), mostOf(state.bounds)),
    phase: { _tag: "Usual", settled: fixed !== undefined },
    growth: undefined,
    reason: "Trial"
  }
}

/** As it was before that. */
export const restored = (state: State, { growth, phase, reason, wanted }: State): State => ({
  ...state,
  wanted,
  growth,
  phase,
  reason
})

/** A batch has ended. */
export interface End {
  readonly at: number
  /** When it was taken, and how many were with the service then, it included; absent where nothing is to be learned from it. */
  readonly taken: { readonly at: number; readonly held: number } | undefined
  /** Whether it is being found out how large batches are to be: the window stays as it is then. */
  readonly sizing: boolean
  /** How many are there now, or on their way. */
  readonly inFlight: number
  /** Whether it is how fast requests may come that decides how much is done: then the window does not. */
  readonly isPressed: boolean
}

/** A batch is no longer with the service. */
export const ended = (state: State, end: End): State => {
  const { at, sizing, taken } = end
  const ends = state.ends + 1
  if (taken === undefined) return { ...state, ends, sample: skipped(state.sample, at) }
  // Recent ends count; but not so few that a bunch of them would pass for the pace.
  const overall = state.began === undefined || at <= state.began ? 0 : ends / (at - state.began)
  const after: State = {
    ...state,
    ends,
    rate: at <= taken.at ? overall : mix(state.rate, taken.held / (at - taken.at), ends),
    sample: sampled(state, at, taken),
    first:
      state.first.count < firstWindow
        ? {
            count: state.first.count + 1,
            sum: state.first.sum + (at - taken.at),
            held: state.first.held + taken.held
          }
        : state.first
  }
  if (state.bounds.fixed !== undefined) return after.growth === undefined ? after : grownAgain(after, after.growth)
  const timed = withinTimeout(after, overall)
  // Nothing is to be learned of what is wanted while there is less.
  return sizing || timed.inTime < timed.wanted ? { ...timed, sample: noSample(at) } : grow(timed, end)
}

const skipped = (sample: Sample, at: number): Sample =>
  sample.skip > 0 ? { ...sample, skip: sample.skip - 1, since: at } : sample

const sampled = (state: State, at: number, taken: NonNullable<End["taken"]>): Sample => {
  const { sample } = state
  if (sample.skip > 0) return skipped(sample, at)
  return taken.at < sample.since || taken.held < 0.85 * size(state)
    ? sample
    : { ...sample, count: sample.count + 1, sum: sample.sum + (at - taken.at) }
}

const mix = (before: number, now: number, ends: number): number => before + (now - before) / Math.min(ends, 16)

/** How many are done in half the poll timeout. */
const withinTimeout = (state: State, overall: number): State => {
  const rate = state.ends < 16 ? overall : state.rate
  if (rate === 0) return state
  const worth = Math.max(1, (rate * state.bounds.pollTimeout) / 2)
  // Not to and fro by one.
  const inTime = Math.round(worth) > state.inTime || worth <= state.inTime - 1 ? Math.round(worth) : state.inTime
  const isOther = Math.min(state.wanted, inTime) !== size(state)
  return { ...state, inTime, ...(isOther ? { reason: "PollTimeout" } : undefined) }
}

/**
 * As many ends as two turns of the window have; for small windows more of them, up to 64 or four turns, or 40 or eight, so that a refusal
 * now and then is no matter. Of two clients of one service the one with less must not be slower to ask for
 * more by far, or it never gets its share.
 */
const turn = (window: number) => Math.max(Math.min(40, 8 * window), Math.min(64, 4 * window), 2 * window)

const grow = (state: State, end: End): State => {
  if (state.growth !== undefined) return grownAgain(state, state.growth)
  if (end.isPressed) return state
  const { at } = end
  const { phase, sample, wanted: window } = state
  if (window < usualWindow && phase._tag === "Usual" && !phase.settled) {
    // Results come: from here on, as many as are done in time.
    // Of a few, at the pace that they have shown at least: the first ones may have been quick.
    const shown = state.ends - Math.sqrt(state.ends) * 0.75
    const worth = Math.floor(((shown / Math.max(at - (state.began ?? at), 1)) * state.bounds.pollTimeout) / 2)
    const next = Math.min(usualWindow, Math.max(worth, window))
    return next > window ? moved(state, end, next, "ResultsCome", phase) : state
  }
  if (sample.count < window * sampleShare) return state
  return tried(state, end, { window, mean: sample.sum / sample.count })
}

/** Grows where the queue was full. */
const grownAgain = (state: State, growth: Growth): State => {
  if (growth.left > 1) return { ...state, growth: { ...growth, left: growth.left - 1 } }
  const wanted = Math.min(state.wanted + growth.step, mostOf(state.bounds))
  // A window that is given is there again, and settled.
  if (wanted === state.bounds.fixed) return { ...state, wanted, growth: undefined, reason: "RoomAgain" }
  return {
    ...state,
    wanted,
    // One by one up to where it was full, and a little beyond; if it is not full there any more, faster and faster.
    growth: {
      ...growth,
      step: wanted > growth.ceiling * 1.1 ? Math.min(growth.step * 2, Math.ceil(wanted / 2)) : 1,
      left: turn(wanted)
    },
    reason: "RoomAgain"
  }
}

/** It is known how long results take with the window as it is. */
const tried = (state: State, end: End, measured: Measured): State => {
  const { phase } = state
  const { window } = measured
  switch (phase._tag) {
    case "Usual": {
      if (!phase.settled) return fromFirst(state, end, measured)
      const before = phase.measured ?? measured
      const changed = measured.mean > 1.6 * before.mean || measured.mean < before.mean / 1.6
      if (!changed) return { ...state, sample: noSample(end.at), phase: { ...phase, measured: before } }
      const next = Math.max(window, Math.min(usualWindow, mostOf(state.bounds)))
      return moved(state, end, next, "Drift", { _tag: "Usual", settled: false })
    }
    case "Lower": {
      const { best, from } = phase
      const answer = Math.log(from.mean / measured.mean) / Math.log(from.window / window)
      const better = throughput(measured) > 1.05 * throughput(best) ? measured : best
      if (answer > 1.3 && window > 2) {
        return moved(state, end, window * lower, "Trial", { _tag: "Lower", from: measured, best: better })
      }
      // Too much before, and not any more: the most that is not too much lies between.
      if (best.window < from.window || (better === measured && answer > 0.5)) {
        return moved(state, end, Math.sqrt(from.window * window), "Trial", { _tag: "Between", best: better })
      }
      if (best !== from) return settle(state, end, better)
      if (answer < 0.5) return tryHigher(state, end, from)
      return settle(state, end, from)
    }
    case "Between":
      return settle(state, end, throughput(measured) > throughput(phase.best) ? measured : phase.best)
    case "Higher":
      return throughput(measured) > 1.1 * throughput(phase.from)
        ? tryHigher(state, end, measured)
        : settle(state, end, phase.from)
  }
}

const throughput = ({ mean, window }: Measured) => window / mean

/** What the first batches, which were few, say of many. */
const fromFirst = (state: State, end: End, measured: Measured): State => {
  const { count, held, sum } = state.first
  const answer = Math.log((measured.mean * count) / sum) / Math.log((measured.window * count) / held)
  // Few were hardly slower than one: there may be room for more.
  if (answer < 0.15) return tryHigher(state, end, measured)
  // Many were much slower: because they wait for each other, or because they slow each other down. Fewer of them tell.
  if (answer > 0.6) {
    return moved(state, end, measured.window * lower, "Trial", { _tag: "Lower", from: measured, best: measured })
  }
  return settle(state, end, measured)
}

/**
 * A larger window, but no more than twice what is worked on at once: as many as end in the time that the first ones took, which had
 * nothing to wait for.
 */
const tryHigher = (state: State, end: End, from: Measured): State => {
  const atOnce = (throughput(from) * state.first.sum) / state.first.count
  const window = Math.min(from.window * higher, 2 * atOnce)
  return window < from.window * 1.1
    ? settle(state, end, from)
    : moved(state, end, window, "Trial", { _tag: "Higher", from })
}

const lower = 0.625
const higher = 1.5
/** Results, as a share of the window, that tell how long it takes with it: what is tried and is worse costs for as long as it is tried. */
const sampleShare = 0.75

const settle = (state: State, end: End, best: Measured): State =>
  moved(state, end, best.window, "Throughput", { _tag: "Usual", settled: true, measured: best })

/** Another window; what is measured is measured anew. */
const moved = (state: State, { at, inFlight }: End, window: number, reason: Reason, phase: Phase): State => {
  const wanted = Math.max(1, Math.min(Math.round(window), mostOf(state.bounds)))
  return {
    ...state,
    wanted,
    phase,
    sample: noSample(at, inFlight),
    ...(wanted === state.wanted ? undefined : { reason })
  }
}
