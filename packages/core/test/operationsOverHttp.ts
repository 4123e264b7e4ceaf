import { AuthleteConfig, Credentials, TokenBatch, TokenOperations } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net"
import { gzipSync } from "node:zlib"

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

/** Waits until something has come about, five seconds at most. */
export const eventually = (holds: () => boolean | undefined) =>
  Effect.gen(function* () {
    for (let i = 0; i < 500 && holds() !== true; i++) yield* Effect.sleep(10)
    assert.isTrue(holds())
  })

const json = (response: ServerResponse, status: number, value: unknown, headers: Record<string, string> = {}) =>
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(value))

/** The operations over a client: whatever it is, they have to mean the same. */
export const operationsOverHttp = (name: string, client: Layer.Layer<HttpClient.HttpClient>) =>
  describe(`TokenOperations over ${name}`, () => {
    const withOperations = <A, E, E2 = never>(
      baseUrl: string,
      use: (operations: TokenOperations.TokenOperations["Service"]) => Effect.Effect<A, E>,
      credentials: Layer.Layer<Credentials.Credentials, E2> = Credentials.Credentials.layer(Redacted.make(bearer)),
      requestTimeout = 20_000
    ) =>
      Effect.flatMap(TokenOperations.TokenOperations, use).pipe(
        Effect.provide(
          TokenOperations.TokenOperations.layer.pipe(
            Layer.provide(AuthleteConfig.AuthleteConfig.layer({ baseUrl, serviceId: "42", requestTimeout })),
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

    it.live("does not take the status of another batch for that of the one that was asked for", () =>
      Effect.gen(function* () {
        const { port } = yield* serve((_, response) =>
          json(response, 200, { status: { result: "SUCCEEDED", requestId: "r1" } })
        )
        yield* withOperations(local(port), (operations) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* operations.batchStatus(TokenBatch.RequestId.make("r1"))).state, "Succeeded")
            const error = yield* Effect.flip(operations.batchStatus(TokenBatch.RequestId.make("r2")))
            assert.strictEqual(error._tag, "UnexpectedResponse")
            assert.include(error.message, "of another batch")
          })
        )
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
      ["a 200 with an empty requestId", 200, '{"requestId":""}', "UnexpectedResponse", "without a requestId"],
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

    it.live.each([
      ["..", "cannot be asked for"],
      ["a\ud800b", "cannot be asked for"],
      ["i".repeat(257), "too long for one"],
      [token, "a token value of the request"],
      [`batch-${token}-1`, "a token value of the request"]
    ] as const)("takes no receipt that is none: %j", ([requestId, reason]) =>
      Effect.gen(function* () {
        const { port } = yield* serve((_, response) =>
          response
            .writeHead(200, { "content-type": "application/json" })
            .end(`{"requestId":${JSON.stringify(requestId)}}`)
        )
        const error = yield* withOperations(local(port), (operations) => Effect.flip(operations.createBatch([request])))
        assert.strictEqual(error._tag, "UnexpectedResponse")
        assert.include(error.message, reason)
      }).pipe(Effect.scoped)
    )

    it.live("takes a 429 for what it is, though its body never ends", () =>
      Effect.gen(function* () {
        const { port } = yield* serve((_, response) => response.writeHead(429, { "retry-after": "7" }).write("slow"))
        const error = yield* withOperations(local(port), (operations) => Effect.flip(operations.createBatch([request])))
        assert.deepInclude(error, { _tag: "RateLimited", status: 429, retryAfter: 7000 })
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
        spans.length = 0
        const untraced = withOperations(local(port), (operations) => Effect.flip(operations.createBatch([request])))
        yield* untraced.pipe(Effect.withTracerEnabled(false), Effect.withTracer(tracer))
        assert.strictEqual(spans.length, 0)
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
    const fails = (baseUrl: string, requestTimeout?: number) =>
      withOperations(baseUrl, (operations) => Effect.flip(operations.createBatch([request])), undefined, requestTimeout)

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
            socket.write(
              'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"requestId":'
            )
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
        const error = yield* fails(local(silent), 700)
        assert.deepInclude(error, { _tag: "RequestTimeout", timeout: 700, sent: true })
        yield* eventually(() => sockets[0]?.closed)
      }).pipe(Effect.scoped)
    )

    it.live("says dryRun as it is told, and sends encoded bytes as they are", () =>
      Effect.gen(function* () {
        const urls: Array<string | undefined> = []
        const bodies: Array<Buffer> = []
        const server = createServer((incoming, response) => {
          const chunks: Array<Buffer> = []
          incoming.on("data", (chunk) => chunks.push(chunk))
          incoming.on("end", () => {
            urls.push(incoming.url)
            bodies.push(Buffer.concat(chunks))
            assert.strictEqual(incoming.headers["content-length"], String(bodies.at(-1)?.length))
            json(response, 200, { requestId: "r" })
          })
        })
        yield* Effect.addFinalizer(() => Effect.sync(() => server.closeAllConnections()))
        const port = yield* listen(server)
        // No valid JSON and no valid UTF-8: nothing may come between.
        const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) & 0xff)
        yield* withOperations(local(port), (operations) =>
          Effect.forEach([undefined, {}, { dryRun: undefined }, { dryRun: false }, { dryRun: true }], (options) =>
            operations.createBatchEncoded(bytes, options)
          )
        )
        const path = "/prefix/api/42/auth/token/create/batch"
        assert.deepStrictEqual(urls, [path, path, path, `${path}?dryRun=false`, `${path}?dryRun=true`])
        for (const sent of bodies) assert.isTrue(sent.equals(bytes))
      }).pipe(Effect.scoped)
    )

    it.live("sends nothing where a request breaks the rules", () =>
      Effect.gen(function* () {
        const { calls, port } = yield* serve((_, response) => json(response, 200, { requestId: "r" }))
        const error = yield* withOperations(local(port), (operations) =>
          Effect.flip(operations.createBatch([request, { ...request, grantType: "REFRESH_TOKEN" }]))
        )
        assert.deepInclude(error, { _tag: "InvalidRequest", index: 1, field: "grantType" })
        assert.strictEqual(calls.length, 0)
      }).pipe(Effect.scoped)
    )

    it.live("keeps a request id in its place in the path, whatever it holds", () =>
      Effect.gen(function* () {
        const { calls, port } = yield* serve((_, response) => json(response, 200, {}))
        yield* withOperations(local(port), (operations) =>
          Effect.forEach(["a b", "a?b=c#d", "é%", "../../x"], (id) =>
            operations.batchStatus(TokenBatch.RequestId.make(id))
          )
        )
        const path = "/prefix/api/42/auth/token/create/batch/status/"
        assert.deepStrictEqual(
          calls.map(({ method, url, body }) => [
            method,
            url?.slice(0, path.length),
            decodeURIComponent(url!.slice(path.length)),
            body
          ]),
          ["a b", "a?b=c#d", "é%", "../../x"].map((id) => ["GET", path, id, ""])
        )
      }).pipe(Effect.scoped)
    )

    const status = (operations: TokenOperations.TokenOperations["Service"]) =>
      operations.batchStatus(TokenBatch.RequestId.make("r"))

    it.live("tells what is wrong with answers to a poll", () =>
      Effect.gen(function* () {
        const answers: ReadonlyArray<readonly [number, string, object]> = [
          [404, '{"resultCode":"A9"}', { _tag: "UnexpectedResponse", status: 404 }],
          [400, '{"resultCode":"A9"}', { _tag: "ResultError", status: 400, resultCode: "A9" }],
          [403, '{"resultCode":"A9"}', { _tag: "ResultError", status: 403 }],
          [200, '{"status":7}', { _tag: "UnexpectedResponse", reason: "a body that is not as documented" }],
          [200, "[]", { _tag: "UnexpectedResponse", reason: "a body that is not as documented" }],
          [301, "", { _tag: "UnexpectedResponse", reason: "a redirect, which is not followed" }]
        ]
        const { calls, port } = yield* serve((_, response, index) =>
          response.writeHead(answers[index]![0], { location: "/elsewhere" }).end(answers[index]![1])
        )
        yield* withOperations(local(port), (operations) =>
          Effect.forEach(answers, ([, , expected]) =>
            Effect.map(Effect.flip(status(operations)), (error) => assert.deepInclude(error, expected))
          )
        )
        assert.strictEqual(calls.length, answers.length)
      }).pipe(Effect.scoped)
    )

    it.live("strikes a fresh bearer as it does the first, and in a status too", () =>
      Effect.gen(function* () {
        const { port } = yield* serve((call, response, index) => {
          const echo = `${call.headers.authorization} instead of bearer-first-0123456789`
          if (index === 0) json(response, 401, { resultCode: "A401" })
          else if (index === 1) json(response, 400, { resultCode: "A1", resultMessage: echo })
          else json(response, 200, { status: { result: "FAILED", errorCode: "E", errorDescription: echo } })
        })
        let given = 0
        const source = Effect.sync(() =>
          Redacted.make(["bearer-first-0123456789", "second-bearer-9876543210"][given++]!)
        )
        yield* withOperations(
          local(port),
          (operations) =>
            Effect.gen(function* () {
              const error = yield* Effect.flip(operations.createBatch([request]))
              assert.strictEqual(error.message, "HTTP 400 A1: Bearer <redacted> instead of <redacted>")
              const found = yield* status(operations)
              assert.deepInclude(found, { state: "Failed", errorCode: "E" })
              assert.notInclude(JSON.stringify(found), "second-bearer")
            }),
          Credentials.Credentials.layerEffect(source)
        )
      }).pipe(Effect.scoped)
    )

    it.live("lets go of a 401 whose body never ends, and calls again", () =>
      Effect.gen(function* () {
        let isClosed = false
        const { calls, port } = yield* serve((_, response, index) => {
          if (index > 0) return void json(response, 200, { status: { result: "SUCCEEDED" } })
          response.on("close", () => (isClosed = true))
          response.writeHead(401).write("half a page")
        })
        const bearers = ["first", "second"]
        const source = Effect.sync(() => Redacted.make(bearers.shift()!))
        yield* withOperations(
          local(port),
          (operations) =>
            Effect.gen(function* () {
              assert.strictEqual((yield* status(operations)).state, "Succeeded")
              yield* eventually(() => isClosed)
            }),
          Credentials.Credentials.layerEffect(source)
        )
        assert.strictEqual(calls.length, 2)
      }).pipe(Effect.scoped)
    )

    it.live("gives up after one fresh bearer, and asks no second time where there is no other", () =>
      Effect.gen(function* () {
        const { calls, port } = yield* serve((_, response) => json(response, 401, { resultCode: "A401" }))
        let given = 0
        const source = Effect.suspend(() =>
          ++given > 2 ? Effect.fail("the token endpoint is away") : Effect.succeed(Redacted.make(`bearer-${given}`))
        )
        yield* withOperations(
          local(port),
          (operations) =>
            Effect.gen(function* () {
              for (const count of [2, 3]) {
                assert.deepInclude(yield* Effect.flip(status(operations)), { _tag: "ResultError", status: 401 })
                assert.strictEqual(calls.length, count)
              }
            }),
          Credentials.Credentials.layerEffect(source)
        )
        assert.deepStrictEqual(
          calls.map((call) => call.headers.authorization),
          ["Bearer bearer-1", "Bearer bearer-2", "Bearer bearer-2"]
        )
      }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
    )

    it.live("asks for one fresh bearer for many calls that were refused together", () =>
      Effect.gen(function* () {
        const { calls, port } = yield* serve((call, response) =>
          call.headers.authorization === "Bearer bearer-2"
            ? json(response, 200, { requestId: "r" })
            : setTimeout(() => json(response, 401, {}), 50)
        )
        let given = 0
        const source = Effect.sync(() => Redacted.make(`bearer-${++given}`))
        yield* withOperations(
          local(port),
          (operations) =>
            Effect.all(
              Array.from({ length: 8 }, () => operations.createBatch([request])),
              { concurrency: 8 }
            ),
          Credentials.Credentials.layerEffect(source)
        )
        assert.strictEqual(given, 2)
        assert.strictEqual(calls.length, 16)
      }).pipe(Effect.scoped)
    )

    it.live("reads no more than 1 MiB of a body that never ends, or that swells when it is unpacked", () =>
      Effect.gen(function* () {
        const chunk = Buffer.alloc(64 * 1024, 0x20)
        const packed = gzipSync(Buffer.alloc(32 * 1024 * 1024, 0x20))
        let ended = false
        const { port } = yield* serve((_, response, index) => {
          if (index > 0) {
            response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length }).end(packed)
            return
          }
          response.on("close", () => (ended = true))
          const more = () => {
            while (!response.destroyed && response.write(chunk));
          }
          response.on("drain", more)
          more()
        })
        yield* withOperations(local(port), (operations) =>
          Effect.gen(function* () {
            assert.deepInclude(yield* Effect.flip(status(operations)), { reason: "a body of more than 1 MiB" })
            // Undici unpacks nothing, fetch does.
            const error = yield* Effect.flip(status(operations))
            assert.isTrue(
              error._tag === "UnexpectedResponse" && /more than 1 MiB|not JSON/.test(error.reason),
              error.message
            )
          })
        )
        yield* eventually(() => ended)
      }).pipe(Effect.scoped)
    )

    const polite = (onConnection: (socket: Socket) => void) =>
      tcp((socket) => {
        socket.on("error", () => {})
        onConnection(socket)
      })

    it.live("knows that a handshake that was cut off sent nothing", () =>
      Effect.gen(function* () {
        for (const port of [
          yield* polite((socket) => socket.end()),
          yield* polite((socket) => socket.once("data", () => socket.end()))
        ]) {
          assert.deepInclude(yield* fails(`https://127.0.0.1:${port}`), { _tag: "TransportError", sent: false })
        }
      }).pipe(Effect.scoped)
    )

    it.live.each([
      ["a close without an answer", (socket: Socket) => socket.end()],
      ["something that is not HTTP", (socket: Socket) => socket.end("SSH-2.0-OpenSSH\r\n")],
      ["headers without end", (socket: Socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}`)],
      ["half a status line", (socket: Socket) => socket.end("HTTP/1.1 2")]
    ] as const)("takes %s for perhaps sent", ([, answer]) =>
      Effect.gen(function* () {
        const port = yield* polite((socket) => socket.once("data", () => answer(socket)))
        const error = yield* fails(local(port))
        assert.deepInclude(error, { _tag: "TransportError", sent: true })
        for (const secret of [token, bearer]) assert.notInclude(JSON.stringify(error) + error.message, secret)
      }).pipe(Effect.scoped)
    )

    it.live.each([
      ["in chunks", 'transfer-encoding: chunked\r\n\r\n11\r\n{"requestId":"r"}\r\n'],
      ["of a known length", 'content-length: 100\r\n\r\n{"requestId":"r"}']
    ])("takes an answer %s that broke off for none, though it would do", ([, text]) =>
      Effect.gen(function* () {
        const port = yield* polite((socket) =>
          socket.once("data", () => {
            socket.write(`HTTP/1.1 200 OK\r\n${text}`)
            setTimeout(() => socket.destroy(), 30)
          })
        )
        assert.deepInclude(yield* fails(local(port)), {
          _tag: "UnexpectedResponse",
          reason: "an answer that broke off"
        })
      }).pipe(Effect.scoped)
    )

    it.live("counts the body into the time it waits, and lets go of the connection", () =>
      Effect.gen(function* () {
        const sockets: Array<Socket> = []
        const port = yield* polite((socket) => {
          sockets.push(socket)
          socket.once("data", () => socket.write("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"))
        })
        assert.deepInclude(yield* fails(local(port), 700), { _tag: "RequestTimeout", timeout: 700, sent: true })
        yield* eventually(() => sockets[0]?.closed)
      }).pipe(Effect.scoped)
    )

    it.live("lets go of the connection when it is interrupted, and sends nothing a second time", () =>
      Effect.gen(function* () {
        const sockets: Array<Socket> = []
        const port = yield* polite((socket) => void sockets.push(socket.on("data", () => {})))
        const fiber = yield* Effect.forkChild(fails(local(port)))
        yield* eventually(() => (sockets[0]?.bytesRead ?? 0) > 0)
        yield* Fiber.interrupt(fiber)
        yield* eventually(() => sockets[0]?.closed)
        yield* Effect.sleep(100)
        // The pool of fetch connects again, and stays idle.
        assert.deepStrictEqual(
          sockets.map((socket) => socket.bytesRead > 0),
          sockets.map((_, index) => index === 0)
        )
      }).pipe(Effect.scoped)
    )
  })
