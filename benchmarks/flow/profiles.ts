/** The services that clients are tried against, and how many batches they are given. One law has to do for all of them. */
import type { Shape } from "./draws.ts"
import type { Options } from "./ServiceModel.ts"

/** A service and a task. */
export interface Profile {
  readonly name: string
  readonly service: Options
  /** Of each run. */
  readonly batches: number
  readonly batchSize: number
  /** How many tokens each batch has, where they are not all alike: `batchSize` means nothing then. */
  readonly tokens?: ReadonlyArray<number>
  /** Runs at once against the one service. */
  readonly runs: number
  /** Milliseconds from the beginning of one run to that of the next. Default: all begin at once. */
  readonly stagger?: number
}

const shapes: Readonly<Record<string, Shape>> = {
  fixed: { _tag: "Fixed" },
  "logn0.2": { _tag: "Lognormal", sigma: 0.2 },
  "logn0.6": { _tag: "Lognormal", sigma: 0.6 },
  bimodal: { _tag: "Bimodal" }
}

const times: Readonly<Record<string, number>> = { "50ms": 50, "1s": 1000, "20s": 20_000 }

const profile = (name: string, service: Options, task: Partial<Omit<Profile, "name" | "service">> = {}): Profile => ({
  name,
  service,
  batches: 1000,
  batchSize: 1,
  runs: 1,
  ...task
})

const time = (mean: number, shape = "logn0.6") => ({ mean, shape: shapes[shape]! })

/** Workers by service times by distributions. */
const grid = [1, 4, 24, 64].flatMap((workers) =>
  Object.entries(times).flatMap(([timeName, mean]) =>
    Object.keys(shapes).map((shape) =>
      profile(`w${workers}-${timeName}-${shape}`, { workers, serviceTime: time(mean, shape) })
    )
  )
)

/** The same with fewer batches, where what is learned must pay soon. */
const short = [4, 24, 64].flatMap((workers) =>
  ["fixed", "logn0.6", "bimodal"].map((shape) =>
    profile(`n300-w${workers}-1s-${shape}`, { workers, serviceTime: time(1000, shape) }, { batches: 300 })
  )
)

const queueLimits = [
  { workers: 24, queueLimit: 40, mean: 1000 },
  { workers: 24, queueLimit: 40, mean: 50 },
  { workers: 4, queueLimit: 8, mean: 1000 },
  { workers: 4, queueLimit: 8, mean: 20_000 },
  { workers: 64, queueLimit: 80, mean: 1000 }
].map(({ mean, queueLimit, workers }) =>
  profile(`queue${queueLimit}-w${workers}-${mean / 1000}s`, { workers, queueLimit, serviceTime: time(mean) })
)

const rateLimits = [true, false].flatMap((retryAfter) =>
  [true, false].map((countsPolls) =>
    profile(`rate20-${retryAfter ? "retryafter" : "silent"}${countsPolls ? "-polls" : ""}`, {
      workers: 64,
      serviceTime: time(1000),
      rateLimit: { perSecond: 20, burst: 20, retryAfter, countsPolls }
    })
  )
)

/** Limits that are hard to tell from a queue, hardly matter, or come with next to no burst. */
const odd = [
  profile(
    "rate5-burst1-creates",
    {
      workers: 64,
      serviceTime: time(1000),
      rateLimit: { perSecond: 5, burst: 1, retryAfter: false, countsPolls: false }
    },
    { batches: 600 }
  ),
  profile(
    "rate20-w64-20s-polls",
    {
      workers: 64,
      serviceTime: time(20_000),
      rateLimit: { perSecond: 20, burst: 20, retryAfter: false, countsPolls: true }
    },
    { batches: 600 }
  ),
  profile("queue4-w2-1s", { workers: 2, queueLimit: 4, serviceTime: time(1000) }, { batches: 400 }),
  profile("w8-5min", { workers: 8, serviceTime: time(300_000) }, { batches: 400 })
]

/** Refusals that have nothing to do with how many are there or how fast they come: one of a few machines that is overloaded, say. */
const whims = [0.05, 0.2].flatMap((share) =>
  [true, false].map((countsPolls) =>
    profile(`whims${100 * share}${countsPolls ? "-polls" : ""}`, {
      workers: 24,
      serviceTime: time(1000),
      whims: { share, countsPolls }
    })
  )
)

const collapse = (shape: string): Profile =>
  profile(`collapse32-w64-1s-${shape}`, {
    workers: 64,
    serviceTime: time(1000, shape),
    collapse: { at: 32, exponent: 2 }
  })

/** Half the workers are away for the middle third of the batches. */
const drift = (workers: number, mean: number, batches: number, shape: string): Profile => {
  const third = ((batches / 3) * mean) / workers
  return profile(
    `drift-w${workers}-${mean / 1000}s-${shape}`,
    {
      workers,
      serviceTime: time(mean, shape),
      drift: [
        { at: third, workers: workers / 2 },
        { at: 3 * third, workers }
      ]
    },
    { batches }
  )
}

/** Away for a minute, at half time. */
const outage = (workers: number, mean: number, standsStill: boolean, batches = 1000): Profile => {
  const from = ((batches / 2) * mean) / workers
  const name = `outage-w${workers}-${mean / 1000}s${standsStill ? "-still" : ""}`
  const service = { workers, serviceTime: time(mean), outage: { from, to: from + 60_000, standsStill } }
  return profile(name, service, { batches })
}

const two = [
  profile("two-w24-1s", { workers: 24, serviceTime: time(1000) }, { runs: 2 }),
  profile("two-w4-1s", { workers: 4, serviceTime: time(1000) }, { runs: 2, batches: 500 }),
  profile("two-queue40-w24-1s", { workers: 24, queueLimit: 40, serviceTime: time(1000) }, { runs: 2 }),
  profile("two-late-w24-1s", { workers: 24, serviceTime: time(1000) }, { runs: 2, stagger: 10_000 }),
  profile(
    "two-late-queue40-w24-1s",
    { workers: 24, queueLimit: 40, serviceTime: time(1000) },
    { runs: 2, stagger: 10_000 }
  ),
  profile(
    "two-late-rate20-polls",
    {
      workers: 64,
      serviceTime: time(1000),
      rateLimit: { perSecond: 20, burst: 20, retryAfter: false, countsPolls: true }
    },
    { runs: 2, stagger: 10_000, batches: 600 }
  )
]

/** All of them. */
export const profiles: ReadonlyArray<Profile> = [
  ...grid,
  ...short,
  ...queueLimits,
  ...rateLimits,
  ...odd,
  ...whims,
  collapse("fixed"),
  collapse("logn0.6"),
  drift(24, 1000, 3000, "logn0.6"),
  drift(24, 1000, 3000, "fixed"),
  drift(64, 1000, 8000, "logn0.6"),
  outage(24, 1000, false),
  outage(24, 1000, true),
  outage(4, 20_000, true),
  ...two
]

/** One of each kind, and small. */
export const quick: ReadonlyArray<Profile> = [
  ...["w24-1s-logn0.6", "queue40-w24-1s", "rate20-retryafter", "collapse32-w64-1s-fixed", "two-w24-1s"].map((name) => ({
    ...profiles.find((one) => one.name === name)!,
    batches: 200
  })),
  drift(24, 1000, 300, "fixed"),
  outage(24, 1000, true, 200)
]

/**
 * The profiles that are asked for, in their own order: regular expressions of their names, with commas between. Throws where one is none or
 * matches no profile.
 */
export const choose = (all: ReadonlyArray<Profile>, only: string): ReadonlyArray<Profile> => {
  const patterns = only.split(",").map((text) => {
    if (!isPattern(text)) throw new Error(`${text} is no regular expression`)
    const pattern = new RegExp(text)
    if (all.some(({ name }) => pattern.test(name))) return pattern
    const some = all.filter((_, i) => i % Math.ceil(all.length / 8) === 0).map(({ name }) => name)
    throw new Error(
      `the regular expression ${text} matches the name of no profile; they are called ${some.join(", ")} and the like`
    )
  })
  return all.filter(({ name }) => patterns.some((pattern) => pattern.test(name)))
}

const isPattern = (text: string): boolean => {
  try {
    return new RegExp(text) instanceof RegExp
  } catch {
    return false
  }
}
