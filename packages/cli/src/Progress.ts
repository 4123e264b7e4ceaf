/**
 * A command as it goes, for a person: on a terminal one line that is drawn over and over, elsewhere a line every few seconds.
 */
import type { RunEvent, RunState } from "@tokenbatch/stream"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Format from "./Format.ts"

/** One look at a run. */
export interface Snapshot {
  readonly state: RunState.RunState
  /** The state that this process found. Default: that of a run that begins. */
  readonly before?: RunState.RunState | undefined
  /** Milliseconds. */
  readonly elapsed: number
  /** When it is, in milliseconds since the Unix epoch. */
  readonly now: number
  /** Tokens a second, lately. */
  readonly rate: number
  /** When the wait is over before it is asked what became of unresolved records, in milliseconds since the Unix epoch. */
  readonly settledAt?: number | undefined
  /** Bytes of all inputs, if known. */
  readonly size?: number | undefined
  /** As many records as there will be at most. */
  readonly limit?: number | undefined
}

/** How much of the input has been seen to its end, from 0 to 1; `undefined` where its size is not known. */
const share = ({ limit, size }: Snapshot, state: RunState.RunState): number | undefined => {
  const { read, rejected } = state.records
  if (read === 0) return undefined
  // Whichever comes first ends the run.
  const ofLimit = limit === undefined ? 0 : (read - rejected) / limit
  const ofSize = size === undefined || size === 0 ? 0 : state.bytes / size
  const done = Math.max(ofLimit, ofSize)
  return done === 0 ? undefined : Math.min(done, 1) * (1 - state.recordsInFlight / read)
}

/** How much of the run is left, in milliseconds; `undefined` while nothing says so. */
const remaining = (snapshot: Snapshot): number | undefined => {
  const done = share(snapshot, snapshot.state) ?? 0
  const before = snapshot.before === undefined ? 0 : (share(snapshot, snapshot.before) ?? 0)
  return done - before < 0.01 * (1 - before) || snapshot.elapsed < 1000
    ? undefined
    : (snapshot.elapsed * (1 - done)) / (done - before)
}

/**
 * What stands in a line, and how soon it gets a place where there is no room for all of it: the lowest first. It may have a longer text, which
 * takes its place when that one's rank comes.
 */
type Part = readonly [rank: number, text: string, longer?: readonly [rank: number, text: string]]

const gap = "  "

const join = (parts: ReadonlyArray<Part>, width: number): string => {
  const texts = parts.flatMap((part) => {
    const [rank, text, longer] = part
    const first = { part, rank, text, takes: gap.length + text.length, isLonger: false }
    if (longer === undefined) return [first]
    return [first, { part, rank: longer[0], text: longer[1], takes: longer[1].length - text.length, isLonger: true }]
  })
  const kept = new Map<Part, string>()
  let room = width + gap.length
  for (const { isLonger, part, takes, text } of texts.toSorted((a, b) => a.rank - b.rank)) {
    if ((kept.size > 0 && takes > room) || (isLonger && !kept.has(part))) continue
    kept.set(part, text)
    room -= takes
  }
  return Format.fit(parts.flatMap((part) => kept.get(part) ?? []).join(gap), width)
}

/** The progress line of a run, fitted to a width. Its words are short: all that an ordinary run has to say fits into 80 columns. */
export const line = (snapshot: Snapshot, width = Infinity): string => {
  const { elapsed, now, rate, settledAt = now, state } = snapshot
  const { atService, awaySince, flow, records, window } = state
  const spaced = flow?.requestsPerSecond
  const done = share(snapshot, state)
  // How long the service stays away nobody knows, nor how long it takes to find out about records.
  const paused = state.pausedUntil - now
  const left = awaySince === undefined && paused <= 0 && !state.resolving ? remaining(snapshot) : undefined
  const settling = settledAt > now ? `, waiting ${Format.clock(settledAt - now)} for late batches` : ""
  // Where requests are spaced it is that which decides how fast it goes, and not how many may be in flight; nor where it is asked, a few
  // batches at a time, what became of records.
  const isBound = window !== undefined && spaced === undefined && !state.resolving
  const parts: ReadonlyArray<Part> = [
    [0, `${done === undefined ? "" : `${Math.floor(100 * done)}% `}${Format.short(records.read)} read`],
    [1, `${Format.short(records.created)} ${state.dryRun ? "passed" : "created"}`],
    ...(records.existing > 0 ? [[7, `${Format.short(records.existing)} existing`] as const] : []),
    ...(records.rejected > 0 ? [[7, `${Format.short(records.rejected)} rejected`] as const] : []),
    ...(records.failed > 0 ? [[2, `${Format.short(records.failed)} failed`] as const] : []),
    // Perhaps created, perhaps not: the gravest.
    ...(state.resolving
      ? [[1, `${Format.short(records.unresolved)} to find out${settling}`] as const]
      : records.unresolved > 0
        ? [[1, `${Format.short(records.unresolved)} in doubt`] as const]
        : []),
    ...(records.notSubmitted > 0 ? [[2, `${Format.short(records.notSubmitted)} not submitted`] as const] : []),
    ...(awaySince === undefined ? [] : [[2, `service away ${Format.clock(Math.max(now - awaySince, 0))}`] as const]),
    ...(paused <= 0 ? [] : [[2, `to wait ${Format.clock(paused)} as the service asks`] as const]),
    [8, `${Format.short(Math.max(atService, 0))}${isBound ? `/${Format.short(window)}` : ""} in flight`],
    ...(spaced === undefined ? [] : [[6, `${Format.rate(spaced)} requests/s`] as const]),
    // Beside another rate it has to be said what it is of.
    [5, `${Format.rate(rate)}/s`, [spaced === undefined ? 10 : 7, `${Format.rate(rate)} tokens/s`]],
    [9, Format.clock(elapsed)],
    ...(left === undefined ? [] : [[3, `${Format.clock(left)} left`] as const])
  ]
  return join(parts, width)
}

/** Outages and pauses are told of once in so many milliseconds: a service may come and go. */
const outagesApart = 60_000

/** Says in a line what people should know about the pace: the first time, and outages time and again. `undefined`: nothing. */
export const makePaceNotices = (): ((event: RunEvent.FlowChanged) => string | undefined) => {
  const said = new Set<RunEvent.FlowChanged["reason"]>()
  let awaySince: number | undefined
  let lastAway = -Infinity
  let lastPaused = -Infinity
  const once = (reason: RunEvent.FlowChanged["reason"], text: string) => {
    if (said.has(reason)) return undefined
    said.add(reason)
    return text
  }
  return ({ at, pause, reason, requestsPerSecond, window }) => {
    switch (reason) {
      case "TooFast": {
        const pace = requestsPerSecond === undefined ? "" : ` (${Format.rate(requestsPerSecond)} a second for now)`
        return once(reason, `requests seem to come too fast for the service: they are spaced from here on${pace}`)
      }
      case "QueueFull":
        return once(
          reason,
          `the service's queue seems full: fewer batches in flight from here on (${Format.short(window)} for now)`
        )
      case "Whims":
        return once(reason, "the service refuses some calls whatever is done: no longer slower for that")
      case "Paused":
        if (at - lastPaused < outagesApart) return undefined
        lastPaused = at
        return `the service asks to wait ${Format.elapsed(pause ?? 0)}`
      case "Away":
        if (at - lastAway < outagesApart) return undefined
        awaySince = at
        lastAway = at
        return "the service does not answer: waiting until it is back"
      case "Back": {
        if (awaySince === undefined) return undefined
        const since = awaySince
        awaySince = undefined
        return `the service answers again, after ${Format.elapsed(Math.max(at - since, 0))}`
      }
      default:
        return undefined
    }
  }
}

/** The progress line of a check. */
export const checkLine = (
  counts: { readonly read: number; readonly rejected: number; readonly rate: number; readonly elapsed: number },
  width: number
): string =>
  join(
    [
      [0, `${Format.short(counts.read)} lines`],
      [1, `${Format.short(counts.rejected)} rejected`],
      [2, `${Format.rate(counts.rate)}/s`],
      [3, Format.clock(counts.elapsed)]
    ],
    width
  )

/** How far back a rate looks, in milliseconds. */
const window = 5000

/** How fast a count grows, lately: give it the time and the count, and it gives what that is a second. */
export const makeRate = (startedAt: number): ((now: number, count: number) => number) => {
  const seen: Array<readonly [at: number, count: number]> = [[startedAt, 0]]
  return (now, count) => {
    seen.push([now, count])
    while (seen.length > 2 && now - seen[1]![0] > window) seen.shift()
    const [since, before] = seen[0]!
    return now > since ? ((count - before) * 1000) / (now - since) : 0
  }
}

/** Where progress is drawn. */
export interface Terminal {
  readonly write: (text: string) => void
  /** Whether a line can be drawn over. */
  readonly isTty: boolean
  readonly columns: () => number
}

/** Standard error. `shared`: whether something else writes lines to the same terminal, which would be drawn over. */
export const stderr = (options: { readonly shared: boolean }): Terminal => ({
  write: (text) => void process.stderr.write(text),
  isTty: process.stderr.isTTY === true && process.env["TERM"] !== "dumb" && !options.shared,
  // A terminal that does not know says 0.
  columns: () => process.stderr.columns || 80
})

const eraseLine = "\r\u001b[2K"

/** Draws until interrupted; what is said goes between two drawings, as lines of its own. */
export interface Drawing {
  /** A line is broken within the width of a terminal; a text of several lines stays as it is. */
  readonly say: (text: string) => Effect.Effect<void>
  /** Says what is to be heard even where it is to be quiet. */
  readonly sayError: (text: string) => Effect.Effect<void>
  readonly draw: Effect.Effect<void>
  /** Takes the line away. */
  readonly clear: Effect.Effect<void>
}

/** Makes a drawing of what `text` gives for a time and a width. */
export const make = (options: {
  readonly terminal: Terminal
  readonly text: (now: number, width: number) => string
  readonly quiet: boolean
}): Drawing => {
  const { quiet, terminal, text } = options
  const interval = terminal.isTty ? 100 : 5000
  let drawn = false

  const clear = Effect.sync(() => {
    if (drawn) terminal.write(eraseLine)
    drawn = false
  })
  const drawOnce = Effect.map(Clock.currentTimeMillis, (now) => {
    if (terminal.isTty) {
      terminal.write(`${eraseLine}${text(now, terminal.columns() - 1)}`)
      drawn = true
    } else {
      terminal.write(`${text(now, Infinity)}\n`)
    }
  })
  const sayError = (said: string) =>
    Effect.andThen(
      clear,
      Effect.sync(() => {
        const text = Format.printable(said)
        // What has several lines is laid out already, and a command in it is to be copied as it stands.
        const isNotice = terminal.isTty && !text.includes("\n")
        terminal.write(`${isNotice ? Format.wrap(text, terminal.columns() - 1) : text}\n`)
      })
    )

  return {
    say: (said) => (quiet ? Effect.void : sayError(said)),
    sayError,
    draw: quiet
      ? Effect.never
      : Effect.andThen(Effect.sleep(interval), Effect.asVoid(Effect.repeat(drawOnce, Schedule.spaced(interval)))),
    clear
  }
}
