import { Credentials } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const old = Redacted.make("old")

describe("Credentials", () => {
  it.effect("asks the source once for all that were refused together", () =>
    Effect.gen(function* () {
      let asked = 0
      // It takes a while, so that all others come while it is at work.
      const source = Effect.suspend(() => Effect.as(Effect.yieldNow, Redacted.make(`bearer-${++asked}`)))
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
    })
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

  it.effect.each([
    ["abc\n", "abc"],
    [" abc ", "abc"],
    ["", "is not set"],
    [" \n", "is not set"],
    ["two words", "more than a bearer"],
    ["two\nlines", "more than a bearer"],
    ["schlüssel", "more than a bearer"]
  ] as const)("takes %j from the environment for %j", ([value, expected]) =>
    Effect.gen(function* () {
      const provider = ConfigProvider.fromEnv({ env: { AUTHLETE_BEARER: value } })
      const got = yield* Effect.flatMap(Credentials.Credentials, ({ bearer }) => bearer).pipe(
        Effect.provide(Credentials.Credentials.layerConfig),
        Effect.provide(ConfigProvider.layer(provider)),
        Effect.match({ onSuccess: Redacted.value, onFailure: (error) => error.message })
      )
      assert.include(got, expected)
      if (got !== expected && value.trim() !== "") assert.notInclude(got, value.trim())
    })
  )

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

  it.effect("asks the source once for all calls, and again only for what was refused", () => {
    let asked = 0
    const source = Effect.sync(() => Redacted.make(`bearer-${++asked}`))
    return Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      for (let i = 0; i < 3; i++) assert.strictEqual(Redacted.value(yield* credentials.bearer), "bearer-1")
      assert.strictEqual(asked, 1)
      const second = yield* credentials.fresh(Redacted.make("bearer-1"))
      assert.strictEqual(Redacted.value(second), "bearer-2")
      // A call that was under way with the first one is refused later: there is another already.
      assert.strictEqual(Redacted.value(yield* credentials.fresh(Redacted.make("bearer-1"))), "bearer-2")
      assert.strictEqual(asked, 2)
      assert.strictEqual(Redacted.value(yield* credentials.fresh(second)), "bearer-3")
    }).pipe(Effect.provide(Credentials.Credentials.layerEffect(source)))
  })

  it.effect("keeps the bearer where the source dies, and asks again the next time", () => {
    let asked = 0
    const source = Effect.suspend(() =>
      ++asked === 2 ? Effect.die(new Error("a bug")) : Effect.succeed(Redacted.make(`bearer-${asked}`))
    )
    return Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      const first = yield* credentials.bearer
      assert.strictEqual(Redacted.value(yield* credentials.fresh(first)), "bearer-1")
      assert.strictEqual(Redacted.value(yield* credentials.fresh(first)), "bearer-3")
    }).pipe(Effect.provide(Credentials.Credentials.layerEffect(source)))
  })

  it.effect("does not leave the others waiting when one that asked is interrupted", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      let count = 0
      const source = Effect.suspend(() =>
        ++count === 2
          ? Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
          : Effect.succeed(Redacted.make(`bearer-${count}`))
      )
      yield* Effect.gen(function* () {
        const credentials = yield* Credentials.Credentials
        const first = yield* credentials.bearer
        const fiber = yield* Effect.forkChild(credentials.fresh(first))
        yield* Deferred.await(asked)
        const other = yield* Effect.forkChild(credentials.fresh(first))
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(Redacted.value(yield* Fiber.join(other)), "bearer-3")
      }).pipe(Effect.provide(Credentials.Credentials.layerEffect(source)))
    })
  )

  it.effect("fails where the first bearer cannot be had", () =>
    Effect.gen(function* () {
      const layer = Credentials.Credentials.layerEffect(Effect.fail("away" as const))
      const error = yield* Effect.flip(Effect.provide(Credentials.Credentials, layer).pipe(Effect.asVoid))
      assert.strictEqual(error, "away")
    })
  )

  it.effect("keeps the bearer where the file has gone bad", () => {
    let content = "first"
    const fs = FileSystem.layerNoop({ readFileString: () => Effect.succeed(content) })
    return Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      content = ""
      assert.strictEqual(Redacted.value(yield* credentials.fresh(yield* credentials.bearer)), "first")
    }).pipe(Effect.provide(Credentials.Credentials.layerFile("bearer.txt").pipe(Layer.provide(fs))))
  })

  it.effect("takes the bearer from the environment, and says its name where it is missing", () =>
    Effect.gen(function* () {
      const from = (env: Record<string, string>) =>
        Effect.provide(
          Effect.flatMap(Credentials.Credentials, (credentials) => credentials.bearer),
          Credentials.Credentials.layerConfig
        ).pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env)))
      const bearer = yield* from({ AUTHLETE_BEARER: "from-env" })
      assert.strictEqual(Redacted.value(bearer), "from-env")
      assert.notInclude(JSON.stringify(bearer) + String(bearer), "from-env")
      assert.match((yield* Effect.flip(from({}))).message, /^AUTHLETE_BEARER: is not set: give /)
    })
  )

  it.effect("never changes one that was given", () =>
    Effect.gen(function* () {
      const credentials = yield* Credentials.Credentials
      assert.strictEqual(yield* credentials.bearer, old)
      assert.strictEqual(yield* credentials.fresh(old), old)
    }).pipe(Effect.provide(Credentials.Credentials.layer(old)))
  )
})
