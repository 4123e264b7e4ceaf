import { AuthleteError, type TokenBatch, TokenOperations, type TokenCreateRequest } from "@tokenbatch/core"
import { Ledger, Sandbox, type SandboxOptions } from "@tokenbatch/sandbox"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const request = (n: number): TokenCreateRequest.TokenCreateRequest => ({
  grantType: "AUTHORIZATION_CODE",
  clientId: 1,
  subject: `user-${n}`,
  accessToken: Redacted.make(`access-${n}`),
  refreshToken: Redacted.make(`refresh-${n}`)
})

/** Runs a test against a sandbox of its own. */
const against = <A, E>(
  input: SandboxOptions.Input,
  use: (operations: TokenOperations.TokenOperations["Service"], ledger: Ledger.Ledger["Service"]) => Effect.Effect<A, E>
) =>
  Effect.gen(function* () {
    return yield* use(yield* TokenOperations.TokenOperations, yield* Ledger.Ledger)
  }).pipe(
    Effect.provide(
      TokenOperations.TokenOperations.layer.pipe(
        Layer.provide(Sandbox.Sandbox.layerClient),
        Layer.provide(NodeHttpClient.layerUndici),
        Layer.provideMerge(Sandbox.Sandbox.layer({ setupTime: "1 millis", ...input }))
      )
    )
  )

const outcome = (operations: TokenOperations.TokenOperations["Service"], requestId: TokenBatch.RequestId) =>
  Effect.gen(function* () {
    for (let i = 0; i < 200; i++) {
      const status = yield* operations.batchStatus(requestId)
      if (status.state !== "Running") return status
      yield* Effect.sleep(5)
    }
    return yield* Effect.die("the batch has no result")
  })

const create = (
  operations: TokenOperations.TokenOperations["Service"],
  numbers: ReadonlyArray<number>,
  options?: TokenOperations.CreateOptions
) =>
  Effect.flatMap(operations.createBatch(numbers.map(request), options), ({ requestId }) =>
    outcome(operations, requestId)
  )

describe("Sandbox", () => {
  it.live("works on a batch later, and knows what it created", () =>
    against({ setupTime: "60 millis" }, (operations, ledger) =>
      Effect.gen(function* () {
        const { requestId } = yield* operations.createBatch([request(1), request(2)])
        const running = yield* operations.batchStatus(requestId)
        assert.deepInclude(running, { state: "Running", batchKind: "CREATE" })
        assert.isUndefined(running.result)
        assert.deepInclude(yield* outcome(operations, requestId), { state: "Succeeded", tokenCount: 2 })
        assert.strictEqual(yield* ledger.size, 2)
        assert.deepStrictEqual(yield* ledger.requestOf("access-1"), Option.some<string>(requestId))
        assert.deepStrictEqual(yield* ledger.requestOf("access-9"), Option.none())
      })
    )
  )

  it.live.each([
    ["prefix", 3],
    ["atomic", 1]
  ] as const)("fails a batch at a value that exists, and leaves what %s says", ([failureMode, left]) =>
    against({ failureMode }, (operations, ledger) =>
      Effect.gen(function* () {
        assert.deepInclude(yield* create(operations, [3]), { state: "Succeeded" })
        const failed = yield* create(operations, [1, 2, 3, 4])
        assert.deepInclude(failed, { state: "Failed", tokenCount: 2, errorCode: "SBX500001" })
        assert.notInclude(JSON.stringify(failed), "access-3")
        assert.strictEqual(yield* ledger.size, left)
        assert.deepInclude(yield* create(operations, [7, 8, 7]), { state: "Failed" }, "the same value twice in a batch")
      })
    )
  )

  it.live("creates nothing in a dry run, and reports as a real one would, or without looking at what exists", () =>
    Effect.gen(function* () {
      yield* against({}, (operations, ledger) =>
        Effect.gen(function* () {
          assert.deepInclude(yield* create(operations, [1], { dryRun: true }), { state: "Succeeded" })
          assert.strictEqual(yield* ledger.size, 0)
          yield* create(operations, [1])
          assert.deepInclude(yield* create(operations, [1], { dryRun: true }), { state: "Failed" })
        })
      )
      yield* against({ dryRunChecksExisting: false }, (operations) =>
        Effect.gen(function* () {
          yield* create(operations, [1])
          assert.deepInclude(yield* create(operations, [1], { dryRun: true }), { state: "Succeeded" })
        })
      )
    })
  )

  it.live("fails a batch at a scope that is not supported", () =>
    against({ supportedScopes: ["openid"] }, (operations) =>
      Effect.gen(function* () {
        const { requestId } = yield* operations.createBatch([{ ...request(1), scopes: ["openid", "email"] }])
        assert.deepInclude(yield* outcome(operations, requestId), { state: "Failed", errorCode: "SBX500002" })
      })
    )
  )

  it.live("refuses what the service would refuse", () =>
    Effect.gen(function* () {
      const { baseUrl } = yield* Sandbox.Sandbox
      const call = (path: string, init: RequestInit) => Effect.promise(() => fetch(`${baseUrl}${path}`, init))
      const batch = "/api/s/auth/token/create/batch"
      const post = (body: string, bearer = "b", path = batch) =>
        Effect.flatMap(
          call(path, { method: "POST", body, headers: { authorization: `Bearer ${bearer}` } }),
          (response) =>
            Effect.promise(
              async () => [response.status, JSON.parse((await response.text()) || "{}").resultCode] as const
            )
        )
      assert.deepStrictEqual(yield* post("[]", "wrong"), [401, "SBX401001"])
      assert.deepStrictEqual(yield* post("[]", "b", "/api/other/auth/token/create/batch"), [403, "SBX403001"])
      assert.deepStrictEqual(yield* post("{"), [400, "SBX400001"])
      assert.deepStrictEqual(yield* post("{}"), [400, "SBX400002"])
      assert.deepStrictEqual(yield* post('[{"grantType":"PASSWORD"}]'), [400, "SBX400003"])
      assert.strictEqual((yield* post('[{"grantType":"CLIENT_CREDENTIALS","clientId":1,"brandNew":1}]'))[0], 200)
      assert.strictEqual((yield* post("[]"))[0], 200)
      const unknown = yield* call(`${batch}/status/nope`, { headers: { authorization: "Bearer b" } })
      assert.strictEqual(unknown.status, 400)
    }).pipe(Effect.provide(Sandbox.Sandbox.layer({ bearer: Redacted.make("b"), serviceId: "s" })))
  )

  it.live("refuses a body that is too large with 413", () =>
    against({ maxBodySize: 200 }, (operations) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(operations.createBatch([1, 2, 3, 4].map(request)))
        assert.strictEqual(AuthleteError.code(error as AuthleteError.AuthleteError), "HTTP 413")
      })
    )
  )

  it.live("writes its ledger to a file that only its owner reads", () => {
    const folder = mkdtempSync(join(tmpdir(), "tokenbatch-"))
    const ledgerFile = join(folder, "ledger.ndjson")
    writeFileSync(ledgerFile, "what was there", { mode: 0o644 })
    return against({ ledgerFile }, (operations) => create(operations, [1, 2])).pipe(
      Effect.map(() => {
        const lines = readFileSync(ledgerFile, "utf8")
          .trimEnd()
          .split("\n")
          .map((text) => JSON.parse(text))
        assert.deepStrictEqual(
          lines.map(({ tokenHash }) => tokenHash),
          ["access-1", "access-2"].map(Ledger.hashOf)
        )
        assert.strictEqual(new Set(lines.map(({ requestId }) => requestId)).size, 1)
        assert.strictEqual(statSync(ledgerFile).mode & 0o777, 0o600)
      }),
      Effect.ensuring(Effect.sync(() => rmSync(folder, { recursive: true })))
    )
  })
})
