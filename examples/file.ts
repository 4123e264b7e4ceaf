/**
 * Stream a file of requests through the batch API, and print what became of every line.
 *
 * Runs against a sandbox here. For the real service put `TokenOperations.TokenOperations.layerConfig` in place of the sandbox's layers:
 * it reads AUTHLETE_BASE_URL (or AUTHLETE_REGION), AUTHLETE_SERVICE_ID and AUTHLETE_BEARER.
 */
import { NodeFileSystem, NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { TokenOperations } from "@tokenbatch/core"
import { SampleRequests, Sandbox } from "@tokenbatch/sandbox"
import { ByteSource, TokenBatchRun } from "@tokenbatch/stream"
import { Console, Effect, FileSystem, Layer, Stream } from "effect"

const program = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.makeTempFileScoped()
  yield* Stream.run(SampleRequests.stream({ count: 10_000, badLines: 3 }), fs.sink(file))

  yield* TokenBatchRun.fromBytes(ByteSource.decompress(ByteSource.fromFile(file))).pipe(
    Stream.runForEach((event) => {
      switch (event._tag) {
        case "LinesRejected":
          return Console.log(...event.rejections.map(({ line, reason }) => `line ${line}: ${reason};`))
        case "RunFinished":
          return Console.log(event.report.records)
        default:
          return Effect.void
      }
    })
  )
}).pipe(Effect.scoped)

const Service = TokenOperations.TokenOperations.layer.pipe(
  Layer.provide(Sandbox.Sandbox.layerClient),
  Layer.provide(Sandbox.Sandbox.layer()),
  Layer.provide(NodeHttpClient.layerUndici)
)

program.pipe(Effect.provide([Service, NodeFileSystem.layer]), NodeRuntime.runMain)
