/** What the campaign tells: of a run, of a run that went wrong, and of all of them. */
import type { Outcome } from "./campaign.ts"
import { ends } from "./oracle.ts"

const seconds = (millis: number) => `${(millis / 1000).toFixed(1)} s`
const integer = (n: number) => n.toLocaleString("en-US")
const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((a, b) => a + b, 0)

/** The command that runs a seed again. */
export const command = (seed: number, records: string | undefined): string =>
  `pnpm chaos --seed ${seed} --runs 1${records === undefined ? "" : ` --records ${records}`}`

/** The command that runs a scenario of the short campaign again. */
export const caseCommand = (name: string): string => `pnpm chaos --case "${name}"`

/** A run in a line. */
export const line = ({ counts, elapsed, kills, legs, scenario, violations }: Outcome): string =>
  [
    violations.length === 0 ? "ok  " : "WRONG",
    `seed ${scenario.seed}`,
    `${scenario.lines} lines of ${scenario.input}, batches of ${scenario.batchSize}, ${scenario.concurrency} in flight`,
    `${scenario.habits.failureMode} ${scenario.habits.order} ${scenario.habits.lostOnRestart}${scenario.habits.dryRunChecksExisting ? "" : " blind"}`,
    `${scenario.faults.rules.length} rules`,
    `${legs.length} legs`,
    `killed ${kills.SIGKILL}+${kills.SIGINT}, sandbox ${kills.sandbox}, cut ${kills.cut}`,
    ends.map((end) => `${counts[end]} ${end}`).join(" "),
    seconds(elapsed)
  ].join(" | ")

/** Violations told at most. */
const most = 25

/** Everything that it takes to look into a run that went wrong. */
export const mismatch = ({ legs, scenario, violations }: Outcome, folder: string, again: string): string =>
  [
    "",
    ...violations.slice(0, most).map((violation) => `  ! ${violation}`),
    ...(violations.length > most ? [`  ! and ${violations.length - most} more`] : []),
    `  scenario: ${JSON.stringify({ ...scenario, kills: undefined, faults: undefined, outages: undefined, rivals: undefined })}`,
    `  plan:     ${JSON.stringify(scenario.faults)}`,
    `  kills:    ${JSON.stringify(scenario.kills)}`,
    `  beside:   ${JSON.stringify({ outages: scenario.outages, rivals: scenario.rivals })}`,
    ...legs.map((leg, i) => `  leg ${i + 1}: ${leg}`),
    `  folder:   ${folder}`,
    `  again:    ${again}`,
    ""
  ].join("\n")

const tally = (counts: Iterable<readonly [string, number]>): string => {
  const all = new Map<string, number>()
  for (const [name, count] of counts) all.set(name, (all.get(name) ?? 0) + count)
  return [...all]
    .sort(([, a], [, b]) => b - a)
    .map(([name, count]) => `${name} ${integer(count)}`)
    .join(", ")
}

/** What all of them covered. */
export const total = (outcomes: ReadonlyArray<Outcome>, wrong: number): string => {
  const kills = (of: keyof Outcome["kills"]) => sum(outcomes.map(({ kills }) => kills[of]))
  const records = sum(outcomes.map(({ counts }) => sum(Object.values(counts))))
  const unresolved = sum(outcomes.map(({ counts }) => counts.unresolved))
  const resolvable = sum(outcomes.map(({ resolvable }) => resolvable.records))
  const left = sum(outcomes.map(({ resolvable }) => resolvable.unresolved))
  const share = (part: number, whole: number) => (whole === 0 ? "none" : `${((100 * part) / whole).toFixed(3)} %`)
  return [
    `${integer(outcomes.length)} runs in ${integer(sum(outcomes.map(({ legs }) => legs.length)))} legs, ${seconds(sum(outcomes.map(({ elapsed }) => elapsed)))}; ${wrong} went wrong`,
    `kills: ${kills("SIGKILL")} by SIGKILL, ${kills("SIGINT")} by SIGINT, ${kills("sandbox")} of the sandbox; ${kills("cut")} journals cut; ${kills("rival")} second processes`,
    `rules drawn: ${tally(outcomes.flatMap(({ scenario }) => scenario.faults.rules.map(({ fault }) => [fault, 1] as const)))}`,
    `batches that went wrong by themselves: ${tally(outcomes.flatMap(({ batchFaults }) => Object.entries(batchFaults)))}`,
    `records: ${integer(records)}: ${tally(outcomes.flatMap(({ counts }) => Object.entries(counts)))}`,
    `unresolved: ${share(unresolved, records)} of all; of the ${integer(resolvable)} that can be found out about, ${integer(left)} (${share(left, resolvable)})`
  ].join("\n")
}
