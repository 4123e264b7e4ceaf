/**
 * Every way a call to the service can fail, each a different thing for the caller to do.
 *
 * | error | the service | do |
 * |---|---|---|
 * | `ResultError` | answered 400, 401, 403 or 500 with a result code | read `status` and `resultCode` |
 * | `RateLimited` | took nothing: 429, or 503 with Retry-After | wait `retryAfter`, then again |
 * | `RequestTimeout` | did not answer in time | see `sent` |
 * | `TransportError` | could not be reached, or the connection broke | see `sent` |
 * | `UnexpectedResponse` | something answered, not as documented | look at the body: a proxy? |
 *
 * `sent: true` means that the request **may** have reached the service, so repeating it may do the work twice. No error holds a
 * secret: texts that come from outside have been through `Secrets.strike`.
 */
import * as Schema from "effect/Schema"

/** Milliseconds to wait before the next attempt, as the service asked. */
const RetryAfter = Schema.optionalKey(Schema.Number)

/** A documented error: 400, 401, 403 or 500 with a result code. */
export class ResultError extends Schema.TaggedError<ResultError>()("ResultError", {
  status: Schema.Literals([400, 401, 403, 500]),
  resultCode: Schema.String,
  resultMessage: Schema.optionalKey(Schema.String)
}) {
  override get message() {
    return `HTTP ${this.status} ${this.resultCode}${this.resultMessage === undefined ? "" : `: ${this.resultMessage}`}`
  }
}

/** Refused unread because there is too much to do: 429, or 503 with a Retry-After header. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  status: Schema.Literals([429, 503]),
  /** Milliseconds; absent where the service did not say. */
  retryAfter: RetryAfter
}) {
  override get message() {
    return `HTTP ${this.status}${this.retryAfter === undefined ? "" : `, again in ${Math.ceil(this.retryAfter / 1000)} s`}`
  }
}

/** No answer within the request timeout. */
export class RequestTimeout extends Schema.TaggedError<RequestTimeout>()("RequestTimeout", {
  /** Milliseconds waited. */
  timeout: Schema.Number,
  sent: Schema.Boolean
}) {
  override get message() {
    return `no answer within ${this.timeout / 1000} s`
  }
}

/** No connection, or one that broke. */
export class TransportError extends Schema.TaggedError<TransportError>()("TransportError", {
  /** The platform's code, such as `ECONNREFUSED`. */
  code: Schema.String,
  reason: Schema.String,
  sent: Schema.Boolean
}) {
  override get message() {
    return this.reason.includes(this.code) ? this.reason : `${this.reason} (${this.code})`
  }
}

/** An answer that is none of the documented ones. */
export class UnexpectedResponse extends Schema.TaggedError<UnexpectedResponse>()("UnexpectedResponse", {
  status: Schema.Int,
  /** What was wrong with it, in our words. */
  reason: Schema.String,
  /** The headers that tell who answered: content-type, server, via, location, retry-after and request ids. */
  headers: Schema.Record(Schema.String, Schema.String),
  /** The first 2 KiB of the body. */
  body: Schema.String
}) {
  override get message() {
    return `HTTP ${this.status}: ${this.reason}`
  }
}

/** Any way a call can fail. */
export const AuthleteError = Schema.Union([
  ResultError,
  RateLimited,
  RequestTimeout,
  TransportError,
  UnexpectedResponse
])
export type AuthleteError = typeof AuthleteError.Type

/** A short name of what went wrong that is the same for the same cause: a result code, a platform's code or a status. */
export const code = (error: AuthleteError): string => {
  switch (error._tag) {
    case "ResultError":
      return error.resultCode
    case "TransportError":
      return error.code
    case "RequestTimeout":
      return "TIMEOUT"
    case "RateLimited":
    case "UnexpectedResponse":
      return `HTTP ${error.status}`
  }
}
