import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Random from "../src/Random.ts"

const Size = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))

describe("Random", () => {
  it.prop("shuffles: the same values, the same way each time", { seed: Schema.Int, size: Size }, ({ seed, size }) => {
    const values = Array.from({ length: size }, (_, i) => i)
    const shuffled = Random.shuffle(Random.make(seed), values)
    assert.deepStrictEqual(
      [...shuffled].sort((a, b) => a - b),
      values
    )
    assert.deepStrictEqual(Random.shuffle(Random.make(seed), values), shuffled)
  })

  it("tells seeds and streams apart", () => {
    const first = (seed: number, stream: number) => Random.make(seed, stream)()
    assert.strictEqual(new Set([first(1, 0), first(1, 1), first(1, 2), first(2, 0), first(2, 1)]).size, 5)
  })

  it.prop("stays below its bound", { seed: Schema.Int, bound: Size }, ({ bound, seed }) => {
    const random = Random.make(seed)
    for (let i = 0; i < 100; i++) {
      const n = Random.below(random, bound + 1)
      assert.isTrue(Number.isInteger(n) && n >= 0 && n <= bound)
    }
  })
})
