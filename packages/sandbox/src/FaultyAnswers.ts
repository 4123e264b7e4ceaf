/**
 * Carries out the faults of calls: what goes over the wire in place of the honest answer, or after it, or late.
 *
 * The honest answer is an effect: running it takes the batch. A fault runs it, or does not; that is all that "accepted" means here.
 */
import { TokenOperationsApi } from "@tokenbatch/core"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Scope from "effect/Scope"
import type { ServerResponse } from "node:http"
import type { CallFault } from "./Faults.ts"

const { makeApiError } = TokenOperationsApi

type Request = HttpServerRequest.HttpServerRequest
type Answer<E> = Effect.Effect<HttpServerResponse.HttpServerResponse, E>

/** Resets the connection of a call. Never ends by itself: with the connection its handler is interrupted. */
export const reset = (request: Request): Effect.Effect<never> =>
  Effect.suspend(() => {
    NodeHttpServerRequest.toIncomingMessage(request).socket.resetAndDestroy()
    return Effect.never
  })

/** Sends the head and half of the body of an answer, then ends the connection. */
const half = (request: Request, { body, headers, status }: HttpServerResponse.HttpServerResponse) =>
  Effect.suspend(() => {
    // The sandbox speaks HTTP/1.1 only.
    const response = NodeHttpServerRequest.toServerResponse(request) as ServerResponse
    const bytes = body._tag === "Uint8Array" ? body.body : new Uint8Array()
    response.writeHead(status, { ...headers, "content-length": bytes.length })
    response.write(bytes.subarray(0, bytes.length >>> 1), () => response.destroy())
    return Effect.never
  })

const page = (status: number, text: string, headers: Record<string, string> = {}) =>
  HttpServerResponse.html(
    `<html><head><title>${text}</title></head><body><h1>${status} ${text}</h1></body></html>`
  ).pipe(HttpServerResponse.setStatus(status), HttpServerResponse.setHeaders(headers))

const retryAfter = (seconds: number | undefined): Record<string, string> =>
  seconds === undefined ? {} : { "retry-after": String(seconds) }

/** A call that is to go wrong. */
export interface Call<E> {
  readonly request: Request
  /** Its body. */
  readonly body: string
  /** Takes the batch, and gives the answer. */
  readonly honest: Answer<E>
  /** As long as the sandbox: what is taken late is taken even if the client has gone away. */
  readonly scope: Scope.Scope
}

/** The answer to a call, with its fault if it has one. */
export const answer = <E>(
  fault: CallFault | undefined,
  { body, honest, request, scope }: Call<E>
): Answer<E | TokenOperationsApi.ApiError> => {
  if (fault === undefined) return honest
  /** An answer in place of the honest one, with the batch taken or not. */
  const instead = <E2>(other: Answer<E2>): Answer<E | E2> =>
    "accept" in fault && fault.accept === true ? Effect.andThen(honest, other) : other
  switch (fault.fault) {
    case "resetBeforeAccept":
      return reset(request)
    case "resetAfterAccept":
      return Effect.andThen(honest, reset(request))
    case "halfAnswer":
      return Effect.flatMap(honest, (response) => half(request, response))
    case "slow":
      return Effect.tap(honest, () => Effect.sleep(fault.delay ?? 30_000))
    case "slowBeforeAccept":
      return Effect.forkIn(Effect.delay(honest, fault.delay ?? 30_000), scope).pipe(Effect.flatMap(Fiber.join))
    case "rateLimited":
      return Effect.succeed(page(429, "Too Many Requests", retryAfter(fault.retryAfter)))
    case "unavailable":
      return instead(Effect.succeed(page(503, "Service Unavailable", retryAfter(fault.retryAfter))))
    case "badGateway":
      return instead(Effect.succeed(page(502, "Bad Gateway")))
    case "serverError":
      return instead(Effect.fail(makeApiError(500, "SBX500097", "[SBX500097] An error occurred on the server.")))
    case "statusServerError":
      return Effect.fail(makeApiError(500, "SBX500098", "[SBX500098] The status cannot be had now."))
    case "noRequestId":
      return instead(Effect.succeed(HttpServerResponse.jsonUnsafe(accepted())))
    case "tooLarge":
      return Effect.succeed(page(413, "Content Too Large"))
    case "badRequest":
      return Effect.fail(makeApiError(400, "SBX400006", "[SBX400006] A request of the batch cannot be accepted."))
    case "echo": {
      const text = `The request cannot be processed: ${body.slice(0, fault.length ?? 1000)}`
      return fault.status === 400
        ? Effect.fail(makeApiError(400, "SBX400007", `[SBX400007] ${text}`))
        : instead(Effect.fail(makeApiError(500, "SBX500096", `[SBX500096] ${text}`)))
    }
    case "unauthorized":
      return Effect.fail(makeApiError(401, "SBX401001", "[SBX401001] The access token is missing or wrong."))
  }
}

/** The body of a 200 to create. */
export const accepted = (requestId?: string) => ({
  resultCode: "SBX200001",
  resultMessage: "[SBX200001] The batch was accepted.",
  ...(requestId === undefined ? undefined : { requestId })
})
