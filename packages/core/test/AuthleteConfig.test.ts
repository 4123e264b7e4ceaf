import { AuthleteConfig, Credentials } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

const make = (settings: Partial<AuthleteConfig.Settings>) =>
  AuthleteConfig.make({ baseUrl: "https://us.authlete.com", serviceId: "1", ...settings })

const fromEnvironment = (env: Record<string, string>, overrides?: Partial<AuthleteConfig.Settings>) =>
  Effect.gen(function* () {
    return yield* AuthleteConfig.AuthleteConfig
  }).pipe(
    Effect.provide(AuthleteConfig.AuthleteConfig.layerConfig(overrides)),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
  )

describe("AuthleteConfig", () => {
  it.effect.each([
    "https://us.authlete.com/",
    "https://host:8443/prefix//",
    "http://127.0.0.1:8080",
    "http://localhost",
    "http://[::1]:1",
    "http://127.255.0.9",
    "HTTP://LocalHost:8080",
    "http://service.localhost"
  ])("takes %s", (baseUrl) => Effect.map(make({ baseUrl }), (config) => assert.isFalse(config.baseUrl.endsWith("/"))))

  it.effect.each([
    ["http://example.com", "unencrypted"],
    ["http://localhost.example.com", "unencrypted"],
    ["http://127.0.0.1.example.com", "unencrypted"],
    ["http://example.com/localhost", "unencrypted"],
    ["http://localhost@example.com", "user name or password"],
    ["http://[::2]", "unencrypted"],
    ["http://0.0.0.0", "unencrypted"],
    ["http://10.127.0.1", "unencrypted"],
    ["https://example.com/#a", "before any ?"],
    ["", "is not a URL"],
    ["ftp://example.com", "https://"],
    ["us.authlete.com", "is not a URL"],
    ["https://user:pass@example.com", "user name or password"],
    ["https://example.com/?a=b", "before any ?"]
  ] as const)("refuses %s", ([baseUrl, reason]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(make({ baseUrl }))
      assert.include(error.message, reason)
      assert.notInclude(error.message, "pass@")
    })
  )

  it.effect("lets http:// through where it is asked for", () =>
    make({ baseUrl: "http://example.com", allowInsecure: true })
  )

  it.effect("keeps a path, and takes slashes off the end", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* make({ baseUrl: "https://h:8443/a/b//" })).baseUrl, "https://h:8443/a/b")
      assert.strictEqual((yield* make({ baseUrl: "https://us.authlete.com" })).baseUrl, "https://us.authlete.com")
    })
  )

  it.effect("waits a minute for an answer, or as long as it is told", () =>
    Effect.gen(function* () {
      assert.strictEqual(Duration.toMillis((yield* make({})).requestTimeout), 60_000)
      assert.strictEqual(Duration.toMillis((yield* make({ requestTimeout: "3 seconds" })).requestTimeout), 3000)
      const error = yield* Effect.flip(make({ requestTimeout: 0 }))
      assert.strictEqual(error.message, "request timeout: must be more than zero")
    })
  )

  it.effect("knows all regions", () =>
    Effect.forEach(["us", "jp", "eu", "br"] as const, (region) =>
      Effect.map(fromEnvironment({ AUTHLETE_SERVICE_ID: "1", AUTHLETE_REGION: region }), ({ baseUrl }) =>
        assert.strictEqual(baseUrl, `https://${region}.authlete.com`)
      )
    )
  )

  it.effect("takes no name of an object's own for a region", () =>
    Effect.map(Effect.flip(fromEnvironment({ AUTHLETE_SERVICE_ID: "1", AUTHLETE_REGION: "constructor" })), (error) =>
      assert.strictEqual(error.message, "AUTHLETE_REGION: expected us, jp, eu or br")
    )
  )

  it.effect("does not look up what it is told", () =>
    Effect.gen(function* () {
      const told = { baseUrl: "https://own.example.com", serviceId: "7" }
      const config = yield* fromEnvironment({ AUTHLETE_REGION: "mars" }, told)
      assert.deepStrictEqual([config.baseUrl, config.serviceId], [told.baseUrl, told.serviceId] as Array<string>)
      const half = yield* fromEnvironment({ AUTHLETE_SERVICE_ID: "42", AUTHLETE_REGION: "eu" }, { serviceId: "7" })
      assert.deepStrictEqual([half.baseUrl, half.serviceId], ["https://eu.authlete.com", "7"] as Array<string>)
    })
  )

  it.effect("checks what the environment holds, too", () =>
    Effect.gen(function* () {
      const env = { AUTHLETE_BASE_URL: "http://example.com", AUTHLETE_SERVICE_ID: "1" }
      assert.include((yield* Effect.flip(fromEnvironment(env))).message, "unencrypted")
      assert.strictEqual((yield* fromEnvironment(env, { allowInsecure: true })).baseUrl, "http://example.com")
      const empty = yield* Effect.flip(fromEnvironment({ ...env, AUTHLETE_SERVICE_ID: "" }, { allowInsecure: true }))
      assert.match(empty.message, /service id|AUTHLETE_SERVICE_ID/)
    })
  )

  it.effect.each(["", "a b", "a/b", "a?b", "a#b", "a\n", ".", ".."])("refuses the service id %j", (serviceId) =>
    Effect.flip(make({ serviceId }))
  )

  it.effect("reads the environment: a base URL, or else a region", () =>
    Effect.gen(function* () {
      const id = { AUTHLETE_SERVICE_ID: "42" }
      assert.strictEqual((yield* fromEnvironment({ ...id, AUTHLETE_REGION: "jp" })).baseUrl, "https://jp.authlete.com")
      const both = yield* fromEnvironment({
        ...id,
        AUTHLETE_REGION: "jp",
        AUTHLETE_BASE_URL: "https://own.example.com"
      })
      assert.strictEqual(both.baseUrl, "https://own.example.com")
      assert.strictEqual(both.serviceId, "42")
      for (const [env, name] of [
        [id, "AUTHLETE_BASE_URL"],
        [{ AUTHLETE_REGION: "jp" }, "AUTHLETE_SERVICE_ID"],
        [{ ...id, AUTHLETE_REGION: "mars" }, "AUTHLETE_REGION"]
      ] as const) {
        const error = yield* Effect.flip(fromEnvironment(env))
        assert.include(error.message, name)
      }
    })
  )

  it.effect("names all that is not set at once, and what to give", () =>
    Effect.gen(function* () {
      const missing = (env: Record<string, string>, overrides: Partial<AuthleteConfig.Settings> = {}) =>
        Effect.flip(
          Effect.provide(
            Effect.asVoid(AuthleteConfig.AuthleteConfig),
            AuthleteConfig.AuthleteConfig.layerConfig(overrides, [Credentials.bearerSetting])
          )
        ).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env)),
          Effect.map(({ message }) => message)
        )
      const baseUrl = "the base URL, or AUTHLETE_REGION (us, jp, eu or br)"
      const serviceId = "the id of the service whose tokens are to be created"
      const bearer = "a service access token or an organization token"
      assert.strictEqual(
        yield* missing({}),
        `AUTHLETE_BASE_URL, AUTHLETE_SERVICE_ID, AUTHLETE_BEARER: are not set. AUTHLETE_BASE_URL is ${baseUrl}; AUTHLETE_SERVICE_ID is ${serviceId}; AUTHLETE_BEARER is ${bearer}`
      )
      assert.strictEqual(
        yield* missing({ AUTHLETE_BEARER: "b" }, { serviceId: "1" }),
        `AUTHLETE_BASE_URL: is not set: give ${baseUrl}`
      )
      assert.strictEqual(
        yield* missing({ AUTHLETE_REGION: "us", AUTHLETE_SERVICE_ID: "1" }),
        `AUTHLETE_BEARER: is not set: give ${bearer}`
      )
      assert.strictEqual(
        (yield* Effect.flip(fromEnvironment({}))).message,
        `AUTHLETE_BASE_URL, AUTHLETE_SERVICE_ID: are not set. AUTHLETE_BASE_URL is ${baseUrl}; AUTHLETE_SERVICE_ID is ${serviceId}`
      )
    })
  )

  it.effect("is reported in one line, without a place in this library", () =>
    Effect.map(Effect.exit(fromEnvironment({})), (exit) => {
      assert.isTrue(Exit.isFailure(exit))
      if (Exit.isFailure(exit)) assert.match(Cause.pretty(exit.cause), /^InvalidSetting: AUTHLETE_BASE_URL, .*$/)
    })
  )
})
