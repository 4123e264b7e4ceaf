
import * as Effect from "effect/Effect"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as JournalLock from "./src/JournalLock.ts"
import fs from "node:fs"
const dir = process.argv[2]!, me = process.argv[3]!
process.on("message", async ({ round, at }: any) => {
  while (Date.now() < at) {}
  const r = await Effect.runPromise(Effect.result(Effect.scoped(Effect.gen(function* () {
    yield* JournalLock.acquire(dir + "/lock-" + round)
    const t0 = process.hrtime.bigint()
    yield* Effect.sleep(15)
    return [String(t0), String(process.hrtime.bigint())]
  }).pipe(Effect.tap((x) => Effect.sync(() => 0))))).pipe(Effect.provide(NodeServices.layer)) as any) as any
  process.send!({ round, me, tag: r._tag, held: r._tag === "Success" ? r.success : undefined, f: r._tag === "Failure" ? String(r.failure._tag) + " " + JSON.stringify(r.failure) : undefined })
})
process.send!("ready")
