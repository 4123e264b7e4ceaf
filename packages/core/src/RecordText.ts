/** What `JSON.parse` does not tell of a text that it took. Of the few lines only that `RecordBytes` does not recognise. */

/** What was seen of a text of JSON. */
export interface Seen {
  /** How many objects and arrays are inside one another. */
  readonly depth: number
  /** The first name that stands twice in the outermost object: which of the two values counts is for nobody to say. */
  readonly repeated: string | undefined
}

/** Looks through a text that is JSON: one pass, without making values, and no deeper than a loop. */
export const look = (text: string): Seen => {
  const names = new Set<string>()
  let repeated: string | undefined
  let depth = 0
  let deepest = 0
  let isName = false
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case "{":
      case "[":
        deepest = Math.max(deepest, ++depth)
        isName = depth === 1
        break
      case "}":
      case "]":
        depth--
        break
      case ",":
        isName = depth === 1
        break
      case '"': {
        const start = at++
        while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1
        if (!isName) break
        isName = false
        const name: string = JSON.parse(text.slice(start, at + 1))
        if (names.has(name)) repeated ??= name
        names.add(name)
      }
    }
  }
  return { depth: deepest, repeated }
}
