/** Numbers and times as a person reads them. */

const grouped = new Intl.NumberFormat("en-US")

/** `1,234,567`. */
export const integer = (n: number): string => grouped.format(n)

/** Three digits of a number from 1 on. */
const three = (n: number): string => n.toFixed(n < 9.995 ? 2 : n < 99.95 ? 1 : 0)

/** `12.3k` from ten thousand on, for places where there is little room. */
export const short = (n: number): string =>
  n < 10_000 ? integer(Math.round(n)) : n < 999_500 ? `${three(n / 1000)}k` : `${three(n / 1_000_000)}M`

/** A number a second that may be small: `0.5`, `7.3`, `18`, `8.1k`, `12.3k`. */
export const rate = (n: number): string =>
  n < 10 ? String(Number(n.toPrecision(2))) : n < 999.5 || n >= 10_000 ? short(n) : `${(n / 1000).toFixed(1)}k`

/** `once`, `twice`, `3 times`. */
export const times = (n: number): string => (n === 1 ? "once" : n === 2 ? "twice" : `${integer(n)} times`)

/** `4.2s`, `3m 07s`, `1h 02m`. */
export const elapsed = (millis: number): string => {
  const seconds = millis / 1000
  if (seconds < 60) return `${seconds.toFixed(1)}s`
  const whole = Math.round(seconds)
  const two = (n: number) => String(n).padStart(2, "0")
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`
  return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`
}

/** `0:04`, `3:07`, `1h 02m`: for places where there is little room, and where it is drawn anew all the time. */
export const clock = (millis: number): string => {
  const seconds = Math.round(millis / 1000)
  return seconds < 3600
    ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`
    : elapsed(seconds * 1000)
}

/** `1 batch`, `2 batches`. */
export const plural = (n: number, one: string, many = `${one}s`): string => `${integer(n)} ${n === 1 ? one : many}`

/** Lines of a file: `data.ndjson:17` or `lines 17-20`. */
export const lines = (range: { readonly file?: string; readonly from: number; readonly to: number }): string => {
  const numbers =
    range.from === range.to ? `line ${integer(range.from)}` : `lines ${integer(range.from)}-${integer(range.to)}`
  return range.file === undefined ? numbers : `${range.file}, ${numbers}`
}

/** What moves the cursor, colours or hides text, or writes it backwards. */
const control = /[^\P{Cc}\n]|[\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu

/** A text of ours that may quote others: nothing in it can do anything to a terminal. Line ends stay. */
export const printable = (text: string): string => text.replace(control, "\ufffd")

/** As much of others' words as is shown. */
const longest = 300

/** What a service, a proxy or a system said, as a part of one line. */
export const quote = (text: string): string => fit(printable(text.replace(/\s+/g, " ").trim()), longest)

/** Breaks a line between words where it is wider than that; what follows is indented. */
export const wrap = (line: string, width: number): string => {
  const [first = "", ...words] = line.split(" ")
  let length = first.length
  return words.reduce((text, word) => {
    const fits = length + 1 + word.length <= width
    length = fits ? length + 1 + word.length : 2 + word.length
    return `${text}${fits ? " " : "\n  "}${word}`
  }, first)
}

/** Cuts a text to a width. */
export const fit = (text: string, width: number): string =>
  text.length <= width ? text : `${text.slice(0, Math.max(width - 1, 0))}…`
