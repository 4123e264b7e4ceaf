/** The route in a server on a socket, beside an application's own routes, with everything logged and traced that a server can. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as NetAddress from "effect/net/NetAddress"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { createServer, request } from "node:http"
import { connect } from "node:net"
import { inspect } from "node:util"
import { BatchNotifications, capacity } from "../src/BatchNotifications.ts"
import * as NotificationRoute from "../src/NotificationRoute.ts"

const secret = "uj3rG0vT9qLw"
const path = `/hooks/${secret}`

/** A server with the route, what it wrote, and what came of it. */
const server = Effect.gen(function* () {
  const written: Array<unknown> = []
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const app = Layer.mergeAll(
    HttpRouter.add("*", "/own/*", HttpServerResponse.text("own")),
    NotificationRoute.layer(Redacted.make(path))
  )
  const context = yield* Layer.build(
    HttpRouter.serve(app).pipe(
      Layer.provide(NotificationRoute.untraced(path)),
      Layer.provideMerge(
        NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", gracefulShutdownTimeout: "1 millis" })
      ),
      Layer.provideMerge(BatchNotifications.layer),
      Layer.provide(Logger.layer([Logger.map(Logger.formatStructured, (entry) => void written.push(entry))])),
      Layer.provide(Layer.succeed(References.MinimumLogLevel, "All")),
      // The application's own span, in which it serves.
      Layer.withSpan("application"),
      Layer.provide(Layer.succeed(Tracer.Tracer, tracer))
    )
  )
  const { address } = yield* Effect.provideContext(HttpServer.HttpServer, context)
  const { hints } = yield* Effect.provideContext(BatchNotifications, context)
  const origin = NetAddress.formatUrlUnsafe(address)
  return {
    origin,
    port: Number(new URL(origin).port),
    subscription: yield* hints,
    post: (at: string, init: RequestInit = {}) =>
      Effect.promise(async () => {
        const answer = await fetch(`${origin}${at}`, {
          method: "POST",
          ...init,
          headers: { connection: "close", ...init.headers }
        })
        await answer.arrayBuffer()
        return answer.status
      }),
    spans,
    written: () =>
      [...written, ...spans].map((entry) => inspect(entry, { depth: 12, showHidden: true, maxStringLength: null }))
  }
})

/** Sends this and takes what is answered. */
const raw = (port: number, text: string) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        let answer = ""
        const socket = connect(port, "127.0.0.1", () => socket.write(text))
        socket.on("data", (chunk) => (answer += String(chunk)))
        socket.on("close", () => resolve(answer))
        socket.on("error", reject)
      })
  )

describe("NotificationRoute on a socket", () => {
  it.live("takes hints, and writes neither the path nor a body anywhere", () =>
    Effect.gen(function* () {
      const { port, post, spans, subscription, written } = yield* server
      const body = "body-that-nobody-writes"
      assert.strictEqual(yield* post(path, { body }), 204)
      assert.strictEqual(yield* post(`${path}?a=b`), 204)
      assert.deepStrictEqual<ReadonlyArray<string>>(yield* PubSub.takeAll(subscription), [body, ""])
      assert.strictEqual(yield* post(path, { body: body.repeat(1000) }), 413)
      assert.strictEqual(yield* post(path, { method: "GET" }), 405)
      const head = `POST ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n`
      const broken = yield* raw(port, `${head}Transfer-Encoding: chunked\r\n\r\n5\r\nab${body}`)
      assert.notInclude(broken, "204")
      const waits = yield* raw(port, `${head}Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi`)
      assert.match(waits, /^HTTP\/1.1 100 Continue[^]*HTTP\/1.1 204/)
      // What the application does itself is logged and traced as before.
      assert.strictEqual(yield* post("/own/thing"), 200)
      assert.strictEqual(yield* post("/nothing-here"), 404)
      const all = written().join("\n")
      for (const own of ["Sent HTTP response", "/own/thing", "/nothing-here", "http.route"]) assert.include(all, own)
      assert.strictEqual(spans.filter(({ name }) => name === "POST").length, 2)
      assert.notInclude(all, secret)
      assert.notInclude(all, body)
    }).pipe(Effect.scoped)
  )

  it.live("tells early that a body is too large, and keeps little of it", () =>
    Effect.gen(function* () {
      const { origin, subscription } = yield* server
      const taken = yield* Effect.promise(
        () =>
          new Promise<readonly [status: number | undefined, sent: number]>((resolve) => {
            let sent = 0
            let status: number | undefined
            const call = request(`${origin}${path}`, { method: "POST", agent: false }, (answer) => {
              status = answer.statusCode
              answer.resume()
            })
            const chunk = Buffer.alloc(65_536)
            const send = () => {
              if (call.destroyed || sent > 1e9) return
              sent += chunk.length
              call.write(chunk, () => setImmediate(send))
            }
            call.on("error", () => {})
            call.on("close", () => resolve([status, sent]))
            send()
          })
      )
      assert.strictEqual(taken[0], 413)
      assert.isBelow(taken[1], 1e8)
      assert.strictEqual((yield* PubSub.takeUpTo(subscription, 1)).length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("keeps the latest of a flood, and answers all of it", () =>
    Effect.gen(function* () {
      const { post, subscription } = yield* server
      const flood = Array.from({ length: 2000 }, (_, i) => ({ body: `${i} ${"x".repeat(1000)}`, headers: {} }))
      const answers = yield* Effect.forEach(
        flood,
        (init) => post(path, { ...init, headers: { connection: "keep-alive" } }),
        {
          concurrency: 32
        }
      )
      assert.isTrue(answers.every((status) => status === 204))
      assert.strictEqual((yield* PubSub.takeAll(subscription)).length, capacity)
      assert.strictEqual(yield* post(path, { body: "after" }), 204)
      assert.strictEqual(yield* PubSub.take(subscription), "after")
    }).pipe(Effect.scoped)
  )
})
