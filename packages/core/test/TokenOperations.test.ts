import { AuthleteError, TokenBatch, TokenCreateRequest, TokenOperations } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"

const request = { grantType: "PASSWORD", clientId: 9007199254740993n, subject: "john" } as const
const use = <A, E>(f: (operations: TokenOperations.TokenOperations["Service"]) => Effect.Effect<A, E>) =>
  Effect.flatMap(TokenOperations.TokenOperations, f)

describe("TokenOperations", () => {
  it.effect("for tests: hands typed requests to createBatchEncoded, options and all", () => {
    const calls: Array<readonly [string, TokenOperations.CreateOptions | undefined]> = []
    const receipt = { requestId: TokenBatch.RequestId.make("r") }
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* use((o) => o.createBatch([request], { dryRun: true })), receipt)
      yield* use((o) => o.createBatch([]))
      assert.deepStrictEqual(calls, [
        ['[{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john"}]', { dryRun: true }],
        ["[]", undefined]
      ])
      const error = yield* Effect.flip(use((o) => o.createBatch([request, { ...request, subject: "" }])))
      assert.isTrue(error instanceof TokenCreateRequest.InvalidRequest)
      assert.deepInclude(error, { index: 1, field: "subject" })
      assert.strictEqual(calls.length, 2)
      assert.isTrue((yield* Effect.exit(use((o) => o.batchStatus(receipt.requestId))))._tag === "Failure")
    }).pipe(
      Effect.provide(
        TokenOperations.TokenOperations.layerTest({
          createBatchEncoded: (body, options) =>
            Effect.sync(() => {
              calls.push([new TextDecoder().decode(body), options])
              return receipt
            })
        })
      )
    )
  })

  it.effect("for tests: fails as it is told", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(use((o) => o.batchStatus(TokenBatch.RequestId.make("r"))))
      assert.deepInclude(error, { _tag: "RateLimited", status: 429 })
    }).pipe(
      Effect.provide(
        TokenOperations.TokenOperations.layerTest({
          batchStatus: () => Effect.fail(new AuthleteError.RateLimited({ status: 429 }))
        })
      )
    )
  )

  const env = { AUTHLETE_REGION: "us", AUTHLETE_SERVICE_ID: "1", AUTHLETE_BEARER: "b" }
  const client = Layer.succeed(
    HttpClient.HttpClient,
    HttpClient.make(() => Effect.die("no call was expected"))
  )
  const fromEnvironment = (env: Record<string, string>) =>
    use(() => Effect.void).pipe(
      Effect.provide(Layer.provide(TokenOperations.TokenOperations.layerConfig, client)),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
    )

  it.effect("takes everything from the environment", () => fromEnvironment(env))

  it.effect.each([
    ["AUTHLETE_REGION", "AUTHLETE_BASE_URL"],
    ["AUTHLETE_SERVICE_ID", "AUTHLETE_SERVICE_ID"],
    ["AUTHLETE_BEARER", "AUTHLETE_BEARER"]
  ] as const)("without %s it says what is missing", ([name, said]) => {
    const { [name]: _missing, ...rest } = env
    return Effect.map(Effect.flip(fromEnvironment(rest)), (error) => assert.include(error.message, said))
  })
})
