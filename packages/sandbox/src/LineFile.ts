/**
 * A file of lines that is added to, for its owner only: what is added is there whole, or not at all.
 *
 * Adding is no effect but done at once, so that nothing else of the sandbox can come between a write and what it stands for. What is
 * written outlives the process, not a power cut: it is not synced to the disk.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { closeSync, fchmodSync, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs"

/** A file that lines are added to. */
export interface LineFile {
  /** Adds lines, each with its end. Where that fails it throws, and what had got there is taken back. */
  readonly appendUnsafe: (lines: string) => void
  /** Takes back what the last `appendUnsafe` added. */
  readonly takeBackUnsafe: () => void
}

/**
 * Opens a file until the scope closes; makes it if it is not there.
 *
 * @param keep how many bytes of it stay; something that is no plain file, such as a pipe, stays as it is
 * @param failed makes the error that `open` fails with and the other functions throw
 */
export const open = <E>(
  file: string,
  keep: number,
  failed: (reason: string) => E
): Effect.Effect<LineFile, E, Scope.Scope> => {
  const failure = (error: unknown) => failed(error instanceof Error ? error.message : String(error))
  const attempt = (use: () => void) => {
    try {
      use()
    } catch (error) {
      throw failure(error)
    }
  }
  return Effect.acquireRelease(
    // Each write goes to the end, wherever that is when something was taken back.
    Effect.try({ try: () => openSync(file, "a", 0o600), catch: failure }),
    (descriptor) => Effect.sync(() => closeSync(descriptor))
  ).pipe(
    Effect.flatMap((descriptor) =>
      Effect.try({
        try: (): LineFile => {
          const isFile = fstatSync(descriptor).isFile()
          const cut = (to: number) => (isFile ? ftruncateSync(descriptor, to) : undefined)
          let before = keep
          let length = keep
          cut(length)
          // A file that was there keeps its mode when it is opened.
          if (isFile) fchmodSync(descriptor, 0o600)
          return {
            appendUnsafe: (lines) => {
              const bytes = Buffer.from(lines)
              attempt(() => {
                try {
                  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
                } catch (error) {
                  cut(length)
                  throw error
                }
              })
              before = length
              length += bytes.length
            },
            takeBackUnsafe: () => {
              attempt(() => cut(before))
              length = before
            }
          }
        },
        catch: failure
      })
    )
  )
}
