import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from "node:net"
import { eventually, operationsOverHttp } from "../../core/test/operationsOverHttp.ts"
import * as HttpTransport from "../src/HttpTransport.ts"

const transport = (connections = 64) =>
  HttpTransport.layer({ concurrency: Option.some(connections), maxConcurrency: Option.none() })

operationsOverHttp("the command line's client", Layer.orDie(transport()))

/** A server that answers as told, for as long as the scope is open. */
const serve = (answer: (request: IncomingMessage, response: ServerResponse) => void) =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer(answer)
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const serveTcp = (onConnection: (socket: Socket) => void) =>
  Effect.acquireRelease(
    Effect.callback<Server>((resume) => {
      const server = createTcpServer((socket) => onConnection(socket.on("error", () => {})))
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const withClient = <A, E>(
  use: (client: HttpClient.HttpClient) => Effect.Effect<A, E>,
  connections?: number
): Effect.Effect<A, unknown> => Effect.provide(Effect.flatMap(HttpClient.HttpClient, use), transport(connections))

describe("HttpTransport", () => {
  it.live("reads a body as text, JSON, bytes, fields or a stream, and again", () =>
    Effect.gen(function* () {
      const url = yield* serve((_, response) =>
        response
          .writeHead(203, { "set-cookie": ["a=1", "b=2"], "content-type": "application/x-www-form-urlencoded" })
          .end("[1]")
      )
      yield* withClient((client) =>
        Effect.gen(function* () {
          const response = yield* client.get(`${url}/path?q=1#part`, { urlParams: { r: "2" } })
          assert.strictEqual(response.status, 203)
          assert.strictEqual(response.url, `${url}/path?q=1&r=2`)
          assert.strictEqual(response.cookies.cookies["b"]?.value, "2")
          assert.strictEqual(yield* response.text, "[1]")
          assert.deepStrictEqual(yield* response.json, [1])
          assert.strictEqual((yield* response.arrayBuffer).byteLength, 3)
          assert.deepStrictEqual((yield* response.urlParamsBody).params, [["[1]", ""]])
          assert.strictEqual((yield* response.formData).get("[1]"), "")
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "[1]")
          assert.strictEqual((yield* Effect.flip(response.upgrade)).reason._tag, "StatusCodeError")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("gives a body to all who ask for it, but not to who comes after it was read as a stream", () =>
    Effect.gen(function* () {
      const url = yield* serve((_, response) => {
        response.write("[1")
        setTimeout(() => response.end("]"), 50)
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          const shared = yield* client.get(url)
          const both = yield* Effect.all([shared.text, shared.json], { concurrency: 2 })
          assert.deepStrictEqual(both, ["[1]", [1]])
          const streamed = yield* client.get(url)
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(streamed.stream)), "[1]")
          assert.strictEqual((yield* Effect.flip(streamed.text)).reason._tag, "DecodeError")
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("takes an answer without a body, and one that hints come before", () =>
    Effect.gen(function* () {
      const url = yield* serve((request, response) => {
        if (request.method === "HEAD") return void response.writeHead(200, { "content-length": "7" }).end()
        response.writeEarlyHints({ link: "</style>; rel=preload" })
        response.writeHead(204).end()
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          for (const method of ["get", "head"] as const) {
            const response = yield* client[method](url)
            assert.strictEqual(response.status, method === "get" ? 204 : 200)
            assert.strictEqual(yield* response.text, "")
            assert.isNull(yield* response.json)
            assert.strictEqual(yield* Stream.runCount(response.stream), 0)
          }
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("holds a body back that nobody reads, and loses nothing of it", () =>
    Effect.gen(function* () {
      const size = 32 * 1024 * 1024
      let sent = 0
      const url = yield* serve((_, response) => {
        const chunk = Buffer.alloc(64 * 1024, 120)
        const more = () => {
          while (sent < size) {
            sent += chunk.length
            if (!response.write(chunk)) return void response.once("drain", more)
          }
          response.end()
        }
        more()
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          const response = yield* client.get(url)
          yield* Effect.sleep(300)
          assert.isBelow(sent, size / 2)
          const read = yield* Stream.runFold(
            response.stream,
            () => 0,
            (sum, chunk) => sum + chunk.length
          )
          assert.strictEqual(read, size)
          sent = 0
          const whole = yield* client.get(url)
          yield* Effect.sleep(100)
          assert.strictEqual((yield* whole.arrayBuffer).byteLength, size)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("lets go of the connection of a body that is not read to its end", () =>
    Effect.gen(function* () {
      let closed = 0
      const url = yield* serve((_, response) => {
        response.on("close", () => closed++)
        response.write("first")
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          const stream = yield* client.get(url)
          assert.strictEqual(yield* Stream.mkString(Stream.decodeText(Stream.take(stream.stream, 1))), "first")
          yield* eventually(() => closed === 1)
          const text = yield* client.get(url)
          assert.isTrue(Option.isNone(yield* Effect.timeoutOption(text.text, 100)))
          yield* eventually(() => closed === 2)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("never sends what was interrupted while it waited for a connection", () =>
    Effect.gen(function* () {
      const paths: Array<string | undefined> = []
      const held: Array<ServerResponse> = []
      const url = yield* serve((request, response) => {
        paths.push(request.url)
        held.push(response)
      })
      yield* withClient(
        (client) =>
          Effect.gen(function* () {
            const first = yield* Effect.forkChild(client.get(`${url}/first`))
            yield* eventually(() => held.length === 1)
            const waiting = yield* Effect.forkChild(client.get(`${url}/waiting`))
            yield* Effect.sleep(50)
            yield* Fiber.interrupt(waiting)
            const last = yield* Effect.forkChild(client.get(`${url}/last`))
            held[0]?.end("one")
            assert.strictEqual(yield* (yield* Fiber.join(first)).text, "one")
            yield* eventually(() => held.length === 2)
            held[1]?.end("two")
            assert.strictEqual(yield* (yield* Fiber.join(last)).text, "two")
          }),
        1
      )
      assert.deepStrictEqual(paths, ["/first", "/last"])
    }).pipe(Effect.scoped)
  )

  it.live("never goes on with a body once it was answered: its bytes may be others by then", () =>
    Effect.gen(function* () {
      const sockets: Array<Socket> = []
      const received = { others: false, bytes: 0 }
      const url = yield* serveTcp((socket) => {
        sockets.push(socket)
        socket.once("data", () => {
          socket.pause()
          socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
          socket.on("data", (chunk) => {
            received.others ||= chunk.includes("o")
            received.bytes += chunk.length
          })
        })
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          const bytes = new Uint8Array(16 * 1024 * 1024).fill(120)
          const response = yield* client.post(url, { body: HttpBody.uint8Array(bytes, "application/json") })
          assert.strictEqual(yield* response.text, "{}")
          bytes.fill(111)
          sockets[0]!.resume()
          yield* eventually(() => sockets[0]!.closed)
          assert.isFalse(received.others)
          assert.isBelow(received.bytes, bytes.length)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("offers HTTP/1.1 alone", () =>
    Effect.gen(function* () {
      let hello = ""
      const url = yield* serveTcp((socket) =>
        socket.once("data", (chunk) => {
          hello = chunk.toString("latin1")
          socket.destroy()
        })
      )
      yield* withClient((client) => Effect.flip(client.get(url.replace("http:", "https:"))))
      assert.include(hello, "\x08http/1.1")
      assert.notInclude(hello, "\x02h2")
    }).pipe(Effect.scoped)
  )

  it.live("says what it cannot send, and what broke", () =>
    Effect.gen(function* () {
      const url = yield* serve((_, response) => {
        response.writeHead(200, { "content-length": "10" }).write("half")
        setTimeout(() => response.destroy(), 50)
      })
      yield* withClient((client) =>
        Effect.gen(function* () {
          const reasonOf = <A>(effect: Effect.Effect<A, { readonly reason: { readonly _tag: string } }>) =>
            Effect.map(Effect.flip(effect), ({ reason }) => reason._tag)
          assert.strictEqual(yield* reasonOf(client.get("http://[")), "InvalidUrlError")
          assert.strictEqual(yield* reasonOf(client.get(url, { headers: { "x-bad": "a\nb" } })), "TransportError")
          const streamed = HttpBody.stream(Stream.make(new Uint8Array(1)))
          assert.strictEqual(yield* reasonOf(client.post(url, { body: streamed })), "EncodeError")
          const broken = yield* client.get(url)
          assert.strictEqual(yield* reasonOf(broken.text), "DecodeError")
          assert.strictEqual(yield* reasonOf(Stream.runDrain(broken.stream)), "DecodeError")
        })
      )
    }).pipe(Effect.scoped)
  )
})
