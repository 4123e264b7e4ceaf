import * as NodeServices from "@effect/platform-node/NodeServices"
import { ByteSource, RunJournal, TokenBatchRun } from "@tokenbatch/stream"
import { TokenOperations, TokenBatch } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Runs from "../runs.ts"
const [file, batchSize, journal] = process.argv.slice(2)
let n = 0
const stub = TokenOperations.TokenOperations.layerTest({
  createBatchEncoded: () => Effect.sync(() => ({ requestId: TokenBatch.RequestId.make("rrrrrrrr" + ++n) })),
  batchStatus: (requestId) => Effect.sync(() => ({ requestId, _tag: "Succeeded" }) as any)
})
await TokenBatchRun.fromBytes(ByteSource.decompress(ByteSource.fromFile(file!)), Runs.options(Number(batchSize))).pipe(
  Runs.drain,
  Effect.provide(journal === undefined ? Layer.empty : RunJournal.layerFile(journal)),
  Effect.provide([stub, NodeServices.layer]),
  Effect.runPromise
)
const u = process.cpuUsage(); console.log("stub", n, ((u.user+u.system)/1e6).toFixed(2))
