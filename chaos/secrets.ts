/**
 * Looks for token values in what was written: whole, and in pieces of eight characters, since a text that quotes a request may have been
 * cut anywhere. Values that hold other characters are looked for in their plain stretches, however the others were written.
 */
const piece = 8
const plain = /[A-Za-z0-9_-]{8,}/g

/** Gives the pieces of secrets that texts hold, without telling them. */
export const finder = (secrets: ReadonlyArray<string>) => {
  const pieces = new Map<string, number>()
  for (const [i, secret] of secrets.entries()) {
    for (const [stretch] of secret.matchAll(plain)) {
      for (let at = 0; at + piece <= stretch.length; at++) pieces.set(stretch.slice(at, at + piece), i)
    }
  }
  const seen = new Map<string, boolean>()
  const holds = (stretch: string): boolean => {
    for (let at = 0; at + piece <= stretch.length; at++) if (pieces.has(stretch.slice(at, at + piece))) return true
    return false
  }
  return (text: string): ReadonlyArray<string> => {
    const found = new Set<string>()
    for (const match of text.matchAll(plain)) {
      const [stretch] = match
      let isSecret = seen.get(stretch)
      if (isSecret === undefined) seen.set(stretch, (isSecret = holds(stretch)))
      if (isSecret) found.add(text.slice(Math.max(0, match.index - 40), match.index + stretch.length + 10))
    }
    return [...found]
  }
}
