/** `tokenbatch sandbox`: an Authlete stand-in for other programs to try things with. */
import { Credentials } from "@tokenbatch/core"
import type { FaultPlan, Notifications, SandboxOptions } from "@tokenbatch/sandbox"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { ExitCode } from "./ExitCode.ts"
import { Failure } from "./Failure.ts"
import * as Flags from "./Flags.ts"
import * as Format from "./Format.ts"
import * as IoError from "./IoError.ts"
import * as Signals from "./Signals.ts"
import * as Stdout from "./Stdout.ts"

export const sandbox = Command.make(
  "sandbox",
  {
    port: Flags.count("port", 0, 65_535).pipe(Flag.withDescription("0 takes any free one"), Flag.withDefault(0)),
    bearerFile: Flag.String("bearer-file").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A file that holds the bearer to be known by (or SANDBOX_BEARER); a random one without"),
      Flag.optional
    ),
    workers: Flags.count("workers").pipe(Flags.withDefault("Batches worked on at once", 8)),
    setupTime: Flags.duration("setup-time").pipe(
      Flags.withDefault("Time before the first token of a batch", Duration.millis(20))
    ),
    timePerToken: Flags.duration("time-per-token").pipe(
      Flag.withDescription("Time for each token"),
      Flag.withDefault(Duration.micros(2n))
    ),
    failureMode: Flag.Literals("failure-mode", ["prefix", "atomic"]).pipe(
      Flag.withDescription("What a failed batch leaves: the tokens before the one that failed, or nothing"),
      Flag.withDefault("prefix")
    ),
    order: Flag.Literals("order", ["inOrder", "shuffled"]).pipe(
      Flag.withDescription("How the records of a batch are carried out: as they stand in it, or in any order"),
      Flag.withDefault("inOrder")
    ),
    dryRunChecksExisting: Flag.Literals("dry-run-checks-existing", ["true", "false"]).pipe(
      Flag.withDescription("Whether a dry run notices that a token value exists already"),
      Flag.withDefault("true")
    ),
    supportedScopes: Flag.String("supported-scopes").pipe(
      Flag.withMetavar("SCOPE,..."),
      Flag.withDescription("The scopes that can be given; any without"),
      Flag.optional
    ),
    maxBodySize: Flags.size("max-body-size").pipe(
      Flag.withDescription("A larger request body is refused with 413 (64MiB without)"),
      Flag.optional
    ),
    maxQueue: Flags.count("max-queue").pipe(
      Flag.withDescription("Most batches waiting or worked on; what comes then is answered 429 (default: any number)"),
      Flag.optional
    ),
    rateLimit: Flags.count("rate-limit").pipe(
      Flag.withDescription("Most calls a second; what comes beyond is answered 429 (default: any number)"),
      Flag.optional
    ),
    rateLimitBurst: Flags.count("rate-limit-burst").pipe(
      Flag.withDescription("Most calls at once under --rate-limit (default: those of a tenth of a second)"),
      Flag.optional
    ),
    rateLimitOn: Flag.Literals("rate-limit-on", ["create", "both"]).pipe(
      Flag.withDescription("What --rate-limit counts: create calls, or status calls as well (default: both)"),
      Flag.optional
    ),
    rateLimitRetryAfter: Flags.duration("rate-limit-retry-after").pipe(
      Flag.withDescription("What such a 429 says in Retry-After, whole seconds (default: it has none)"),
      Flag.filter(
        (duration) => Number.isInteger(Duration.toSeconds(duration)),
        () => "whole seconds, such as 2s"
      ),
      Flag.map(Duration.toSeconds),
      Flag.optional
    ),
    faults: Flag.String("faults").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("A plan of what goes wrong, and how often, as JSON"),
      Flag.optional
    ),
    ledger: Flag.String("ledger").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Write a JSON line for each token: its hash and its batch"),
      Flag.optional
    ),
    state: Flag.String("state").pipe(
      Flag.withMetavar("FILE"),
      Flag.withDescription("Keep all that is known in a file, and go on from there when started anew"),
      Flag.optional
    ),
    lostOnRestart: Flag.Literals("lost-on-restart", ["requeue", "forget"]).pipe(
      Flag.withDescription("What becomes of batches without a result when started anew: worked on again, or unknown"),
      Flag.withDefault("requeue")
    ),
    notificationEndpoint: Flag.Redacted("notification-endpoint").pipe(
      Flag.withMetavar("URL"),
      Flag.withDescription("POST there whenever a batch has ended"),
      Flag.optional
    ),
    notificationBody: Flag.Literals("notification-body", ["requestId", "empty"]).pipe(
      Flag.withDescription("What such a POST holds: the request ID as JSON, or nothing"),
      Flag.withDefault("requestId")
    )
  },
  Effect.fnUntraced(function* (flags) {
    const { FaultPlan, Notifications, Sandbox } = yield* Effect.promise(() => import("@tokenbatch/sandbox"))
    const { failureMode, lostOnRestart, notificationBody, order, port, setupTime, timePerToken, workers } = flags
    const given = yield* bearerFrom(flags.bearerFile)
    const notificationEndpoint = yield* endpointOf(flags.notificationEndpoint)
    const faults = Option.isSome(flags.faults) ? yield* planFrom(flags.faults.value, FaultPlan.parse) : undefined
    const rateLimit = yield* rateLimitOf(flags)
    const options: SandboxOptions.Input = {
      port,
      workers,
      setupTime,
      timePerToken,
      failureMode,
      order,
      lostOnRestart,
      notificationBody,
      notificationEndpoint,
      dryRunChecksExisting: flags.dryRunChecksExisting === "true",
      ...(given === undefined ? undefined : { bearer: given }),
      ...(faults === undefined ? undefined : { faults }),
      ...(rateLimit === undefined ? undefined : { rateLimit }),
      ...optional("maxQueue", flags.maxQueue),
      ...optional("supportedScopes", Option.map(flags.supportedScopes, scopesOf)),
      ...optional("maxBodySize", flags.maxBodySize),
      ...optional("ledgerFile", flags.ledger),
      ...optional("stateFile", flags.state)
    }
    const serve = Effect.gen(function* () {
      const { baseUrl, bearer, serviceId } = yield* Sandbox.Sandbox
      yield* Stdout.write(
        `export AUTHLETE_BASE_URL=${baseUrl}\nexport AUTHLETE_SERVICE_ID=${serviceId}\nexport AUTHLETE_BEARER=${Redacted.value(bearer)}\n`
      )
      process.stderr.write("The sandbox is running; Ctrl-C ends it. Paste the lines above into another shell.\n")
      yield* Signals.first
      if (notificationEndpoint !== undefined) {
        const { counts } = yield* Notifications.Notifications
        process.stderr.write(`${told(yield* counts)}\n`)
      }
      yield* ExitCode.set(0)
    })
    yield* serve.pipe(
      Effect.provide(Sandbox.Sandbox.layer(options)),
      Effect.mapError(
        (error) =>
          new Failure({
            problem: `The sandbox cannot run: ${describe(error)}.`,
            remedy: "Try another --port, --ledger or --state."
          })
      )
    )
  })
).pipe(
  Command.withDescription("Run an Authlete stand-in on this machine, until Ctrl-C; prints the variables to reach it"),
  Command.withExamples([
    { command: "tokenbatch sandbox", description: "Any free port" },
    {
      command: "tokenbatch sandbox --port 8089 --workers 2 --setup-time 500ms --failure-mode atomic",
      description: "A slow one that rolls failed batches back"
    },
    {
      command: "tokenbatch sandbox --port 8089 --bearer-file bearer.txt --state state.ndjson --faults plan.json",
      description: "A rough one that can be killed and started again"
    },
    {
      command: "tokenbatch sandbox --max-queue 40 --rate-limit 20",
      description: "One that has a pace of its own, and says 429 beyond it"
    },
    {
      command: "tokenbatch sandbox --notification-endpoint http://127.0.0.1:8080/hooks/SECRET",
      description: "One that tells when a batch has ended; see --notify-listen of create"
    }
  ])
)

const describe = (error: { readonly message: string; readonly cause?: unknown }): string =>
  error.cause instanceof Error ? error.cause.message : error.message

const optional = <K extends string, A>(name: K, value: Option.Option<A>): { readonly [_ in K]?: A } =>
  Option.isSome(value) ? ({ [name]: value.value } as { readonly [_ in K]: A }) : {}

const scopesOf = (text: string): ReadonlyArray<string> =>
  text
    .split(",")
    .map((scope) => scope.trim())
    .filter((scope) => scope !== "")

/** The endpoint that the flag names. It is not repeated where it is wrong: its path may be a secret. */
const endpointOf = Effect.fnUntraced(function* (given: Option.Option<Redacted.Redacted>) {
  if (Option.isNone(given)) return undefined
  const url = URL.parse(Redacted.value(given.value))
  if (url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "") return url
  return yield* new Failure({
    problem: "--notification-endpoint is not a URL that can be sent to: http:// or https://, without a user's name.",
    remedy: "Set it to something like http://127.0.0.1:8080/hooks/SECRET."
  })
})

/** The limit that `--rate-limit` and the flags beside it name. */
const rateLimitOf = Effect.fnUntraced(function* (flags: {
  readonly rateLimit: Option.Option<number>
  readonly rateLimitBurst: Option.Option<number>
  readonly rateLimitOn: Option.Option<"create" | "both">
  readonly rateLimitRetryAfter: Option.Option<number>
}) {
  const details = {
    ...optional("burst", flags.rateLimitBurst),
    ...optional("on", flags.rateLimitOn),
    ...optional("retryAfter", flags.rateLimitRetryAfter)
  }
  if (Option.isSome(flags.rateLimit)) return { perSecond: flags.rateLimit.value, ...details }
  if (Object.keys(details).length === 0) return undefined
  return yield* new Failure({
    problem:
      "--rate-limit-burst, --rate-limit-on and --rate-limit-retry-after are about --rate-limit, which is missing.",
    remedy: "Add --rate-limit N, the most calls a second, or leave them out."
  })
})

/** What became of the notifications. */
const told = ({ delivered, dropped, failed, lastFailure }: Notifications.Counts): string =>
  `Notifications: ${Format.integer(delivered)} delivered, ${Format.integer(failed)} failed${lastFailure === undefined ? "" : ` (the last with ${lastFailure})`}, ${Format.integer(dropped)} dropped.`

/** The text of a file that a flag names. */
const textOf = Effect.fnUntraced(function* (what: string, file: string) {
  const fs = yield* FileSystem.FileSystem
  return yield* Effect.mapError(
    fs.readFileString(file),
    (error) =>
      new Failure({
        problem: `The ${what} ${file} cannot be read: ${IoError.describe(error)}.`,
        remedy: "Name a file that is there and that you can read."
      })
  )
})

const planFrom = Effect.fnUntraced(function* (file: string, parse: typeof FaultPlan.parse) {
  const plan = parse(yield* textOf("plan of faults", file))
  if (Result.isSuccess(plan)) return plan.success
  return yield* new Failure({
    problem: `The plan of faults ${file} cannot be used: ${plan.failure.message}.`,
    remedy:
      'A plan that can be: {"rules":[{"fault":"resetAfterAccept","rate":0.1}]}. See docs/sandbox.md for the others.'
  })
})

/** The bearer in a file, or in the environment: a secret has no place in a command line. */
const bearerFrom = Effect.fnUntraced(function* (file: Option.Option<string>) {
  const found = Option.isSome(file)
    ? Option.some(yield* textOf("bearer file", file.value))
    : Option.map(
        yield* Effect.orElseSucceed(Config.option(Config.Redacted("SANDBOX_BEARER")), () =>
          Option.none<Redacted.Redacted>()
        ),
        Redacted.value
      )
  if (Option.isNone(found)) return undefined
  const bearer = found.value.trim()
  if (Credentials.isBearer(bearer)) return Redacted.make(bearer, { label: "bearer" })
  return yield* new Failure({
    problem: `${Option.isSome(file) ? `The bearer file ${file.value}` : "SANDBOX_BEARER"} does not hold a bearer.`,
    remedy: "Put the bearer, and nothing else, into it."
  })
})
