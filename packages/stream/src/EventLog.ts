/**
 * The one way that events take out of a run: written to the journal first, then passed on, in the order in which they happened.
 *
 * What happens while a write is under way, and for a few milliseconds after one, goes into the next one together, so that the batches in
 * flight share the waiting for the disk: a write a batch and event would cost as much as checking the batch's records. What is written
 * is known: only then it is folded and passed on.
 * When the journal fails, the log says so ahead of what could not be written, and passes the rest on as what it is worth then: whoever
 * waited for one of those events finds the leg stopped, and an outcome that is not written down is none (`unwritten`).
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import type { RunEvent } from "./RunEvent.ts"
import type { RunJournal } from "./RunJournal.ts"

/** Writes follow each other at least this far apart, in milliseconds. The first after a while goes at once. */
const interval = 4

/** Where events go, and what happens when they cannot be written down. */
export interface Options {
  readonly journal: RunJournal
  /** Called with each event, in order, when it is written. */
  readonly fold: (event: RunEvent) => void
  readonly pass: (events: ReadonlyArray<RunEvent>) => Effect.Effect<void>
  /** What is told in place of an event that could not be written; `undefined` for nothing. */
  readonly unwritten: (event: RunEvent) => RunEvent | undefined
  /** Called once, when the journal fails: stops the leg, and gives the event that says so. */
  readonly failed: (message: string) => RunEvent
  /** Called when a defect ends the writing: nobody who waits for an event would go on any more. */
  readonly died: (cause: Cause.Cause<never>) => Effect.Effect<unknown>
}

interface Entry {
  readonly event: RunEvent
  readonly done: Deferred.Deferred<void>
}

/** A log, for as long as the scope is open. What it gives takes an event at once, and waits until it is written and passed on. */
export const make = Effect.fnUntraced(function* ({
  died,
  fold,
  failed,
  journal,
  pass,
  unwritten
}: Options): Effect.fn.Return<(event: RunEvent) => Effect.Effect<void>, never, Scope.Scope> {
  const entries = yield* Queue.unbounded<Entry>()
  let writing = journal.kept
  let broken = false

  const write = Effect.fnUntraced(function* (group: ReadonlyArray<Entry>) {
    const events: Array<RunEvent> = []
    const tell = (event: RunEvent) => {
      fold(event)
      events.push(event)
    }
    if (writing) {
      const failure = yield* Effect.matchCause(journal.append(group.map(({ event }) => event)), {
        // A journal that meets a defect has failed as well: whoever waits must not wait for ever.
        onFailure: (cause) => {
          const error = Cause.squash(cause)
          return error instanceof Error ? error.message : String(error)
        },
        onSuccess: () => undefined
      })
      if (failure !== undefined) {
        writing = false
        broken = true
        tell(failed(failure))
      }
    }
    for (const { event } of group) {
      const worth = broken ? unwritten(event) : event
      if (worth !== undefined) tell(worth)
    }
    yield* pass(events)
    for (const { done } of group) Deferred.doneUnsafe(done, Effect.void)
  })

  yield* Effect.forkScoped(
    Effect.gen(function* () {
      for (;;) {
        yield* write(yield* Queue.takeAll(entries))
        if (writing) yield* Effect.sleep(interval)
      }
    }).pipe(Effect.catchCause(died))
  )

  return (event) => {
    const done = Deferred.makeUnsafe<void>()
    Queue.offerUnsafe(entries, { event, done })
    return Deferred.await(done)
  }
})
