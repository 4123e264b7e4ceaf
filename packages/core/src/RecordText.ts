/** What `JSON.parse` does not tell of a text that it took. Of the few lines only that `RecordBytes` does not recognise. */

const quote = 0x22
const comma = 0x2c
const openingBracket = 0x5b
const backslash = 0x5c
const closingBracket = 0x5d
const openingBrace = 0x7b
const closingBrace = 0x7d

/**
 * Looks through a text that is JSON, in one pass, without making values, and no deeper than a loop: gives how many objects and arrays are
 * inside one another.
 *
 * @param onName called with each name of the outermost object as it is written, its quotes included
 */
const look = (text: string, onName?: (written: string) => void): number => {
  let depth = 0
  let deepest = 0
  let isName = false
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      const start = at
      at = endOfString(text, at)
      if (isName) onName?.(text.slice(start, at + 1))
      isName = false
    } else if (code === comma) {
      isName = depth === 1
    } else if (code === openingBrace || code === openingBracket) {
      deepest = Math.max(deepest, ++depth)
      isName = depth === 1
    } else if (code === closingBrace || code === closingBracket) {
      depth--
    }
  }
  return deepest
}

/** Where the closing quote of a string stands. */
const endOfString = (text: string, start: number): number => {
  for (let end = start; ;) {
    end = text.indexOf('"', end + 1)
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === backslash) backslashes++
    if (backslashes % 2 === 0) return end
  }
}

/** Whether more objects and arrays are inside one another than that. */
export const isDeeperThan = (text: string, depth: number): boolean =>
  // Each takes two characters at least.
  text.length > 2 * depth && look(text) > depth

/** Whether a field stands twice in the outermost object. */
export const standsTwice = (text: string, name: string): boolean => {
  let count = 0
  look(text, (written) => {
    // It may be written with escapes.
    if (JSON.parse(written) === name) count++
  })
  return count > 1
}
