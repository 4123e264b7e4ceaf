/** Seeded draws of service times: the same seed gives the same ones, whoever asks. */

/** How service times are spread about their mean. */
export type Shape =
  | { readonly _tag: "Fixed" }
  | { readonly _tag: "Lognormal"; readonly sigma: number }
  /** 80 % at x, 20 % at 4 x. */
  | { readonly _tag: "Bimodal" }

/** Numbers in [0, 1). */
type Uniform = () => number

/** A small fast generator (sfc32). */
export const uniform = (seed: number): Uniform => {
  let a = 0x9e3779b9 ^ seed
  let b = 0x243f6a88
  let c = 0xb7e15162 ^ (seed << 7)
  let count = 1
  const next = () => {
    const sum = (a + b + count++) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }
  for (let i = 0; i < 16; i++) next()
  return next
}

/** Draws with a mean of 1. */
export const unitDraws = (shape: Shape, seed: number): (() => number) => {
  const random = uniform(seed)
  switch (shape._tag) {
    case "Fixed":
      return () => 1
    case "Lognormal": {
      const { sigma } = shape
      return () => {
        const z = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
        return Math.exp(sigma * z - (sigma * sigma) / 2)
      }
    }
    case "Bimodal":
      return () => (random() < 0.8 ? 1 : 4) / 1.6
  }
}
