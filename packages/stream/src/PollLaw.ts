/**
 * When a batch is asked after: a law that learns from when results were there. Pure; `Flow` and `PollSchedule.adaptive` do what it says.
 *
 * **The first poll** of a batch is not timed by the times that were seen: each of them is a poll's, and a first poll that always finds the
 * result never says that it came too late. It is the share of polls that find one which is steered (a stochastic approximation
 * of a quantile, Robbins and Monro 1951): the first poll is moved until somewhat more than half of the first polls find the result, the second,
 * which comes a gap later, until as many of those do that are still needed, and so on. Some being too early and some too late, a service that has
 * become faster or slower shows at once. Where requests are limited, seven in eight find it.
 *
 * **Two polls a batch** are what that may cost. How many a share makes depends on how the results are spread, so it is steered as well: where fewer
 * are made, polls come earlier, and find a result less often. Not where results are hardly spread: there is nothing to be had for it.
 *
 * **The more are with the service** when a batch is taken, the later: by a power of how many, which is between 0, where nothing waits, and 1,
 * where the service queues. It is learned from the times that were seen.
 *
 * **While little is known**, all batches share one ladder: one poll at a time, each somewhat later than the one before, of the batch that was taken
 * first and, in turn with it, of the one that has waited longest. A result brings the next poll at once, and one more at a time.
 *
 * Source: H. Robbins, S. Monro, "A Stochastic Approximation Method" (1951). What no schedule can do better is in docs/flow-control.md.
 */

/** What is known of a batch that is asked after. Times are milliseconds on one clock. */
export interface Asked {
  /** When it was taken. */
  readonly taken: number
  /** How many were with the service then, it included. */
  readonly held: number
  /** Status calls so far. */
  readonly polls: number
  /** When the last of them was answered; when it was taken, if none was. */
  readonly last: number
}

/** What is known. */
export interface State {
  /** Results seen. */
  readonly ends: number
  /** The times of the first results, with what they lead to being known. */
  readonly early: ReadonlyArray<readonly [many: number, took: number]>
  /** The logarithm of the time of the first poll of a batch where as many are there as lately. */
  readonly level: number
  /** How that time grows with how many are there. */
  readonly line: Line
  /** How it came to that. */
  readonly first: Steered
  /** The polls after it. */
  readonly gaps: ReadonlyArray<Gap>
  /** First polls in a row that all found a result, or all found none. */
  readonly run: { readonly found: boolean; readonly length: number }
  readonly ladder: Ladder
  /** Polls that a batch took, lately. */
  readonly spent: number
  /** Which share of the results, lately, a notification had told of. */
  readonly told: number
  /** Milliseconds that a status call took, lately. */
  readonly trip: number
}

/** How often the time of a poll was moved, when it last was, and polls since that had begun before. */
interface Steered {
  readonly moves: number
  readonly movedAt: number
  readonly late: number
}

/** A poll that comes so much later than the one before, as a share of the time of the first. */
interface Gap extends Steered {
  readonly share: number
}

/** A line through the logarithms of how many there were, and of how long it took: means, and decayed sums of what they vary by together. */
interface Line {
  readonly x: number
  readonly y: number
  readonly xx: number
  readonly xy: number
}

/** The polls that are shared while little is known. */
interface Ladder {
  /** How many may be asked after at once. */
  readonly width: number
  /** When the next poll is due. */
  readonly at: number
  /** Milliseconds to the one after it. */
  readonly gap: number
  /** Polls in a row that found nothing. */
  readonly misses: number
}

/** Polls that a batch may take, where requests are not limited: with what is spent before anything is known, two. */
const budget = 1.97
/** Which share of the polls should find a result, where as many are spent as may be; at least and at most; and where requests are limited. */
const usualAim = 0.56
const leastAim = 0.35
const mostAim = 0.62
const limitedAim = 0.88

/** As many results make enough known to ask after each batch when its own time has come. */
const enough = 8
const firstGap = 100
const longestGap = 10_000

const unmoved: Steered = { moves: 0, movedAt: -Infinity, late: 0 }

/** Before anything was seen. */
export const initial: State = {
  ends: 0,
  early: [],
  level: 0,
  line: { x: 0, y: 0, xx: 0, xy: 0 },
  first: unmoved,
  gaps: [0.1, 0.2, 0.3].map((share) => ({ share, ...unmoved })),
  run: { found: false, length: 0 },
  ladder: { width: 1, at: -Infinity, gap: firstGap, misses: 0 },
  spent: budget,
  told: 0,
  trip: 0
}

/** Milliseconds from being taken to the first poll. */
export const firstPoll = ({ level, line }: State, held: number): number =>
  Math.exp(level + powerOf(line) * (Math.log(held) - line.x))

/** No batch is faster for others being there, nor slower by more than they are. */
const powerOf = ({ xx, xy }: Line): number => (xx === 0 ? 0 : Math.min(Math.max(xy / xx, 0), 1))

/** When a batch is to be asked after by somebody who does not know of the others. */
export const dueByItself = (state: State, asked: Asked): number =>
  isKnown(state)
    ? dueAlone(state, asked)
    : asked.last + Math.min(Math.max(firstGap, (asked.last - asked.taken) / 4), longestGap)

/** Whether each batch is asked after when its own time has come. */
export const isKnown = (state: State): boolean => state.ends >= enough

/**
 * Whose turn it is where few may be asked after: the batch that was taken first, or else the one that has waited for longest. A service
 * that works on one at a time has the first one done first; one that works on many, any.
 */
export const order = ({ ladder }: State): "taken" | "waiting" => (ladder.misses % 2 === 0 ? "taken" : "waiting")

/**
 * When a batch is to be asked after: a moment that may be past, or `Infinity` for not before something else happens.
 *
 * @param place its place among those that wait to be asked after, in the {@link order}, from 0
 * @param asking how many status calls are under way
 */
export const due = (state: State, asked: Asked, place: number, asking: number): number => {
  if (isKnown(state)) return dueAlone(state, asked)
  const { at, gap, width } = state.ladder
  if (place + asking >= width) return Infinity
  // Nothing was asked yet: some time after the batch was taken.
  return at === -Infinity ? asked.taken + gap : at
}

/** Whether notifications can be relied on: then the first poll waits for longer, to be there where one is missing. */
export const isTold = ({ told }: State): boolean => told > 0.8

const dueAlone = (state: State, asked: Asked): number => {
  const time = firstPoll(state, asked.held)
  if (asked.polls === 0) return asked.taken + time * (isTold(state) ? 2 : 1)
  const { gaps, trip } = state
  const beyond = asked.polls - gaps.length
  const gap = gaps[Math.min(asked.polls, gaps.length) - 1]!.share * time * 1.5 ** Math.max(beyond, 0)
  // However little is expected, a batch that takes its time is not asked after without pause.
  const least = Math.max(5, trip) * 1.5 ** (asked.polls - 1)
  // And one that takes much longer than it should, not less and less.
  const most = Math.max(asked.last - asked.taken, firstGap)
  return asked.last + Math.max(Math.min(gap, most), least)
}

/** How much a batch's first poll may be moved either way so that polls do not line up, in milliseconds. */
export const spread = (state: State, asked: Asked): number =>
  isKnown(state) && asked.polls === 0 ? Math.min(state.gaps[0]!.share / 2, 0.1) * firstPoll(state, asked.held) : 0

/** What came of a status call. */
export interface Poll {
  readonly asked: Asked
  /** When it was begun and answered. */
  readonly sent: number
  readonly at: number
  /** Whether the result was there. */
  readonly found: boolean
  /** Whether requests are limited, so that few should be spent on polls. */
  readonly limited: boolean
  /** Whether anything is to be learned from how long it took. */
  readonly learn: boolean
  /** Whether it came at the time of its own that the law had given it: nothing is learned of that from any other. */
  readonly onTime: boolean
  /** Whether it came because of a notification. */
  readonly hinted: boolean
}

/** The state after a status call was answered. */
export const step = (state: State, poll: Poll): State => {
  const { at, found, sent } = poll
  const trip = state.trip === 0 ? at - sent : state.trip + (at - sent - state.trip) / 8
  const seen = found && poll.learn ? see(state, poll) : state
  const moved = poll.learn && poll.onTime && isKnown(state) && !isTold(state) ? move(seen, poll) : seen
  return { ...moved, trip, ladder: isKnown(state) ? state.ladder : climb(seen, poll) }
}

/** Which share of the polls should find a result. */
const aimOf = ({ gaps, spent }: State, { limited }: Poll): number => {
  if (limited) return limitedAim
  const worth = Math.min(gaps[0]!.share / 0.05, 1)
  return Math.min(Math.max(usualAim + (spent - budget) * worth, leastAim), mostAim)
}

/** What older results keep of their weight in the power when one more is seen. */
const keep = 0.997

/** A result was there some time between two polls. */
const see = (state: State, { asked: { held, last, polls, taken }, hinted, limited, sent }: Poll): State => {
  const least = polls > 0 ? last : taken + 0.8 * (sent - taken)
  const took = Math.log(Math.max((least + sent) / 2 - taken, 1))
  const many = Math.log(held)
  const { x, xx, xy, y } = state.line
  const ends = state.ends + 1
  const told = state.told + ((hinted ? 1 : 0) - state.told) / 10
  const share = Math.max(0.07, 1 / ends)
  const dx = many - x
  const dy = took - y
  const line = {
    x: x + share * dx,
    y: y + share * dy,
    xx: keep * xx + (1 - share) * dx * dx,
    xy: keep * xy + (1 - share) * dx * dy
  }
  const power = powerOf(line)
  // As many are there as lately, which is not what it was: the level is of that.
  if (isKnown(state)) {
    // Where notifications are what brings polls, or few are wanted, it says nothing of how many are worth it.
    const spent = limited || isTold(state) ? state.spent : state.spent + (polls + 1 - state.spent) / 400
    return { ...state, ends, told, line, spent, level: state.level + power * (line.x - x) }
  }
  const early: State["early"] = [...state.early, [many, took]]
  const levels = early.map(([many, took]) => took - power * (many - line.x)).sort((a, b) => a - b)
  return { ...state, ends, told, line, early, level: levels[levels.length >> 1]! }
}

const climb = ({ ends, ladder }: State, { asked, at, found }: Poll): Ladder => {
  if (found) {
    // From here on by the pace of the results so far.
    const gap = ends === 0 ? firstGap : Math.max(5, (at - asked.taken) / (2 * ends))
    return { width: ladder.width + 1, at, gap, misses: 0 }
  }
  const growth = ends === 0 ? 1.15 : 1.05
  return { width: 1, at: at + ladder.gap, gap: Math.min(ladder.gap * growth, longestGap), misses: ladder.misses + 1 }
}

/** Moves the time of a poll: later where it found nothing, earlier where it did. */
const move = (state: State, poll: Poll): State => {
  const { asked, at, found, sent } = poll
  const aim = aimOf(state, poll)
  const index = Math.min(asked.polls, state.gaps.length)
  const before = index === 0 ? state.first : state.gaps[index - 1]!
  // What was under way when this was moved says less of where it is now, the more of it there is.
  const isLate = sent < before.movedAt
  const late = isLate ? before.late + 1 : 0
  const moves = before.moves + 1
  const after: Steered = { moves, movedAt: isLate ? before.movedAt : at, late }
  const by = (found ? aim - 1 : aim) / (1 + late) ** 1.5
  return index === 0
    ? { ...moveFirst(state, poll, aim, by), first: after }
    : { ...state, gaps: state.gaps.with(index - 1, { ...after, share: movedGap(state.gaps[index - 1]!, moves, by) }) }
}

/** By as much as the results are spread, which the gap after it shows; by more when one poll after the other says the same. */
const moveFirst = (state: State, { asked, found, sent }: Poll, aim: number, by: number): State => {
  const run = { found, length: state.run.found === found ? state.run.length + 1 : 1 }
  const usual = 2 + (found ? 3 * aim : 3 * (1 - aim)) / (found ? 1 - aim : aim)
  const size = Math.min(
    Math.min(Math.max(state.gaps[0]!.share, 0.02), 0.1) * 1.5 ** Math.max(run.length - usual, 0),
    0.3
  )
  // However many say so: that it is not there after a time says nothing of twice that time, nor that it is there of half of it.
  const here = Math.log(Math.max(sent - asked.taken, 1)) - powerOf(state.line) * (Math.log(asked.held) - state.line.x)
  const level = found
    ? Math.max(state.level + by * size, Math.min(state.level, here - 0.3))
    : Math.min(state.level + by * size, Math.max(state.level, here + 0.3))
  return { ...state, run, level }
}

const movedGap = ({ share }: Gap, moves: number, by: number): number =>
  Math.min(Math.max(share * Math.exp(by * Math.max(0.3, 2 / Math.sqrt(moves))), 0.01), 4)
