/**
 * What nobody can beat: a client that knows everything, on the same draws, and the best that any schedule of polls could do.
 */
import type { Profile } from "./profiles.ts"
import { ServiceModel, TokenBucket, type Options } from "./ServiceModel.ts"
import { VirtualClock } from "./VirtualClock.ts"

/** The deadline of polls, in milliseconds. */
const pollDeadline = 15 * 60_000

/** The most that one run may have in flight; so the ideal keeps to it as well. */
export const inFlightBound = ({ mean }: { readonly mean: number }, workers: number): number =>
  Math.min(
    Math.max(64, 4 * workers),
    // One in service and one that waits are no queue.
    Math.max(2 * workers, Math.floor((pollDeadline / 2 / mean) * workers))
  )

/**
 * How long all batches of a profile take, first come first served, where the client hands each in as soon as it may and looks at the
 * moment at which it is done. From the first call to the last answer.
 *
 * It keeps to the limits of the queue and of what may be in flight, has no more in service than is good where the service collapses,
 * and creates ahead of polls where the rate of both is limited.
 */
export const makespan = (
  { batchSize, batches, runs, service, stagger = 0, tokens }: Omit<Profile, "name">,
  seed: number
): number => {
  const clock = new VirtualClock()
  const { collapse, outage, queueLimit = Infinity, rateLimit } = service
  const best = (collapse?.exponent ?? 0) > 1 ? collapse!.at : Infinity
  const most = Math.min(queueLimit, runs * inFlightBound(service.serviceTime, service.workers))
  const { collapse: _, ...rest } = service
  const options: Options = {
    ...rest,
    workers: Math.min(service.workers, best),
    ...(service.drift === undefined
      ? undefined
      : { drift: service.drift.map(({ at, workers }) => ({ at, workers: Math.min(workers, best) })) })
  }
  const model = new ServiceModel(clock, options, seed)
  const half = model.rtt / 2
  const bucket = rateLimit === undefined ? undefined : new TokenBucket(rateLimit)
  const allowed = (earliest: number) => bucket?.next(earliest) ?? earliest
  const isAway = (time: number) => outage !== undefined && time >= outage.from && time < outage.to
  const present = (time: number) => (isAway(time) ? outage!.to : time)

  let next = 0
  let last = half
  let cancel = () => {}
  /** Hands in what may be handed in now, and comes back when it may go on. */
  const handIn = () => {
    cancel()
    while (next < batches * runs && model.unfinished < most) {
      const begun = half + Math.floor(next / batches) * stagger
      const time = present(allowed(Math.max(clock.now, begun)))
      if (time > clock.now) {
        cancel = clock.at(time, handIn)
        return
      }
      bucket?.take(time)
      last = time
      model.accept("ideal", tokens?.[next % batches] ?? batchSize)
      next++
    }
  }
  model.onCompleted = handIn
  clock.at(half, handIn)
  clock.runToEnd()

  for (const end of model.trace.batches.map(({ completed }) => completed).sort((a, b) => a - b)) {
    const seen = Math.max(present(end), last)
    last = rateLimit?.countsPolls === true ? allowed(seen) : seen
    if (rateLimit?.countsPolls === true) bucket?.take(last)
  }
  return last + half
}

/**
 * The least mean lag at so many polls a batch on average, over the mean duration, that a schedule can have which knows how long batches
 * take, and of a batch only its age. Randomised schedules included.
 *
 * A poll belongs at the end of a duration that occurs: any earlier and it finds no more of them. So a schedule is a choice among the
 * sorted durations, and for a price of a poll the cheapest is found by going through them once. The price is the one at which the mean
 * is met; between the two schedules at that price it mixes.
 */
export const leastLag = (durations: ReadonlyArray<number>, polls: number): number => {
  const sorted = thin(
    [...durations].sort((a, b) => a - b),
    500
  )
  const n = sorted.length
  if (n === 0) return 0
  const mean = sorted.reduce((sum, d) => sum + d, 0) / n
  const range = sorted[n - 1]! - sorted[0]!
  if (range < 1e-6 * mean) return 0
  const sums = new Float64Array(n + 1)
  for (let i = 0; i < n; i++) sums[i + 1] = sums[i]! + sorted[i]!

  const cost = new Float64Array(n + 1)
  const from = new Int32Array(n + 1)
  /** The best for a price: its mean polls and mean lag. */
  const best = (price: number): Plan => {
    for (let j = 1; j <= n; j++) {
      let least = Infinity
      let arg = 0
      const end = sorted[j - 1]!
      // The poll at the end of j finds those from i on; all that are not found by then are asked after.
      for (let i = j - 1; i >= 0; i--) {
        const lag = (j - i) * end - (sums[j]! - sums[i]!)
        if (lag >= least) break
        const sum = cost[i]! + lag + price * (n - i)
        if (sum < least) {
          least = sum
          arg = i
        }
      }
      cost[j] = least
      from[j] = arg
    }
    let lag = 0
    let asked = 0
    for (let j = n; j > 0; j = from[j]!) {
      const i = from[j]!
      lag += (j - i) * sorted[j - 1]! - (sums[j]! - sums[i]!)
      asked += n - i
    }
    return { lag: lag / n, polls: asked / n }
  }

  let dear = best(range * n)
  let cheap = best(0)
  if (cheap.polls <= polls) return Math.max(0, cheap.lag) / mean
  let low = 0
  let high = range * n
  for (let i = 0; i < 40 && high - low > 1e-9 * range; i++) {
    const price = low < high / 1000 ? Math.sqrt(Math.max(low, range * 1e-6) * high) : (low + high) / 2
    const plan = best(price)
    if (plan.polls > polls) {
      cheap = plan
      low = price
    } else {
      dear = plan
      high = price
    }
    if (cheap.polls - dear.polls < 0.02) break
  }
  const share = (polls - dear.polls) / (cheap.polls - dear.polls)
  return Math.max(0, dear.lag + share * (cheap.lag - dear.lag)) / mean
}

interface Plan {
  readonly lag: number
  readonly polls: number
}

/** At most so many of them, evenly. */
const thin = (sorted: ReadonlyArray<number>, most: number): ReadonlyArray<number> =>
  sorted.length <= most
    ? sorted
    : Array.from({ length: most }, (_, i) => sorted[Math.floor(((i + 0.5) * sorted.length) / most)]!)
