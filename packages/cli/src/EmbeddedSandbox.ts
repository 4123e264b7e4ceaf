/** The sandbox that `create --sandbox` brings along, on a thread of its own. */
import { AuthleteConfig, Credentials, TokenOperations } from "@tokenbatch/core"
import { SandboxThread } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Failure } from "./Failure.ts"

// Beside this file, as a source or as built.
const entry = new URL(import.meta.url.endsWith(".ts") ? "./sandboxWorker.ts" : "./sandboxWorker.mjs", import.meta.url)

/**
 * A client of a sandbox that runs as long as the layer.
 *
 * @param notificationEndpoint where the sandbox says that a batch has ended, if anywhere
 */
export const clientOf = (
  ledgerFile: Option.Option<string>,
  transport: Layer.Layer<HttpClient.HttpClient, Failure>,
  notificationEndpoint?: URL
): Layer.Layer<TokenOperations.TokenOperations, Failure> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { baseUrl, bearer, serviceId } = yield* SandboxThread.start(entry, {
        notificationEndpoint,
        ...(Option.isSome(ledgerFile) ? { ledgerFile: ledgerFile.value } : undefined)
      }).pipe(
        Effect.mapError(
          ({ message }) => new Failure({ problem: message, remedy: "Is the ledger in a folder that you can write to?" })
        )
      )
      return TokenOperations.TokenOperations.layer.pipe(
        Layer.provide(Layer.orDie(AuthleteConfig.AuthleteConfig.layer({ baseUrl, serviceId }))),
        Layer.provide(Credentials.Credentials.layer(bearer)),
        Layer.provide(transport)
      )
    })
  )
