/** What the runs of the library have in common: the service, the options, and that a run counts only if all was created. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { AuthleteConfig, Credentials, TokenOperations } from "@tokenbatch/core"
import { type RunEvent, RunReport, type TokenBatchRun } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

export const serviceAt = (baseUrl: string) =>
  TokenOperations.TokenOperations.layer.pipe(
    Layer.provide(AuthleteConfig.AuthleteConfig.layer({ baseUrl, serviceId: "bench" })),
    Layer.provide(Credentials.Credentials.layer(Redacted.make("bench"))),
    Layer.provide(NodeHttpClient.layerUndici)
  )

export const options = (batchSize: number): TokenBatchRun.Options => ({
  concurrency: 64,
  batchSize,
  batchBytes: 64 * 1024 * 1024
})

/** Reads all events. Ends the process with an error unless the last one says that every line was created. */
export const drain = <E, R>(events: Stream.Stream<RunEvent.RunEvent, E, R>) =>
  Effect.gen(function* () {
    let exitCode: number | undefined
    yield* Stream.runForEach(events, (event) =>
      Effect.sync(() => {
        if (event._tag === "RunFinished") exitCode = RunReport.exitCode(event.report)
      })
    )
    if (exitCode !== 0) return yield* Effect.die(new Error(`the run ended with ${exitCode}`))
  })
