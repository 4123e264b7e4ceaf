/** The inputs of a command: files that can be read, or standard input. Found out before anything is submitted. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import { ByteSource, type TokenRecords } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Failure } from "./Failure.ts"
import * as IoError from "./IoError.ts"
import * as OutputFiles from "./OutputFiles.ts"

/** Standard input broke. */
class StdinError extends Schema.TaggedError<StdinError>()("StdinError", { reason: Schema.String }) {
  override get message() {
    return `standard input cannot be read on: ${this.reason}`
  }
}

/** A file that was there cannot be read on. */
class FileError extends Schema.TaggedError<FileError>()("FileError", { file: Schema.String, reason: Schema.String }) {
  override get message() {
    return `${this.file} cannot be read on: ${this.reason}`
  }
}

type InputError = FileError | ByteSource.DecompressionError | StdinError

export interface Inputs {
  readonly inputs: ReadonlyArray<TokenRecords.Input<InputError, FileSystem.FileSystem>>
  /** Bytes to be read, where that is known: of plain files. */
  readonly size: number | undefined
  /** The files by their paths. */
  readonly paths: ReadonlyArray<string>
  readonly stdin: boolean
  /** Whether a person is to type them in: the terminal is not to be drawn on then. */
  readonly typed: boolean
}

const stdin: Stream.Stream<Uint8Array, StdinError> = NodeStream.fromReadable({
  evaluate: () => process.stdin,
  onError: (error) => new StdinError({ reason: error instanceof Error ? error.message : String(error) }),
  closeOnDone: false
})

const fromFile = (path: string) =>
  Stream.mapError(ByteSource.fromFile(path), (error) => new FileError({ file: path, reason: IoError.describe(error) }))

/** What a person is told who is to type the lines in. */
export const invitation = "Reading from the terminal: a JSON object a line, Ctrl-D ends the input."

/** What outputs must not be written over because it is read. */
export const taken = ({ paths, stdin }: Inputs): OutputFiles.Taken => ({
  files: paths.map((path) => ["the input", path] as const),
  descriptors: stdin ? [["the input", 0]] : []
})

/** What standard input is to a run that goes on. */
const stdinIdentity = "-"

/**
 * Opens what the arguments name. Several files are told apart in positions by their names.
 *
 * @param called what they were called before, where that is something else
 */
export const open = Effect.fnUntraced(function* (
  files: ReadonlyArray<string>,
  called: ReadonlyArray<string | undefined> = []
) {
  const names = files.length === 0 ? ["-"] : files
  if (names.filter((name) => name === "-").length > 1) {
    return yield* new Failure({ problem: "Standard input (-) is named twice.", remedy: "It can be read once only." })
  }
  const regular = yield* Effect.forEach(names, (name) =>
    name === "-" ? Effect.succeed({ isFile: false, size: undefined }) : lookInto(name)
  )
  yield* checkTwice(names.filter((name) => name !== "-"))
  const fs = yield* FileSystem.FileSystem
  const { resolve } = yield* Path.Path
  // One name for one file, by whatever link it is named.
  const identities = yield* Effect.forEach(names, (name) =>
    name === "-" ? Effect.succeed(stdinIdentity) : Effect.orElseSucceed(fs.realPath(name), () => resolve(name))
  )
  const inputs: Inputs["inputs"] = names.map((name, i) => ({
    ...(names.length > 1 ? { name: called[i] ?? name } : undefined),
    identity: identities[i]!,
    // What is no file, a pipe say, gives what it gives once.
    repeatable: regular[i]!.isFile,
    bytes: ByteSource.decompress<InputError, FileSystem.FileSystem>(name === "-" ? stdin : fromFile(name))
  }))
  const size = regular.reduce<number | undefined>(
    (sum, { size: bytes }) => (sum === undefined || bytes === undefined ? undefined : sum + bytes),
    0
  )
  const fromStdin = names.includes("-")
  return {
    inputs,
    size,
    paths: names.filter((name) => name !== "-"),
    stdin: fromStdin,
    typed: fromStdin && process.stdin.isTTY === true
  } satisfies Inputs
})

/** Refuses a file that is named twice, by whatever names: each of its records would be sent twice. */
const checkTwice = Effect.fnUntraced(function* (paths: ReadonlyArray<string>) {
  const seen = new Map<string, string>()
  for (const path of paths) {
    const identity = yield* OutputFiles.identityOf(path)
    const other = identity === undefined ? undefined : seen.get(identity)
    if (other !== undefined) {
      return yield* new Failure({
        problem: `${path} is ${path === other ? "named twice" : `the same file as ${other}`}.`,
        remedy: "Its records would be sent twice: name it once."
      })
    }
    if (identity !== undefined) seen.set(identity, path)
  }
})

/** Whether it is a file, and the size of a plain one; no size for one that is compressed, or a pipe. */
const lookInto = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const cannot = (cause: string) =>
    new Failure({
      problem: `${path}: ${cause}.`,
      remedy: "Name a file of NDJSON that can be read, or - for standard input."
    })
  const info = yield* Effect.mapError(fs.stat(path), (error) =>
    cannot(error.reason._tag === "NotFound" ? "no such file" : `cannot be read, ${IoError.describe(error)}`)
  )
  if (info.type === "Directory") return yield* cannot("is a directory")
  // A pipe gives what it gives once: looking into it would take it away.
  if (info.type !== "File") return { isFile: false, size: undefined }
  const head = yield* Effect.scoped(Effect.flatMap(fs.open(path, { flag: "r" }), (file) => file.readAlloc(4))).pipe(
    Effect.mapError((error) => cannot(`cannot be read, ${IoError.describe(error)}`))
  )
  const compressed = head._tag === "Some" && ByteSource.formatOf(head.value) !== undefined
  return { isFile: true, size: compressed ? undefined : Number(info.size) }
})
