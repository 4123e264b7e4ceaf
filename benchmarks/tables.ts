/** Numbers as people read them, in tables of Markdown. */
import type { Result, Spread } from "./measure.ts"

/** A table: its columns by name, each with what it shows of a row. The first column is text, the others are numbers. */
export const table = <A>(rows: ReadonlyArray<A>, columns: Readonly<Record<string, (row: A) => string>>): string => {
  const line = (cells: ReadonlyArray<string>) => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`
  const [, ...numbers] = Object.keys(columns)
  return [
    line(Object.keys(columns)),
    `|---|${numbers.map(() => "---:|").join("")}`,
    ...rows.map((row) => line(Object.values(columns).map((show) => show(row))))
  ].join("\n")
}

export const integer = (n: number): string => Math.round(n).toLocaleString("en-US")

/** `1 round`, `5 rounds`. */
export const plural = (n: number, one: string): string => `${integer(n)} ${one}${n === 1 ? "" : "s"}`

/** `1.07 (1.02-1.11)` */
export const withSpread = ({ least, median, most }: Spread): string =>
  `${median.toFixed(2)} (${least.toFixed(2)}-${most.toFixed(2)})`

/** Columns that show a candidate. */
export const shown = {
  name: ({ name }: Result) => name,
  cpu: ({ cpu }: Result) => cpu.median.toFixed(2),
  ratio: ({ ratio }: Result) => (ratio === undefined ? "1" : withSpread(ratio)),
  rss: ({ rss }: Result) => integer(rss.median),
  perSecond: (records: number) => (result: Result) => integer(records / result.wall.median)
}
