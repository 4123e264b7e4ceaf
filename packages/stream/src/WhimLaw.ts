/**
 * Whether refusals have to do with what is done: a law that is folded over what was taken and what was refused.
 *
 * A service may refuse now and then whatever is done: one of a few machines is overloaded, a limit is shared with others. To hand in less, or more slowly,
 * makes such refusals no rarer. So when refusals do not become rare by it, it is tried once to hand in as if there had been none:
 *
 * - Refusals become more: they had to do with it. All is as it was before the trial, but that twice as fast is tried as well where requests are
 *   spaced: under a limit, refusals of the other kind drive them apart without end. It takes half as many cuts again until the next trial.
 * - They do not: they are **whims**. From then on as many are taken for granted, and only more than that count, until they become rare.
 *
 * What is more is told by a sum of how many were refused beyond twice the share that is taken for granted, which never falls below nothing
 * (CUSUM). A limit that is met is over it after a few requests in a row, and chance hardly ever is.
 *
 * Part of `FlowLaw`. Source: E. S. Page, "Continuous Inspection Schemes" (1954).
 */

/** What is known. */
export interface State {
  /** Requests taken, and refused, lately, and since the last trial began. */
  readonly taken: number
  readonly refused: number
  /** How often less was handed in, or more slowly, for one that was refused; and how often that leads to the next trial. */
  readonly cuts: number
  readonly needed: number
  /** The share of refusals that is taken for granted, as it was when the last trial began, and refusals beyond it. 0: none is. */
  readonly share: number
  readonly excess: number
  /** The share of refusals lately. */
  readonly lately: number
}

/** Before anything was observed. */
export const initial: State = { taken: 0, refused: 0, cuts: 0, needed: 5, share: 0, lately: 0, excess: 0 }

/** Refusals beyond the share that are no chance any more. */
const tooMany = 4

/** More is never taken for granted. */
const most = 0.5

/** Requests that are taken in a trial. */
const enough = 32

/** Requests that tell what the share is lately. */
const memory = 500

/** A request was taken. */
export const taken = (state: State): State => counted(state, 0)

/** A request was refused. */
export const refused = (state: State): State => counted(state, 1)

const counted = (state: State, refusals: 0 | 1): State => {
  const { share } = state
  const lately = state.lately + (refusals - state.lately) / memory
  // Twice as many are too many; of many, half of those that are left are.
  const allowed = Math.min(2 * share, (1 + share) / 2)
  return {
    ...state,
    taken: state.taken + 1 - refusals,
    refused: state.refused + refusals,
    lately,
    // They have become rare: none are taken for granted any more.
    ...(lately < share / 4 ? { share: 0, excess: 0 } : { excess: Math.max(0, state.excess + refusals - allowed) })
  }
}

/** Whether the last refusal is one of those that come whatever is done. */
export const isWhim = ({ excess, share }: State): boolean => share > 0 && excess <= tooMany

/** Less is handed in, or more slowly, because of a refusal. So many requests taken from one to the next are as usual. */
export const cut = (state: State, usual: number): State => {
  const cuts = state.cuts + 1
  // When they were as rare as usual, what is counted begins again: it is about lately.
  return cuts >= state.needed && state.taken >= usual * cuts ? counting(state) : { ...state, cuts }
}

const counting = (state: State): State => ({ ...state, taken: 0, refused: 0, cuts: 0 })

/** Whether it is to be tried what happens when nothing is done about refusals. */
export const wantsTrial = ({ cuts, needed }: State): boolean => cuts >= needed

/** A trial begins: refusals as they were are taken for granted. */
export const begun = ({ needed, refused, taken }: State): State => {
  const share = Math.min(refused / (taken + refused), most)
  return { ...initial, needed: Math.ceil(1.5 * needed), share, lately: share }
}

/** Whether a trial has shown that refusals are whims. */
export const isShown = (state: State): boolean => isWhim(state) && state.taken >= enough

/** A trial has shown that they are: the next one is not far, where there come to be more. */
export const granted = (state: State): State => ({ ...counting(state), needed: initial.needed })

/** Another trial of the same begins. */
export const anew = (state: State): State => ({ ...counting(state), lately: state.share, excess: 0 })

/** A trial has shown that they are not. */
export const denied = (state: State): State => ({ ...counting(state), share: 0, excess: 0 })
