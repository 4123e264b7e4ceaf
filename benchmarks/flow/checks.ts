/** What ours is to reach: each figure, its bound, and whether it was held. */
import { inFlightBound } from "./ideal.ts"
import type { Profile } from "./profiles.ts"
import { pollsAllowed, type Figures } from "./simulate.ts"

/** One figure against its bound. */
export interface Check {
  readonly name: string
  readonly value: number
  readonly bound: number
  readonly held: boolean
}

const atMost = (name: string, value: number, bound: number): Check => ({ name, value, bound, held: value <= bound })
const atLeast = (name: string, value: number, bound: number): Check => ({ name, value, bound, held: value >= bound })

/** The bound of the makespan. */
export const makespanBound = ({ runs, service }: Profile, { ideal, p95, rtt }: Figures): number => {
  if (runs > 1) return 1.25 * ideal
  if (service.rateLimit !== undefined) return 1.2 * ideal
  if (service.collapse !== undefined) return 1.5 * ideal
  return 1.05 * ideal + 1.5 * p95 + 10 * rtt
}

/**
 * The lag that no bound is below. It is asked for where the durations vary little, since no schedule that is jittered has the lag of
 * 0 that the best has there; the best has it as well where there are two sharp durations.
 */
const lagFloor = 0.1

/** All bounds of a profile. */
export const checks = (profile: Profile, figures: Figures): ReadonlyArray<Check> => {
  const { batches, service } = profile
  const limited = service.rateLimit !== undefined
  return [
    atMost("makespan", figures.makespan / 1000, makespanBound(profile, figures) / 1000),
    atMost("lost", figures.lost, 0),
    atMost("polls", figures.pollsPerBatch, pollsAllowed(limited) + (limited ? 0 : 60 / batches)),
    // Where polls cost creates, it is best to poll late.
    ...(service.rateLimit?.countsPolls === true
      ? []
      : [atMost("lag", figures.lag, Math.max(lagFloor, figures.variation <= 0.2 ? 0 : 1.5 * figures.leastLag))]),
    // Where the service refuses at random, so many are refused whatever is done.
    ...(service.whims === undefined ? [atMost("refused", figures.refusedAfter, 0.02)] : []),
    atMost("in flight", figures.mostInFlight, inFlightBound(service.serviceTime, service.workers)),
    ...(figures.busyAfterDrift === undefined ? [] : [atLeast("busy after drift", figures.busyAfterDrift, 0.9)]),
    ...(figures.leastShare === undefined ? [] : [atLeast("share", figures.leastShare, 0.25)])
  ]
}
