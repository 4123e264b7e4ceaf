/**
 * The route that a service's notifications come in by: a layer for an application's own HTTP server, apart from `BatchNotifications` so
 * that a run without a server loads none.
 *
 * A POST to the path is a hint, whatever its content type and its body, which is handed to `BatchNotifications` as it came; the answer is
 * 204 at once. A body over the limit is answered 413, one that does not come in time 408, and another method 405: none of these is a
 * hint.
 *
 * **The path is a secret**
 *
 * It is all that keeps strangers from sending hints, so nothing here writes it: the server's log leaves these requests out, and the
 * router does not know the route, as it would name it in the span of each request (`http.route`). A server's own spans hold the URLs
 * that were asked for: provide {@link untraced} to the server where spans are exported. Proxies before it have logs of their own.
 *
 * **What surprises**
 *
 * - The path is compared letter by letter with the path that was asked for, without its query: neither parameters nor wildcards mean
 *   anything in it, nor does the prefix of a router.
 * - The route comes before the application's other routes, and after the global middleware that was added before it.
 *
 * @example
 * ```ts
 * import { NotificationRoute } from "@tokenbatch/stream"
 * import { Layer, type Redacted } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 *
 * declare const path: Redacted.Redacted
 *
 * // Beside an application's own routes; what it takes is passed on by the `BatchNotifications` that it is provided with.
 * const routes = Layer.merge(HttpRouter.add("GET", "/health", HttpServerResponse.empty()), NotificationRoute.layer(path))
 * const server = HttpRouter.serve(routes).pipe(Layer.provide(NotificationRoute.untraced(path)))
 * ```
 */
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServerError from "effect/http/HttpServerError"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { BatchNotifications } from "./BatchNotifications.ts"

/** Options of {@link layer}. */
export interface Options {
  /** A larger body is answered 413, and is no hint. Default 16 KiB: many times what it takes to name a batch. */
  readonly maxBodySize?: ByteSize.Input | undefined
}

/** The default of `maxBodySize`. */
export const defaultMaxBodySize = ByteSize.kibibytes(16)

/** How long a body may take to come in. */
const bodyTimeout = "10 seconds"

/** Whether a text can be the route's path: it begins with a slash, has something after it, and stands in a URL as it is. */
export const isPath = (text: string): boolean =>
  /^\/[^?#]+$/.test(text) && URL.parse(`http://localhost${text}`)?.pathname === text

/** Whether a request is for the path. A path that can be none is a mistake of whoever wrote it, and is not repeated to them. */
const matcher = (path: string | Redacted.Redacted): ((request: HttpServerRequest.HttpServerRequest) => boolean) => {
  const secret = Redacted.isRedacted(path) ? Redacted.value(path) : path
  if (!isPath(secret)) throw new Error("The path of the notifications must begin with / and stand in a URL as it is")
  return ({ url }) => url.startsWith(secret) && (url.length === secret.length || "?#".includes(url[secret.length]!))
}

/**
 * The route, for `HttpRouter.serve`. Dies of a path that is none, see {@link isPath}.
 *
 * @param path where the service is told to POST to, without scheme and host
 */
export const layer = (
  path: string | Redacted.Redacted,
  { maxBodySize = defaultMaxBodySize }: Options = {}
): Layer.Layer<never, never, BatchNotifications | HttpRouter.HttpRouter> =>
  HttpRouter.use(
    Effect.fnUntraced(function* (router) {
      const { notify } = yield* BatchNotifications
      const isMeant = matcher(path)
      const limit = ByteSize.fromInputUnsafe(maxBodySize)
      yield* router.addGlobalMiddleware((others) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
          isMeant(request) ? HttpMiddleware.withLoggerDisabled(receive(request, limit, notify)) : others
        )
      )
    })
  )

/**
 * Keeps the requests to the path out of the server's spans, with what is kept out already. For the server, so provided to what
 * `HttpRouter.serve` gives.
 */
export const untraced = (path: string | Redacted.Redacted): Layer.Layer<never> =>
  Layer.effect(
    HttpMiddleware.TracerDisabledWhen,
    Effect.map(HttpMiddleware.TracerDisabledWhen, (isLeftOut) => {
      const isMeant = matcher(path)
      return (request) => isMeant(request) || isLeftOut(request)
    })
  )

const decoder = new TextDecoder()

// The rest of a body is not waited for.
const refusal = (status: number) => HttpServerResponse.empty({ status, headers: { connection: "close" } })
const accepted = HttpServerResponse.empty({ status: 204 })
const notPosted = HttpServerResponse.empty({ status: 405, headers: { allow: "POST" } })

const isTooLarge = ({ reason }: HttpServerError.HttpServerError): boolean =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"

/** Takes a request to the path, and answers it. Never fails, so that nobody reports a failure with its URL. */
const receive = (
  request: HttpServerRequest.HttpServerRequest,
  limit: ByteSize.ByteSize,
  notify: BatchNotifications["Service"]["notify"]
): Effect.Effect<HttpServerResponse.HttpServerResponse> => {
  if (request.method !== "POST") return Effect.succeed(notPosted)
  const hint = (body?: ArrayBuffer) => Effect.as(notify(body === undefined ? "" : decoder.decode(body)), accepted)
  return request.arrayBuffer.pipe(
    Effect.provideService(HttpServerRequest.MaxBodySize, limit),
    Effect.matchEffect({
      // Middleware may have read it before, without this limit.
      onSuccess: (body) => (body.byteLength > limit ? Effect.succeed(refusal(413)) : hint(body)),
      onFailure: (error) => (isTooLarge(error) ? Effect.succeed(refusal(413)) : hint())
    }),
    Effect.timeoutOrElse({ duration: bodyTimeout, orElse: () => Effect.succeed(refusal(408)) }),
    // As the router has it for its routes: a client may go away.
    Effect.interruptible
  )
}
