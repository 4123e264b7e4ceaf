/** What a sandbox sends when a batch has ended, as its endpoint sees it. */
import { Notifications, Sandbox, SandboxOptions, SandboxThread } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { against, upTo } from "./fixtures.ts"

interface Post {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly type: string | undefined
  readonly body: string
}

const noContent = (_: IncomingMessage, response: ServerResponse) => void response.writeHead(204).end()

/** An endpoint that keeps what comes, and answers as told. */
const endpoint = (answer: (request: IncomingMessage, response: ServerResponse) => void = noContent) =>
  Effect.gen(function* () {
    const posts: Array<Post> = []
    const server = createServer((request, response) => {
      let body = ""
      request.on("data", (chunk) => (body += chunk))
      request.on("end", () => {
        posts.push({ method: request.method, url: request.url, type: request.headers["content-type"], body })
        answer(request, response)
      })
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    )
    const { port } = server.address() as AddressInfo
    return { posts, url: new URL(`http://127.0.0.1:${port}/hooks/secret-path`) }
  })

/** Waits until something is so. */
const until = (is: () => boolean) =>
  Effect.gen(function* () {
    for (let i = 0; i < 500 && !is(); i++) yield* Effect.sleep(10)
    assert.isTrue(is(), "in time")
  })

/** The sender alone. */
const sender = (input: SandboxOptions.Input) =>
  Effect.map(Layer.build(Notifications.Notifications.layer(SandboxOptions.make(input))), (context) =>
    Context.get(context, Notifications.Notifications)
  )

const finished = ({ delivered, dropped, failed }: Notifications.Counts) => delivered + dropped + failed

/** The counts once so many are settled. */
const settled = ({ counts }: Notifications.Notifications["Service"], total: number) =>
  Effect.gen(function* () {
    for (let i = 0; i < 1000; i++) {
      const now = yield* counts
      if (finished(now) >= total) return now
      yield* Effect.sleep(10)
    }
    return yield* counts
  })

describe("notifications", () => {
  it.live("are sent for each batch that ends, once, with its request id", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* endpoint()
      yield* against({ notificationEndpoint: url }, ({ result, taken }) =>
        Effect.gen(function* () {
          const ids = [yield* taken([1, 2]), yield* taken([3], { dryRun: true }), yield* taken([1])]
          const results = yield* Effect.forEach(ids, result)
          assert.deepStrictEqual(
            results.map(({ result }) => result),
            ["SUCCEEDED", "SUCCEEDED", "FAILED"]
          )
          yield* until(() => posts.length >= 3)
          yield* Effect.sleep(50)
          assert.deepStrictEqual(
            posts.map(({ body }) => JSON.parse(body)).toSorted((a, b) => (a.requestId < b.requestId ? -1 : 1)),
            ids.toSorted().map((requestId) => ({ requestId }))
          )
          assert.deepInclude(posts[0], { method: "POST", url: "/hooks/secret-path", type: "application/json" })
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("can be empty", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* endpoint()
      yield* against({ notificationEndpoint: url, notificationBody: "empty" }, ({ taken }) =>
        Effect.andThen(
          taken([1]),
          until(() => posts.length === 1)
        )
      )
      assert.deepStrictEqual(posts, [{ method: "POST", url: "/hooks/secret-path", type: undefined, body: "" }])
    }).pipe(Effect.scoped)
  )

  it.live("come when the batch has ended, though a fault hides its status, and not before", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* endpoint()
      const faults = { rules: [{ fault: "stuck", delay: 60_000 }] } as const
      yield* against({ notificationEndpoint: url, setupTime: "100 millis", faults }, ({ status, taken }) =>
        Effect.gen(function* () {
          const id = yield* taken([1])
          assert.strictEqual(posts.length, 0)
          yield* until(() => posts.length === 1)
          assert.isUndefined(JSON.parse((yield* status(id)).body).status.result)
        })
      )
    }).pipe(Effect.scoped)
  )

  it.live("that nobody takes hold nothing up, and are counted", () =>
    Effect.gen(function* () {
      const notificationEndpoint = new URL("http://127.0.0.1:1/secret-path")
      yield* Effect.gen(function* () {
        const { baseUrl, bearer, serviceId } = yield* Sandbox.Sandbox
        const notifications = yield* Notifications.Notifications
        yield* Effect.promise(() =>
          fetch(`${baseUrl}/api/${serviceId}/auth/token/create/batch`, {
            method: "POST",
            headers: { authorization: `Bearer ${Redacted.value(bearer)}` },
            body: "[]"
          })
        )
        const counts = yield* settled(notifications, 1)
        assert.deepInclude(counts, { delivered: 0, failed: 1, dropped: 0 })
        assert.isString(counts.lastFailure)
        assert.notInclude(counts.lastFailure, "secret")
      }).pipe(Effect.provide(Sandbox.Sandbox.layer({ notificationEndpoint, setupTime: "1 millis" })))
    })
  )

  it.live.each([
    ["an error", 500, "HTTP 500"],
    ["a redirection, which is not followed", 302, "HTTP 302"]
  ] as const)("failed with %s", ([, status, reason]) =>
    Effect.gen(function* () {
      const { posts, url } = yield* endpoint((_, response) =>
        response.writeHead(status, { location: "/elsewhere" }).end("page")
      )
      const notifications = yield* sender({ notificationEndpoint: url })
      notifications.endedUnsafe("r-1")
      assert.deepInclude(yield* settled(notifications, 1), { delivered: 0, failed: 1, lastFailure: reason })
      assert.strictEqual(posts.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("are few at once, wait in a bounded queue, and do not wait for ever for an answer", () =>
    Effect.gen(function* () {
      let open = 0
      let most = 0
      const { url } = yield* endpoint((_, response) => {
        most = Math.max(most, ++open)
        response.on("close", () => open--)
      })
      const notifications = yield* sender({ notificationEndpoint: url })
      const start = performance.now()
      notifications.endedUnsafe("first")
      yield* until(() => open === 1)
      for (let i = 1; i < 10_000; i++) notifications.endedUnsafe(String(i))
      const { dropped } = yield* notifications.counts
      assert.isAtLeast(dropped, 8000)
      const counts = yield* settled(notifications, dropped + 1)
      assert.isAtLeast(performance.now() - start, 4000)
      assert.deepInclude(counts, { delivered: 0, lastFailure: "no answer in time" })
      assert.isAtMost(most, 8)
    }).pipe(Effect.scoped)
  )

  it.live("are sent from a thread, too, and end with it", () =>
    Effect.gen(function* () {
      const { posts, url } = yield* endpoint()
      const entry = new URL(
        `data:text/javascript,${encodeURIComponent(
          `import { main } from ${JSON.stringify(new URL("../src/SandboxThread.ts", import.meta.url).href)};
           import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))};
           Effect.runFork(main)`
        )}`
      )
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { baseUrl, bearer, serviceId } = yield* SandboxThread.start(entry, { notificationEndpoint: url })
          const headers = { authorization: `Bearer ${Redacted.value(bearer)}` }
          for (const _ of upTo(3)) {
            yield* Effect.promise(() =>
              fetch(`${baseUrl}/api/${serviceId}/auth/token/create/batch`, { method: "POST", headers, body: "[]" })
            )
          }
          yield* until(() => posts.length === 3)
        })
      )
    }).pipe(Effect.scoped)
  )
})
