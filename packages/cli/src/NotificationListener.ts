/**
 * An HTTP server that takes the service's notifications and nothing else, as long as a run.
 *
 * It speaks plain HTTP: for a service elsewhere it belongs behind something that speaks TLS. Anybody who reaches its port can connect, so it
 * has few connections and little patience. The path is a secret, and no error or log of it says it.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { BatchNotifications, NotificationRoute } from "@tokenbatch/stream"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createServer } from "node:http"
import { Failure } from "./Failure.ts"

/** Where to listen. */
interface Place {
  readonly port: number
  readonly host: string
  readonly path: Redacted.Redacted
  /** Where the path was given, for errors. */
  readonly pathName: string
}

/** What has come in so far. */
export interface Heard {
  /** Hints, whether of a batch of the run or not. */
  readonly notifications: number
  /** All that was asked for at the port, at whatever path. */
  readonly requests: number
}

type Counts = { -readonly [K in keyof Heard]: Heard[K] }

const server = ({ host, port }: Place, counts: Counts) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const node = createServer({
        connectionsCheckingInterval: 5_000,
        headersTimeout: 10_000,
        keepAliveTimeout: 5_000,
        requestTimeout: 20_000
      })
      node.maxConnections = 100
      node.on("request", () => void counts.requests++)
      // Who sends keeps connections; they must not keep the run.
      yield* Effect.addFinalizer(() => Effect.sync(() => node.closeAllConnections()))
      return NodeHttpServer.layerServer(() => node, { host, port, gracefulShutdownTimeout: "1 millis" })
    })
  )

/** Hands hints on, and counts them. */
const counted = (counts: Counts) =>
  Layer.effect(
    BatchNotifications.BatchNotifications,
    Effect.map(BatchNotifications.BatchNotifications, ({ hints, notify }) =>
      BatchNotifications.BatchNotifications.of({
        hints,
        notify: (body) =>
          Effect.suspend(() => {
            counts.notifications++
            return notify(body)
          })
      })
    )
  ).pipe(Layer.provide(BatchNotifications.BatchNotifications.layer))

/** What is wrong with a place, by what the system says of it. */
const why = ({ host, port }: Place, code: string): Failure => {
  const anotherPort = "Name another port, or 0 for any free one."
  switch (code) {
    case "EADDRINUSE":
      return new Failure({ problem: `--notify-listen ${port}: the port is in use at ${host}.`, remedy: anotherPort })
    case "EACCES":
      return new Failure({ problem: `--notify-listen ${port}: not a port that you may use.`, remedy: anotherPort })
    default:
      return new Failure({
        problem: `--notify-host ${host}: nothing can listen at this address (${code}).`,
        remedy: "Name an address of this machine, or leave it out for 127.0.0.1."
      })
  }
}

/** Takes notifications until the scope closes. */
export const serve = Effect.fnUntraced(function* (place: Place) {
  const { path, pathName } = place
  const secret = Redacted.value(path)
  if (!NotificationRoute.isPath(secret)) {
    return yield* new Failure({
      problem: `${pathName} is not a path that notifications can come to.`,
      remedy: "It begins with /, goes on with characters that stand in a URL as they are, and has no ? and no #."
    })
  }
  const counts: Counts = { notifications: 0, requests: 0 }
  const context = yield* Layer.build(
    HttpRouter.serve(NotificationRoute.layer(path), { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provide(NotificationRoute.untraced(path)),
      Layer.provideMerge(server(place, counts)),
      Layer.provideMerge(counted(counts))
    )
  ).pipe(
    Effect.mapError(({ cause }) =>
      why(place, cause instanceof Error && "code" in cause ? String(cause.code) : String(cause))
    )
  )
  return {
    context: Context.pick(BatchNotifications.BatchNotifications)(context),
    endpoint: new URL(`${originOf(Context.get(context, HttpServer.HttpServer))}${secret}`),
    heard: (): Heard => counts
  }
})

/** How the server is reached from this machine. */
const originOf = ({ address }: HttpServer.HttpServer["Service"]): string =>
  HttpServer.formatAddress(address).replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
