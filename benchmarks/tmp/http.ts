import { TokenOperations } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import * as Runs from "../runs.ts"
const [baseUrl, count] = process.argv.slice(2)
const body = new Uint8Array(Buffer.from("[" + Array.from({length: 100}, (_, i) => JSON.stringify({grantType:"AUTHORIZATION_CODE",clientId:1234567890+i,subject:"x".repeat(280)})).join(",") + "]"))
const program = Effect.gen(function* () {
  const ops = yield* TokenOperations.TokenOperations
  let left = Number(count)
  const worker = Effect.gen(function* () {
    while (left-- > 0) {
      const r = yield* ops.createBatchEncoded(body)
      yield* Effect.sleep(60)
      yield* ops.batchStatus(r.requestId)
    }
  })
  yield* Effect.all(Array.from({ length: 64 }, () => worker), { concurrency: "unbounded" })
})
await program.pipe(Effect.provide(Runs.serviceAt(baseUrl!)), Effect.runPromise)
const u = process.cpuUsage(); console.log("effect http", ((u.user+u.system)/1e6).toFixed(2))
