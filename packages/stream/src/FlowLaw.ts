/**
 * How many batches may be with the service at once, and when the next may be handed in: a law that is folded over what was observed.
 *
 * Pure: no clock and no call in here, so that it is tested without either. `Flow` is what feeds it and does what it says.
 *
 * **The window** is the most batches that may be with the service. It begins at 16, so that a slow service is not given more than it can
 * do before anybody's patience ends, and is 64 once results come. Which way it goes from there is told by the time to a result (Little's law:
 * throughput is the window over the time to a result). First it is held against that of the first batches, which were few:
 *
 * - it is hardly longer: nothing waits there. The window grows by half for as long as the throughput rises with it.
 * - it is longer, and less than in proportion: the service is nearly busy. The window stays.
 * - it is longer about in proportion: a smaller window is tried. Where the time shrinks as the window does, the service queues: more in flight
 *   wait longer, nothing else, and the window goes back. Where it shrinks faster, the service slows down under load, and the window goes on
 *   down to where the throughput is highest.
 *
 * A refusal (429, or 503 with Retry-After) has one of two reasons, and a status call tells which. Where it is refused as well, or where next
 * to nothing is in flight, requests come **too fast**: they are spaced, from then on, a little wider than they were accepted
 * since the last refusal, and slowly closer again. Where it is answered, the service's **queue is full**: the window is a tenth below what was in
 * flight, and grows by one whenever some turns of the window pass without a refusal, faster once it is well beyond what was full. Cutting by a share and growing by a
 * number is what makes two clients of one service come to equal shares (Chiu and Jain 1989).
 *
 * A queue that seems to have room for next to nothing may be a limit of how fast creates may come, with no burst: so one more is tried after a
 * while, though nothing has ended. Where that is taken three times in a row, it is spaced from then on.
 *
 * The window holds no more than the service can do in half the poll timeout, going by what it has done so far, and as many again when it does more.
 *
 * Sources: D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks" (1989);
 * J. D. C. Little, "A Proof for the Queuing Formula L = λW" (1961); L. Brakmo, L. Peterson, "TCP Vegas" (1995), for learning from delay before
 * anything is refused; RFC 7661, for not growing beyond what is used; RFC 9438 (CUBIC), for going fast again far from the last refusal.
 */

/** What the law goes by. Times are milliseconds on one clock. */
export type Observation =
  /** A create call begins. */
  | { readonly _tag: "Sent"; readonly at: number }
  /** It was not made after all. */
  | { readonly _tag: "Withdrawn" }
  /** It was taken. */
  | { readonly _tag: "Taken"; readonly at: number; readonly sent: number }
  /** It was refused for there being too much to do. */
  | { readonly _tag: "Refused"; readonly at: number; readonly sent: number; readonly retryAfter?: number | undefined }
  /** It ended in another way: refused for what is in it, lost, or not sent at all. */
  | { readonly _tag: "Lost"; readonly timedOut?: boolean | undefined }
  /** A batch that was taken in another leg is asked after in this one. */
  | { readonly _tag: "Adopted"; readonly at: number }
  /** A status call that was begun at `sent` was answered, or refused for there being too much to do. */
  | {
      readonly _tag: "Polled"
      readonly at: number
      readonly sent: number
      readonly refused: boolean
      readonly retryAfter?: number | undefined
    }
  /** A status call begins. */
  | { readonly _tag: "Asked"; readonly at: number }
  /** The service was away, and is back: of that time nothing is to be learned. */
  | { readonly _tag: "WasAway"; readonly at: number; readonly millis: number }
  /** A batch is no longer with the service, or not waited for any more. */
  | {
      readonly _tag: "Ended"
      readonly at: number
      /** Whether it is being found out how large batches are to be: the window stays as it is then. */
      readonly sizing?: boolean | undefined
      /** When it was taken, and how many were with the service then, it included; absent where that was in another leg. */
      readonly taken?: { readonly at: number; readonly held: number } | undefined
    }

/** Why something changed. */
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
  /** Requests came too fast for the service, or are tried a little faster. */
  | "TooFast"
  /** As many as are done in half the poll timeout, which became fewer or more. */
  | "PollTimeout"
  /** The service answers differently from before. */
  | "Drift"

/** Bounds that the caller sets. */
export interface Bounds {
  /** A window that is not learned. */
  readonly fixed?: number | undefined
  /** The largest window. Default 256. */
  readonly most?: number | undefined
  /** Milliseconds that a batch may take, from being taken to its result. */
  readonly pollTimeout: number
}

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

/** What is being found out about the window. */
type Phase =
  /** Nothing: measures what there is. Something is tried then, unless it is settled. */
  | { readonly _tag: "Usual"; readonly measured?: Measured | undefined; readonly settled: boolean }
  /** Whether less in flight is done as fast. */
  | { readonly _tag: "Lower"; readonly from: Measured; readonly best: Measured }
  /** Whether more in flight is done faster. */
  | { readonly _tag: "Higher"; readonly from: Measured }
  /** Between two windows, of which the larger was too much. */
  | { readonly _tag: "Between"; readonly best: Measured }

/** What is known. */
export interface State {
  readonly bounds: Bounds
  /** Most batches with the service at once, those included that are being handed in: the lesser of the next two. */
  readonly window: number
  /** As many as were found to be best. */
  readonly wanted: number
  /** As many as are done in half the poll timeout, going by what was done so far. */
  readonly inTime: number
  /** Create calls under way. */
  readonly posting: number
  /** Most create calls at once: two at first, one more with each that is taken. */
  readonly ramp: number
  /** Batches that were taken and have not ended. */
  readonly held: number
  /** Most that were ever. */
  readonly mostHeld: number
  readonly phase: Phase
  readonly sample: Sample
  readonly first: First
  /** When the first batch was taken, and how many have ended since. */
  readonly began: number | undefined
  readonly ends: number
  /** Ends per millisecond, recent ones. */
  readonly rate: number
  /** The queue was full with `ceiling` there, with the window at `before`; the window grows by `step` when so many more have ended. */
  readonly growth:
    | { readonly before: number; readonly ceiling: number; readonly step: number; readonly left: number }
    | undefined
  /** Where little was there when the queue was found full, and nothing has ended since: when one more is tried, and whether that is under way. */
  readonly again: { readonly at: number; readonly isSent: boolean } | undefined
  /** Milliseconds to wait for that, and how often in a row it was taken. */
  readonly patience: number
  readonly proofs: number
  /** A refusal of which it is not known yet what it means. */
  readonly doubt: { readonly at: number; readonly held: number } | undefined
  /** When the window or the spacing was last cut: what was sent before it says nothing new. */
  readonly cutAt: number
  /** Refusals since one was taken. */
  readonly refusals: number
  /** No create call before. */
  readonly blockedUntil: number
  /** Milliseconds between requests. 0: not spaced. */
  readonly spacing: number
  /** As wide as it was when one was refused last, and how often in a row that was about the same. */
  readonly refusedAt: number
  readonly agreed: number
  /** As wide as it was at the last refusal. */
  readonly spacingAtRefusal: number
  /** How rare refusals are with about as much between requests as `from`, and with twice as much. */
  readonly compared: { readonly from: number; readonly before: Count; readonly after: Count } | undefined
  /** Whether status calls are refused as well, so that they are spaced with the others. */
  readonly pollsCount: boolean
  /** No spaced request before. */
  readonly nextAt: number
  /** Whether the last request had to wait for that: only then does its being taken say that they may come closer. */
  readonly heldUp: boolean
  /** Requests taken since `countedSince`, and when the last one was. */
  readonly accepted: number
  readonly countedSince: number
  readonly lastAccepted: number
  /** Milliseconds between two of them, lately. */
  readonly interval: number
  /** How often the law changed its mind, and why it last did. */
  readonly decisions: number
  readonly reason: Reason | undefined
}

const firstOf = ({ fixed, most = defaultMost }: Bounds): number => fixed ?? Math.min(firstWindow, most)

/** Before anything was observed. */
export const initial = (bounds: Bounds, at: number): State => ({
  bounds,
  window: firstOf(bounds),
  wanted: firstOf(bounds),
  inTime: Infinity,
  posting: 0,
  ramp: bounds.fixed === undefined ? 2 : Infinity,
  held: 0,
  mostHeld: 0,
  phase: { _tag: "Usual", settled: bounds.fixed !== undefined },
  sample: noSample(at),
  first: { count: 0, sum: 0, held: 0 },
  began: undefined,
  ends: 0,
  rate: 0,
  growth: undefined,
  again: undefined,
  patience: firstPatience,
  proofs: 0,
  doubt: undefined,
  cutAt: -Infinity,
  refusals: 0,
  blockedUntil: -Infinity,
  spacing: 0,
  refusedAt: 0,
  agreed: 0,
  spacingAtRefusal: 0,
  compared: undefined,
  pollsCount: false,
  nextAt: -Infinity,
  heldUp: false,
  accepted: 0,
  countedSince: at,
  lastAccepted: at,
  interval: 0,
  decisions: 0,
  reason: undefined
})

/** When the next create call may begin: a moment that may be past, or `Infinity` for not before something else happens. */
export const nextCreate = (state: State): number => {
  const { again, blockedUntil, doubt, nextAt, posting, ramp, spacing } = state
  if (posting >= ramp || doubt !== undefined) return Infinity
  if (isFull(state))
    return again === undefined || again.isSent || posting > 0 ? Infinity : Math.max(again.at, blockedUntil)
  return Math.max(blockedUntil, spacing > 0 ? nextAt : -Infinity)
}

const isFull = ({ held, posting, window }: State): boolean => posting + held >= window

/** When the next status call may begin. */
export const nextPoll = (state: State): number =>
  state.pollsCount
    ? Math.max(state.spacing > 0 ? state.nextAt : 0, state.doubt === undefined ? state.blockedUntil : 0)
    : 0

/** Whether a status call is wanted now, to tell what a refusal means. */
export const wantsPoll = (state: State): boolean => state.doubt !== undefined

/** A request begins: the next one comes a while later, where requests are spaced. */
const spaced = (state: State, at: number): State =>
  state.spacing === 0
    ? state
    : {
        ...state,
        heldUp: at - state.nextAt < state.spacing / 2,
        nextAt: Math.max(state.nextAt, at) + state.spacing
      }

/** Whether it is how fast requests may come that decides how much is done. */
export const isPressed = ({ interval, spacing }: State): boolean => interval < 2 * spacing

/** The state after one more observation. */
export const step = (state: State, observation: Observation): State => {
  const after = stepped(state, observation)
  const window = Math.min(after.wanted, after.inTime)
  if (window !== state.window) return { ...after, window }
  // What is wanted is nothing new where it makes no difference.
  return after.wanted !== state.wanted && isAboutWindow(after.reason)
    ? { ...after, decisions: state.decisions, reason: state.reason }
    : after
}

const isAboutWindow = (reason: Reason | undefined): boolean => reason !== "QueueFull" && reason !== "TooFast"

const stepped = (state: State, observation: Observation): State => {
  switch (observation._tag) {
    case "Sent":
      return {
        ...spaced(state, observation.at),
        posting: state.posting + 1,
        again: isFull(state) && state.again !== undefined ? { ...state.again, isSent: true } : undefined
      }
    case "Withdrawn":
      return { ...state, posting: state.posting - 1, again: undefined }
    case "Lost": {
      const ramp =
        observation.timedOut === true && state.bounds.fixed === undefined ? Math.max(2, state.ramp / 2) : state.ramp
      return { ...state, posting: state.posting - 1, ramp, again: undefined }
    }
    case "Taken":
      return state.again?.isSent === true
        ? wasTaken(taken(state, observation), observation.at)
        : taken(state, observation)
    case "Adopted":
      return hold(state, observation.at)
    case "Refused":
      return refused(state, observation)
    case "Asked":
      return state.pollsCount ? spaced(state, observation.at) : state
    case "WasAway":
      return wasAway(state, observation)
    case "Polled":
      return polled(state, observation)
    case "Ended":
      return ended(state, observation)
  }
}

const wasAway = (state: State, { at, millis }: Extract<Observation, { readonly _tag: "WasAway" }>): State => {
  // What was answered meanwhile all the same is not to lie ahead of now.
  const later = (moment: number) => Math.min(moment + millis, at)
  return {
    ...state,
    began: state.began === undefined ? undefined : later(state.began),
    countedSince: later(state.countedSince),
    lastAccepted: later(state.lastAccepted)
  }
}

const hold = (state: State, at: number): State => ({
  ...state,
  held: state.held + 1,
  mostHeld: Math.max(state.mostHeld, state.held + 1),
  began: state.began ?? at
})

const taken = (state: State, { at }: Extract<Observation, { readonly _tag: "Taken" }>): State =>
  hold({ ...accepted(state, at), posting: state.posting - 1, ramp: state.ramp + 1, refusals: 0 }, at)

/** One more was taken; where requests are spaced, the next ones come a little closer. */
const accepted = (before: State, at: number): State => {
  // After a while in which nothing was sent, how fast it may be is not how fast it was.
  const interval = at - before.lastAccepted
  const state: State =
    interval > idleAfter(before)
      ? { ...before, accepted: 1, countedSince: Math.max(at, before.countedSince), lastAccepted: at }
      : {
          ...before,
          accepted: before.accepted + 1,
          lastAccepted: at,
          interval: before.interval + (interval - before.interval) / (isSure(before) ? 32 : 4)
        }
  if (state.spacing === 0 || !state.heldUp) return state
  // But hardly closer than they really come, or else nothing is between them when they come all at once.
  const closest = isSure(state) ? 0.7 * state.interval : 0
  return { ...state, spacing: Math.min(state.spacing, Math.max(state.spacing * (1 - closer(state)), closest)) }
}

/**
 * By which share of it the spacing shrinks: little about where the last refusal was, more beyond, and when that is long ago. It is more where
 * they are far apart, so that of two clients the slower one gains on the faster one, and not so much that many are refused. Where it is a
 * guess, by much, until one is refused.
 */
const closer = (state: State): number => {
  if (!isSure(state)) return 0.1
  const { accepted, spacing, spacingAtRefusal } = state
  return spacing < 0.9 * spacingAtRefusal || accepted > aLongTime
    ? 0.02
    : Math.min(Math.max(0.0005 * (spacing / 50) ** 2, 0.0002), 0.002)
}

/** Milliseconds without a request after which nothing was there to be sent. */
const idleAfter = ({ spacing }: State): number => Math.max(2000, 4 * spacing)

/** As many refusals in a row at about the same spacing make it more than a guess. */
const certain = 4

/**
 * Whether the spacing is more than a guess. Where requests are refused for no reason of how fast they come, it is another spacing each
 * time.
 */
const isSure = ({ agreed }: State): boolean => agreed >= certain

/** As many requests taken show that the last refusal was no matter of how fast, or is not any more. */
const aLongTime = 120

/** Milliseconds between requests at most. What is slower than that is left to the service's Retry-After, and to waiting longer each time. */
const widest = 2000

const refused = (state: State, { at, retryAfter, sent }: Extract<Observation, { readonly _tag: "Refused" }>): State => {
  // What was on its way when something was done about it says nothing new.
  const isLate = sent < state.cutAt || state.doubt !== undefined
  const refusals = state.refusals + (isLate ? 0 : 1)
  // Where others of ours have to end first, there is no need to wait at first.
  const wait = Math.max(retryAfter ?? 0, refusals < 3 && state.held > 0 ? 0 : backoff(refusals))
  const after: State = {
    ...state,
    posting: state.posting - 1,
    ramp: state.bounds.fixed === undefined ? Math.max(2, state.ramp / 2) : state.ramp,
    refusals,
    blockedUntil: Math.max(state.blockedUntil, at + wait)
  }
  if (isLate) return after
  if (state.again?.isSent === true) {
    const patience = Math.min(2 * state.patience, longestPatience)
    return {
      ...after,
      refusals: state.refusals,
      cutAt: at,
      patience,
      proofs: 0,
      again: tryAgain({ ...state, patience }, at)
    }
  }
  // Next to nothing of ours is there, where there was far more before: it is not how many, it is how fast. So it is, too, where that is
  // how it was so far; or else others may fill the queue.
  const few = state.spacing > 0 ? state.mostHeld / 2 : Math.min(state.mostHeld / 2, 4)
  if (state.held === 0 || state.held < few) return tooFast(after, at, retryAfter, state.pollsCount)
  return { ...after, doubt: { at, held: state.held } }
}

const polled = (
  state: State,
  { at, refused: wasRefused, retryAfter, sent }: Extract<Observation, { readonly _tag: "Polled" }>
): State => {
  if (!wasRefused) {
    const after = state.pollsCount ? { ...accepted(state, at), refusals: 0 } : state
    return state.doubt !== undefined && sent >= state.doubt.at ? queueFull(after, at, state.doubt.held) : after
  }
  if (sent < state.cutAt) return { ...state, blockedUntil: Math.max(state.blockedUntil, at + (retryAfter ?? 0)) }
  return tooFast({ ...state, refusals: state.refusals + 1 }, at, retryAfter, true)
}

const queueFull = (state: State, at: number, held: number): State => {
  if (state.bounds.fixed !== undefined) return { ...state, doubt: undefined, cutAt: at }
  const wanted = Math.max(1, Math.min(state.window, Math.floor(held * 0.9)))
  return {
    ...state,
    doubt: undefined,
    again: tryAgain(state, at),
    cutAt: at,
    wanted,
    growth: { before: state.growth?.before ?? state.wanted, ceiling: held, step: 1, left: turn(wanted) },
    phase: { _tag: "Usual", settled: true },
    ...decided(state, "QueueFull")
  }
}

/**
 * Whether a queue was full that seemed to have room for next to nothing, or creates may only not come so fast: after a while one more is
 * tried, though nothing has ended. Not where something may well have ended by then that is not known of yet.
 */
const tryAgain = ({ held, patience, rate }: State, at: number): State["again"] =>
  held <= 4 && patience * rate < 0.3 ? { at: at + patience, isSent: false } : undefined

const firstPatience = 250
const longestPatience = 60_000

/** One more was taken, though nothing had ended. Three times in a row is no accident: they may not come so fast, that is all. */
const wasTaken = (state: State, at: number): State => {
  if (state.proofs < 2) return { ...state, cutAt: at, proofs: state.proofs + 1, again: tryAgain(state, at) }
  const spacing = Math.min(at - state.cutAt, widest)
  return {
    ...state,
    again: undefined,
    proofs: 0,
    cutAt: at,
    wanted: state.growth?.before ?? state.wanted,
    growth: undefined,
    spacing,
    refusedAt: 0,
    agreed: 0,
    spacingAtRefusal: spacing,
    interval: spacing,
    nextAt: at + spacing,
    accepted: 0,
    countedSince: at,
    ...decided(state, "TooFast")
  }
}

const tooFast = (state: State, at: number, retryAfter: number | undefined, pollsCount: boolean): State => {
  if (state.accepted === 0) {
    // It takes nothing at all, so it is not about how fast.
    const until = at + Math.max(retryAfter ?? 0, backoff(state.refusals))
    const blockedUntil = Math.max(state.blockedUntil, until)
    return { ...state, doubt: undefined, cutAt: at, pollsCount: state.pollsCount || pollsCount, blockedUntil }
  }
  const known = state.spacing > 0
  // What was not sent says nothing of how fast it may be.
  const until = at - state.lastAccepted > idleAfter(state) ? state.lastAccepted : at
  const elapsed = Math.max(until - state.countedSince, 0)
  // At first there may have been a burst to spend, which says little of what comes after it.
  const measured = (known ? elapsed : elapsed + 1000) / Math.max(state.accepted, 1)
  const wider = widened(state, measured)
  const { spacing } = wider
  const next = at + Math.max(retryAfter ?? 0, 2 * spacing)
  return {
    ...state,
    doubt: undefined,
    cutAt: at,
    pollsCount: state.pollsCount || pollsCount,
    ...wider,
    refusedAt: state.spacing,
    spacingAtRefusal: spacing,
    interval: known ? state.interval : spacing,
    nextAt: Math.max(state.nextAt, next),
    accepted: 0,
    countedSince: next - 2 * spacing,
    ...decided(state, "TooFast")
  }
}

/** How far apart requests are after one was refused; so far they were taken `measured` milliseconds apart. */
const widened = (state: State, measured: number): Pick<State, "spacing" | "agreed" | "compared"> => {
  const { accepted, agreed, interval, refusedAt, spacing } = state
  const within = (millis: number) => Math.min(Math.max(millis, 0.1), widest)
  if (spacing === 0) {
    // Of few that were taken at once nothing is known of how fast they may come.
    return { spacing: within(measured), agreed: accepted >= enoughRefusals ? certain : 0, compared: undefined }
  }
  if (!isSure(state)) {
    return {
      spacing: within(spacing * 1.25),
      agreed: spacing > 0.85 * refusedAt ? agreed + 1 : 0,
      compared: undefined
    }
  }
  const asked = slower(state, within(Math.min(1.04 * Math.max(measured, spacing), spacing * 1.25)))
  return {
    // As close as they have really come they may come, or nearly.
    spacing: within(Math.max(asked.spacing, 0.9 * interval)),
    agreed: asked.spacing < spacing ? 0 : agreed,
    compared: asked.compared
  }
}

/**
 * Whether to ask more slowly. A service that refuses now and then, however slowly it is asked, must not be asked ever more slowly: when
 * twice as much between requests has not made refusals clearly rarer, it is a guess again, and as it was before that. How rare they are is told
 * by some of them, since one alone comes by chance.
 */
const slower = (state: State, spacing: number): Pick<State, "spacing" | "compared"> => {
  const { accepted, compared } = state
  if (compared === undefined || spacing < compared.from / 2) {
    return { spacing, compared: { from: spacing, before: noCount, after: noCount } }
  }
  const { from } = compared
  if (state.spacing < 2 * from) {
    // Not beyond twice as much before it is known.
    const before = counted(compared.before, accepted)
    const isKnown = before.refusals >= enoughRefusals
    return { spacing: isKnown ? spacing : Math.min(spacing, 2 * from), compared: { ...compared, before } }
  }
  const after = counted(compared.after, accepted)
  if (after.refusals < enoughRefusals) return { spacing: state.spacing, compared: { ...compared, after } }
  return mean(after) < 1.5 * mean(compared.before)
    ? { spacing: from, compared: undefined }
    : { spacing, compared: { from: spacing, before: noCount, after: noCount } }
}

/** Requests taken before so many refusals. */
interface Count {
  readonly accepted: number
  readonly refusals: number
}

const noCount: Count = { accepted: 0, refusals: 0 }
const counted = (count: Count, accepted: number): Count => ({
  accepted: count.accepted + accepted,
  refusals: count.refusals + 1
})
const mean = ({ accepted, refusals }: Count): number => accepted / Math.max(refusals, 1)

/** As many tell how rare refusals are. */
const enoughRefusals = 8

/** From half a second, doubling up to half a minute. */
const backoff = (refusals: number): number => Math.min(250 * 2 ** refusals, 30_000)

const decided = (state: State, reason: Reason) => ({ decisions: state.decisions + 1, reason })

/**
 * As many ends as two turns of the window have; for small windows more of them, but not over four turns, so that a refusal now and then is no matter. Of two
 * clients of one service the one with less must not be slower to ask for more by far, or it never gets its share.
 */
const turn = (window: number) => Math.max(Math.min(64, 4 * window), 2 * window)

const ended = (state: State, { at, sizing, taken }: Extract<Observation, { readonly _tag: "Ended" }>): State => {
  const ends = state.ends + 1
  // Recent ends count; but not so few that a bunch of them would pass for the pace.
  const overall = state.began === undefined || at <= state.began ? 0 : ends / (at - state.began)
  const after: State = {
    ...state,
    held: state.held - 1,
    again: undefined,
    // There is nobody left to be asked after.
    doubt: state.held === 1 ? undefined : state.doubt,
    ends,
    rate:
      taken === undefined ? state.rate : at <= taken.at ? overall : mix(state.rate, taken.held / (at - taken.at), ends),
    sample: sampled(state, at, taken),
    first:
      taken !== undefined && state.first.count < firstWindow
        ? {
            count: state.first.count + 1,
            sum: state.first.sum + (at - taken.at),
            held: state.first.held + taken.held
          }
        : state.first
  }
  if (state.bounds.fixed !== undefined) return after
  if (taken === undefined) return after
  const timed = withinTimeout(after, overall)
  // Nothing is to be learned of what is wanted while there is less.
  return sizing === true || timed.inTime < timed.wanted ? { ...timed, sample: noSample(at) } : grow(timed, at)
}

const sampled = (
  { sample, window }: State,
  at: number,
  taken: Extract<Observation, { readonly _tag: "Ended" }>["taken"]
): Sample => {
  if (sample.skip > 0) return { ...sample, skip: sample.skip - 1, since: at }
  return taken === undefined || taken.at < sample.since || taken.held < 0.85 * window
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
  const isOther = Math.min(state.wanted, inTime) !== Math.min(state.wanted, state.inTime)
  return { ...state, inTime, ...(isOther ? decided(state, "PollTimeout") : undefined) }
}

const most = (state: State) => state.bounds.most ?? defaultMost

/** Another window; what is measured is measured anew. */
const moved = (state: State, at: number, window: number, reason: Reason, phase: Phase): State => {
  const bounded = Math.max(1, Math.min(Math.round(window), most(state)))
  return {
    ...state,
    wanted: bounded,
    phase,
    sample: noSample(at, state.held + state.posting),
    ...(bounded === state.wanted ? undefined : decided(state, reason))
  }
}

const throughput = ({ mean, window }: Measured) => window / mean

const grow = (state: State, at: number): State => {
  const { growth, phase, sample, window } = state
  if (growth !== undefined) {
    if (growth.left > 1) return { ...state, growth: { ...growth, left: growth.left - 1 } }
    const next = Math.min(window + growth.step, most(state))
    return {
      ...state,
      wanted: next,
      // There is more room than there was: what was tried in vain says nothing any more.
      patience: next > growth.ceiling ? firstPatience : state.patience,
      // One by one up to where it was full, and a little beyond; if it is not full there any more, faster and faster.
      growth: {
        ...growth,
        step: next > growth.ceiling * 1.1 ? Math.min(growth.step * 2, Math.ceil(next / 2)) : 1,
        left: turn(next)
      },
      ...(next === window ? undefined : decided(state, "RoomAgain"))
    }
  }
  if (isPressed(state)) return state
  if (window < usualWindow && phase._tag === "Usual" && !phase.settled) {
    // Results come: from here on, as many as are done in time.
    // Of a few, at the pace that they have shown at least: the first ones may have been quick.
    const shown = state.ends - Math.sqrt(state.ends) * 0.75
    const worth = Math.floor(((shown / Math.max(at - (state.began ?? at), 1)) * state.bounds.pollTimeout) / 2)
    const next = Math.min(usualWindow, Math.max(worth, window))
    return next > window ? moved(state, at, next, "ResultsCome", phase) : state
  }
  if (sample.count < window * sampleShare) return state
  const measured: Measured = { window, mean: sample.sum / sample.count }
  switch (phase._tag) {
    case "Usual":
      if (phase.settled) {
        const before = phase.measured
        const changed = before !== undefined && (measured.mean > 1.6 * before.mean || measured.mean < before.mean / 1.6)
        return changed
          ? moved(state, at, Math.max(window, Math.min(usualWindow, most(state))), "Drift", {
              _tag: "Usual",
              settled: false
            })
          : { ...state, sample: noSample(at), phase: { ...phase, measured: before ?? measured } }
      }
      return fromFirst(state, at, measured)
    case "Lower": {
      const { best, from } = phase
      const answer = Math.log(from.mean / measured.mean) / Math.log(from.window / window)
      const better = throughput(measured) > 1.05 * throughput(best) ? measured : best
      if (answer > 1.3 && window > 2) {
        return moved(state, at, window * lower, "Trial", { _tag: "Lower", from: measured, best: better })
      }
      // Too much before, and not any more: the most that is not too much lies between.
      if (best.window < from.window || (better === measured && answer > 0.5)) {
        return moved(state, at, Math.sqrt(from.window * window), "Trial", { _tag: "Between", best: better })
      }
      if (best !== from) return settle(state, at, better)
      if (answer < 0.5) return tryHigher(state, at, from)
      return settle(state, at, from)
    }
    case "Between":
      return settle(state, at, throughput(measured) > throughput(phase.best) ? measured : phase.best)
    case "Higher":
      return throughput(measured) > 1.1 * throughput(phase.from)
        ? tryHigher(state, at, measured)
        : settle(state, at, phase.from)
  }
}

/** What the first batches, which were few, say of many. */
const fromFirst = (state: State, at: number, measured: Measured): State => {
  const { count, held, sum } = state.first
  const answer = Math.log((measured.mean * count) / sum) / Math.log((measured.window * count) / held)
  // Few were hardly slower than one: there may be room for more.
  if (answer < 0.15) return tryHigher(state, at, measured)
  // Many were much slower: because they wait for each other, or because they slow each other down. Fewer of them tell.
  if (answer > 0.6) {
    return moved(state, at, measured.window * lower, "Trial", { _tag: "Lower", from: measured, best: measured })
  }
  return settle(state, at, measured)
}

/**
 * A larger window, but no more than twice what is worked on at once: as many as end in the time that the first ones took, which had
 * nothing to wait for.
 */
const tryHigher = (state: State, at: number, from: Measured): State => {
  const atOnce = (throughput(from) * state.first.sum) / state.first.count
  const window = Math.min(from.window * higher, 2 * atOnce)
  return window < from.window * 1.1
    ? settle(state, at, from)
    : moved(state, at, window, "Trial", { _tag: "Higher", from })
}

const lower = 0.625
const higher = 1.5
/** Results, as a share of the window, that tell how long it takes with it: what is tried and is worse costs for as long as it is tried. */
const sampleShare = 0.75

const settle = (state: State, at: number, best: Measured): State =>
  moved(state, at, best.window, "Throughput", { _tag: "Usual", settled: true, measured: best })
