/** Numbers that look random and come from a seed: the same seed draws the same scenario, on every machine. */
import * as Random from "@tokenbatch/sandbox/Random"

export interface Dice {
  /** A whole number from `least` to `most`, both included. */
  readonly between: (least: number, most: number) => number
  /** True in a share of all cases. */
  readonly chance: (share: number) => boolean
  readonly pick: <A>(choices: ReadonlyArray<A>) => A
  /** Characters of base64url. */
  readonly text: (length: number) => string
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** @param concern tells dice of one seed apart, so that what one part draws does not change another */
export const make = (seed: number, concern: number): Dice => {
  const random = Random.make(seed, concern)
  return {
    between: (least, most) => least + Random.below(random, most - least + 1),
    chance: (share) => Random.fraction(random) < share,
    pick: (choices) => choices[Random.below(random, choices.length)]!,
    text: (length) => Array.from({ length }, () => alphabet[Random.below(random, 64)]).join("")
  }
}
