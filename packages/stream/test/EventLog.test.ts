import { RunJournal, type RunEvent } from "@tokenbatch/stream"
import * as EventLog from "@tokenbatch/stream/EventLog"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"

describe("EventLog", () => {
  it.effect("says so when a defect ends it, since nobody who waits would go on any more", () =>
    Effect.gen(function* () {
      const died = yield* Deferred.make<Cause.Cause<never>>()
      const journal = yield* RunJournal.RunJournal
      const log = yield* EventLog.make({
        journal,
        fold: () => {
          throw new Error("a fault")
        },
        pass: () => Effect.void,
        unwritten: (event) => event,
        failed: (message): RunEvent.RunEvent => ({ _tag: "RunStopping", reason: "JournalFailed", message }),
        died: (cause) => Deferred.succeed(died, cause)
      })
      yield* Effect.forkChild(log({ _tag: "BatchAttempted", batch: 1 }))
      assert.include(Cause.pretty(yield* Deferred.await(died)), "a fault")
    }).pipe(Effect.scoped, Effect.provide(RunJournal.layerMemory()))
  )
})
