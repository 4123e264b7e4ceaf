/** The product through its public API, bytes in: `library.ts FILE BASE_URL BATCH_SIZE [JOURNAL]`. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { ByteSource, RunJournal, TokenBatchRun } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runs from "./runs.ts"

const [file, baseUrl, batchSize, journal] = process.argv.slice(2)

await TokenBatchRun.fromBytes(ByteSource.decompress(ByteSource.fromFile(file!)), Runs.options(Number(batchSize))).pipe(
  Runs.drain,
  Effect.provide(journal === undefined ? Layer.empty : RunJournal.layerFile(journal)),
  Effect.provide([Runs.serviceAt(baseUrl!), NodeServices.layer]),
  Effect.runPromise
)
