/**
 * How calls leave this machine: undici, with as many connections as there are batches in flight, through the proxy that the environment
 * names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`). This machine itself is not reached through a proxy.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"

const proxied = (env: NodeJS.ProcessEnv): boolean =>
  ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].some((name) => (env[name] ?? "") !== "")

const loopback = "localhost,127.0.0.1,::1"

/** A client for so many calls at once. */
export const layer = (concurrency: number): Layer.Layer<HttpClient.HttpClient> => {
  const dispatcher = Effect.acquireRelease(
    Effect.promise(async () => {
      const { Agent, EnvHttpProxyAgent } = await import("undici")
      const options = {
        // A batch is either handed in or asked after, so it needs one connection at a time.
        connections: concurrency,
        pipelining: 1,
        connect: { timeout: 10_000 },
        keepAliveTimeout: 4_000
      }
      const env = process.env
      if (!proxied(env)) return new Agent(options)
      const noProxy = [env["NO_PROXY"] ?? env["no_proxy"] ?? "", loopback].filter((hosts) => hosts !== "").join(",")
      return new EnvHttpProxyAgent({ ...options, noProxy })
    }),
    (agent) => Effect.promise(() => agent.destroy())
  )
  return Layer.provide(NodeHttpClient.layerUndiciNoDispatcher, Layer.effect(NodeHttpClient.Dispatcher, dispatcher))
}
