/**
 * What happens in one run of the campaign, drawn from its seed: the input, the service's habits and faults, and when who is killed.
 *
 * Everything is drawn before anything starts. What cannot be drawn is how far the processes have come when a kill reaches them: a seed
 * that is replayed gives the same scenario, and nearly the same moments.
 */
import type { FaultPlan } from "@tokenbatch/sandbox"
import * as Dice from "./dice.ts"

/** How the service is. */
interface Habits {
  readonly failureMode: "prefix" | "atomic"
  readonly order: "inOrder" | "shuffled"
  readonly dryRunChecksExisting: boolean
  readonly lostOnRestart: "requeue" | "forget"
  readonly workers: number
  /** Milliseconds. */
  readonly setupTime: number
}

/** When a process is killed: some time after its start, or after it has written an event to its journal, if it does so in time. */
export interface Moment {
  /** Milliseconds. */
  readonly after: number
  /** Its tag; `journal` for the journal's being made, before there is an event in it. */
  readonly event?: string
  /** Which of such events. Default 1. */
  readonly times?: number
}

/** How a leg ends, if not by itself. */
export interface Kill extends Moment {
  readonly signal: "SIGKILL" | "SIGINT"
  /** A second signal, in milliseconds after the first. */
  readonly again?: { readonly after: number; readonly signal: "SIGKILL" | "SIGINT" }
  /** Bytes to be cut off the end of the journal afterwards. */
  readonly cut?: number
}

/** The sandbox is killed during a leg and started again. Milliseconds. */
export interface Outage {
  readonly after: number
  readonly down: number
}

/** A second process that is to go on with the run during a leg. Milliseconds. */
export interface Rival {
  readonly after: number
}

export interface Scenario {
  readonly seed: number
  readonly input: "file" | "files" | "gzip" | "stdin"
  /** Lines, all kinds of them. */
  readonly lines: number
  /** Which kinds of lines there are, as shares of all. */
  readonly shares: Shares
  readonly batchSize: number
  readonly concurrency: number
  readonly habits: Habits
  readonly faults: FaultPlan.FaultPlan
  readonly onDoubt: "resolve" | "resubmit"
  readonly requireAccessToken: boolean
  readonly json: boolean
  /** Milliseconds. */
  readonly pollTimeout: number
  readonly requestTimeout: number
  /** A leg among faults is killed after so long in any case, since it might ask and ask again. Milliseconds. */
  readonly legLimit: number
  readonly kills: ReadonlyArray<Kill>
  /** Of each leg, the last one included. */
  readonly outages: ReadonlyArray<Outage | undefined>
  readonly rivals: ReadonlyArray<Rival | undefined>
}

interface Shares {
  readonly malformed: number
  readonly blank: number
  /** The service refuses their scope. */
  readonly bad: number
  /** Without an access token of their own. */
  readonly keyless: number
  /** The access token value of another line, in reach of one batch or of the next. */
  readonly repeated: number
  /** The refresh token value of another line. */
  readonly refreshRepeated: number
  /** The access, or the refresh, token value exists before the run. */
  readonly before: number
}

/** Milliseconds that the client waits before it takes it that nothing of its own is at work any more. */
export const settleTime = 1500

/** What a test may ask for in place of what is drawn. */
export type Wishes = Partial<Omit<Scenario, "habits" | "shares">> & {
  readonly habits?: Partial<Habits>
  readonly shares?: Partial<Shares>
  readonly torn?: boolean
  /** Kills at most. */
  readonly maxKills?: number
}

export const draw = (seed: number, { habits, maxKills, shares, torn, ...wishes }: Wishes = {}): Scenario => {
  const dice = Dice.make(seed, 1)
  const lines = dice.pick([60, 120, 120, 200, 200, 300, 300, 600, 1500])
  const batchSize = dice.pick([5, 10, 20, 50, 50, 100, 250])
  const concurrency = dice.pick([1, 2, 4, 8, 16])
  const isTorn = torn ?? dice.chance(0.25)
  const share = (most: number) => (dice.chance(0.25) ? 0 : (most * dice.between(1, 10)) / 10)
  const drawnShares: Shares = {
    malformed: share(0.05),
    blank: share(0.03),
    bad: share(0.03),
    // A cut can take away that they were sent, and they would be sent again.
    keyless: isTorn ? 0 : share(0.08),
    repeated: share(0.06),
    refreshRepeated: share(0.04),
    before: share(0.04)
  }
  const drawnHabits: Habits = {
    failureMode: dice.pick(["prefix", "atomic"]),
    order: dice.pick(["inOrder", "shuffled"]),
    dryRunChecksExisting: dice.chance(0.85),
    lostOnRestart: dice.pick(["requeue", "forget"]),
    workers: dice.pick([4, 8]),
    setupTime: dice.pick([1, 10, 20, 50])
  }
  const kills = drawKills(Dice.make(seed, 2), isTorn)
  const outages = Dice.make(seed, 3)
  return {
    seed,
    input: dice.pick(["file", "file", "files", "gzip", "stdin"]),
    // At most some sixty batches, so that a run takes seconds.
    lines: Math.min(lines, batchSize * 60),
    batchSize,
    concurrency,
    faults: drawFaults(seed, batchSize),
    onDoubt: dice.chance(0.9) ? "resolve" : "resubmit",
    requireAccessToken: dice.chance(0.05),
    json: dice.chance(0.5),
    pollTimeout: dice.pick([3000, 5000, 8000]),
    legLimit: 10_000,
    requestTimeout: dice.pick([700, 2000, 10_000]),
    outages: Array.from({ length: 20 }, () =>
      outages.chance(0.15) ? { after: outages.between(0, 3000), down: outages.between(0, 1200) } : undefined
    ),
    rivals: Array.from({ length: 20 }, () => (outages.chance(0.15) ? { after: outages.between(0, 1500) } : undefined)),
    ...wishes,
    shares: { ...drawnShares, ...shares },
    habits: { ...drawnHabits, ...habits },
    kills: (wishes.kills ?? kills).slice(0, maxKills)
  }
}

/** Events after which it is of interest to be killed. */
const moments = [
  "journal",
  "RunStarted",
  "RunResumed",
  "BatchIntended",
  "BatchIntended",
  "BatchAccepted",
  "BatchSplit",
  "BatchRetried",
  "BatchReopened",
  "BatchFailed",
  "BatchUnresolved",
  "BatchSucceeded",
  "InputEnded",
  "ResolutionStarted",
  "ResolutionStarted",
  "Calibrated",
  "RecordsSettled",
  "RecordsSettled",
  "BatchExamined",
  "RunFinished"
]

const drawKills = (dice: Dice.Dice, torn: boolean): ReadonlyArray<Kill> => {
  const kills: Array<Kill> = []
  for (let share = 0.95; kills.length < 15 && dice.chance(share); share *= 0.95) {
    const moment: Moment = dice.chance(0.45)
      ? { after: dice.pick([dice.between(0, 400), dice.between(0, 1500), dice.between(0, 5000)]) }
      : {
          event: dice.pick(moments),
          times: dice.pick([1, 1, 1, 2, 5]),
          after: dice.pick([0, 0, dice.between(0, 30), dice.between(0, 300)])
        }
    const signal = dice.chance(0.85) ? "SIGKILL" : "SIGINT"
    const again = dice.chance(0.5)
      ? { after: dice.between(0, 1500), signal: dice.pick(["SIGKILL", "SIGINT"] as const) }
      : undefined
    const cut = dice.pick([dice.between(1, 40), dice.between(1, 400), dice.between(1, 8000)])
    kills.push({
      ...moment,
      signal,
      ...(signal === "SIGINT" && again !== undefined ? { again } : undefined),
      ...(torn && dice.chance(0.6) ? { cut } : undefined)
    })
  }
  return kills
}

type Rule = FaultPlan.Rule

const drawFaults = (seed: number, batchSize: number): FaultPlan.FaultPlan => {
  const dice = Dice.make(seed, 4)
  /** How rough the run is as a whole. */
  const often = dice.pick([0, 0.2, 0.5, 1])
  /** What takes long makes the client wait long before it resolves: in a few runs only. */
  const long = dice.chance(0.1) ? 4 : 1
  const rate = (most: number) => Math.round(most * dice.between(1, 10) * 100) / 1000
  const accept = () => dice.chance(0.5)
  const on = () => dice.pick(["create", "status", "both"] as const)
  const retryAfter = () => (dice.chance(0.5) ? { retryAfter: 1 } : undefined)
  const from = dice.between(0, 4000)
  const window = { from, to: from + dice.between(100, 1500) }
  const candidates: ReadonlyArray<() => ReadonlyArray<Rule>> = [
    () => [{ fault: "refuse", rate: rate(0.2) }],
    () => [{ fault: "resetBeforeBody", rate: rate(0.1), on: on() }],
    () => [{ fault: "resetBeforeAccept", rate: rate(0.1) }],
    () => [{ fault: "resetAfterAccept", rate: rate(0.2), on: on() }],
    () => [{ fault: "halfAnswer", rate: rate(0.1), on: on() }],
    () => [{ fault: "slow", rate: rate(0.05), delay: dice.between(300, 1000 * long), on: on() }],
    // Taken within the settle time.
    () => [{ fault: "slowBeforeAccept", rate: rate(0.05), delay: dice.between(100, settleTime / 2) }],
    () => [{ fault: "rateLimited", rate: rate(0.1), on: on(), ...retryAfter() }],
    () => [{ fault: "unavailable", rate: rate(0.1), on: on(), retryAfter: 1 }],
    () => [{ fault: "unavailable", rate: rate(0.1), on: on(), accept: accept() }],
    () => [{ fault: "serverError", rate: rate(0.1), accept: accept() }],
    () => [{ fault: "badGateway", rate: rate(0.1), on: on(), accept: accept() }],
    () => [{ fault: "tooLarge", records: Math.max(1, Math.floor(batchSize * 0.6)) }],
    () => [{ fault: "badRequest", share: rate(0.02) }],
    () => [{ fault: "noRequestId", rate: rate(0.05), accept: accept() }],
    () => [{ fault: "echo", rate: rate(0.1), accept: accept(), length: dice.between(20, 3000) }],
    () => [{ fault: "echo", status: 400, rate: rate(0.05), length: dice.between(20, 3000) }],
    () => [{ fault: "unauthorized", rate: rate(0.02), max: 2, on: on() }],
    () => [{ fault: "statusServerError", rate: rate(0.2) }],
    () => [{ fault: "unknownFor", rate: rate(0.1), delay: dice.between(200, 900 * long) }],
    () => [{ fault: "flap", rate: rate(0.2), delay: dice.between(200, 700 * long) }],
    () => [{ fault: "stuck", rate: rate(0.05), delay: dice.between(300, 1200 * long) }],
    () => [{ fault: "failAtToken", rate: rate(0.3) }],
    () => [{ fault: "failAtToken", rate: rate(0.03), dryRuns: true }],
    // An outage: what no connection carries, and what one does.
    () => [
      { fault: "refuse", ...window },
      { fault: "resetBeforeBody", ...window }
    ]
  ]
  return {
    seed: dice.between(1, 1_000_000),
    rules: candidates.flatMap((candidate) => (dice.chance(0.5 * often) ? candidate() : []))
  }
}
