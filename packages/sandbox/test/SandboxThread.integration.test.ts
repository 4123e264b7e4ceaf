import { SandboxThread } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"

/** A worker of a few words. */
const worker = (code: string) => new URL(`data:text/javascript,${encodeURIComponent(code)}`)

const threads = 'import { parentPort } from "node:worker_threads";'

const sandbox = worker(
  `import { main } from ${JSON.stringify(new URL("../src/SandboxThread.ts", import.meta.url).href)};
   import * as Effect from ${JSON.stringify(import.meta.resolve("effect/Effect"))};
   Effect.runFork(main)`
)

/** Starts a thread, and takes as long as closing it took. */
const timed = <A, E>(effect: Effect.Effect<A, E, Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const exit = yield* Effect.exit(Scope.provide(effect, scope))
    const start = performance.now()
    yield* Scope.close(scope, Exit.void)
    return { exit, took: performance.now() - start }
  })

const reasonOf = <A>(exit: Exit.Exit<A, SandboxThread.SandboxThreadError>) =>
  Exit.isFailure(exit) ? String(exit.cause) : "it started"

describe("SandboxThread", () => {
  it.live("runs a sandbox until the scope closes", () =>
    Effect.gen(function* () {
      let url = ""
      yield* Effect.scoped(
        Effect.gen(function* () {
          const { baseUrl, bearer } = yield* SandboxThread.start(sandbox)
          url = baseUrl
          assert.strictEqual(String(bearer), "<redacted:bearer>")
          assert.strictEqual((yield* Effect.promise(() => fetch(url))).status, 404)
        })
      )
      assert.isTrue(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => fetch(url)))))
    })
  )

  it.live("says why a sandbox cannot start", () =>
    Effect.gen(function* () {
      const { exit, took } = yield* timed(SandboxThread.start(sandbox, { ledgerFile: "/no/such/folder/ledger" }))
      assert.match(reasonOf(exit), /ledger .* cannot be written/)
      assert.isBelow(took, 1500)
    })
  )

  it.live("closes one that is still starting", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(timed(SandboxThread.start(sandbox)))
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(fiber)
      const scoped = yield* Effect.forkChild(Effect.scoped(SandboxThread.start(sandbox)))
      yield* Effect.sleep(20)
      yield* Fiber.interrupt(scoped)
    })
  )

  it.live.each([
    ["throws", "throw new Error('broken entry')", /broken entry/],
    ["exits", "process.exit(3)", /exited with code 3/]
  ] as const)("does not wait for a worker that %s at its start", ([, code, reason]) =>
    Effect.gen(function* () {
      const { exit, took } = yield* timed(SandboxThread.start(worker(code)))
      assert.match(reasonOf(exit), reason)
      assert.isBelow(took, 1000)
    })
  )

  it.live("tells of a crash, and closes all the same", () =>
    Effect.gen(function* () {
      const code = `${threads} parentPort.postMessage({ _tag: "Ready", baseUrl: "x" });
        setTimeout(() => { throw new Error("crashed later") }, 30)`
      const { exit, took } = yield* timed(
        Effect.gen(function* () {
          const { baseUrl, crashed } = yield* SandboxThread.start(worker(code))
          assert.strictEqual(baseUrl, "x")
          return yield* crashed
        })
      )
      assert.match(reasonOf(exit), /crashed later/)
      assert.isBelow(took, 1000)
    })
  )

  it.live("ends a worker that does not close", () =>
    Effect.gen(function* () {
      const code = `${threads} parentPort.postMessage({ _tag: "Ready", baseUrl: "x" }); setInterval(() => {}, 1000)`
      const { exit, took } = yield* timed(SandboxThread.start(worker(code)))
      assert.isTrue(Exit.isSuccess(exit))
      assert.isBelow(took, 5000)
    })
  )
})
