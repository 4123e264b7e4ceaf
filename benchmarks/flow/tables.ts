/** Figures as people read them: a line for each profile and client, and tables of Markdown. */
import { median } from "../median.ts"
import { table } from "../tables.ts"
import { makespanBound, type Check } from "./checks.ts"
import type { Profile } from "./profiles.ts"
import type { Figures } from "./simulate.ts"

/** One profile and one client, over some seeds. */
export interface Result {
  readonly profile: Profile
  readonly client: string
  readonly seeds: ReadonlyArray<number>
  /** By seed. */
  readonly figures: ReadonlyArray<Figures>
  readonly checks: ReadonlyArray<ReadonlyArray<Check>>
}

/** Whether every bound was held with every seed. */
export const isHeld = ({ checks }: Result): boolean => checks.flat().every(({ held }) => held)

type Get = (figures: Figures, profile: Profile) => number

const of = ({ figures, profile }: Result, get: Get): number => median(figures.map((one) => get(one, profile)))

/** Three significant digits, or all of a whole number. */
const short = (n: number): string => String(Math.abs(n) >= 100 ? Math.round(n) : Number(n.toPrecision(3)))

const ratio: Get = ({ ideal, makespan }) => makespan / ideal

const columns: ReadonlyArray<readonly [name: string, get: Get, digits: number]> = [
  ["makespan", ({ makespan }) => makespan / 1000, 1],
  ["ideal", ({ ideal }) => ideal / 1000, 1],
  ["ratio", ratio, 2],
  ["bound", (figures, profile) => makespanBound(profile, figures) / figures.ideal, 2],
  ["polls", ({ pollsPerBatch }) => pollsPerBatch, 2],
  ["lag", ({ lag }) => lag * 100, 1],
  ["least", ({ leastLag }) => leastLag * 100, 1],
  ["cv", ({ variation }) => variation, 2],
  ["first", ({ refusedFirst }) => refusedFirst, 0],
  ["refused", ({ refusedAfter }) => refusedAfter * 100, 1],
  ["p-ref", ({ pollsRefused }) => pollsRefused, 0],
  ["most", ({ mostInFlight }) => mostInFlight, 0]
]

/** What was missed, by the worst seed. */
const missed = ({ checks, seeds }: Result): string => {
  const byName = new Map<string, Array<Check>>()
  for (const check of checks.flat()) {
    if (!check.held) byName.set(check.name, [...(byName.get(check.name) ?? []), check])
  }
  const distance = ({ bound, value }: Check) => Math.abs(value - bound) / (bound === 0 ? 1 : bound)
  return [...byName]
    .map(([name, misses]) => {
      const worst = misses.reduce((a, b) => (distance(b) > distance(a) ? b : a))
      const count = seeds.length === 1 ? "" : ` in ${misses.length} of ${seeds.length}`
      return `${name}${count} (${short(worst.value)}, bound ${short(worst.bound)})`
    })
    .join(", ")
}

const widths = { profile: 26, client: 12, figure: 9 }

/** What the columns are. */
export const legend = `makespan and ideal: seconds; ratio of the two, and its bound. polls: status calls a batch. lag: from a result to the poll that found it,
and least: the least of any schedule at 2 polls a batch, both in % of the mean time to a result. cv: standard deviation over mean of these
times. first: creates refused before 300 batches were taken; refused: their share after that, in %. p-ref: status calls refused. most: in
flight at once. What is missed stands at the end, by the worst seed, lag as a share of 1. docs/flow-control.md says which misses are known.
`

/** The head of the lines. */
export const head = (): string =>
  "profile".padEnd(widths.profile) +
  "client".padEnd(widths.client) +
  columns.map(([name]) => name.padStart(widths.figure)).join("")

/** One line. */
export const line = (result: Result): string =>
  result.profile.name.padEnd(widths.profile) +
  result.client.padEnd(widths.client) +
  columns.map(([, get, digits]) => of(result, get).toFixed(digits).padStart(widths.figure)).join("") +
  (isHeld(result) ? "  held" : `  missed: ${missed(result)}`)

/** Tables of all results: what was reached by the first client, then each figure of all clients side by side. */
export const markdown = (results: ReadonlyArray<Result>): string => {
  const clients = [...new Set(results.map(({ client }) => client))]
  const main = results.filter(({ client }) => client === clients[0])
  const percent = (share: number) => (share * 100).toFixed(1)
  const reached = table(main, {
    profile: ({ profile }) => profile.name,
    "makespan / ideal": (r) => of(r, ratio).toFixed(2),
    bound: (r) => of(r, (figures, profile) => makespanBound(profile, figures) / figures.ideal).toFixed(2),
    "polls a batch": (r) => of(r, ({ pollsPerBatch }) => pollsPerBatch).toFixed(2),
    "lag, %": (r) => percent(of(r, ({ lag }) => lag)),
    "least, %": (r) => percent(of(r, ({ leastLag }) => leastLag)),
    "refused first": (r) => of(r, ({ refusedFirst }) => refusedFirst).toFixed(0),
    "later, %": (r) => percent(of(r, ({ refusedAfter }) => refusedAfter)),
    "most in flight": (r) => of(r, ({ mostInFlight }) => mostInFlight).toFixed(0),
    "": (r) => (isHeld(r) ? "held" : missed(r))
  })
  const byProfile = Map.groupBy(results, ({ profile }) => profile.name)
  const sideBySide = (get: Get, digits: number) =>
    table([...byProfile], {
      profile: ([name]) => name,
      ...Object.fromEntries(
        clients.map((client) => [
          client,
          ([, all]: readonly [string, ReadonlyArray<Result>]) => {
            const result = all.find((one) => one.client === client)
            return result === undefined ? "" : of(result, get).toFixed(digits)
          }
        ])
      )
    })
  const sections: ReadonlyArray<readonly [title: string, get: Get, digits: number]> = [
    ["Makespan over the ideal", ratio, 2],
    ["Polls a batch", ({ pollsPerBatch }) => pollsPerBatch, 2],
    ["Mean lag over mean duration, %", ({ lag }) => lag * 100, 1],
    ["Creates refused after the first 300 batches, %", ({ refusedAfter }) => refusedAfter * 100, 1],
    ["Most in flight", ({ mostInFlight }) => mostInFlight, 0]
  ]
  return [
    `### What ${clients[0]} reaches\n\n${reached}`,
    ...(clients.length < 2 ? [] : sections.map(([title, get, digits]) => `### ${title}\n\n${sideBySide(get, digits)}`))
  ].join("\n\n")
}
