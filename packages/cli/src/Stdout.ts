/**
 * Standard output for machines: lines, with back-pressure. When whoever reads it goes away, writing ends and the run goes on. Where it cannot
 * be written for another reason, a full disk say, that is kept to be told.
 */
import * as Effect from "effect/Effect"

let closed = false
let failure: string | undefined

/** To be called once at the start: a closed pipe must not end the process. */
export const guard = Effect.sync(() => {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    closed = true
    if (error.code !== "EPIPE") failure ??= error.message
  })
  process.stderr.on("error", () => {})
})

/** Whether nobody reads any more. */
export const isClosed = (): boolean => closed

/** Why standard output lacks something of what was written, if it does though somebody still reads it. */
export const lost = (): string | undefined => failure

/** Writes text; waits while the reader is slower. */
export const write = (text: string | Uint8Array): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (closed || text.length === 0) return resume(Effect.void)
    const done = () => {
      process.stdout.off("drain", done)
      process.stdout.off("error", done)
      process.stdout.off("close", done)
      resume(Effect.void)
    }
    if (process.stdout.write(text)) return resume(Effect.void)
    process.stdout.once("drain", done).once("error", done).once("close", done)
    return Effect.sync(done)
  })
