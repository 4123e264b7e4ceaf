/**
 * How fast requests may come: a law that is folded over what was taken and what was refused for coming too fast.
 *
 * Nothing is between requests until one was refused. From then on they are spaced, a little wider than they were accepted since the last
 * refusal, and slowly closer again: how much of it they come closer depends on how far the last refusal is away.
 *
 * **A first spacing may be a guess:** where fewer than eight requests were taken before, or a status call was refused. There may have been a burst
 * to spend, of which nobody knows how large it was. A guess shrinks fast, by a tenth with each request, until refusals come at about the same
 * spacing, or a wider one, four times in a row.
 *
 * **It is tried to go faster in earnest** after 120 requests without a refusal, and after twice as many each time that this was in vain.
 *
 * Part of `FlowLaw`, which tells refusals that are a matter of how fast from those of a full queue.
 */

/** What is known. Times are milliseconds on one clock. */
export interface State {
  /** Milliseconds between requests. 0: not spaced. */
  readonly spacing: number
  /** Whether status calls are refused as well, so that they are spaced with the others. */
  readonly pollsCount: boolean
  /** No spaced request before. */
  readonly nextAt: number
  /** Requests taken since `countedSince`, and when the last one was. */
  readonly accepted: number
  readonly countedSince: number
  readonly lastAccepted: number
  /** Milliseconds between two of them, lately. */
  readonly interval: number
  /** As wide as it was when one was refused last, and how often in a row that was about the same. */
  readonly refusedAt: number
  readonly agreed: number
  /** As wide as it became then, and how many milliseconds the service asked to wait. */
  readonly widenedTo: number
  readonly asked: number
  /** As many requests are taken before it is tried to go faster in earnest. */
  readonly calm: number
  /** How often requests were spaced wider. */
  readonly cuts: number
}

/** Before anything was observed. */
export const initial = (at: number): State => ({
  spacing: 0,
  pollsCount: false,
  nextAt: -Infinity,
  accepted: 0,
  countedSince: at,
  lastAccepted: at,
  interval: 0,
  refusedAt: 0,
  agreed: 0,
  widenedTo: 0,
  asked: 0,
  calm: shortest,
  cuts: 0
})

/** When the next request may begin: a moment that may be past. */
export const next = ({ nextAt, spacing }: State): number => (spacing > 0 ? nextAt : -Infinity)

/** Whether it is how fast requests may come that decides how much is done. */
export const isPressed = ({ interval, spacing }: State): boolean => interval < 2 * spacing

/** A request begins: the next one comes a while later, where requests are spaced. */
export const sent = (state: State, at: number): State =>
  state.spacing === 0 ? state : { ...state, nextAt: Math.max(state.nextAt, at) + state.spacing }

/** A request was taken; where requests are spaced, the next ones come a little closer. */
export const accepted = (before: State, at: number): State => {
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
  if (state.spacing === 0) return state
  // But hardly closer than they really come, or else nothing is between them when they come all at once.
  const closest = (isSure(state) ? 0.7 : 0.5) * state.interval
  return { ...state, spacing: Math.min(state.spacing, Math.max(state.spacing * (1 - closer(state)), closest)) }
}

/** A request was refused for coming too fast. `polls`: it was a status call. */
export const refused = (
  state: State,
  { at, polls, retryAfter }: { readonly at: number; readonly polls: boolean; readonly retryAfter?: number | undefined }
): State => {
  const known = state.spacing > 0
  // What was not sent says nothing of how fast it may be.
  const until = at - state.lastAccepted > idleAfter(state) ? state.lastAccepted : at
  const elapsed = Math.max(until - state.countedSince, 0)
  // At first there may have been a burst to spend, which says little of what comes after it.
  const burst = state.accepted < enough ? 250 : 1000
  const measured = (known ? elapsed : elapsed + burst) / Math.max(state.accepted, 1)
  const wider = widened(state, measured, polls)
  const { spacing } = wider
  const later = at + Math.max(retryAfter ?? 0, 2 * spacing)
  return {
    ...state,
    ...wider,
    pollsCount: state.pollsCount || polls,
    calm: calmer(state),
    asked: retryAfter ?? 0,
    refusedAt: state.spacing,
    widenedTo: spacing,
    interval: known ? state.interval : spacing,
    nextAt: Math.max(state.nextAt, later),
    accepted: 0,
    countedSince: later - 2 * spacing,
    cuts: state.cuts + 1
  }
}

/** It is known by other means how far apart they may come, more or less: as a guess. */
export const guessed = (state: State, at: number, millis: number): State => {
  const spacing = Math.min(millis, widest)
  return {
    ...state,
    spacing,
    refusedAt: 0,
    agreed: 0,
    widenedTo: spacing,
    interval: spacing,
    nextAt: at + spacing,
    accepted: 0,
    countedSince: at,
    cuts: state.cuts + 1
  }
}

/** As if none had been refused, to see what comes of it. */
export const unspaced = (state: State): State => ({ ...state, spacing: 0 })

/** Twice as fast, to see what comes of it. */
export const hurried = (state: State): State => ({ ...state, spacing: state.spacing / 2 })

/** Refusals had nothing to do with it: it is a guess again. */
export const doubted = (state: State): State => ({ ...state, agreed: 0, refusedAt: 0 })

/** As it was before that. */
export const restored = (state: State, before: State, at: number): State =>
  before.spacing === 0
    ? state
    : {
        ...before,
        pollsCount: state.pollsCount,
        lastAccepted: state.lastAccepted,
        nextAt: at + 2 * before.spacing,
        accepted: 0,
        countedSince: at,
        cuts: state.cuts + 1
      }

/** The service was away for a while: of that time nothing is to be learned. */
export const wasAway = (state: State, later: (moment: number) => number): State => ({
  ...state,
  countedSince: later(state.countedSince),
  lastAccepted: later(state.lastAccepted)
})

/**
 * By which share of it the spacing shrinks: little about where the last refusal was, more when that is long ago, and beyond, unless it was
 * found again that they may not come faster. It is more where
 * they are far apart, so that of two clients the slower one gains on the faster one, and not so much that many are refused. Where it is a
 * guess, by much, until one is refused; by less where the service asked to wait then, since a refusal costs all that could have come meanwhile.
 */
const closer = (state: State): number => {
  if (!isSure(state)) return 0.1 / (1 + state.asked / (10 * state.spacing))
  const { accepted, calm, spacing, widenedTo } = state
  return accepted > calm || (calm === shortest && spacing < 0.9 * widenedTo)
    ? 0.02
    : Math.min(Math.max(0.0005 * (spacing / 50) ** 2, 0.0002), 0.002)
}

/** Milliseconds without a request after which nothing was there to be sent. */
const idleAfter = ({ spacing }: State): number => Math.max(2000, 4 * spacing)

/** As many refusals in a row at about the same spacing make it more than a guess. */
const certain = 4

/** Whether the spacing is more than a guess. */
export const isSure = ({ agreed }: State): boolean => agreed >= certain

/** As many requests taken show that the last refusal says nothing any more, at least and at most: see {@link calmer}. */
const shortest = 120
const longest = 2000

/** It was found again that they may not come faster: that is tried half as often. Not where few were taken since, which is another matter. */
const calmer = (state: State): number => {
  if (!isSure(state) || state.spacing < 0.5 * state.widenedTo) return shortest
  return state.accepted > shortest / 2 ? Math.min(2 * state.calm, longest) : state.calm
}

/** Milliseconds between requests at most. What is slower than that is left to the service's Retry-After, and to waiting longer each time. */
const widest = 2000

/** How far apart requests are after one was refused; so far they were taken `measured` milliseconds apart. */
const widened = (state: State, measured: number, polls: boolean): Pick<State, "spacing" | "agreed"> => {
  const { accepted, agreed, interval, refusedAt, spacing } = state
  const within = (millis: number) => Math.min(Math.max(millis, 0.1), widest)
  if (spacing === 0) {
    // Where creates alone count, a guess that is too close is taken for a full queue time and again.
    return { spacing: within(measured), agreed: accepted >= enough && !polls ? certain : 0 }
  }
  if (!isSure(state)) {
    return { spacing: within(spacing * 1.25), agreed: spacing > 0.7 * refusedAt ? agreed + 1 : 0 }
  }
  const wider = Math.min(1.04 * Math.max(measured, spacing), spacing * 1.25)
  // As close as they have really come they may come, or nearly.
  return { spacing: within(Math.max(wider, 0.9 * interval)), agreed }
}

/** Of fewer requests that were taken nothing is known of how fast they may come. */
const enough = 8
