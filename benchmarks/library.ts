/** The product through its public API, with a journal if one is named. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { AuthleteConfig, Credentials, TokenOperations } from "@tokenbatch/core"
import { ByteSource, RunJournal, TokenBatchRun } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"

const [file, baseUrl, size, journal] = process.argv.slice(2)

const Service = TokenOperations.TokenOperations.layer.pipe(
  Layer.provide(AuthleteConfig.AuthleteConfig.layer({ baseUrl: baseUrl!, serviceId: "bench" })),
  Layer.provide(Credentials.Credentials.layer(Redacted.make("bench"))),
  Layer.provide(NodeHttpClient.layerUndici)
)

await TokenBatchRun.fromBytes(ByteSource.decompress(ByteSource.fromFile(file!)), {
  concurrency: 64,
  batchSize: Number(size),
  batchBytes: 64 * 1024 * 1024
}).pipe(
  Stream.runDrain,
  Effect.provide(journal === undefined ? Layer.empty : RunJournal.layerFile(journal)),
  Effect.provide([Service, NodeServices.layer]),
  Effect.runPromise
)
