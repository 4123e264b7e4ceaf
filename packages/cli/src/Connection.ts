/** From flags and environment to the service that a command calls. */
import { AuthleteConfig, Credentials, TokenOperations } from "@tokenbatch/core"
import type * as Config from "effect/Config"
import type * as Duration from "effect/Duration"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Failure } from "./Failure.ts"
import * as HttpTransport from "./HttpTransport.ts"

/** What the connection flags say. */
export interface Settings {
  readonly baseUrl: Option.Option<string>
  readonly region: Option.Option<AuthleteConfig.Region>
  readonly serviceId: Option.Option<string>
  readonly bearerFile: Option.Option<string>
  readonly allowInsecure: boolean
  readonly requestTimeout: Duration.Duration
  /** Where the service is if neither flags nor environment say so. */
  readonly fallback?: TokenOperations.Address | undefined
}

const noCredential = (error: AuthleteConfig.InvalidSetting | Config.ConfigError) =>
  new Failure({
    problem: `There is no credential: ${error._tag === "InvalidSetting" ? `${error.setting} ${error.reason}` : error.message}.`,
    remedy: "Set it to the service's access token alone, or name a file that holds it with --bearer-file."
  })

const credentials = (settings: Settings): Layer.Layer<Credentials.Credentials, Failure, FileSystem.FileSystem> =>
  Option.isNone(settings.bearerFile)
    ? Credentials.Credentials.layerConfig.pipe(
        Layer.catch((error) => Layer.effect(Credentials.Credentials, noCredential(error)))
      )
    : Credentials.Credentials.layerFile(settings.bearerFile.value).pipe(
        Layer.catch((error) =>
          Layer.effect(
            Credentials.Credentials,
            new Failure({ problem: `${error.message}.`, remedy: "Put the bearer, and nothing else, into it." })
          )
        )
      )

const config = (settings: Settings): Layer.Layer<AuthleteConfig.AuthleteConfig, Failure> => {
  if (Option.isSome(settings.baseUrl) && Option.isSome(settings.region)) {
    return Layer.effect(
      AuthleteConfig.AuthleteConfig,
      new Failure({ problem: "--base-url and --region say two things.", remedy: "Give one of them." })
    )
  }
  const { fallback } = settings
  const isSet = (name: string) => process.env[name] !== undefined
  const baseUrl = settings.baseUrl.pipe(
    Option.orElse(() => Option.map(settings.region, (name) => AuthleteConfig.regions[name])),
    Option.orElse(() =>
      isSet("AUTHLETE_BASE_URL") || isSet("AUTHLETE_REGION") ? Option.none() : Option.fromUndefinedOr(fallback?.baseUrl)
    )
  )
  const serviceId = Option.orElse(settings.serviceId, () =>
    isSet("AUTHLETE_SERVICE_ID") ? Option.none() : Option.fromUndefinedOr(fallback?.serviceId)
  )
  const { bearerSetting } = Credentials
  return AuthleteConfig.AuthleteConfig.layerConfig(
    {
      ...(Option.isSome(baseUrl) ? { baseUrl: baseUrl.value } : undefined),
      ...(Option.isSome(serviceId) ? { serviceId: serviceId.value } : undefined),
      allowInsecure: settings.allowInsecure,
      requestTimeout: settings.requestTimeout
    },
    Option.isNone(settings.bearerFile) ? [bearerSetting] : []
  ).pipe(
    Layer.catch((error) =>
      Layer.effect(
        AuthleteConfig.AuthleteConfig,
        error._tag === "InvalidSetting" && error.setting === bearerSetting[0]
          ? noCredential(error)
          : new Failure({
              problem: `The settings do not work. ${error.message}.`,
              remedy:
                "Set them, or use --base-url or --region, --service-id and --bearer-file. To try without a service: create --sandbox."
            })
      )
    )
  )
}

/** The service at the address that flags and environment name. */
export const layer = (
  settings: Settings & HttpTransport.Settings
): Layer.Layer<TokenOperations.TokenOperations | AuthleteConfig.AuthleteConfig, Failure, FileSystem.FileSystem> =>
  TokenOperations.TokenOperations.layer.pipe(
    Layer.provide(credentials(settings)),
    Layer.provideMerge(config(settings)),
    Layer.provide(HttpTransport.layer(settings))
  )
