/** The inputs of a command: files that can be read, or standard input. Found out before anything is submitted. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { ByteSource, type TokenRecords } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import { Failure } from "./Failure.ts"

/** Standard input broke. */
class StdinError extends Schema.TaggedError<StdinError>()("StdinError", { reason: Schema.String }) {
  override get message() {
    return `standard input cannot be read on: ${this.reason}`
  }
}

type InputError = PlatformError.PlatformError | ByteSource.DecompressionError | StdinError

export interface Inputs {
  readonly inputs: ReadonlyArray<TokenRecords.Input<InputError, FileSystem.FileSystem>>
  /** Bytes to be read, where that is known: of plain files. */
  readonly size: number | undefined
  /** The files by their paths. */
  readonly paths: ReadonlyArray<string>
}

const stdin: Stream.Stream<Uint8Array, StdinError> = NodeStream.fromReadable({
  evaluate: () => process.stdin,
  onError: (error) => new StdinError({ reason: error instanceof Error ? error.message : String(error) }),
  closeOnDone: false
})

/** Opens what the arguments name. Several files are told apart in positions by their names. */
export const open = Effect.fnUntraced(function* (files: ReadonlyArray<string>) {
  const names = files.length === 0 ? ["-"] : files
  if (names.filter((name) => name === "-").length > 1) {
    return yield* new Failure({ problem: "Standard input (-) is named twice.", remedy: "It can be read once only." })
  }
  const sizes = yield* Effect.forEach(names, (name) => (name === "-" ? Effect.succeed(undefined) : sizeOf(name)))
  const inputs: Inputs["inputs"] = names.map((name) => ({
    ...(names.length > 1 ? { name } : undefined),
    bytes: ByteSource.decompress<InputError, FileSystem.FileSystem>(name === "-" ? stdin : ByteSource.fromFile(name))
  }))
  const size = sizes.reduce<number | undefined>(
    (sum, bytes) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0
  )
  return { inputs, size, paths: names.filter((name) => name !== "-") } satisfies Inputs
})

/** The size of a plain file; `undefined` for one that is compressed, or no file but a pipe. */
const sizeOf = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const cannot = (cause: string) =>
    new Failure({
      problem: `${path}: ${cause}.`,
      remedy: "Name a file of NDJSON that can be read, or - for standard input."
    })
  const info = yield* Effect.mapError(fs.stat(path), (error) =>
    cannot(error.reason._tag === "NotFound" ? "no such file" : "cannot be read")
  )
  if (info.type === "Directory") return yield* cannot("is a directory")
  // A pipe gives what it gives once: looking into it would take it away.
  if (info.type !== "File") return undefined
  const head = yield* Effect.scoped(Effect.flatMap(fs.open(path, { flag: "r" }), (file) => file.readAlloc(4))).pipe(
    Effect.mapError(() => cannot("cannot be read"))
  )
  return head._tag === "Some" && ByteSource.formatOf(head.value) !== undefined ? undefined : Number(info.size)
})
