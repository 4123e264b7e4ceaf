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
import { closeSync, fchmodSync, fstatSync, openSync, writeSync } from "node:fs"

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
  readonly refresh: string | undefined
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
    /** Enters the tokens of a batch. */
    readonly add: (requestId: string, tokens: ReadonlyArray<Tokens>) => Effect.Effect<void, LedgerError>
  }
>()("@tokenbatch/sandbox/Ledger") {
  /** A ledger in memory, and in a file if one is named. */
  static readonly layer = (file?: string): Layer.Layer<Ledger, LedgerError> =>
    Layer.effect(
      Ledger,
      Effect.gen(function* () {
        const access = new Map<string, string>()
        const refresh = new Set<string>()
        const append = file === undefined ? undefined : yield* openFile(file)
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
          add: Effect.fnUntraced(function* (requestId, tokens) {
            // What cannot be written down has not been created.
            if (append !== undefined && tokens.length > 0) {
              yield* append(
                tokens.map(({ access }) => `{"tokenHash":"${access}","requestId":"${requestId}"}\n`).join("")
              )
            }
            for (const token of tokens) {
              access.set(token.access, requestId)
              if (token.refresh !== undefined) refresh.add(token.refresh)
            }
          })
        })
      })
    )
}

/** One write a batch, before the batch is called succeeded: so the file knows whatever a client was told. */
const openFile = Effect.fnUntraced(function* (file: string) {
  const attempt = <A>(write: () => A) =>
    Effect.try({
      try: write,
      catch: (error) => new LedgerError({ file, reason: error instanceof Error ? error.message : String(error) })
    })
  const descriptor = yield* Effect.acquireRelease(
    attempt(() => openSync(file, "w", 0o600)),
    (fd) => Effect.sync(() => closeSync(fd))
  )
  // A file that was there keeps its mode when it is opened.
  yield* attempt(() => (fstatSync(descriptor).isFile() ? fchmodSync(descriptor, 0o600) : undefined))
  return (lines: string) =>
    attempt(() => {
      const bytes = Buffer.from(lines)
      for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written)
    })
})
