/**
 * An Authlete stand-in on a loopback socket: core's `HttpApi`, served.
 *
 * It accepts batches, works on them later, and keeps a {@link Ledger} of what it created. It behaves as far as is published of the
 * real service; where nothing is, the options choose. The create endpoint reads its body raw: decoding it value by value through the
 * schema costs four times as much, and the sandbox must not be what a client waits for.
 *
 * What it is to do wrong is a `FaultPlan`; how much it takes, and how fast, is bounded by `Limits`. Told an endpoint, it says there when a
 * batch has ended (`Notifications`). With a state file (`StateFile`) it goes on from where it was, however it ended.
 */
import { AuthleteConfig, Credentials, TokenOperationsApi } from "@tokenbatch/core"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { createServer } from "node:http"
import { BatchWorkers } from "./BatchWorkers.ts"
import { Faults } from "./Faults.ts"
import * as FaultyAnswers from "./FaultyAnswers.ts"
import { Ledger, type LedgerError } from "./Ledger.ts"
import * as Limits from "./Limits.ts"
import { Notifications } from "./Notifications.ts"
import * as SandboxOptions from "./SandboxOptions.ts"
import * as ServiceRules from "./ServiceRules.ts"
import { StateFile, type StateError } from "./StateFile.ts"

const { Authorization, TokenOperationsApi: Api, makeApiError } = TokenOperationsApi

/** Where a running sandbox is, and what it takes to call it. */
export class Sandbox extends Context.Service<
  Sandbox,
  {
    readonly baseUrl: string
    readonly serviceId: string
    readonly bearer: Redacted.Redacted
  }
>()("@tokenbatch/sandbox/Sandbox") {
  /** A sandbox that runs as long as the layer's scope. Its ledger can be read, and what became of its notifications. */
  static readonly layer = (
    input: SandboxOptions.Input = {}
  ): Layer.Layer<Sandbox | Ledger | Notifications, LedgerError | StateError | HttpServerError.ServeError> =>
    Layer.suspend(() => {
      const options = SandboxOptions.make(input)
      return described(options).pipe(
        Layer.provide(HttpRouter.serve(routes(options), { disableLogger: true, disableListenLog: true })),
        Layer.provideMerge(server(options)),
        Layer.provide([BatchWorkers.layer(options), Limits.Limits.layer(options.rateLimit)]),
        Layer.provideMerge([Ledger.layer(options.ledgerFile), Notifications.layer(options)]),
        // Read before the ledger is written over: where the state cannot be used, nothing has been touched.
        Layer.provide([Faults.layer(options.faults), StateFile.layer(options)])
      )
    })

  /** The settings and credentials of a client of the running sandbox. */
  static readonly layerClient: Layer.Layer<
    AuthleteConfig.AuthleteConfig | Credentials.Credentials,
    AuthleteConfig.InvalidSetting,
    Sandbox
  > = Layer.unwrap(
    Effect.map(Sandbox, ({ baseUrl, bearer, serviceId }) =>
      Layer.merge(AuthleteConfig.AuthleteConfig.layer({ baseUrl, serviceId }), Credentials.Credentials.layer(bearer))
    )
  )
}

const described = (options: SandboxOptions.SandboxOptions) =>
  Layer.effect(
    Sandbox,
    Effect.map(HttpServer.HttpServer, ({ address }) =>
      Sandbox.of({
        baseUrl: `http://127.0.0.1:${"port" in address ? address.port : options.port}`,
        serviceId: options.serviceId,
        bearer: Redacted.make(options.bearer, { label: "bearer" })
      })
    )
  )

const server = (options: SandboxOptions.SandboxOptions) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const faults = yield* Faults
      const node = createServer({ keepAliveTimeout: 60_000 })
      node.prependListener("connection", (socket) => {
        if (faults.ofConnection()) socket.resetAndDestroy()
      })
      // A client keeps its connections; they must not keep the sandbox.
      yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
      return NodeHttpServer.layer(() => node, {
        port: options.port,
        host: "127.0.0.1",
        gracefulShutdownTimeout: "1 millis"
      })
    })
  )

const authorization = (options: SandboxOptions.SandboxOptions) =>
  Layer.succeed(Authorization, {
    bearer: (httpEffect, { credential }) =>
      Effect.gen(function* () {
        if (Redacted.value(credential) !== options.bearer) {
          return yield* Effect.fail(makeApiError(401, "SBX401001", "[SBX401001] The access token is missing or wrong."))
        }
        const request = yield* HttpServerRequest.HttpServerRequest
        if (request.url.split("/")[2] !== encodeURIComponent(options.serviceId)) {
          return yield* Effect.fail(
            makeApiError(403, "SBX403001", "[SBX403001] The access token has no privilege for the service.")
          )
        }
        return yield* httpEffect
      })
  })

const handlers = (options: SandboxOptions.SandboxOptions) =>
  HttpApiBuilder.group(
    Api,
    "tokenOperations",
    Effect.fnUntraced(function* (handlers) {
      const workers = yield* BatchWorkers
      const faults = yield* Faults
      const limits = yield* Limits.Limits
      const scope = yield* Effect.scope
      return handlers
        .handleRaw("createBatch", ({ query, request }) =>
          Effect.gen(function* () {
            if (faults.ofHeaders("create")) return yield* FaultyAnswers.reset(request)
            // Read even what is refused, so that the client gets to read the answer.
            const body = yield* Effect.mapError(request.text, () =>
              makeApiError(400, "SBX400005", "[SBX400005] The request body could not be read to its end.")
            )
            yield* limits.ofCall("create")
            const bytes = Buffer.byteLength(body)
            if (bytes > options.maxBodySize) return HttpServerResponse.text("Content Too Large", { status: 413 })
            const read = ServiceRules.read(body)
            if (Result.isFailure(read)) {
              return yield* Effect.fail(makeApiError(400, read.failure.code, read.failure.message))
            }
            const records = read.success
            const honest = Effect.map(workers.accept(records, query.dryRun === true), (requestId) =>
              HttpServerResponse.jsonUnsafe(FaultyAnswers.accepted(requestId))
            )
            const fault = faults.ofCreate({ bytes, records })
            return yield* FaultyAnswers.answer(fault, { request, body, honest, scope })
          }).pipe(Effect.catchTag("LimitReached", Limits.answer))
        )
        .handleRaw("batchStatus", ({ params, request }) =>
          Effect.gen(function* () {
            if (faults.ofHeaders("status")) return yield* FaultyAnswers.reset(request)
            yield* limits.ofCall("status")
            const honest = Effect.gen(function* () {
              const status = yield* workers.status(params.tokenBatchRequestId)
              if (status === undefined) {
                return yield* Effect.fail(makeApiError(400, "SBX400004", "[SBX400004] No batch has this request ID."))
              }
              return HttpServerResponse.jsonUnsafe({
                resultCode: "SBX200002",
                resultMessage: "[SBX200002] The status of the batch.",
                status
              })
            })
            return yield* FaultyAnswers.answer(faults.ofStatus(), { request, body: "", honest, scope })
          }).pipe(Effect.catchTag("LimitReached", Limits.answer))
        )
    })
  )

const routes = (options: SandboxOptions.SandboxOptions) =>
  HttpApiBuilder.layer(Api).pipe(Layer.provide(handlers(options)), Layer.provide(authorization(options)))
