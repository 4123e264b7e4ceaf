/**
 * What a sandbox knows, kept in a file, so that one that was killed can be started anew where it was.
 *
 * The file has a JSON line for each thing that happened: a batch was `Accepted` (with all that is needed to work on it: hashes, never
 * token values), a batch `Ended` (its result, and which of its records became tokens, in one write), a batch was `Forgotten`. A line is
 * written before a client is told. The last line may be torn, where the process was killed while it wrote: it is cut off, and what it
 * would have said has not happened.
 *
 * Without a file everything is in memory alone.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { resolve } from "node:path"
import { BatchFaults } from "./Faults.ts"
import * as LineFile from "./LineFile.ts"
import type { SandboxOptions } from "./SandboxOptions.ts"

/** A record of a batch, as far as it matters for what becomes of it. */
export const Work = Schema.Struct({
  /** The hash of the access token, of the client's value or of one that was made up. */
  access: Schema.String,
  /** The hash of the refresh token. */
  refresh: Schema.optionalKey(Schema.String),
  scopes: Schema.optionalKey(Schema.Array(Schema.String))
})
export interface Work extends Schema.Schema.Type<typeof Work> {}

/** A batch was accepted. Times are milliseconds since the Unix epoch. */
export const Accepted = Schema.TaggedStruct("Accepted", {
  requestId: Schema.String,
  at: Schema.Number,
  dryRun: Schema.Boolean,
  faults: BatchFaults,
  records: Schema.Array(Work)
})
export interface Accepted extends Schema.Schema.Type<typeof Accepted> {}

/** A batch has its result. */
export const Ended = Schema.TaggedStruct("Ended", {
  requestId: Schema.String,
  at: Schema.Number,
  result: Schema.Literals(["SUCCEEDED", "FAILED"]),
  tokenCount: Schema.optionalKey(Schema.Int),
  errorCode: Schema.optionalKey(Schema.String),
  errorDescription: Schema.optionalKey(Schema.String),
  /** The records that became tokens, by their places in the batch. */
  created: Schema.Array(Schema.Int)
})
export interface Ended extends Schema.Schema.Type<typeof Ended> {}

/** A batch that had no result was given up when the sandbox was started anew. */
const Forgotten = Schema.TaggedStruct("Forgotten", { requestId: Schema.String })

const Line = Schema.Union([Accepted, Ended, Forgotten])
type Line = typeof Line.Type

/** The state file cannot be read, or not be written. */
export class StateError extends Schema.TaggedError<StateError>()("StateError", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The sandbox's state ${this.file} cannot be used: ${this.reason}`
  }
}

/** The batches that were known when the file was opened. */
export interface Known {
  /** In the order in which they ended. */
  readonly ended: ReadonlyArray<readonly [Accepted, Ended]>
  /** Without a result, in the order in which they were accepted. */
  readonly open: ReadonlyArray<Accepted>
}

/** The state of a sandbox. */
export class StateFile extends Context.Service<
  StateFile,
  {
    readonly known: Known
    /** Writes down what happened, at once. @throws StateError and then it is not written */
    readonly writeUnsafe: (line: Line) => void
  }
>()("@tokenbatch/sandbox/StateFile") {
  /** The state in the file that the options name; nothing known, and nothing written, without one. */
  static readonly layer = ({ ledgerFile, stateFile }: SandboxOptions): Layer.Layer<StateFile, StateError> =>
    stateFile === undefined
      ? Layer.succeed(StateFile, { known: { ended: [], open: [] }, writeUnsafe: () => {} })
      : Layer.effect(
          StateFile,
          Effect.gen(function* () {
            const failed = (reason: string) => new StateError({ file: stateFile, reason })
            if (ledgerFile !== undefined && resolve(ledgerFile) === resolve(stateFile)) {
              return yield* failed("it is the file of the ledger, too")
            }
            const { keep, known } = yield* Effect.fromResult(read(stateFile, failed))
            const lines = yield* LineFile.open(stateFile, keep, failed)
            return { known, writeUnsafe: (line) => lines.appendUnsafe(`${JSON.stringify(line)}\n`) }
          })
        )
}

const decodeLine = Schema.decodeUnknownResult(Schema.fromJsonString(Line))

/** Reads what a file knows, and how many of its bytes are whole lines. */
const read = (
  file: string,
  failed: (reason: string) => StateError
): Result.Result<{ readonly keep: number; readonly known: Known }, StateError> => {
  let bytes: Buffer
  try {
    bytes = readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") return Result.fail(failed((error as Error).message))
    bytes = Buffer.alloc(0)
  }
  const open = new Map<string, Accepted>()
  const ended: Array<readonly [Accepted, Ended]> = []
  let keep = 0
  for (let number = 1, end = bytes.indexOf(10); end !== -1; number++, end = bytes.indexOf(10, keep)) {
    const decoded = decodeLine(bytes.toString("utf8", keep, end))
    // A file of something else is not to be written into.
    if (Result.isFailure(decoded)) return Result.fail(failed(`line ${number} is none of a sandbox's state`))
    const line = decoded.success
    const accepted = open.get(line.requestId)
    if (line._tag === "Accepted") open.set(line.requestId, line)
    else open.delete(line.requestId)
    if (line._tag === "Ended" && accepted !== undefined) ended.push([accepted, line])
    keep = end + 1
  }
  // A file of something else without any line's end.
  if (keep === 0 && bytes.length > 0 && !'{"_tag":"Accepted"'.startsWith(bytes.toString("utf8", 0, 18))) {
    return Result.fail(failed("line 1 is none of a sandbox's state"))
  }
  return Result.succeed({ keep, known: { ended, open: [...open.values()] } })
}
