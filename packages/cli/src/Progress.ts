/**
 * The run as it goes, for a person: on a terminal one line that is drawn over and over, elsewhere a line every few seconds.
 */
import type { RunState } from "@tokenbatch/stream"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Format from "./Format.ts"

/** One look at a run. */
export interface Snapshot {
  readonly state: RunState.RunState
  /** Milliseconds. */
  readonly elapsed: number
  /** Tokens a second, lately. */
  readonly rate: number
  /** Bytes of all inputs, if known. */
  readonly size: number | undefined
}

/** How much of the input has been seen to its end, from 0 to 1; `undefined` where its size is not known. */
const share = ({ size, state }: Snapshot): number | undefined =>
  size === undefined || size === 0 || state.records.read === 0
    ? undefined
    : Math.min(state.bytes / size, 1) * (1 - state.recordsInFlight / state.records.read)

/** How much of the run is left, in milliseconds; `undefined` while nothing says so. */
const remaining = (snapshot: Snapshot): number | undefined => {
  const done = share(snapshot)
  return done === undefined || done < 0.01 || snapshot.elapsed < 1000
    ? undefined
    : (snapshot.elapsed * (1 - done)) / done
}

/** The progress line. */
export const line = (snapshot: Snapshot): string => {
  const { elapsed, rate, state } = snapshot
  const { records } = state
  const done = share(snapshot)
  const left = remaining(snapshot)
  const bad = records.failed + records.unresolved + records.notSubmitted
  return [
    `${done === undefined ? "" : `${Math.floor(100 * done)}% `}${Format.short(records.read)} read`,
    `${Format.short(records.created)} ${state.dryRun ? "would be created" : "created"}`,
    ...(records.rejected > 0 ? [`${Format.short(records.rejected)} rejected`] : []),
    ...(bad > 0 ? [`${Format.short(bad)} not created`] : []),
    `${Format.plural(state.inFlight, "batch", "batches")} in flight`,
    `${Format.short(rate)}/s`,
    Format.elapsed(elapsed),
    ...(left === undefined ? [] : [`${Format.elapsed(left)} left`])
  ].join("  ")
}

/** Where progress is drawn. */
export interface Terminal {
  readonly write: (text: string) => void
  /** Whether a line can be drawn over. */
  readonly isTty: boolean
  readonly columns: () => number
}

/** Standard error. */
export const stderr = (): Terminal => ({
  write: (text) => void process.stderr.write(text),
  isTty: process.stderr.isTTY === true && process.env["TERM"] !== "dumb",
  columns: () => process.stderr.columns ?? 80
})

const eraseLine = "\r\u001b[2K"

/** Draws until interrupted; `say` writes a line of its own between two drawings. */
export interface Drawing {
  readonly say: (text: string) => Effect.Effect<void>
  readonly draw: Effect.Effect<void>
  /** Takes the line away. */
  readonly clear: Effect.Effect<void>
}

/** How far back the rate looks, in milliseconds. */
const window = 5000

/** Makes a drawing of a run whose state `current` gives. */
export const make = Effect.fnUntraced(function* (options: {
  readonly terminal: Terminal
  readonly current: () => RunState.RunState
  readonly size: number | undefined
  readonly quiet: boolean
}) {
  const { current, quiet, size, terminal } = options
  const startedAt = yield* Clock.currentTimeMillis
  const seen: Array<readonly [at: number, created: number]> = [[startedAt, 0]]
  let drawn = false

  const snapshot = (now: number): Snapshot => {
    const state = current()
    seen.push([now, state.records.created])
    while (seen.length > 2 && now - seen[1]![0] > window) seen.shift()
    const [since, created] = seen[0]!
    return {
      state,
      elapsed: now - startedAt,
      rate: now > since ? ((state.records.created - created) * 1000) / (now - since) : 0,
      size
    }
  }

  const clear = Effect.sync(() => {
    if (drawn) terminal.write(eraseLine)
    drawn = false
  })

  const drawOnce = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.sync(() => {
      const text = line(snapshot(now))
      if (terminal.isTty) {
        terminal.write(`${eraseLine}${Format.fit(text, terminal.columns() - 1)}`)
        drawn = true
      } else {
        terminal.write(`${text}\n`)
      }
    })
  )

  const drawing: Drawing = {
    say: (text) =>
      quiet
        ? Effect.void
        : Effect.andThen(
            clear,
            Effect.sync(() => terminal.write(`${text}\n`))
          ),
    draw: quiet
      ? Effect.never
      : Effect.andThen(
          Effect.sleep(terminal.isTty ? 100 : 5000),
          Effect.asVoid(Effect.repeat(drawOnce, Schedule.spaced(terminal.isTty ? 100 : 5000)))
        ),
    clear
  }
  return drawing
})
