/**
 * A sandbox on a thread of its own, so that a client and its sandbox can share a process without sharing a core.
 *
 * The parent acquires it with {@link start}; the worker's entry file calls {@link main}.
 */
import * as Deferred from "effect/Deferred"
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

/** A sandbox in a thread of its own. */
export interface SandboxThread {
  readonly baseUrl: string
  readonly serviceId: string
  readonly bearer: Redacted.Redacted
  /** Fails when the thread ends by itself, with the reason. Never succeeds. */
  readonly crashed: Effect.Effect<never, SandboxThreadError>
}

/** How long a worker may take to close before it is ended. */
const closeTimeout = "2 seconds"

/**
 * A sandbox in a thread, until the scope closes.
 *
 * Where its thread cannot start, this fails. Where it ends later by itself, its clients find their connections closed and get no new
 * ones, and `crashed` tells why.
 *
 * @param entry the file that calls {@link main}
 */
export const start = (
  entry: URL,
  input: SandboxOptions.Input = {}
): Effect.Effect<SandboxThread, SandboxThreadError, Scope.Scope> =>
  Effect.gen(function* () {
    const options = SandboxOptions.make(input)
    const exited = yield* Deferred.make<never, SandboxThreadError>()
    const ready = yield* Deferred.make<string, SandboxThreadError>()
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        const worker = new Worker(entry, { workerData: options, execArgv: [] })
        // From the start and for good: an exit must not go unseen, and an error that nobody hears ends the process.
        let reason: string | undefined
        worker.on("error", (error) => (reason = error instanceof Error ? error.message : String(error)))
        worker.on("exit", (code) => {
          const error = new SandboxThreadError({ reason: reason ?? `its thread exited with code ${code}` })
          Deferred.doneUnsafe(exited, Effect.fail(error))
        })
        worker.on("message", (message: Message) =>
          Deferred.doneUnsafe(
            ready,
            message._tag === "Ready"
              ? Effect.succeed(message.baseUrl)
              : Effect.fail(new SandboxThreadError({ reason: message.reason }))
          )
        )
        return worker
      }),
      // The worker gets to close its files; also one that is still starting, or has exited already.
      (worker) =>
        Effect.sync(() => worker.postMessage("close")).pipe(
          Effect.andThen(Effect.interruptible(Effect.ignore(Deferred.await(exited)))),
          Effect.timeoutOrElse({ duration: closeTimeout, orElse: () => Effect.promise(() => worker.terminate()) })
        )
    )
    const crashed = Deferred.await(exited)
    const baseUrl = yield* Effect.raceFirst(Deferred.await(ready), crashed)
    const { bearer, serviceId } = options
    return { baseUrl, serviceId, bearer: Redacted.make(bearer, { label: "bearer" }), crashed }
  })

/** The worker's side: runs the sandbox until the parent says to close. */
export const main: Effect.Effect<void> = Effect.gen(function* () {
  const port = parentPort
  if (port === null) return yield* Effect.die(new Error("SandboxThread.main runs in a worker thread"))
  const { bearer, notificationEndpoint, ...options } = Schema.decodeUnknownSync(SandboxOptions.SandboxOptions)(
    workerData
  )
  const tell = (message: Message) => Effect.sync(() => port.postMessage(message))
  const closed = Effect.callback<void>((resume) => {
    port.once("message", () => resume(Effect.void))
  })
  const run = Effect.gen(function* () {
    const { baseUrl } = yield* Sandbox
    yield* tell({ _tag: "Ready", baseUrl })
    return yield* Effect.never
  }).pipe(
    Effect.provide(
      Layer.fresh(
        Sandbox.layer({
          ...options,
          bearer: Redacted.make(bearer),
          notificationEndpoint: notificationEndpoint === undefined ? undefined : new URL(notificationEndpoint)
        })
      )
    ),
    Effect.catch((error) => tell({ _tag: "Failed", reason: error.message }))
  )
  // The parent may say so before the sandbox runs.
  yield* Effect.raceFirst(run, closed)
  port.close()
})
