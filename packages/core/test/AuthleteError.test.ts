import { AuthleteError } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError

const errors: ReadonlyArray<readonly [AuthleteError.AuthleteError, string, string]> = [
  [new ResultError({ status: 400, resultCode: "A1", resultMessage: "no" }), "A1", "HTTP 400 A1: no"],
  [new ResultError({ status: 500, resultCode: "A2" }), "A2", "HTTP 500 A2"],
  [new RateLimited({ status: 429 }), "HTTP 429", "HTTP 429"],
  [new RateLimited({ status: 503, retryAfter: 1500 }), "HTTP 503", "HTTP 503, again in 2 s"],
  [new RequestTimeout({ timeout: 1500, sent: true }), "TIMEOUT", "no answer within 1.5 s"],
  [new TransportError({ code: "ECONNRESET", reason: "gone", sent: true }), "ECONNRESET", "gone (ECONNRESET)"],
  [new TransportError({ code: "ECONNRESET", reason: "read ECONNRESET", sent: true }), "ECONNRESET", "read ECONNRESET"],
  [
    new UnexpectedResponse({ status: 502, reason: "a page", headers: { via: "proxy" }, body: "<html>" }),
    "HTTP 502",
    "HTTP 502: a page"
  ]
]

describe("AuthleteError", () => {
  it.each(errors)("says %s in a code and a message", (error, code, message) => {
    assert.strictEqual(AuthleteError.code(error), code)
    assert.strictEqual(error.message, message)
  })

  it.each(errors)("goes through JSON and back: %s", (error) => {
    const codec = Schema.toCodecJson(AuthleteError.AuthleteError)
    const text = JSON.stringify(Schema.encodeSync(codec)(error))
    assert.deepStrictEqual(Schema.decodeUnknownSync(codec)(JSON.parse(text)), error)
  })
})
