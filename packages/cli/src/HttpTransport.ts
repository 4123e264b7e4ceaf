/**
 * How calls leave this machine: undici, with as many connections as there are batches in flight, through the proxy that the environment
 * names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). This machine itself is not reached through a proxy.
 */
import { WindowLaw } from "@tokenbatch/stream"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Failure } from "./Failure.ts"
import * as UndiciClient from "./UndiciClient.ts"

/** The variables that name a proxy, as far as they are set. */
const proxies = (env: NodeJS.ProcessEnv): ReadonlyArray<readonly [name: string, value: string]> =>
  ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"].flatMap((name) => {
    const value = env[name] ?? ""
    return value === "" ? [] : [[name, value] as const]
  })

const loopback = "localhost,127.0.0.1,::1"

/** How many batches there may be in flight: so many, or whatever is found out, up to a number. */
export interface Settings {
  readonly concurrency: Option.Option<number>
  readonly maxConcurrency: Option.Option<number>
}

/** A client for as many calls at once as there may be batches in flight. */
export const layer = ({ concurrency, maxConcurrency }: Settings): Layer.Layer<HttpClient.HttpClient, Failure> => {
  const dispatcher = Effect.acquireRelease(
    Effect.gen(function* () {
      const { Agent, EnvHttpProxyAgent } = yield* Effect.promise(() => import("undici"))
      const options = {
        // A batch is either handed in or asked after, so it needs one connection at a time.
        connections: Option.getOrElse(
          Option.orElse(concurrency, () => maxConcurrency),
          () => WindowLaw.defaultMost
        ),
        pipelining: 1,
        // A batch has a connection of its own: over HTTP/2 all would share one, and one call that is given up while its body waits for the
        // server to read takes the whole process with it (undici 8.13, Node.js 26.10: nghttp2 spins, and no timer fires any more).
        allowH2: false,
        connect: { timeout: 10_000 },
        keepAliveTimeout: 4_000
      }
      const env = process.env
      const named = proxies(env)
      if (named.length === 0) return new Agent(options)
      const wrong = named.find(([, value]) => !/^https?:$/.test(URL.parse(value)?.protocol ?? ""))
      if (wrong !== undefined) {
        // Not what it says: it may hold a password.
        return yield* new Failure({
          problem: `${wrong[0]} is not the URL of a proxy.`,
          remedy: "Set it to something like http://proxy.example:8080, or unset it."
        })
      }
      const noProxy = [env["no_proxy"] ?? env["NO_PROXY"] ?? "", loopback].filter((hosts) => hosts !== "").join(",")
      return new EnvHttpProxyAgent({ ...options, noProxy })
    }),
    (agent) => Effect.promise(() => agent.destroy())
  )
  return Layer.effect(HttpClient.HttpClient, Effect.map(dispatcher, UndiciClient.make))
}
