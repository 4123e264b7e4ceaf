/**
 * Reads inputs end to end and byte by byte, as much at a time as is asked for, and knows on which line of which input it stands: to hold
 * what was read before against what is there now, to get batches back that were cut from it, and to read on behind.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Input, LineStart } from "./TokenRecords.ts"

/** Consecutive bytes of one input, and where they begin. Valid until the next ones are read. */
export interface Piece {
  readonly file: string | undefined
  readonly start: LineStart
  readonly bytes: Uint8Array
}

/** What is left of an input, and where it begins. */
export interface Rest<E, R> {
  readonly input: Input<E, R>
  readonly start: LineStart | undefined
  /** Its first byte, if it was looked at. */
  readonly next: number | undefined
}

/** Reads inputs, one after another. */
export interface InputReader<E, R> {
  /** The next piece, of at most so many bytes; `undefined` at the end of all inputs. */
  readonly take: (most: number) => Effect.Effect<Piece | undefined, E, R>
  /** What has not been taken, as inputs. To be asked for once, when no more is to be taken; it must be read while the scope is open. */
  readonly rest: Effect.Effect<ReadonlyArray<Rest<E, R>>, E, R>
}

const newline = 10

/** Opens inputs, for as long as the scope is open. */
export const make = <E, R>(inputs: Iterable<Input<E, R>>): Effect.Effect<InputReader<E, R>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const waiting = [...inputs]
    let current:
      | { readonly input: Input<E, R>; readonly pull: Pull.Pull<ReadonlyArray<Uint8Array>, E, void, R> }
      | undefined
    let chunks: ReadonlyArray<Uint8Array> = []
    let chunk: Uint8Array = new Uint8Array(0)
    let line = 1
    let offset = 0
    let lineLength = 0

    /** Makes sure that there are bytes to take, if there are any. */
    const fill: Effect.Effect<boolean, E, R> = Effect.gen(function* () {
      for (;;) {
        if (chunk.length > 0) return true
        if (chunks.length > 0) {
          chunk = chunks[0]!
          chunks = chunks.slice(1)
          continue
        }
        if (current === undefined) {
          const input = waiting.shift()
          if (input === undefined) return false
          current = { input, pull: yield* Scope.provide(Stream.toPull(input.bytes), scope) }
          line = 1
          offset = 0
          lineLength = 0
        }
        const pulled = yield* Effect.exit(current.pull)
        if (Exit.isSuccess(pulled)) chunks = pulled.value
        else if (Pull.isDoneCause(pulled.cause)) current = undefined
        else return yield* Effect.failCause(pulled.cause as Cause.Cause<E>)
      }
    })

    const take = Effect.fnUntraced(function* (most: number) {
      if (!(yield* fill)) return undefined
      const bytes = chunk.subarray(0, most)
      const piece: Piece = { file: current!.input.name, start: { line, offset, lineLength }, bytes }
      chunk = chunk.subarray(bytes.length)
      for (let at = bytes.indexOf(newline); at !== -1; at = bytes.indexOf(newline, at + 1)) line++
      const last = bytes.lastIndexOf(newline)
      lineLength = last === -1 ? lineLength + bytes.length : bytes.length - last - 1
      offset += bytes.length
      return piece
    })

    // Looked at only where it matters how a line goes on: a terminal may be waiting for somebody to type.
    const look = Effect.suspend(() => (lineLength > 0 ? Effect.asVoid(fill) : Effect.void))
    const rest = Effect.map(look, (): ReadonlyArray<Rest<E, R>> => {
      const others = waiting.map((input) => ({ input, start: undefined, next: undefined }))
      if (current === undefined) return others
      const { input, pull } = current
      const left: ReadonlyArray<Uint8Array> = [chunk, ...chunks].filter(({ length }) => length > 0)
      let first = true
      const bytes = Stream.fromPull(
        Effect.succeed(
          Effect.suspend(() => {
            if (!first || left.length === 0)
              return pull as Pull.Pull<readonly [Uint8Array, ...Array<Uint8Array>], E, void, R>
            first = false
            return Effect.succeed(left as readonly [Uint8Array, ...Array<Uint8Array>])
          })
        )
      )
      return [{ input: { ...input, bytes }, start: { line, offset, lineLength }, next: chunk[0] }, ...others]
    })

    return { take, rest }
  })
