/**
 * A sandbox on a thread of its own, so that a client and its sandbox can share a process without sharing a core.
 *
 * The parent acquires it with {@link start}; the worker's entry file calls {@link main}.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { parentPort, Worker, workerData } from "node:worker_threads"
import { Sandbox } from "./Sandbox.ts"
import * as SandboxOptions from "./SandboxOptions.ts"

/** The thread could not start, or ended by itself. */
export class SandboxThreadError extends Schema.TaggedError<SandboxThreadError>()("SandboxThreadError", {
  reason: Schema.String
}) {
  override get message() {
    return `The sandbox ended: ${this.reason}`
  }
}

type Message =
  | { readonly _tag: "Ready"; readonly baseUrl: string }
  | { readonly _tag: "Failed"; readonly reason: string }

/** A sandbox in a thread, until the scope closes. @param entry the file that calls {@link main} */
export const start = (
  entry: URL,
  input: SandboxOptions.Input = {}
): Effect.Effect<Sandbox["Service"], SandboxThreadError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = SandboxOptions.make(input)
    const worker = yield* Effect.acquireRelease(
      Effect.sync(() => new Worker(entry, { workerData: options, execArgv: [] })),
      (worker) =>
        Effect.callback<void>((resume) => {
          worker.once("exit", () => resume(Effect.void))
          worker.postMessage("close")
        })
    )
    const baseUrl = yield* Effect.callback<string, SandboxThreadError>((resume) => {
      const fail = (reason: string) => resume(new SandboxThreadError({ reason }))
      worker.once("message", (message: Message) =>
        message._tag === "Ready" ? resume(Effect.succeed(message.baseUrl)) : fail(message.reason)
      )
      worker.once("error", (error) => fail(error instanceof Error ? error.message : String(error)))
      worker.once("exit", (code) => fail(`its thread exited with code ${code}`))
    })
    return { baseUrl, serviceId: options.serviceId, bearer: Redacted.make(options.bearer, { label: "bearer" }) }
  })

/** The worker's side: runs the sandbox until the parent says to close. */
export const main: Effect.Effect<void> = Effect.gen(function* () {
  const { bearer, ...options } = Schema.decodeUnknownSync(SandboxOptions.SandboxOptions)(workerData)
  const port = parentPort
  if (port === null) return yield* Effect.die(new Error("SandboxThread.main runs in a worker thread"))
  const tell = (message: Message) => Effect.sync(() => port.postMessage(message))
  const closed = Effect.callback<void>((resume) => {
    port.once("message", () => resume(Effect.void))
  })
  yield* Effect.gen(function* () {
    const { baseUrl } = yield* Sandbox
    yield* tell({ _tag: "Ready", baseUrl })
    yield* closed
  }).pipe(
    Effect.provide(Layer.fresh(Sandbox.layer({ ...options, bearer: Redacted.make(bearer) }))),
    Effect.catch((error) => tell({ _tag: "Failed", reason: error.message }))
  )
  port.close()
})
