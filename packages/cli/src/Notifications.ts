/** From the flags of notifications to what a run takes hints from. The server is loaded only where it is asked for. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { Failure } from "./Failure.ts"
import type { Heard } from "./NotificationListener.ts"

/** What the flags say. */
export interface Settings {
  readonly notifyListen: Option.Option<number>
  readonly notifyHost: Option.Option<string>
  readonly notifyPath: Option.Option<Redacted.Redacted>
  readonly quiet: boolean
}

/** What a run takes hints from. */
interface Notifications {
  /** What there is for the run: the notifications where something listens, and nothing elsewhere. */
  readonly context: Context.Context<never>
  /** Where notifications come in, with the secret path, if anywhere. */
  readonly endpoint: URL | undefined
  /** What has come in so far, where something listens. */
  readonly heard: (() => Heard) | undefined
}

const none: Notifications = {
  context: Context.empty(),
  endpoint: undefined,
  heard: undefined
}

const variable = "TOKENBATCH_NOTIFY_PATH"

/** The path in a flag, or in the environment. */
const pathOf = Effect.fnUntraced(function* (flag: Option.Option<Redacted.Redacted>) {
  if (Option.isSome(flag)) return { path: flag.value, name: "--notify-path" }
  const set = yield* Effect.orElseSucceed(Config.option(Config.Redacted(variable)), () =>
    Option.none<Redacted.Redacted>()
  )
  const text = Option.isSome(set) ? Redacted.value(set.value).trim() : ""
  return { path: text === "" ? undefined : Redacted.make(text, { label: "path" }), name: variable }
})

/** Listens until the scope closes, where the flags say so, and tells where. */
export const listen = Effect.fnUntraced(function* ({ notifyHost, notifyListen, notifyPath, quiet }: Settings) {
  if (Option.isNone(notifyListen)) {
    const flag = Option.isSome(notifyPath) ? "--notify-path" : Option.isSome(notifyHost) ? "--notify-host" : undefined
    if (flag === undefined) return none
    return yield* new Failure({
      problem: `${flag} says where notifications come in, and nothing listens there.`,
      remedy: `Add --notify-listen PORT (0 for any free one), or leave out ${flag}.`
    })
  }
  const { name, path } = yield* pathOf(notifyPath)
  if (path === undefined) {
    return yield* new Failure({
      problem: "--notify-listen takes notifications at a path that nobody can guess, and there is none.",
      remedy: `Set ${variable} to one that begins with /, or give it with --notify-path.`
    })
  }
  const { serve } = yield* Effect.promise(() => import("./NotificationListener.ts"))
  const notifications: Notifications = yield* serve({
    port: notifyListen.value,
    host: Option.getOrElse(notifyHost, () => "127.0.0.1"),
    path,
    pathName: name
  })
  if (!quiet) process.stderr.write(`listening for notifications on ${notifications.endpoint?.origin}\n`)
  return notifications
})
