import { AuthleteConfig } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"

const make = (settings: Partial<AuthleteConfig.Settings>) =>
  AuthleteConfig.make({ baseUrl: "https://us.authlete.com", serviceId: "1", ...settings })

const fromEnvironment = (env: Record<string, string>) =>
  Effect.gen(function* () {
    return yield* AuthleteConfig.AuthleteConfig
  }).pipe(
    Effect.provide(AuthleteConfig.AuthleteConfig.layerConfig()),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
  )

describe("AuthleteConfig", () => {
  it.effect.each([
    "https://us.authlete.com/",
    "https://host:8443/prefix//",
    "http://127.0.0.1:8080",
    "http://localhost",
    "http://[::1]:1"
  ])("takes %s", (baseUrl) => Effect.map(make({ baseUrl }), (config) => assert.isFalse(config.baseUrl.endsWith("/"))))

  it.effect.each([
    ["http://example.com", "unencrypted"],
    ["http://localhost.example.com", "unencrypted"],
    ["http://127.0.0.1.example.com", "unencrypted"],
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

  it.effect.each(["", "a b", "a/b"])("refuses the service id %j", (serviceId) => Effect.flip(make({ serviceId })))

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
})
