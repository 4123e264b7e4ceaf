/**
 * What the sandbox has created: the oracle that a report is held against.
 *
 * It holds hashes, as the service does, never token values. A value whose hash is in it cannot be created again. With a file, every
 * created token is written there as a line, `{"tokenHash":"...","requestId":"..."}`, in the order in which they were created; the hash
 * is the SHA-256 of the access token value in base64url.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { hash } from "node:crypto"
import * as LineFile from "./LineFile.ts"

/** One created token. */
export interface Entry {
  /** SHA-256 of the access token value, in base64url. */
  readonly tokenHash: string
  /** The batch that created it. */
  readonly requestId: string
}

/** The ledger file cannot be written. */
export class LedgerError extends Schema.TaggedError<LedgerError>()("LedgerError", {
  file: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The sandbox's ledger ${this.file} cannot be written: ${this.reason}`
  }
}

/** The hash of a token value, as it stands in the ledger. */
export const hashOf = (value: string): string => hash("sha256", value, "base64url")

/** The token values of one record: what the client chose, or what the service made up. */
export interface Tokens {
  readonly access: string
  readonly refresh?: string | undefined
}

/** A ledger of created tokens. */
export class Ledger extends Context.Service<
  Ledger,
  {
    /** How many tokens have been created. */
    readonly size: Effect.Effect<number>
    /** The batch that created the token of a value. */
    readonly requestOf: (accessToken: string) => Effect.Effect<Option.Option<string>>
    /** All created tokens, in order. */
    readonly entries: Effect.Effect<ReadonlyArray<Entry>>
    /** Which of a record's values exists already. */
    readonly existing: (tokens: Tokens) => "access" | "refresh" | undefined
    /**
     * Enters the tokens of a batch, in one step: the file and the memory, or neither.
     *
     * @param alongside what else has to be written for the tokens to count; if it throws, they are not entered
     * @throws LedgerError, or what `alongside` throws
     */
    readonly addUnsafe: (requestId: string, tokens: ReadonlyArray<Tokens>, alongside?: () => void) => void
  }
>()("@tokenbatch/sandbox/Ledger") {
  /** A ledger in memory, and in a file if one is named. A file that is there is written over. */
  static readonly layer = (file?: string): Layer.Layer<Ledger, LedgerError> =>
    Layer.effect(
      Ledger,
      Effect.gen(function* () {
        const access = new Map<string, string>()
        const refresh = new Set<string>()
        const lines =
          file === undefined ? undefined : yield* LineFile.open(file, 0, (reason) => new LedgerError({ file, reason }))
        return Ledger.of({
          size: Effect.sync(() => access.size),
          requestOf: (value) => Effect.sync(() => Option.fromUndefinedOr(access.get(hashOf(value)))),
          entries: Effect.sync(() => Array.from(access, ([tokenHash, requestId]) => ({ tokenHash, requestId }))),
          existing: (tokens) =>
            access.has(tokens.access)
              ? "access"
              : tokens.refresh !== undefined && refresh.has(tokens.refresh)
                ? "refresh"
                : undefined,
          addUnsafe: (requestId, tokens, alongside = () => {}) => {
            // One write a batch, before it is called succeeded: the file knows whatever a client is told.
            lines?.appendUnsafe(
              tokens.map(({ access }) => `{"tokenHash":"${access}","requestId":"${requestId}"}\n`).join("")
            )
            try {
              alongside()
            } catch (error) {
              lines?.takeBackUnsafe()
              throw error
            }
            for (const token of tokens) {
              access.set(token.access, requestId)
              if (token.refresh !== undefined) refresh.add(token.refresh)
            }
          }
        })
      })
    )
}
