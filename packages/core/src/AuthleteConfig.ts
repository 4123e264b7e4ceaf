/**
 * Where the service is and which one of its tenants is meant: base URL, service id, and how long to wait for an answer.
 *
 * The bearer is not here: it may change during a run, see `Credentials`.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** Authlete's shared clusters. Self-hosted deployments have base URLs of their own. Source: `servers` in the OpenAPI description. */
export const regions = {
  us: "https://us.authlete.com",
  jp: "https://jp.authlete.com",
  eu: "https://eu.authlete.com",
  br: "https://br.authlete.com"
} as const
export type Region = keyof typeof regions

/** Names a service (an authorization server) at Authlete. */
export const ServiceId = Schema.String.check(
  Schema.isPattern(/^(?!\.{1,2}$)[^\s/?#]+$/, {
    message: "expected a service id: no white space, no slash, and no place in a path"
  })
).pipe(Schema.brand("ServiceId"))
export type ServiceId = typeof ServiceId.Type

/** A setting that cannot work, with what to do about it. */
export class InvalidSetting extends Schema.TaggedError<InvalidSetting>()("InvalidSetting", {
  setting: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `${this.setting}: ${this.reason}`
  }
  /** The message alone: a place in this library says nothing to whoever has to mend a setting. */
  override readonly stack: string = `${this.name}: ${this.message}`
}

/** A variable of the environment, and what to give in it. */
export type Setting = readonly [name: string, give: string]

/** Settings that are needed and not there: all of them in one error. */
export const notSet = (first: Setting, ...more: ReadonlyArray<Setting>): InvalidSetting => {
  const [name, give] = first
  if (more.length === 0) return new InvalidSetting({ setting: name, reason: `is not set: give ${give}` })
  const settings = [first, ...more]
  return new InvalidSetting({
    setting: settings.map(([name]) => name).join(", "),
    reason: `are not set. ${settings.map(([name, give]) => `${name} is ${give}`).join("; ")}`
  })
}

const baseUrlSetting: Setting = ["AUTHLETE_BASE_URL", "the base URL, or AUTHLETE_REGION (us, jp, eu or br)"]
const serviceIdSetting: Setting = ["AUTHLETE_SERVICE_ID", "the id of the service whose tokens are to be created"]

/** What {@link make} takes. */
export interface Settings {
  /** Scheme, host and port, and a path prefix if the deployment has one. */
  readonly baseUrl: string
  readonly serviceId: string
  /** From the start of a call to the last byte of its answer. Default 60 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
  /** Let the bearer go over http:// to a host that is not this machine. Default false. */
  readonly allowInsecure?: boolean | undefined
}

/** The settings of a client, checked. */
export class AuthleteConfig extends Context.Service<
  AuthleteConfig,
  {
    /** Without a slash at the end. */
    readonly baseUrl: string
    readonly serviceId: ServiceId
    readonly requestTimeout: Duration.Duration
  }
>()("@tokenbatch/core/AuthleteConfig") {
  /** From explicit settings. */
  static readonly layer = (settings: Settings): Layer.Layer<AuthleteConfig, InvalidSetting> =>
    Layer.effect(AuthleteConfig, make(settings))

  /**
   * From `AUTHLETE_BASE_URL`, or `AUTHLETE_REGION` (us, jp, eu, br) where that is not set, and `AUTHLETE_SERVICE_ID`. What
   * `overrides` names is not looked up. One error names all that is not set, and with it those of `others` that are not.
   */
  static readonly layerConfig = (
    overrides: Partial<Settings> = {},
    others: ReadonlyArray<Setting> = []
  ): Layer.Layer<AuthleteConfig, InvalidSetting | Config.ConfigError> =>
    Layer.effect(
      AuthleteConfig,
      Effect.gen(function* () {
        const baseUrl = overrides.baseUrl ?? (yield* baseUrlConfig)
        const serviceId = overrides.serviceId ?? (yield* variable(serviceIdSetting[0]))
        const missing: Array<Setting> = []
        if (baseUrl === undefined) missing.push(baseUrlSetting)
        if (serviceId === undefined) missing.push(serviceIdSetting)
        for (const other of others) if ((yield* variable(other[0])) === undefined) missing.push(other)
        const [first, ...more] = missing
        if (first !== undefined) return yield* notSet(first, ...more)
        return yield* make({ ...overrides, baseUrl: baseUrl!, serviceId: serviceId! })
      })
    )
}

const variable = (name: string) => Effect.map(Config.option(Config.String(name)), Option.getOrUndefined)

const baseUrlConfig = Effect.gen(function* () {
  const baseUrl = yield* variable(baseUrlSetting[0])
  if (baseUrl !== undefined) return baseUrl
  const region = yield* variable("AUTHLETE_REGION")
  if (region === undefined) return undefined
  if (!Object.hasOwn(regions, region)) {
    return yield* new InvalidSetting({ setting: "AUTHLETE_REGION", reason: "expected us, jp, eu or br" })
  }
  return regions[region as Region]
})

const isLoopback = (hostname: string) =>
  hostname === "localhost" ||
  hostname.endsWith(".localhost") ||
  hostname === "[::1]" ||
  /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(hostname)

/** Checks settings. A base URL over http:// is refused unless its host is this machine or `allowInsecure` says so. */
export const make = Effect.fnUntraced(function* (
  settings: Settings
): Effect.fn.Return<AuthleteConfig["Service"], InvalidSetting> {
  const invalid = (setting: string, reason: string) => new InvalidSetting({ setting, reason })
  const url = URL.parse(settings.baseUrl)
  if (url === null) return yield* invalid("base URL", "is not a URL: expected something like https://us.authlete.com")
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    return yield* invalid("base URL", "must begin with https://")
  }
  if (url.username !== "" || url.password !== "") {
    return yield* invalid("base URL", "must not hold a user name or password: the bearer is given apart")
  }
  if (url.search !== "" || url.hash !== "") return yield* invalid("base URL", "must end before any ? or #")
  if (url.protocol === "http:" && !isLoopback(url.hostname) && settings.allowInsecure !== true) {
    return yield* invalid(
      "base URL",
      `would send the bearer unencrypted to ${url.host}: use https://, or allow insecure connections explicitly`
    )
  }
  const serviceId = yield* Effect.mapError(Schema.decodeUnknownEffect(ServiceId)(settings.serviceId), () =>
    invalid(
      "service id",
      settings.serviceId === ""
        ? "is empty"
        : /^\.+$/.test(settings.serviceId)
          ? "is no id but a place in a path"
          : "holds white space or a slash"
    )
  )
  const requestTimeout = Duration.fromInputUnsafe(settings.requestTimeout ?? "60 seconds")
  if (Duration.toMillis(requestTimeout) <= 0) return yield* invalid("request timeout", "must be more than zero")
  return { baseUrl: url.href.replace(/\/+$/, ""), serviceId, requestTimeout }
})
