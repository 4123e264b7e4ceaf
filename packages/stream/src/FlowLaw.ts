/**
 * How many batches may be with the service at once, and when the next may be handed in: a law that is folded over what was observed.
 *
 * Pure: no clock and no call in here, so that it is tested without either. `Flow` is what feeds it and does what it says.
 *
 * Two laws make it up: `WindowLaw`, how many at once, and `PaceLaw`, how fast. This is what they have in common: what is in flight, and which
 * of them a refusal is for. A third one, `WhimLaw`, says whether refusals have to do with either.
 *
 * A refusal (429, or 503 with Retry-After) has one of two reasons, and a status call tells which. Where it is refused as well, or where next
 * to nothing is in flight, requests come **too fast**. Where it is answered, the service's **queue is full**. Where it was how fast
 * before, and that is what holds requests back, it is not asked again.
 *
 * A queue that seems to have room for next to nothing may be a limit of how fast creates may come, with no burst: so one more is tried after a
 * while, though nothing has ended. Where that is taken three times in a row, it is spaced from then on.
 *
 * Sources: D.-M. Chiu, R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion Avoidance in Computer Networks" (1989);
 * J. D. C. Little, "A Proof for the Queuing Formula L = λW" (1961); L. Brakmo, L. Peterson, "TCP Vegas" (1995), for learning from delay before
 * anything is refused; RFC 7661, for not growing beyond what is used; RFC 9438 (CUBIC), for going fast again far from the last refusal.
 */
import * as PaceLaw from "./PaceLaw.ts"
import * as WhimLaw from "./WhimLaw.ts"
import * as WindowLaw from "./WindowLaw.ts"

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
  /** A status call begins. */
  | { readonly _tag: "Asked"; readonly at: number }
  /** A status call that was begun at `sent` was answered, or refused for there being too much to do. */
  | {
      readonly _tag: "Polled"
      readonly at: number
      readonly sent: number
      readonly refused: boolean
      readonly retryAfter?: number | undefined
    }
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
  | WindowLaw.Reason
  /** It is not about how many: requests came too fast. */
  | "TooFast"
  /** Nor about how fast: so many are refused whatever is done. */
  | "Whims"

/** What is known. */
export interface State {
  /** How many at once. */
  readonly window: WindowLaw.State
  /** How fast. */
  readonly pace: PaceLaw.State
  /** Create calls under way. */
  readonly posting: number
  /** Most create calls at once: two at first, one more with each that is taken. */
  readonly ramp: number
  /** Batches that were taken and have not ended. */
  readonly held: number
  /** Most that were ever. */
  readonly mostHeld: number
  /** A refusal of which it is not known yet what it means. */
  readonly doubt: { readonly at: number; readonly held: number } | undefined
  /** When the window or the spacing was last cut: what was sent before it says nothing new. */
  readonly cutAt: number
  /** Refusals since one was taken. */
  readonly refusals: number
  /** No create call before. */
  readonly blockedUntil: number
  /** Where little was there when the queue was found full, and nothing has ended since: when one more is tried, and whether that is under way. */
  readonly again: { readonly at: number; readonly isSent: boolean } | undefined
  /** Milliseconds to wait for that, and how often in a row it was taken. */
  readonly patience: number
  readonly proofs: number
  /** Whether refusals have to do with all this. */
  readonly whims: WhimLaw.State
  /** While that is tried: how it was before, and whether it is tried with all at once or only twice as fast. */
  readonly trial: (Pick<State, "window" | "pace"> & { readonly isHurried: boolean }) | undefined
}

/** Before anything was observed. */
export const initial = (bounds: WindowLaw.Bounds, at: number): State => ({
  window: WindowLaw.initial(bounds, at),
  pace: PaceLaw.initial(at),
  posting: 0,
  ramp: bounds.fixed === undefined ? 2 : Infinity,
  held: 0,
  mostHeld: 0,
  doubt: undefined,
  cutAt: -Infinity,
  refusals: 0,
  blockedUntil: -Infinity,
  again: undefined,
  patience: firstPatience,
  proofs: 0,
  whims: WhimLaw.initial,
  trial: undefined
})

/** Most batches with the service at once, those included that are being handed in. */
export const windowOf = ({ window }: State): number => WindowLaw.size(window)

/** When the next create call may begin: a moment that may be past, or `Infinity` for not before something else happens. */
export const nextCreate = (state: State): number => {
  const { again, blockedUntil, doubt, pace, posting, ramp } = state
  if (posting >= ramp || doubt !== undefined) return Infinity
  if (isFull(state))
    return again === undefined || again.isSent || posting > 0 ? Infinity : Math.max(again.at, blockedUntil)
  return Math.max(blockedUntil, PaceLaw.next(pace))
}

const isFull = ({ held, posting, window }: State): boolean => posting + held >= WindowLaw.size(window)

/** When the next status call may begin. */
export const nextPoll = ({ blockedUntil, doubt, pace }: State): number =>
  pace.pollsCount ? Math.max(PaceLaw.next(pace), doubt === undefined ? blockedUntil : 0) : 0

/** Whether a status call is wanted now, to tell what a refusal means. */
export const wantsPoll = (state: State): boolean => state.doubt !== undefined

/** Why the state after an observation is another pace than the one before; `undefined` where it is the same. */
export const decision = (before: State, after: State): Reason | undefined => {
  if (after.trial !== undefined && before.trial === undefined) return "Trial"
  if (after.trial === undefined && before.trial !== undefined && after.whims.share > 0) return "Whims"
  if (after.pace.cuts !== before.pace.cuts) return "TooFast"
  if (after.window.cuts !== before.window.cuts) return "QueueFull"
  return windowOf(after) === windowOf(before) ? undefined : after.window.reason
}

/** The state after one more observation. */
export const step = (state: State, observation: Observation): State => {
  switch (observation._tag) {
    case "Sent":
      return {
        ...state,
        pace: PaceLaw.sent(state.pace, observation.at),
        posting: state.posting + 1,
        again: isFull(state) && state.again !== undefined ? { ...state.again, isSent: true } : undefined
      }
    case "Withdrawn":
      return { ...state, posting: state.posting - 1, again: undefined }
    case "Lost":
      return {
        ...state,
        posting: state.posting - 1,
        ramp: observation.timedOut === true ? halved(state, windowOf(state)) : state.ramp,
        again: undefined
      }
    case "Taken": {
      const after = taken(state, observation)
      return state.again?.isSent === true ? wasTaken(after, observation.at) : after
    }
    case "Adopted":
      return hold(state, observation.at)
    case "Refused":
      return refused(state, observation)
    case "Asked":
      return state.pace.pollsCount ? { ...state, pace: PaceLaw.sent(state.pace, observation.at) } : state
    case "Polled":
      return polled(state, observation)
    case "WasAway":
      return wasAway(state, observation)
    case "Ended":
      return ended(state, observation)
  }
}

type Observed<Tag extends Observation["_tag"]> = Extract<Observation, { readonly _tag: Tag }>

const wasAway = (state: State, { at, millis }: Observed<"WasAway">): State => {
  // What was answered meanwhile all the same is not to lie ahead of now.
  const later = (moment: number) => Math.min(moment + millis, at)
  return { ...state, window: WindowLaw.wasAway(state.window, later), pace: PaceLaw.wasAway(state.pace, later) }
}

const hold = (state: State, at: number): State => ({
  ...state,
  window: WindowLaw.taken(state.window, at),
  held: state.held + 1,
  mostHeld: Math.max(state.mostHeld, state.held + 1)
})

const taken = (state: State, { at, sent }: Observed<"Taken">): State =>
  passed(
    {
      ...hold(state, at),
      pace: PaceLaw.accepted(state.pace, at),
      posting: state.posting - 1,
      ramp: state.ramp + 1,
      refusals: 0
    },
    sent
  )

/** A request was not refused. */
const passed = (state: State, sent: number): State => {
  if (sent < state.cutAt) return state
  const whims = WhimLaw.taken(state.whims)
  if (state.trial === undefined || !WhimLaw.isShown(whims)) return { ...state, whims }
  return state.trial.isHurried
    ? { ...state, whims: WhimLaw.initial, pace: PaceLaw.doubted(state.pace), trial: undefined }
    : { ...state, whims: WhimLaw.granted(whims), trial: undefined }
}

/** Half as many create calls at once, where that is not given. `most`: no more than that are. */
const halved = ({ ramp, window }: State, most = Infinity): number =>
  window.bounds.fixed === undefined ? Math.max(2, Math.min(ramp, most) / 2) : ramp

const refused = (state: State, { at, retryAfter, sent }: Observed<"Refused">): State => {
  // What was on its way when something was done about it says nothing new.
  const isLate = sent <= state.cutAt || state.doubt !== undefined
  const whims = isLate ? state.whims : WhimLaw.refused(state.whims)
  if (!isLate && WhimLaw.isWhim(whims)) {
    return {
      ...state,
      whims,
      posting: state.posting - 1,
      blockedUntil: Math.max(state.blockedUntil, at + (retryAfter ?? 0))
    }
  }
  const refusals = state.refusals + (isLate ? 0 : 1)
  // Where others of ours have to end first, there is no need to wait at first.
  const wait = Math.max(retryAfter ?? 0, refusals < 3 && state.held > 0 ? 0 : backoff(refusals))
  const after: State = {
    ...state,
    posting: state.posting - 1,
    ramp: halved(state),
    refusals,
    blockedUntil: Math.max(state.blockedUntil, at + wait),
    whims
  }
  if (isLate) return after
  if (state.trial !== undefined) return failed(after, state.trial, at)
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
  const { pace } = state
  // Next to nothing of ours is there, where there was far more before: it is not how many, it is how fast. So it is, too, where that is
  // how it was so far; or else others may fill the queue.
  const few = pace.spacing > 0 ? state.mostHeld / 2 : Math.min(state.mostHeld / 2, 4)
  // Where status calls count as well, one would tell nothing: it may just find that there is room for one again.
  const isHeldBack = PaceLaw.isPressed(pace) && (pace.pollsCount || !isFull(after))
  if (state.held === 0 || state.held < few || isHeldBack) return tooFast(after, { at, retryAfter, polls: false })
  return { ...after, doubt: { at, held: state.held } }
}

const polled = (state: State, { at, refused: wasRefused, retryAfter, sent }: Observed<"Polled">): State => {
  if (!wasRefused) {
    const after = state.pace.pollsCount
      ? passed({ ...state, pace: PaceLaw.accepted(state.pace, at), refusals: 0 }, sent)
      : state
    return state.doubt !== undefined && sent >= state.doubt.at
      ? queueFull(after, at, Math.max(state.doubt.held, state.held))
      : after
  }
  const asked: State = { ...state, blockedUntil: Math.max(state.blockedUntil, at + (retryAfter ?? 0)) }
  if (sent <= state.cutAt) return asked
  const whims = WhimLaw.refused(state.whims)
  // What the refusal means that is in doubt is not found out that way, and is no matter.
  if (WhimLaw.isWhim(whims)) return { ...asked, whims, doubt: undefined, pace: { ...state.pace, pollsCount: true } }
  if (state.trial !== undefined) return failed({ ...asked, whims }, state.trial, at)
  return tooFast({ ...state, whims, refusals: state.refusals + 1 }, { at, retryAfter, polls: true })
}

/** What is done about refusals does not make them rare: as much as if there had been none is handed in, to see what comes of it. */
const cut = (state: State, usual: number): State => {
  const { pace, window } = state
  const whims = WhimLaw.cut(state.whims, usual)
  if (!WhimLaw.wantsTrial(whims)) return { ...state, whims }
  return {
    ...state,
    whims: WhimLaw.begun(whims),
    trial: { window, pace, isHurried: false },
    window: WindowLaw.unbounded(window),
    pace: PaceLaw.unspaced(pace),
    ramp: window.bounds.fixed === undefined ? 2 : Infinity,
    again: undefined
  }
}

/** Refusals became more by it. */
const failed = (state: State, before: NonNullable<State["trial"]>, at: number): State => {
  const window = WindowLaw.restored(state.window, before.window)
  const pace = PaceLaw.restored(state.pace, before.pace, at)
  // There is a limit of how fast. But it may be far from where refusals have driven that.
  return before.isHurried || pace.spacing === 0
    ? { ...state, window, pace, whims: WhimLaw.denied(state.whims), trial: undefined, cutAt: at }
    : {
        ...state,
        window,
        pace: PaceLaw.hurried(pace),
        whims: WhimLaw.anew(state.whims),
        trial: { ...before, isHurried: true },
        cutAt: at
      }
}

const queueFull = (state: State, at: number, held: number): State => {
  const window = WindowLaw.full(state.window, held)
  return cut(
    { ...state, window, doubt: undefined, cutAt: at, again: tryAgain(state, at) },
    0.6 * WindowLaw.betweenCuts(window)
  )
}

/**
 * Whether a queue was full that seemed to have room for next to nothing, or creates may only not come so fast: after a while one more is
 * tried, though nothing has ended. Not where something may well have ended by then that is not known of yet.
 */
const tryAgain = ({ held, patience, window }: State, at: number): State["again"] =>
  held <= 4 && patience * window.rate < 0.3 ? { at: at + patience, isSent: false } : undefined

const firstPatience = 250
const longestPatience = 60_000

/** One more was taken, though nothing had ended. Three times in a row is no accident: they may not come so fast, that is all. */
const wasTaken = (state: State, at: number): State =>
  state.proofs < 2
    ? { ...state, cutAt: at, proofs: state.proofs + 1, again: tryAgain(state, at) }
    : {
        ...state,
        window: WindowLaw.wasNotFull(state.window),
        pace: PaceLaw.guessed(state.pace, at, at - state.cutAt),
        again: undefined,
        proofs: 0,
        cutAt: at
      }

const tooFast = (
  state: State,
  refusal: { readonly at: number; readonly retryAfter: number | undefined; readonly polls: boolean }
): State => {
  const { at, polls, retryAfter } = refusal
  const { pace } = state
  const after: State = { ...state, doubt: undefined, cutAt: at }
  if (pace.accepted > 0) {
    const slower: State = { ...after, pace: PaceLaw.refused(pace, refusal) }
    return PaceLaw.isSure(slower.pace) ? cut(slower, 30) : slower
  }
  // It takes nothing at all, so it is not about how fast.
  const until = at + Math.max(retryAfter ?? 0, backoff(state.refusals))
  return {
    ...after,
    pace: { ...pace, pollsCount: pace.pollsCount || polls },
    blockedUntil: Math.max(state.blockedUntil, until)
  }
}

/** From half a second, doubling up to half a minute. */
const backoff = (refusals: number): number => Math.min(250 * 2 ** refusals, 30_000)

const ended = (state: State, { at, sizing = false, taken }: Observed<"Ended">): State => {
  const held = state.held - 1
  const window = WindowLaw.ended(state.window, {
    at,
    taken,
    sizing: sizing || state.trial !== undefined,
    inFlight: held + state.posting,
    isPressed: PaceLaw.isPressed(state.pace)
  })
  return {
    ...state,
    window,
    held,
    again: undefined,
    // There is nobody left to be asked after.
    doubt: held === 0 ? undefined : state.doubt,
    // There is more room than there was: what was tried in vain says nothing any more.
    patience: window.wanted !== state.window.wanted && WindowLaw.isBeyondFull(window) ? firstPatience : state.patience
  }
}
