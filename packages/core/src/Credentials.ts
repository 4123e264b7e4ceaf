/**
 * The bearer that calls are made with, as a service, so that it may change while a run goes on.
 *
 * Long runs outlive credentials. So the bearer is asked for once and kept, and asked for afresh when the service answers 401: if
 * another one comes, the call is made once more with it, and only then does the 401 count. Calls that are in flight together ask
 * once together.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { InvalidSetting, notSet, type Setting } from "./AuthleteConfig.ts"

/** The bearer cannot be had. */
export class CredentialsError extends Schema.TaggedError<CredentialsError>()("CredentialsError", {
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** Whether a text can be a bearer: printable ASCII without white space, since it has to stand in a header. */
export const isBearer = (text: string): boolean => /^[\x21-\x7e]+$/.test(text)

/** What {@link Credentials.layerConfig} needs. */
export const bearerSetting: Setting = ["AUTHLETE_BEARER", "a service access token or an organization token"]

/** The bearer for calls to the service: a service access token or an organization token. */
export class Credentials extends Context.Service<
  Credentials,
  {
    /** The bearer as last known. */
    readonly bearer: Effect.Effect<Redacted.Redacted>
    /**
     * Another bearer than the one that was refused: what somebody else has fetched meanwhile, or what the source gives now. Gives
     * the refused one back where there is no other.
     */
    readonly fresh: (refused: Redacted.Redacted) => Effect.Effect<Redacted.Redacted>
  }
>()("@tokenbatch/core/Credentials") {
  /** A bearer that never changes. */
  static readonly layer = (bearer: Redacted.Redacted): Layer.Layer<Credentials> =>
    Layer.succeed(Credentials, Credentials.of({ bearer: Effect.succeed(bearer), fresh: () => Effect.succeed(bearer) }))

  /** The bearer in `AUTHLETE_BEARER`, white space around it aside. */
  static readonly layerConfig: Layer.Layer<Credentials, InvalidSetting | Config.ConfigError> = Layer.unwrap(
    Effect.gen(function* () {
      const bearer = yield* Config.option(Config.Redacted(bearerSetting[0]))
      const text = Option.isSome(bearer) ? Redacted.value(bearer.value).trim() : ""
      if (text === "") return yield* notSet(bearerSetting)
      if (!isBearer(text)) {
        const reason = "holds more than a bearer: white space, or characters that no bearer has"
        return yield* new InvalidSetting({ setting: bearerSetting[0], reason })
      }
      return Credentials.layer(Redacted.make(text, { label: "bearer" }))
    })
  )

  /**
   * The bearer that an effect gives, such as a call of a token endpoint: run once when the layer is built, and again after a 401. An
   * effect that fails then leaves the bearer as it was, and the 401 counts.
   */
  static readonly layerEffect = <E, R>(
    source: Effect.Effect<Redacted.Redacted, E, R>
  ): Layer.Layer<Credentials, E, R> =>
    Layer.effect(
      Credentials,
      Effect.gen(function* () {
        const context = yield* Effect.context<R>()
        const lock = yield* Semaphore.make(1)
        let current = yield* source
        const fresh = Effect.fn("Credentials.fresh")(
          function* (refused: Redacted.Redacted) {
            if (Redacted.value(current) !== Redacted.value(refused)) return current
            current = yield* Effect.catchCause(Effect.provideContext(source, context), () =>
              Effect.as(Effect.logWarning("No fresh credential could be had; keeping the old one"), current)
            )
            return current
          },
          (effect) => lock.withPermits(1)(effect)
        )
        return Credentials.of({ bearer: Effect.sync(() => current), fresh })
      })
    )

  /** The bearer in a file, white space around it aside; read again after a 401. */
  static readonly layerFile = (path: string): Layer.Layer<Credentials, CredentialsError, FileSystem.FileSystem> =>
    Credentials.layerEffect(
      Effect.gen(function* () {
        const fs = yield* FileSystem.FileSystem
        const text = yield* Effect.mapError(
          fs.readFileString(path),
          (error) => new CredentialsError({ reason: `The bearer file ${path} cannot be read: ${error.message}` })
        )
        const bearer = text.trim()
        if (bearer === "") return yield* new CredentialsError({ reason: `The bearer file ${path} is empty` })
        if (!isBearer(bearer)) {
          return yield* new CredentialsError({ reason: `The bearer file ${path} must hold one line: the bearer alone` })
        }
        return Redacted.make(bearer, { label: "bearer" })
      })
    )
}
