import { Credentials } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const old = Redacted.make("old")

describe("Credentials", () => {
  it.effect("asks the source once for all that were refused together", () =>
    Effect.gen(function* () {
      let asked = 0
      const source = Effect.suspend(() =>
        Effect.delay(
          Effect.sync(() => Redacted.make(`bearer-${++asked}`)),
          0
        )
      )
      yield* Effect.gen(function* () {
        const credentials = yield* Credentials.Credentials
        const first = yield* credentials.bearer
        const fresh = yield* Effect.forEach(Array.from({ length: 16 }), () => credentials.fresh(first), {
          concurrency: 16
        })
        assert.deepStrictEqual([...new Set(fresh.map((b) => Redacted.value(b)))], ["bearer-2"])
        assert.strictEqual(Redacted.value(yield* credentials.bearer), "bearer-2")
      }).pipe(Effect.provide(Credentials.Credentials.layerEffect(source)))
      assert.strictEqual(asked, 2)
    }).pipe(Effect.scoped, (effect) => Effect.andThen(Effect.void, effect))
  )

  it.effect("keeps the bearer when the source fails later", () => {
    let asked = 0
    const source = Effect.suspend(() =>
      ++asked === 1 ? Effect.succeed(old) : Effect.fail("the token endpoint is away")
    )
    return Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      assert.strictEqual(Redacted.value(yield* credentials.fresh(old)), "old")
    }).pipe(Effect.provide(Credentials.Credentials.layerEffect(source)))
  })

  it.effect("reads a file again after it was refused, and says what is wrong with one", () => {
    let content = " first \n"
    const fs = FileSystem.layerNoop({ readFileString: () => Effect.succeed(content) })
    const layer = Credentials.Credentials.layerFile("bearer.txt").pipe(Layer.provide(fs))
    return Effect.gen(function* () {
      yield* Effect.gen(function* () {
        const credentials = yield* Credentials.Credentials
        const first = yield* credentials.bearer
        assert.strictEqual(Redacted.value(first), "first")
        content = "second"
        assert.strictEqual(Redacted.value(yield* credentials.fresh(first)), "second")
      }).pipe(Effect.provide(layer))
      for (const bad of ["", "  \n", "two words", "two\nlines"]) {
        content = bad
        const error = yield* Effect.flip(
          Effect.provide(Credentials.Credentials, layer).pipe(Effect.andThen(Effect.void))
        )
        assert.include(error.message, "bearer.txt")
      }
    })
  })
})
