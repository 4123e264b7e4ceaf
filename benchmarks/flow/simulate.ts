/** One profile, one client, one seed: what came of it, in figures. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import type { Client } from "./clients.ts"
import * as Ideal from "./ideal.ts"
import type { Profile } from "./profiles.ts"
import { ServiceModel, type BatchTrace, type Trace } from "./ServiceModel.ts"
import { VirtualClock } from "./VirtualClock.ts"

/** Figures of one simulation. Times in milliseconds, shares from 0 to 1. */
export interface Figures {
  readonly makespan: number
  /** Of a client that knows everything. */
  readonly ideal: number
  /** Of the times in service at full speed. */
  readonly p95: number
  readonly rtt: number
  /** Batches whose result was never seen. */
  readonly lost: number
  readonly pollsPerBatch: number
  /**
   * Mean time from completion to the arrival of the poll that found it, over the mean duration from acceptance to completion. Batches
   * that were in flight during an outage are left out here and in the next two.
   */
  readonly lag: number
  /** The least that any schedule can have at 2 polls a batch; under a rate limit, at 1.2. */
  readonly leastLag: number
  /** Coefficient of variation of the durations. */
  readonly variation: number
  /** Creates refused with 429 before 300 batches were accepted, and the share of those after. */
  readonly refusedFirst: number
  readonly refusedAfter: number
  readonly pollsRefused: number
  readonly mostInFlight: number
  /** Share of the workers' time that was used after each change of their number, from 20 batch durations on: the least of them. */
  readonly busyAfterDrift: number | undefined
  /** With several runs: when each had its last result, and the least share of what was accepted while all of them handed in. */
  readonly ends: ReadonlyArray<number>
  readonly leastShare: number | undefined
}

/** All there is of one simulation. */
export interface Simulated {
  readonly figures: Figures
  readonly trace: Trace
}

/** Runs it on virtual time. */
export const simulate = (profile: Profile, client: Client, seed: number): Simulated => {
  const clock = new VirtualClock()
  const model = new ServiceModel(clock, profile.service, seed)
  const names = Array.from({ length: profile.runs }, (_, i) => `run ${i + 1}`)
  const all = Effect.forEach(
    names,
    (name, index) =>
      client(profile).pipe(
        Effect.delay(index * (profile.stagger ?? 0)),
        Effect.provide(model.layer(name)),
        Random.withSeed(seed * 1000 + index)
      ),
    { concurrency: "unbounded", discard: true }
  )
  const exit = clock.run(all)
  if (Exit.isFailure(exit)) throw new Error(`${profile.name}: ${Cause.pretty(exit.cause)}`)
  return { figures: figuresOf(profile, model.trace, seed, names, model.rtt), trace: model.trace }
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)
const mean = (numbers: ReadonlyArray<number>): number => (numbers.length === 0 ? 0 : sum(numbers) / numbers.length)

/** Polls a batch that a client may make on average, but for a few at the start. */
export const pollsAllowed = (limited: boolean): number => (limited ? 1.2 : 2)

/** After so many acceptances refusals count. */
const first = 300

/** The figures of a trace. */
export const figuresOf = (
  profile: Profile,
  trace: Trace,
  seed: number,
  names: ReadonlyArray<string>,
  rtt: number
): Figures => {
  const { batches, refusals } = trace
  const { outage, rateLimit } = profile.service
  const seen = batches.filter(({ detected }) => detected !== Infinity)
  const timed = seen.filter((b) => outage === undefined || b.detected < outage.from || b.accepted > outage.to)
  const durations = timed.map(({ accepted, completed }) => completed - accepted)
  const duration = mean(durations)
  const lags = timed.map(({ completed, found }) => found - completed)
  const works = batches.map(({ work }) => work).sort((a, b) => a - b)
  const ends = names.map(
    (name) => seen.reduce((last, b) => (b.client === name ? Math.max(last, b.detected) : last), 0) - trace.begun
  )
  const refusedCreates = refusals.filter(({ call }) => call === "create")
  const after = refusedCreates.filter(({ accepted }) => accepted >= first).length
  const createsAfter = Math.max(0, batches.length - first) + after
  return {
    makespan: Math.max(...ends),
    ideal: Ideal.makespan(profile, seed),
    p95: works[Math.ceil(works.length * 0.95) - 1] ?? 0,
    rtt,
    lost: profile.batches * profile.runs - seen.length,
    pollsPerBatch: trace.polls / batches.length,
    lag: mean(lags) / duration,
    leastLag: Ideal.leastLag(durations, pollsAllowed(rateLimit !== undefined)),
    variation: Math.sqrt(mean(durations.map((d) => (d - duration) ** 2))) / duration,
    refusedFirst: refusedCreates.length - after,
    refusedAfter: createsAfter === 0 ? 0 : after / createsAfter,
    pollsRefused: refusals.length - refusedCreates.length,
    mostInFlight: trace.mostInFlight,
    busyAfterDrift: busyAfterDrift(profile, trace),
    ends,
    leastShare: names.length < 2 ? undefined : leastShare(batches, names)
  }
}

/** From 20 batch durations after a change to the next one, or to the last acceptance. */
const busyAfterDrift = ({ service }: Profile, trace: Trace): number | undefined => {
  if (service.drift === undefined) return undefined
  const end = Math.max(...trace.batches.map(({ accepted }) => accepted))
  const shares = service.drift.map(({ at, workers }, i) => {
    const from = at + 20 * service.serviceTime.mean
    const to = Math.min(service.drift![i + 1]?.at ?? Infinity, end)
    if (to <= from) return 1
    let used = 0
    for (const [step, { at: begun, inFlight }] of trace.busy.entries()) {
      const until = Math.min(trace.busy[step + 1]?.at ?? to, to)
      const since = Math.max(begun, from)
      if (until > since) used += (until - since) * Math.min(inFlight, workers)
    }
    return used / (workers * (to - from))
  })
  return Math.min(...shares)
}

/** From the first acceptance of the last to begin to the last acceptance of the first to end. */
const leastShare = (batches: ReadonlyArray<BatchTrace>, names: ReadonlyArray<string>): number => {
  const times = names.map((name) => batches.filter(({ client }) => client === name).map(({ accepted }) => accepted))
  const from = Math.max(...times.map((all) => Math.min(...all)))
  const to = Math.min(...times.map((all) => Math.max(...all)))
  const counts = times.map((all) => all.filter((accepted) => accepted >= from && accepted <= to).length)
  return to <= from ? 0 : Math.min(...counts) / sum(counts)
}
