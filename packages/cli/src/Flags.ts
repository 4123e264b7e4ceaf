/** Values as people write them on a command line, and the flags that several commands have. */
import { AuthleteConfig } from "@tokenbatch/core"
import { Polling, ResolutionPolicy, Submission, WindowLaw } from "@tokenbatch/stream"
import * as ByteSize from "effect/ByteSize"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Duration from "effect/Duration"
import * as Struct from "effect/Struct"

const units: Record<string, Duration.Unit> = {
  ms: "millis",
  s: "seconds",
  sec: "seconds",
  m: "minutes",
  min: "minutes",
  h: "hours",
  d: "days"
}

/** How durations are written. */
const durations = "500ms, 90s or 15m"

/** How sizes are written. */
const sizes = "4MiB or 500kB"

/** Reads `90s`, `15m`, `1.5 hours`, `250ms`. */
export const parseDuration = (text: string): Duration.Duration => {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text)
  const unit = match?.[2]?.toLowerCase() ?? ""
  const long = units[unit] ?? unit
  const duration = match === null ? undefined : Duration.fromInput(`${Number(match[1])} ${long}` as Duration.Input)
  if (duration === undefined || duration._tag === "None" || Duration.toMillis(duration.value) <= 0) {
    throw new Error(`a duration such as ${durations}`)
  }
  return duration.value
}

/** Reads `4MiB`, `500 kB`, `1000000`. */
export const parseSize = (text: string): number => {
  const size = /^\s*\d+\s*$/.test(text) ? Number(text) : Number(readSize(text))
  if (!Number.isSafeInteger(size) || size < 2) throw new Error(`a size such as ${sizes}`)
  return size
}

const readSize = (text: string): bigint => {
  const size = ByteSize.fromString(
    text
      .trim()
      .replace(/^(\d+(?:\.\d+)?)\s*/, "$1 ")
      .replace(/ (k|m|g)b$/i, (_, unit: string) => ` ${unit === "k" || unit === "K" ? "k" : unit.toUpperCase()}B`)
  )
  return size._tag === "Some" ? ByteSize.toBigInt(size.value) : 0n
}

/** As {@link parseDuration} reads it. */
export const showDuration = (duration: Duration.Duration): string => {
  const millis = Duration.toMillis(duration)
  const spelling = shortest(millis, { h: 3_600_000, m: 60_000, s: 1000, ms: 1 })
  return spelling ?? `${millis * 1000} micros`
}

/** As {@link parseSize} reads it. */
export const showSize = (bytes: number): string =>
  shortest(bytes, { GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024, GB: 1e9, MB: 1e6, kB: 1e3 }) ?? String(bytes)

/** In the first unit that it is a whole number of. */
const shortest = (amount: number, units: Record<string, number>): string | undefined => {
  const found = Object.entries(units).find(([, size]) => amount % size === 0)
  return found === undefined ? undefined : `${amount / found[1]}${found[0]}`
}

const said = (error: unknown) => (error instanceof Error ? error.message : String(error))

const help = (description: string, forms: string | undefined, byDefault: string): string =>
  `${description} (${forms === undefined ? "" : `such as ${forms}; `}default: ${byDefault})`

/** What a flag is for, and its default: help shows both, and how a duration is written. */
export const withDefault =
  <const B extends Duration.Duration | number | string>(description: string, value: B) =>
  <A>(flag: Flag.Flag<A>): Flag.Flag<A | B> =>
    flag.pipe(
      Flag.withDescription(
        Duration.isDuration(value)
          ? help(description, durations, showDuration(value))
          : help(description, undefined, String(value))
      ),
      Flag.withDefault(value)
    )

/** As {@link withDefault}, for a size. */
export const withDefaultSize =
  (description: string, bytes: number) =>
  (flag: Flag.Flag<number>): Flag.Flag<number> =>
    flag.pipe(Flag.withDescription(help(description, sizes, showSize(bytes))), Flag.withDefault(bytes))

/** A flag that takes a duration. */
export const duration = (name: string) =>
  Flag.String(name).pipe(Flag.withMetavar("DURATION"), Flag.mapTryCatch(parseDuration, said))

/** A flag that takes a size in bytes. */
export const size = (name: string) =>
  Flag.String(name).pipe(Flag.withMetavar("SIZE"), Flag.mapTryCatch(parseSize, said))

/** A flag that takes a whole number from `least` to `most`. */
export const count = (name: string, least = 1, most = Infinity) =>
  Flag.Int(name).pipe(
    Flag.withMetavar("N"),
    Flag.filter(
      (n) => n >= least && n <= most,
      () => (most === Infinity ? `${least} or more` : `${least} to ${most}`)
    )
  )

/** A flag that takes a whole number from 1, or `auto`. */
export const countOrAuto = (name: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("N|auto"),
    Flag.mapTryCatch((text): number | "auto" => {
      if (text === "auto") return text
      if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error("1 or more, or auto")
      return Number(text)
    }, said)
  )

export const files = Argument.String("file").pipe(
  Argument.withDescription(
    "NDJSON files, read one after another, plain or compressed (gzip, zstd); none or - for standard input"
  ),
  Argument.variadic()
)

/** @param what is written to standard output, a JSON object a line */
export const jsonOf = (what: string) =>
  Flag.Boolean("json").pipe(
    Flag.withDescription(`Write ${what} to standard output, a JSON object a line`),
    Flag.withDefault(false)
  )

export const json = jsonOf("the events of the run")

export const quiet = Flag.Boolean("quiet").pipe(
  Flag.withAlias("q"),
  Flag.withDescription("Say nothing but errors"),
  Flag.withDefault(false)
)

/** What lines are held against, and what becomes of those that do not stand it. */
export const checks = {
  allowUnknownFields: Flag.Boolean("allow-unknown-fields").pipe(
    Flag.withDescription("Let fields pass that the service does not know; it ignores them"),
    Flag.withDefault(false)
  ),
  requireAccessToken: Flag.Boolean("require-access-token").pipe(
    Flag.withDescription("Reject records without an accessToken: nobody will know the token that is made for them"),
    Flag.withDefault(false)
  ),
  rejects: Flag.String("rejects").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Write a JSON line for each rejected line: position, reason, field"),
    Flag.optional
  ),
  rejectsWithInput: Flag.Boolean("rejects-with-input").pipe(
    Flag.withDescription("Write the rejected lines themselves there too; they hold secrets"),
    Flag.withDefault(false)
  ),
  limit: count("limit").pipe(Flag.withDescription("Take the first N records only: a trial"), Flag.optional)
}

/** How a run goes, whether it begins or goes on. */
export const running = {
  concurrency: count("concurrency").pipe(
    Flag.withDescription(
      "Batches in flight at once, from being handed in to their outcome; fewer only while the service's queue is full (default: found out as the run goes)"
    ),
    Flag.optional
  ),
  maxConcurrency: count("max-concurrency").pipe(
    Flag.withDescription(
      help("Most batches in flight at once, where that is found out", undefined, String(WindowLaw.defaultMost))
    ),
    Flag.optional
  ),
  maxRequestsPerSecond: count("max-requests-per-second").pipe(
    Flag.withDescription(
      "Most requests a second, create and status calls together (default: as many as the service takes)"
    ),
    Flag.optional
  ),
  pollTimeout: duration("poll-timeout").pipe(
    withDefault("How long to wait for a batch's outcome while the service answers", Polling.defaultPollTimeout)
  ),
  giveUpAfter: duration("give-up-after").pipe(
    withDefault("How long the service may be away", Submission.defaultGiveUpAfter)
  ),
  keepGoing: Flag.Boolean("keep-going").pipe(
    Flag.withDescription("Go on though batch after batch is refused with one code"),
    Flag.withDefault(false)
  ),
  maxRejects: count("max-rejects", 0).pipe(
    Flag.withDescription("Stop when more lines than this are rejected"),
    Flag.optional
  ),
  onDoubt: Flag.Literals("on-doubt", ["resolve", "resubmit", "leave"]).pipe(
    withDefault(
      "Batches that may or may not have been taken: find out; or send records without an accessToken again too, which may make tokens twice; or leave them unresolved",
      "resolve"
    )
  ),
  onFailure: Flag.Literals("on-failure", ["resolve", "leave"]).pipe(
    withDefault(
      "Batches that FAILED: find out which records exist and which are bad, or leave them unresolved",
      "resolve"
    )
  ),
  assumeInOrder: Flag.Boolean("assume-in-order").pipe(
    Flag.withDescription("Take it that the service works in order, in place of proving each existing record"),
    Flag.withDefault(false)
  ),
  resolveBudget: count("resolve-budget", 0).pipe(
    withDefault("Most calls to find out what became of unresolved records", ResolutionPolicy.defaults.budget)
  ),
  settleTime: duration("settle-time").pipe(
    withDefault(
      "Least time between the last batch sent and asking what exists",
      ResolutionPolicy.defaults.settleAtLeast
    )
  ),
  rejects: Flag.String("rejects").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Write a JSON line for each rejected line: position, reason, field (in the run's folder)"),
    Flag.optional
  ),
  rejectsWithInput: Flag.Boolean("rejects-with-input").pipe(
    Flag.withDescription(
      "Write the rejected lines themselves there too, which hold secrets; a resumed run has those of its own leg only"
    ),
    Flag.withDefault(false)
  ),
  results: Flag.String("results").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription(
      "Write a JSON line for each range of lines that is not created: its end, code and message (in the run's folder)"
    ),
    Flag.optional
  ),
  json,
  quiet
}

/** Where the service says that a batch has ended. */
export const notifying = {
  notifyListen: count("notify-listen", 0, 65_535).pipe(
    Flag.withMetavar("PORT"),
    Flag.withDescription(
      "Take notifications of the service on this port, 0 for any free one: a batch is asked after as soon as one comes (default: on none)"
    ),
    Flag.optional
  ),
  notifyHost: Flag.String("notify-host").pipe(
    Flag.withMetavar("ADDRESS"),
    Flag.withDescription("The address to listen at for them (default: 127.0.0.1)"),
    Flag.filter(
      (host) => host !== "",
      () => "an address"
    ),
    Flag.optional
  ),
  notifyPath: Flag.Redacted("notify-path").pipe(
    Flag.withMetavar("SECRET-PATH"),
    Flag.withDescription(
      "The path they come to, which nobody can guess (or TOKENBATCH_NOTIFY_PATH; --notify-listen needs one of them)"
    ),
    Flag.optional
  )
}

/** Where the service is. */
export const connection = {
  baseUrl: Flag.String("base-url").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription("The deployment's base URL (or AUTHLETE_BASE_URL)"),
    Flag.optional
  ),
  region: Flag.Literals("region", Struct.keys(AuthleteConfig.regions)).pipe(
    Flag.withDescription("A shared cluster, in place of a base URL (or AUTHLETE_REGION)"),
    Flag.optional
  ),
  serviceId: Flag.String("service-id").pipe(
    Flag.withMetavar("ID"),
    Flag.withDescription("The service whose tokens these are (or AUTHLETE_SERVICE_ID)"),
    Flag.optional
  ),
  bearerFile: Flag.String("bearer-file").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("A file that holds the bearer, read again when it is refused (or AUTHLETE_BEARER)"),
    Flag.optional
  ),
  allowInsecure: Flag.Boolean("allow-insecure").pipe(
    Flag.withDescription("Let the bearer go over http:// to another machine"),
    Flag.withDefault(false)
  ),
  requestTimeout: duration("request-timeout").pipe(withDefault("How long a call may take", Duration.seconds(60)))
}
