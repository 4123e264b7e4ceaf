/** Numbers that look random and come from a seed: the same seed gives the same numbers, on every machine. */

/** Gives the next whole number from 0 to 2^32 - 1. */
export type Random = () => number

/** A small generator with good spread (sfc32, from PractRand). @param stream tells generators of one seed apart */
export const make = (seed: number, stream = 0): Random => {
  let a = 0x9e3779b9
  let b = 0x243f6a88 ^ stream
  let c = seed | 0
  let counter = 1
  const next = () => {
    const t = (a + b + counter++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + t
    c |= 0
    return t >>> 0
  }
  for (let i = 0; i < 16; i++) next()
  return next
}

/** A number from 0 up to, but not including, 1. */
export const fraction = (random: Random): number => random() / 2 ** 32

/** A whole number from 0 up to, but not including, a bound of 1 or more. */
export const below = (random: Random, bound: number): number => Math.floor(fraction(random) * bound)

/** The same values in another order (Fisher and Yates). */
export const shuffle = <A>(random: Random, values: ReadonlyArray<A>): Array<A> => {
  const shuffled = [...values]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const j = below(random, i + 1)
    const value = shuffled[i]!
    shuffled[i] = shuffled[j]!
    shuffled[j] = value
  }
  return shuffled
}
