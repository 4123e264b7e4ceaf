/**
 * How many records a batch is to have: a law that is folded over how batches ended. Pure; `Flow` does what it says where the batch size is
 * `"auto"`.
 *
 * Batches begin small and double for as long as the records that are done in a second rise by a tenth with it (Little's law: the records
 * with the service over the time that a batch takes). Where they do not, the size before was as good, and a smaller batch is less to
 * look into when one fails. A batch that was refused for its size (413) halves it, for good; one whose create call timed out while others
 * were answered halves it as well.
 */

/** What the law goes by. Times are milliseconds on one clock. */
export type Observation =
  /** A batch was done. */
  | {
      readonly _tag: "Done"
      readonly records: number
      /** When it was taken, how many batches were with the service then, it included, and when its result was there. */
      readonly taken: number
      readonly held: number
      readonly at: number
    }
  /** A batch of so many records was too large, or its create call was not answered in time. */
  | {
      readonly _tag: "TooMuch"
      readonly records: number
      readonly at: number
      /** Whether that will be so whenever it is tried: it was refused for its size. */
      readonly forGood: boolean
    }

/** What is known. */
export interface State {
  /** Most records of the next batch. */
  readonly size: number
  /** Not more than this again. */
  readonly most: number
  readonly settled: boolean
  /** The size before, and the records that were done in a millisecond with it. */
  readonly before: { readonly size: number; readonly rate: number } | undefined
  /** Only what was taken from then on is measured: with the service at the same time were no batches of another size. */
  readonly since: number
  readonly skip: number
  readonly count: number
  readonly sum: number
  /** Batches that had fewer records than they might. */
  readonly short: number
}

/** Records of the first batches, and of the largest. */
export const first = 250
export const largest = 10_000

/** As many batches of a size are measured. */
const enough = 16

/** Before anything was observed. */
export const initial: State = {
  size: first,
  most: largest,
  settled: false,
  before: undefined,
  since: -Infinity,
  skip: 0,
  count: 0,
  sum: 0,
  short: 0
}

/** The state after one more observation. */
export const step = (state: State, observation: Observation): State =>
  observation._tag === "TooMuch" ? tooMuch(state, observation) : done(state, observation)

const sized = (state: State, size: number, at: number, skip: number): State => ({
  ...state,
  size: Math.max(1, Math.min(size, state.most)),
  since: at,
  skip,
  count: 0,
  sum: 0,
  short: 0
})

const tooMuch = (state: State, { at, forGood, records }: Extract<Observation, { readonly _tag: "TooMuch" }>): State => {
  const half = Math.max(1, Math.floor(records / 2))
  const bounded = forGood && half < state.most ? { ...state, most: half } : state
  return bounded.size <= half ? bounded : { ...sized(bounded, half, at, 0), settled: true }
}

const done = (state: State, { at, held, records, taken }: Extract<Observation, { readonly _tag: "Done" }>): State => {
  if (state.settled || taken < state.since) return state
  if (records < state.size) {
    // It is their bytes that close batches, so their number is no matter.
    const short = state.short + 1
    return { ...state, short, settled: short >= enough }
  }
  if (state.skip > 0) return { ...state, skip: state.skip - 1 }
  const count = state.count + 1
  const sum = state.sum + (at - taken) / held
  if (count < enough) return { ...state, count, sum }
  const rate = (state.size * count) / Math.max(sum, 1)
  const { before } = state
  if (before !== undefined && rate < 1.1 * before.rate) {
    return { ...sized(state, before.size, at, held), settled: true }
  }
  const next = Math.min(state.size * 2, state.most)
  return next === state.size
    ? { ...state, settled: true }
    : { ...sized(state, next, at, held), before: { size: state.size, rate } }
}
