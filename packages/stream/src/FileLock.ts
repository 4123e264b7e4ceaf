/**
 * A lock that is a file, held by one process at a time. It names its holder, and does not outlive it: the lock of a process that is
 * gone is taken over.
 *
 * The file is put in place by linking one that is complete, so nobody ever reads half a lock. Where the platform tells when a process
 * began (`/proc`), that is written down too: another process that has got the holder's number meanwhile is not taken for it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { randomUUID } from "node:crypto"

/** Another process holds the lock. */
export class LockHeld extends Schema.TaggedError<LockHeld>()("LockHeld", { pid: Schema.Int }) {}

const Holder = Schema.fromJsonString(Schema.Struct({ pid: Schema.Int, began: Schema.optionalKey(Schema.String) }))
type Holder = typeof Holder.Type

/** Locks that this process holds: its own number in a file is a lock left by an earlier process of that number, unless it is here. */
const held = new Set<string>()

/** When a process began, in a form that differs between two of one number; `undefined` where nothing tells. */
const beganAt = Effect.fnUntraced(function* (pid: number) {
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.option(fs.readFileString(`/proc/${pid}/stat`))
  // After the name, which is in parentheses and may hold anything: the 20th field is the start, in ticks since the machine began.
  return text._tag === "None" ? undefined : text.value.slice(text.value.lastIndexOf(")") + 2).split(" ")[19]
})

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // There is one, of somebody else.
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

const isAlive = Effect.fnUntraced(function* (path: string, { began, pid }: Holder) {
  if (pid === process.pid && held.has(path)) return true
  if (!exists(pid)) return false
  const now = yield* beganAt(pid)
  // An own number that tells nothing more is what another process of that number has left.
  return began === undefined || now === undefined ? pid !== process.pid : began === now
})

/** Holds the lock until the scope closes. */
export const acquire = (
  path: string
): Effect.Effect<void, LockHeld | PlatformError.PlatformError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const { basename, dirname, join, resolve } = yield* Path.Path
    // One name for one file, however it is called.
    const name = join(yield* fs.realPath(dirname(resolve(path))), basename(path))
    yield* Effect.acquireRelease(take(name), () => {
      held.delete(name)
      return Effect.ignore(fs.remove(name))
    })
  })

/** Whether a link stands there that leads nowhere: it cannot be read, and nothing can be linked over it. */
const isDangling = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  return (yield* Effect.option(fs.readLink(path)))._tag === "Some"
})

/** As old as this a guard was left by a process that died holding it, in milliseconds: it is held for some file operations only. */
const guardAge = 10_000

/**
 * Removes a stale lock, one process at a time: under a guard, and only if it still is the one that was read, so that nobody removes the
 * lock of who has just taken over.
 */
const removeStale = Effect.fnUntraced(function* (path: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const guard = `${path}.guard`
  const made = yield* Effect.result(fs.makeDirectory(guard))
  if (made._tag === "Failure") {
    if (made.failure.reason._tag !== "AlreadyExists") return yield* made.failure
    const info = yield* Effect.option(fs.stat(guard))
    const mtime =
      info._tag === "Some" && info.value.mtime._tag === "Some" ? info.value.mtime.value.getTime() : undefined
    if (mtime !== undefined && (yield* Clock.currentTimeMillis) - mtime > guardAge) {
      yield* Effect.ignore(fs.remove(guard, { recursive: true }))
    }
    return yield* Effect.sleep(20)
  }
  yield* Effect.gen(function* () {
    const now = yield* Effect.option(fs.readFileString(path))
    if (now._tag === "Some" && now.value === text) yield* Effect.ignore(fs.remove(path))
  }).pipe(Effect.ensuring(Effect.ignore(fs.remove(guard, { recursive: true }))), Effect.uninterruptible)
})

const take = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const began = yield* beganAt(process.pid)
  const mine = `${path}.${randomUUID()}`
  const holder: Holder = { pid: process.pid, ...(began === undefined ? undefined : { began }) }
  const link = Effect.map(
    Effect.result(fs.link(mine, path)),
    (result) => result._tag === "Success" || (result.failure.reason._tag === "AlreadyExists" ? false : result.failure)
  )
  yield* Effect.gen(function* () {
    yield* fs.writeFileString(mine, JSON.stringify(holder), { mode: 0o600 })
    for (;;) {
      const linked = yield* link
      if (linked === true) break
      if (linked !== false) return yield* linked
      const text = yield* Effect.result(fs.readFileString(path))
      if (text._tag === "Failure") {
        // Let go of meanwhile; anything else that stands there, a folder say, will not go away.
        if (text.failure.reason._tag === "NotFound" && !(yield* isDangling(path))) continue
        return yield* text.failure
      }
      const other = yield* Effect.option(Schema.decodeUnknownEffect(Holder)(text.success))
      if (other._tag === "Some" && (yield* isAlive(path, other.value)))
        return yield* new LockHeld({ pid: other.value.pid })
      yield* removeStale(path, text.success)
    }
    held.add(path)
  }).pipe(Effect.ensuring(Effect.ignore(fs.remove(mine))))
})
