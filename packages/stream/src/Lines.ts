/** Lines of the input as ranges of consecutive ones, in order, and what can be asked of them. */
import type { LineRange } from "./Batches.ts"

type Lines = ReadonlyArray<LineRange>

/** How many there are. */
export const count = (lines: Lines): number => lines.reduce((sum, { from, to }) => sum + to - from + 1, 0)

/** Whether the first line of a range is among them. */
export const includes = (lines: Lines, { file, from }: LineRange): boolean =>
  lines.some((range) => range.file === file && range.from <= from && from <= range.to)

/** Where the first line of a range stands among them, from 0; -1 if it is none of them. */
export const indexOf = (lines: Lines, { file, from }: LineRange): number => {
  let before = 0
  for (const range of lines) {
    if (file === range.file && range.from <= from && from <= range.to) return before + from - range.from
    before += range.to - range.from + 1
  }
  return -1
}

/** Them without others, which are in the same order. One that is not among them costs another pass. */
export const without = (lines: Lines, others: Lines): Lines => {
  const left: Array<LineRange> = []
  let next = 0
  for (const range of lines) {
    let from = range.from
    for (let other = others[next]; other !== undefined && includes([range], other); other = others[++next]) {
      if (from < other.from) left.push({ ...range, from, to: other.from - 1 })
      from = other.to + 1
    }
    if (from <= range.to) left.push({ ...range, from })
  }
  return next < others.length ? without(left, others.slice(next + 1)) : left
}

/** Single lines, in order, as ranges. */
export const merge = (lines: Lines): Lines => {
  const merged: Array<{ -readonly [K in keyof LineRange]: LineRange[K] }> = []
  for (const range of lines) {
    const last = merged.at(-1)
    if (last !== undefined && last.file === range.file && last.to === range.from - 1) last.to = range.to
    else merged.push({ ...range })
  }
  return merged
}

/** One by one. */
export const each = (lines: Lines): ReadonlyArray<LineRange> =>
  lines.flatMap((range) =>
    Array.from({ length: range.to - range.from + 1 }, (_, i) => ({
      ...range,
      from: range.from + i,
      to: range.from + i
    }))
  )

/** In words: such as `lines 1 to 1000` or `line 7 of b.ndjson`. */
export const describe = (lines: Lines): string => {
  const first = lines[0]
  const last = lines.at(-1)
  if (first === undefined || last === undefined) return "an unknown place"
  if (first.file !== last.file) return `${describe([first])} to ${describe([last])}`
  const range = first.from === last.to ? `line ${first.from}` : `lines ${first.from} to ${last.to}`
  return first.file === undefined ? range : `${range} of ${first.file}`
}
