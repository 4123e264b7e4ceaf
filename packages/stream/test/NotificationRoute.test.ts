import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Redacted from "effect/Redacted"
import { TestClock } from "effect/testing"
import { BatchNotifications } from "../src/BatchNotifications.ts"
import * as NotificationRoute from "../src/NotificationRoute.ts"

const path = "/hooks/5nBm:x*(%20)-Qz"

const anything = HttpRouter.add("*", "/*", HttpServerResponse.text("the application's own"))

/** Calls an application with the route in it, and hears what comes of it. */
const application = (options?: NotificationRoute.Options) =>
  Effect.gen(function* () {
    const subscription = yield* (yield* BatchNotifications).hints
    const app = yield* HttpRouter.toHttpEffect(
      Layer.mergeAll(anything, NotificationRoute.layer(Redacted.make(path), options))
    )
    return {
      call: (url: string, init?: RequestInit) =>
        app.pipe(
          Effect.provideService(
            HttpServerRequest.HttpServerRequest,
            HttpServerRequest.fromWeb(new Request(`http://localhost${url}`, init))
          ),
          Effect.scoped
        ),
      heard: Effect.map(PubSub.takeUpTo(subscription, 10), (found) => [...found])
    }
  })

const post = (body?: NonNullable<RequestInit["body"]>, type?: string): RequestInit => ({
  method: "POST",
  ...(body === undefined ? undefined : { body }),
  ...(type === undefined ? undefined : { headers: { "content-type": type } })
})

/** A body that does not end. */
const endless = () =>
  ({ ...post(new ReadableStream({ pull: () => new Promise(() => {}) })), duplex: "half" }) as RequestInit

describe("NotificationRoute", () => {
  it.effect.each([
    ["JSON", post('{"requestId":"r-1"}', "application/json"), '{"requestId":"r-1"}'],
    ["JSON that is none", post('{"requestId', "application/json"), '{"requestId'],
    ["a form", post("id=r-1&state=done", "application/x-www-form-urlencoded"), "id=r-1&state=done"],
    ["a form that is none", post("--", "multipart/form-data"), "--"],
    ["a text of no type", post(new TextEncoder().encode("r-1")), "r-1"],
    ["bytes that are no text", post(new Uint8Array([0xff, 0x72])), "\ufffdr"],
    ["nothing", post(), ""],
    ["nothing as JSON", post("", "application/json"), ""]
  ] as const)("takes %s for a hint", ([, init, expected]) =>
    Effect.gen(function* () {
      const { call, heard } = yield* application()
      const { body, status } = yield* call(path, init)
      assert.deepStrictEqual([status, body._tag], [204, "Empty"])
      assert.deepStrictEqual(yield* heard, [expected])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("takes the path letter by letter, whatever its query, and leaves everything else to the application", () =>
    Effect.gen(function* () {
      const { call, heard } = yield* application()
      assert.strictEqual((yield* call(`${path}?from=here`, post("1"))).status, 204)
      for (const other of ["/", `${path}x`, `${path}/`, path.toLowerCase(), "/hooks/5nBm%3Ax*(%20)-Qz", `/x?${path}`]) {
        assert.strictEqual((yield* call(other, post("2"))).status, 200, other)
      }
      assert.deepStrictEqual(yield* heard, ["1"])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("takes no other method", () =>
    Effect.gen(function* () {
      const { call, heard } = yield* application()
      for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"]) {
        const { headers, status } = yield* call(path, { method })
        assert.deepStrictEqual([status, headers["allow"]], [405, "POST"], method)
      }
      assert.deepStrictEqual(yield* heard, [])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("refuses a body over the limit, which is no hint", () =>
    Effect.gen(function* () {
      const { call, heard } = yield* application({ maxBodySize: "1 KiB" })
      assert.strictEqual((yield* call(path, post("x".repeat(1024)))).status, 204)
      assert.deepStrictEqual(yield* heard, ["x".repeat(1024)])
      for (const size of [1025, 1_000_000]) {
        assert.strictEqual((yield* call(path, post("x".repeat(size)))).status, 413)
      }
      assert.deepStrictEqual(yield* heard, [])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("has a limit by default", () =>
    Effect.gen(function* () {
      const { call } = yield* application()
      assert.strictEqual((yield* call(path, post("x".repeat(16_384)))).status, 204)
      assert.strictEqual((yield* call(path, post("x".repeat(16_385)))).status, 413)
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("does not wait for ever for a body", () =>
    Effect.gen(function* () {
      const { call, heard } = yield* application()
      const answer = yield* Effect.forkChild(call(path, endless()), { startImmediately: true })
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(answer.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* Fiber.join(answer)).status, 408)
      assert.deepStrictEqual(yield* heard, [])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.effect("ends with a client that goes away", () =>
    Effect.gen(function* () {
      const { call, heard } = yield* application()
      const answer = yield* Effect.forkChild(Effect.uninterruptible(call(path, endless())), { startImmediately: true })
      yield* Fiber.interrupt(answer)
      assert.deepStrictEqual(yield* heard, [])
    }).pipe(Effect.scoped, Effect.provide(BatchNotifications.layer))
  )

  it.each(["", "/", "hooks", "https://a.example/hooks", "/a b", "/a?b", "/a#b", "/a/../b", "/ü", "/a\n", '/"a"'])(
    "knows that %j is no path",
    (text) => assert.isFalse(NotificationRoute.isPath(text))
  )

  it.each([path, "/a", "/a/", "//a", "/:a/*", "/~a;b=c@d,e!$&'()+", "/a%2Fb"])("knows that %j is one", (text) =>
    assert.isTrue(NotificationRoute.isPath(text))
  )

  it.effect("dies of a path that is none, and does not repeat it", () =>
    Effect.gen(function* () {
      for (const given of [NotificationRoute.layer("s3cret"), NotificationRoute.untraced("s3cret")]) {
        const exit = yield* Effect.exit(
          Layer.build(given.pipe(Layer.provide([HttpRouter.layer, BatchNotifications.layer])))
        )
        assert.isTrue(Exit.isFailure(exit))
        assert.include(String(exit), "must begin with /")
        assert.notInclude(String(exit), "s3cret")
      }
    }).pipe(Effect.scoped)
  )
})
