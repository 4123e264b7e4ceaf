/**
 * From what HTTP gives to what it means: a response into a decoded body or an `AuthleteError`, a broken connection into a
 * `TransportError` that says whether the request may have reached the service.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { RateLimited, ResultError, TransportError, UnexpectedResponse, type AuthleteError } from "./AuthleteError.ts"
import { strike } from "./Secrets.ts"
import { ResultResponse } from "./TokenBatch.ts"

/** A response body beyond this many bytes is refused. */
const maxBodySize = 1024 * 1024

/** As much of an unexpected body is kept. */
const keptBodySize = 2048

/** A retry-after beyond this many milliseconds is cut to it, so that a broken clock somewhere does not stop a run for a year. */
const maxRetryAfter = 5 * 60 * 1000

const telling = [
  "content-type",
  "server",
  "via",
  "location",
  "retry-after",
  "x-request-id",
  "x-amzn-requestid",
  "cf-ray"
]

const decodeResult = Schema.decodeUnknownOption(ResultResponse)

/**
 * Reads the answer to a call.
 *
 * @param secrets what was sent and must not come back: asked for only when something of the answer is kept
 */
export const read = Effect.fnUntraced(function* <A>(
  response: HttpClientResponse.HttpClientResponse,
  decode: (body: unknown) => Result.Result<A, unknown>,
  secrets: () => ReadonlyArray<string>
): Effect.fn.Return<A, AuthleteError> {
  const { status, headers } = response
  if (status === 429 || status === 503) {
    const retryAfter = parseRetryAfter(headers["retry-after"], yield* Clock.currentTimeMillis)
    if (status === 429 || retryAfter !== undefined) {
      // What it says is clear.
      yield* discard(response)
      return yield* new RateLimited(retryAfter === undefined ? { status } : { status, retryAfter })
    }
  }
  const body = yield* readBody(response, headers)
  const unexpected = (reason: string) => {
    const hidden = secrets()
    return new UnexpectedResponse({
      status,
      reason,
      headers: Object.fromEntries(
        telling.flatMap((name) => (headers[name] === undefined ? [] : [[name, strike(headers[name], hidden)]]))
      ),
      // Twice as much is looked through as is kept, since what is struck makes a text shorter: the whole could be 1 MiB.
      body: strike(body.text.slice(0, 2 * keptBodySize), hidden).slice(0, keptBodySize)
    })
  }
  if (body.broken !== undefined) {
    // Half an answer to a call that was taken looks like this: it settles nothing.
    return yield* unexpected(body.broken)
  }
  const json = parse(body.text)
  if (status === 200) {
    if (json === undefined) return yield* unexpected(body.text === "" ? "an empty body" : "a body that is not JSON")
    return yield* Effect.fromResult(decode(json)).pipe(
      Effect.mapError((cause) => unexpected(typeof cause === "string" ? cause : "a body that is not as documented"))
    )
  }
  if (status === 400 || status === 401 || status === 403 || status === 500) {
    const result = decodeResult(json)
    const resultCode = result._tag === "Some" ? result.value.resultCode : undefined
    if (typeof resultCode === "string" && resultCode !== "") {
      const resultMessage = result._tag === "Some" ? result.value.resultMessage : undefined
      const hidden = secrets()
      return yield* new ResultError({
        status,
        resultCode: strike(resultCode, hidden),
        ...(resultMessage == null ? undefined : { resultMessage: strike(resultMessage, hidden) })
      })
    }
  }
  return yield* unexpected(describe(status, body.text, json))
})

/** Reads the body of an answer that is not to be looked at, since one left unread keeps its connection; but waits a second for it at most. */
export const discard = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<void> =>
  Effect.asVoid(Effect.timeoutOption(readBody(response, response.headers), "1 second"))

const describe = (status: number, text: string, json: unknown) => {
  if (status >= 300 && status < 400) return "a redirect, which is not followed"
  if (text === "") return "an empty body"
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "a page, perhaps a proxy's, instead of JSON"
  if (json === undefined) return "a body that is not JSON"
  return "not a documented answer"
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

interface Body {
  readonly text: string
  readonly broken?: string
}

const decodeText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const brokenOff = "an answer that broke off"

/** The body, up to the limit. @param headers those of the response, which some clients make anew each time that they are asked */
const readBody = (response: HttpClientResponse.HttpClientResponse, headers: Headers.Headers): Effect.Effect<Body> =>
  // The length is of what was sent, which says nothing of what a client makes of it where it decompresses by itself.
  Number(headers["content-length"]) <= maxBodySize && headers["content-encoding"] === undefined
    ? Effect.match(response.text, {
        onFailure: () => ({ text: "", broken: brokenOff }),
        onSuccess: (text) => ({ text })
      })
    : readBodyOfUnknownSize(response)

/** Chunk by chunk. What came before it broke is kept, since it may tell who answered. */
const readBodyOfUnknownSize = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Body> =>
  Effect.suspend(() => {
    // One buffer: a million chunks of a byte each would be a hundred times as much.
    let bytes = new Uint8Array(1024)
    let size = 0
    const append = (chunk: Uint8Array) => {
      if (size + chunk.length > bytes.length) {
        const larger = new Uint8Array(2 * (size + chunk.length))
        larger.set(bytes.subarray(0, size))
        bytes = larger
      }
      bytes.set(chunk, size)
      size += chunk.length
    }
    // All chunks that are there at once: an effect for each would cost more than all the rest of an answer.
    return Stream.runForEachArray(response.stream, (arrived) => {
      for (const chunk of arrived) {
        const room = maxBodySize - size
        append(chunk.subarray(0, room))
        if (chunk.length > room) return Effect.fail("too large" as const)
      }
      return Effect.void
    }).pipe(
      Effect.match({
        onFailure: (error) => ({
          text: decodeText(bytes.subarray(0, size)),
          broken: error === "too large" ? "a body of more than 1 MiB" : brokenOff
        }),
        onSuccess: () => ({ text: decodeText(bytes.subarray(0, size)) })
      })
    )
  })

/** One of the three forms of RFC 9110, section 5.6.7: `Date.parse` finds a date in nearly everything that has a number in it. */
const httpDate = /^(Mon|Tues?|Wed(nes)?|Thu(rs)?|Fri|Sat(ur)?|Sun)(day)?,? .*\d\d:\d\d:\d\d/

/** Milliseconds from `now`, out of seconds or an HTTP date; at most five minutes. */
export const parseRetryAfter = (header: string | undefined, now: number): number | undefined => {
  if (header === undefined) return undefined
  const text = header.trim()
  const millis = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : httpDate.test(text) ? Date.parse(text) - now : NaN
  return Number.isFinite(millis) ? Math.min(Math.max(millis, 0), maxRetryAfter) : undefined
}

// -----------------------------------------------------------------------------
// No answer
// -----------------------------------------------------------------------------

/** Codes of platforms and of undici for failures before anything was written. */
const notSentCodes = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "EADDRNOTAVAIL",
  "EMFILE",
  "ENFILE",
  "ERR_INVALID_URL",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_INVALID_ARG",
  "CERT_HAS_EXPIRED",
  "CERT_NOT_YET_VALID",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "HOSTNAME_MISMATCH"
])

interface SystemError {
  readonly code?: unknown
  readonly syscall?: unknown
  readonly message?: unknown
  readonly cause?: unknown
  readonly socket?: { readonly bytesWritten?: unknown }
}

/** The error and its causes, outermost first. */
const causes = (error: unknown): ReadonlyArray<SystemError> => {
  const found: Array<SystemError> = []
  let current = error
  while (typeof current === "object" && current !== null && found.length < 8) {
    found.push(current)
    current = (current as SystemError).cause
  }
  return found
}

const isNotSent = (error: SystemError): boolean => {
  const code = String(error.code)
  return (
    notSentCodes.has(code) ||
    error.syscall === "connect" ||
    error.syscall === "getaddrinfo" ||
    code.startsWith("ERR_TLS_CERT") ||
    // A handshake that failed: OpenSSL's words are all there is to tell it from a connection that broke later.
    ((code === "EPROTO" || code.startsWith("ERR_SSL_")) &&
      /wrong version number|handshake|unsupported protocol|unknown ca|certificate|packet length/i.test(
        `${code} ${String(error.message)}`
      )) ||
    /before secure TLS connection was established/.test(String(error.message)) ||
    // A proxy that will not open a tunnel.
    /^Proxy response \(\d+\)/.test(String(error.message)) ||
    error.socket?.bytesWritten === 0
  )
}

/** What a request that got no answer means. */
export const fromHttpClientError = (
  error: HttpClientError.HttpClientError,
  secrets: () => ReadonlyArray<string>
): TransportError => {
  const chain = causes(error.reason)
  const code = chain.map((e) => e.code).find((c) => typeof c === "string")
  const said = chain
    .slice(1)
    .map((e) => e.message)
    .findLast((m) => typeof m === "string" && m !== "")
  return new TransportError({
    code: code ?? error.reason._tag,
    reason: strike(typeof said === "string" ? said : error.message, secrets()),
    sent:
      error.reason._tag === "InvalidUrlError" || error.reason._tag === "EncodeError" ? false : !chain.some(isNotSent)
  })
}
