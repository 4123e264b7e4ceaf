import { AuthleteConfig, Credentials, TokenBatch, TokenOperations } from "@tokenbatch/core"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net"

const bearer = "bearer-0123456789abcdef"
const token = "token-value-0123456789abcdef"
const request = {
  grantType: "PASSWORD",
  clientId: 9007199254740993n,
  subject: "john",
  accessToken: Redacted.make(token)
} as const
const body = `[{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"john","accessToken":"${token}"}]`

interface Call {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly headers: IncomingMessage["headers"]
  readonly body: string
}

const listen = (server: Server) =>
  Effect.acquireRelease(
    Effect.callback<number>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed((server.address() as AddressInfo).port)))
    }),
    () => Effect.sync(() => server.close())
  )

/** A server that answers each call as told, and the calls that it got. */
const serve = Effect.fnUntraced(function* (answer: (call: Call, response: ServerResponse, index: number) => void) {
  const calls: Array<Call> = []
  const server = createServer((incoming, response) => {
    let text = ""
    incoming.on("data", (chunk) => (text += chunk))
    incoming.on("end", () => {
      const call = { method: incoming.method, url: incoming.url, headers: incoming.headers, body: text }
      calls.push(call)
      answer(call, response, calls.length - 1)
    })
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
  return { calls, port: yield* listen(server) }
})

const json = (response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value))

const clients: ReadonlyArray<readonly [string, Layer.Layer<HttpClient.HttpClient>]> = [
  ["fetch", FetchHttpClient.layer],
  ["undici", NodeHttpClient.layerUndici]
]

describe.each(clients)("TokenOperations over %s", (_name, client) => {
  const withOperations = <A, E>(
    baseUrl: string,
    use: (operations: TokenOperations.TokenOperations["Service"]) => Effect.Effect<A, E>,
    credentials: Layer.Layer<Credentials.Credentials> = Credentials.Credentials.layer(Redacted.make(bearer))
  ) =>
    Effect.flatMap(TokenOperations.TokenOperations, use).pipe(
      Effect.provide(
        TokenOperations.TokenOperations.layer.pipe(
          Layer.provide(
            AuthleteConfig.AuthleteConfig.layer({ baseUrl, serviceId: "42", requestTimeout: "700 millis" })
          ),
          Layer.provide(credentials),
          Layer.provide(client)
        )
      )
    )
  const local = (port: number) => `http://127.0.0.1:${port}/prefix`

  it.live("sends what the service expects, digit for digit", () =>
    Effect.gen(function* () {
      const { calls, port } = yield* serve((call, response) =>
        call.method === "POST"
          ? json(response, 200, { resultCode: "A1", requestId: "r/1", brandNew: true })
          : json(response, 200, { status: { result: "SUCCEEDED", tokenCount: 1 } })
      )
      yield* withOperations(local(port), (operations) =>
        Effect.gen(function* () {
          const receipt = yield* operations.createBatch([request], { dryRun: true })
          assert.deepStrictEqual(receipt, { requestId: TokenBatch.RequestId.make("r/1"), resultCode: "A1" })
          assert.strictEqual((yield* operations.batchStatus(receipt.requestId)).state, "Succeeded")
        })
      )
      const [create, status] = calls
      assert.strictEqual(create?.url, "/prefix/api/42/auth/token/create/batch?dryRun=true")
      assert.strictEqual(create?.body, body)
      assert.strictEqual(create?.headers["content-type"], "application/json")
      assert.strictEqual(create?.headers.authorization, `Bearer ${bearer}`)
      assert.match(create?.headers["user-agent"] ?? "", /^tokenbatch\/\d+\.\d+\.\d+$/)
      assert.strictEqual(status?.url, "/prefix/api/42/auth/token/create/batch/status/r%2F1")
      assert.isUndefined(status?.headers["traceparent"])
    }).pipe(Effect.scoped)
  )

  const page = "<html><body>502 Bad Gateway</body></html>"
  it.live.each([
    ["a documented error", 400, JSON.stringify({ resultCode: "A1", resultMessage: "no" }), "ResultError", "A1: no"],
    ["a 500 with a result code", 500, JSON.stringify({ resultCode: "A2" }), "ResultError", "A2"],
    ["a 400 without one", 400, "{}", "UnexpectedResponse", "not a documented answer"],
    ["a proxy's page", 502, page, "UnexpectedResponse", "a page, perhaps a proxy's"],
    ["an empty 200", 200, "", "UnexpectedResponse", "an empty body"],
    ["a 200 that is no JSON", 200, "hello", "UnexpectedResponse", "not JSON"],
    ["a 200 with nonsense", 200, '{"requestId":7}', "UnexpectedResponse", "not as documented"],
    [
      "a 200 without requestId",
      200,
      '{"resultCode":"A1","requestId":null}',
      "UnexpectedResponse",
      "without a requestId"
    ],
    ["a 404", 404, page, "UnexpectedResponse", "a page"],
    ["a 429", 429, "slow down", "RateLimited", "HTTP 429"],
    ["a 503", 503, "", "UnexpectedResponse", "an empty body"],
    ["a body of more than 1 MiB", 200, "x".repeat(1024 * 1024 + 1), "UnexpectedResponse", "more than 1 MiB"]
  ] as const)("tells %s for what it is", ([, status, text, tag, message]) =>
    Effect.gen(function* () {
      const { port } = yield* serve((_, response) =>
        response.writeHead(status, { "content-type": "text/html" }).end(text)
      )
      const error = yield* withOperations(local(port), (operations) => Effect.flip(operations.createBatch([request])))
      assert.strictEqual(error._tag, tag)
      assert.include(error.message, message)
    }).pipe(Effect.scoped)
  )

  it.live("honours Retry-After of 503 and 429", () =>
    Effect.gen(function* () {
      const { port } = yield* serve((_, response, index) =>
        response.writeHead(index === 0 ? 503 : 429, { "retry-after": "7" }).end()
      )
      yield* withOperations(local(port), (operations) =>
        Effect.gen(function* () {
          for (const status of [503, 429] as const) {
            const error = yield* Effect.flip(operations.createBatch([request]))
            assert.deepInclude(error, { _tag: "RateLimited", status, retryAfter: 7000 })
          }
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("keeps no secret of what a server echoes, in errors and in spans", () =>
    Effect.gen(function* () {
      const { port } = yield* serve((call, response, index) => {
        const echo = `${call.headers.authorization} ${call.body}`
        if (index === 0) response.writeHead(502, { server: token, via: bearer }).end(`<html>${echo}`)
        else json(response, 400, { resultCode: "A1", resultMessage: `bad: ${echo} ${token.slice(0, 12)}...` })
      })
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* withOperations(local(port), (operations) =>
        Effect.gen(function* () {
          for (const tag of ["UnexpectedResponse", "ResultError"]) {
            const error = yield* Effect.flip(operations.createBatch([request]))
            assert.strictEqual(error._tag, tag)
            const shown = JSON.stringify(error) + error.message + String(error)
            for (const secret of [token, bearer, token.slice(0, 12)]) assert.notInclude(shown, secret)
            assert.include(shown, "<redacted>")
          }
        })
      ).pipe(Effect.withTracer(tracer))
      assert.isTrue(spans.some((span) => span.name === "TokenOperations.createBatch"))
      const written = spans
        .map((span) =>
          JSON.stringify([
            span.name,
            ...span.attributes,
            span.status._tag === "Ended" ? String((span.status.exit as { cause?: unknown }).cause) : ""
          ])
        )
        .join()
      for (const secret of [token, bearer]) assert.notInclude(written, secret)
    }).pipe(Effect.scoped)
  )

  it.live("does not follow a redirect, and takes the bearer nowhere", () =>
    Effect.gen(function* () {
      const target = yield* serve((_, response) => json(response, 200, { requestId: "elsewhere" }))
      const { port } = yield* serve((_, response, index) =>
        response.writeHead([302, 307, 308][index % 3]!, { location: `http://127.0.0.1:${target.port}/` }).end()
      )
      yield* withOperations(local(port), (operations) =>
        Effect.gen(function* () {
          for (const status of [302, 307, 308]) {
            const error = yield* Effect.flip(operations.createBatch([request]))
            assert.deepInclude(error, { _tag: "UnexpectedResponse", status })
          }
        })
      )
      assert.strictEqual(target.calls.length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("asks for a fresh bearer once after a 401, before that 401 counts", () =>
    Effect.gen(function* () {
      const { calls, port } = yield* serve((call, response) =>
        call.headers.authorization === "Bearer second"
          ? json(response, 200, { requestId: "r" })
          : json(response, 401, { resultCode: "A401" })
      )
      let given = 0
      const source = Effect.sync(() => Redacted.make(["first", "second", "third"][given++] ?? "last"))
      yield* withOperations(
        local(port),
        (operations) => operations.createBatch([request]),
        Credentials.Credentials.layerEffect(source)
      )
      assert.deepStrictEqual(
        calls.map((call) => call.headers.authorization),
        ["Bearer first", "Bearer second"]
      )
      assert.deepStrictEqual(
        calls.map((call) => call.body),
        [body, body]
      )
      const error = yield* withOperations(local(port), (operations) => Effect.flip(operations.createBatch([request])))
      assert.deepInclude(error, { _tag: "ResultError", status: 401, resultCode: "A401" })
      assert.strictEqual(calls.length, 3)
    }).pipe(Effect.scoped)
  )

  const tcp = (onConnection: (socket: Socket) => void) => listen(createTcpServer(onConnection))
  const fails = (baseUrl: string) =>
    withOperations(baseUrl, (operations) => Effect.flip(operations.createBatch([request])))

  it.live("knows what was certainly not sent", () =>
    Effect.gen(function* () {
      const gone = yield* Effect.scoped(tcp(() => {}))
      const refused = yield* fails(local(gone))
      assert.deepInclude(refused, { _tag: "TransportError", code: "ECONNREFUSED", sent: false })
      const unnamed = yield* fails("https://tokenbatch.invalid")
      assert.deepInclude(unnamed, { _tag: "TransportError", sent: false })
      const { port } = yield* serve((_, response) => response.end())
      const plain = yield* fails(`https://127.0.0.1:${port}`)
      assert.deepInclude(plain, { _tag: "TransportError", sent: false })
    }).pipe(Effect.scoped)
  )

  it.live("takes everything after that as perhaps sent", () =>
    Effect.gen(function* () {
      const reset = yield* tcp((socket) => socket.once("data", () => socket.resetAndDestroy()))
      const error = yield* fails(local(reset))
      assert.deepInclude(error, { _tag: "TransportError", sent: true })
      const half = yield* tcp((socket) =>
        socket.once("data", () => {
          socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"requestId":')
          setTimeout(() => socket.destroy(), 20)
        })
      )
      assert.deepInclude(yield* fails(local(half)), {
        _tag: "UnexpectedResponse",
        status: 200,
        reason: "an answer that broke off"
      })
    }).pipe(Effect.scoped)
  )

  it.live("waits no longer than it was told, and lets go of the connection", () =>
    Effect.gen(function* () {
      const sockets: Array<Socket> = []
      const silent = yield* tcp((socket) => void sockets.push(socket.on("data", () => {})))
      const error = yield* fails(local(silent))
      assert.deepInclude(error, { _tag: "RequestTimeout", timeout: 700, sent: true })
      yield* Effect.sleep(200)
      assert.isTrue(sockets[0]?.closed)
    }).pipe(Effect.scoped)
  )
})
