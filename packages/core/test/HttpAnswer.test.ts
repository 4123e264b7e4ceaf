import { assert, describe, it } from "@effect/vitest"
import { fromHttpClientError, parseRetryAfter, read } from "@tokenbatch/core/HttpAnswer"
import * as Effect from "effect/Effect"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import { gzipSync } from "node:zlib"

const now = Date.parse("2026-11-25T12:00:00Z")
const request = HttpClientRequest.get("http://localhost")
const secret = "SECRET-0123456789"

type Content = ConstructorParameters<typeof Response>[0]

const answer = (status: number, content: Content = null, headers: Record<string, string> = {}) =>
  read(
    HttpClientResponse.fromWeb(request, new Response(content, { status, headers })),
    (json) => Result.succeed(json),
    () => [secret]
  )
const refused = (status: number, content?: Content, headers?: Record<string, string>) =>
  Effect.flip(answer(status, content, headers))

/** A body in chunks, and whether it was read to its end. */
const streamed = (chunk: Uint8Array<ArrayBuffer>, count: number, end: "close" | "break" = "close") => {
  const state = { pulled: 0, canceled: false }
  const stream = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull: (controller) => {
      if (state.pulled++ < count) controller.enqueue(chunk)
      else if (end === "close") controller.close()
      else controller.error(new Error("gone"))
    },
    cancel: () => void (state.canceled = true)
  })
  return { state, stream }
}

describe("HttpAnswer", () => {
  it.each([
    [undefined, undefined],
    ["7", 7000],
    ["0", 0],
    ["1.5", 1500],
    [" 3 ", 3000],
    ["Wed, 25 Nov 2026 12:00:30 GMT", 30_000],
    ["Wednesday, 25-Nov-26 12:00:30 GMT", 30_000],
    ["Wed, 25 Nov 2026 11:00:00 GMT", 0],
    ["300", 300_000],
    ["301", 300_000],
    ["86400", 300_000],
    ["9".repeat(400), undefined],
    ["Thu, 25 Nov 2027 12:00:00 GMT", 300_000],
    ["soon", undefined],
    ["after 3", undefined],
    ["May 1", undefined],
    ["try again on Monday 7", undefined],
    ["Mon 7", undefined],
    ["Wed Nov 25 12:00:30 2026 GMT", 30_000],
    ["-5", undefined],
    ["7 seconds", undefined],
    ["2026", 300_000],
    ["", undefined]
  ])("reads Retry-After %j as %s milliseconds", (header, millis) =>
    assert.strictEqual(parseRetryAfter(header, now), millis)
  )

  it.effect("counts a date in Retry-After from the clock", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(now)
      const error = yield* refused(503, "", { "retry-after": "Wed, 25 Nov 2026 12:00:09 GMT" })
      assert.deepInclude(error, { _tag: "RateLimited", status: 503, retryAfter: 9000 })
    })
  )

  it.effect.each([
    [429, undefined, "RateLimited"],
    [429, "soon", "RateLimited"],
    [503, undefined, "UnexpectedResponse"],
    [503, "soon", "UnexpectedResponse"],
    [503, "0", "RateLimited"],
    [502, "7", "UnexpectedResponse"],
    [500, "7", "UnexpectedResponse"]
  ] as const)("takes %s with Retry-After %s for %s", ([status, header, tag]) =>
    Effect.gen(function* () {
      const error = yield* refused(status, "busy", header === undefined ? {} : { "retry-after": header })
      assert.strictEqual(error._tag, tag)
      if (error._tag === "RateLimited") assert.strictEqual(error.retryAfter, header === "0" ? 0 : undefined)
    })
  )

  it.effect.each([400, 401, 403, 500] as const)("reads a result out of %s", (status) =>
    Effect.gen(function* () {
      const error = yield* refused(status, '{"resultCode":"A1","resultMessage":"no","brandNew":{}}')
      assert.deepInclude(error, { _tag: "ResultError", status, resultCode: "A1", resultMessage: "no" })
      const bare = yield* refused(status, '{"resultCode":"A1","resultMessage":null}')
      assert.deepInclude(bare, { _tag: "ResultError", resultCode: "A1" })
      assert.isFalse("resultMessage" in bare)
      for (const body of ["", "{}", "[]", "null", "no", '{"resultCode":""}', '{"resultCode":7}', "{"]) {
        assert.deepInclude(yield* refused(status, body), { _tag: "UnexpectedResponse", status }, body)
      }
    })
  )

  it.effect.each([201, 202, 404, 409, 413, 418, 422, 501, 502, 504, 599])("takes no result out of %s", (status) =>
    Effect.gen(function* () {
      const error = yield* refused(status, '{"resultCode":"A1","resultMessage":"no","requestId":"r"}')
      assert.deepInclude(error, { _tag: "UnexpectedResponse", status })
    })
  )

  it.effect.each([
    [200, "", "an empty body"],
    [200, " ", "a body that is not JSON"],
    [200, "<html>", "a body that is not JSON"],
    [502, "", "an empty body"],
    [502, " \n<!DOCTYPE html><p>", "a page, perhaps a proxy's, instead of JSON"],
    [502, "<HTML>", "a page, perhaps a proxy's, instead of JSON"],
    [502, '<?xml version="1.0"?><Error/>', "a page, perhaps a proxy's, instead of JSON"],
    [502, "Bad Gateway", "a body that is not JSON"],
    [404, "{}", "not a documented answer"],
    [302, "<html>", "a redirect, which is not followed"]
  ] as const)("says of %s %j: %s", ([status, body, reason]) =>
    Effect.map(refused(status, body), (error) => assert.deepInclude(error, { status, reason }))
  )

  it.effect("keeps the headers that tell who answered, and no other", () =>
    Effect.gen(function* () {
      const telling = {
        "content-type": "text/html",
        server: "proxy",
        via: `1.1 ${secret}`,
        location: `https://elsewhere/?t=${secret}`,
        "retry-after": "soon",
        "x-request-id": "1",
        "x-amzn-requestid": "2",
        "cf-ray": "3"
      }
      const error = yield* refused(502, "x", { ...telling, "set-cookie": "c", authorization: "Bearer b", etag: "e" })
      assert.deepInclude(error, {
        headers: { ...telling, via: "1.1 <redacted>", location: "https://elsewhere/?t=<redacted>" }
      })
    })
  )

  it.effect("keeps the first 2 KiB of a body, without the secret on its edge", () =>
    Effect.gen(function* () {
      for (let at = 2048 - secret.length - 2; at <= 2050; at++) {
        const error = yield* refused(502, `${"-".repeat(at)}${secret}${"-".repeat(9000)}`)
        assert.isTrue(error._tag === "UnexpectedResponse" && error.body.length === 2048)
        assert.notInclude(JSON.stringify(error), "SECRET-")
      }
      // What is struck makes the text shorter, so that more of it comes within what is kept.
      const echo = yield* refused(502, `"${secret}",`.repeat(5000))
      assert.isTrue(echo._tag === "UnexpectedResponse" && echo.body.length === 2048)
      assert.notInclude(JSON.stringify(echo), "SECRET-")
    })
  )

  it.effect("strikes secrets in codes and messages of results", () =>
    Effect.gen(function* () {
      const error = yield* refused(400, JSON.stringify({ resultCode: secret, resultMessage: `bad: ${secret}` }))
      assert.deepInclude(error, { resultCode: "<redacted>", resultMessage: "bad: <redacted>" })
    })
  )

  const jsonOf = (size: number) => `"${"x".repeat(size - 2)}"`
  const size = 1024 * 1024

  it.effect("takes a body of 1 MiB, and refuses one byte more, whether it says its length or not", () =>
    Effect.gen(function* () {
      const kib = new TextEncoder().encode("1".repeat(1024))
      for (const headers of [(n: number) => ({ "content-length": String(n) }), () => ({})]) {
        assert.strictEqual(((yield* answer(200, jsonOf(size), headers(size))) as string).length, size - 2)
        for (const status of [200, 400, 502]) {
          const error = yield* refused(status, jsonOf(size + 1), headers(size + 1))
          assert.deepInclude(error, { _tag: "UnexpectedResponse", status, reason: "a body of more than 1 MiB" })
        }
      }
      const whole = yield* refused(502, streamed(kib, 1024).stream)
      assert.deepInclude(whole, { reason: "not a documented answer" })
    })
  )

  it.effect("stops reading a body that never ends", () =>
    Effect.gen(function* () {
      const { state, stream } = streamed(new Uint8Array(64 * 1024), Infinity)
      assert.deepInclude(yield* refused(200, stream), { reason: "a body of more than 1 MiB" })
      assert.isTrue(state.canceled)
      assert.isBelow(state.pulled, 24)
    })
  )

  it.effect("does not believe the length of a compressed body", () =>
    Effect.gen(function* () {
      // As fetch hands it on: decompressed, with the headers of what was sent.
      const length = gzipSync(new Uint8Array(8 * size)).byteLength
      const { state, stream } = streamed(new Uint8Array(64 * 1024), 128)
      const error = yield* refused(200, stream, { "content-encoding": "gzip", "content-length": String(length) })
      assert.deepInclude(error, { reason: "a body of more than 1 MiB" })
      assert.isBelow(state.pulled, 24)
    })
  )

  it.effect("takes half an answer for none, whatever the half says", () =>
    Effect.gen(function* () {
      const half = () => streamed(new TextEncoder().encode('{"requestId":"r"}'), 1, "break").stream
      for (const status of [200, 400, 500]) {
        const error = yield* refused(status, half())
        assert.deepInclude(error, { _tag: "UnexpectedResponse", status, reason: "an answer that broke off" })
        assert.include(
          error._tag === "UnexpectedResponse" ? error.body : "",
          '{"requestId":"r"}',
          "what came before it broke"
        )
        const sized = yield* refused(status, half(), { "content-length": "100" })
        assert.deepInclude(sized, { _tag: "UnexpectedResponse", status, reason: "an answer that broke off" })
      }
    })
  )

  it.effect("puts characters together that came in pieces", () =>
    Effect.gen(function* () {
      const bytes = new TextEncoder().encode('"jöhn 🙂"')
      let at = 0
      const stream = new ReadableStream({
        pull: (controller) => (at < bytes.length ? controller.enqueue(bytes.slice(at, ++at)) : void controller.close())
      })
      assert.strictEqual(yield* answer(200, stream), "jöhn 🙂")
    })
  )

  const transport = (cause: unknown) =>
    fromHttpClientError(
      new HttpClientError.HttpClientError({ reason: new HttpClientError.TransportError({ request, cause }) }),
      () => [secret]
    )
  const failed = (fields: object, message = "failed") => Object.assign(new Error(message), fields)

  it.each([
    ["connection refused", failed({ code: "ECONNREFUSED", syscall: "connect" }), "ECONNREFUSED"],
    ["connection reset while connecting", failed({ code: "ECONNRESET", syscall: "connect" }), "ECONNRESET"],
    ["a name that does not resolve", failed({ code: "ENOTFOUND", syscall: "getaddrinfo" }), "ENOTFOUND"],
    ["a resolver that is away", failed({ code: "EAI_AGAIN" }), "EAI_AGAIN"],
    ["no route", failed({ code: "EHOSTUNREACH" }), "EHOSTUNREACH"],
    ["no connection in time", failed({ code: "UND_ERR_CONNECT_TIMEOUT" }), "UND_ERR_CONNECT_TIMEOUT"],
    ["no file handle left", failed({ code: "EMFILE" }), "EMFILE"],
    [
      "a certificate for another name",
      failed({ code: "ERR_TLS_CERT_ALTNAME_INVALID" }),
      "ERR_TLS_CERT_ALTNAME_INVALID"
    ],
    ["an expired certificate", failed({ code: "CERT_HAS_EXPIRED" }), "CERT_HAS_EXPIRED"],
    ["a self-signed certificate", failed({ code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), "DEPTH_ZERO_SELF_SIGNED_CERT"],
    ["TLS to a plain port", failed({ code: "EPROTO" }, "SSL routines::wrong version number"), "EPROTO"],
    [
      "a handshake that was refused",
      failed({ code: "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE" }),
      "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE"
    ],
    [
      "a handshake that was cut off",
      failed({ code: "ECONNRESET" }, "Client network socket disconnected before secure TLS connection was established"),
      "ECONNRESET"
    ],
    [
      "a proxy that opens no tunnel",
      failed({ code: "UND_ERR_ABORTED" }, "Proxy response (407) !== 200 when HTTP Tunneling"),
      "UND_ERR_ABORTED"
    ],
    [
      "a socket nothing was written to",
      failed({ code: "UND_ERR_SOCKET", socket: { bytesWritten: 0 } }),
      "UND_ERR_SOCKET"
    ],
    ["what fetch wraps", new TypeError("fetch failed", { cause: failed({ code: "ECONNREFUSED" }) }), "ECONNREFUSED"],
    [
      "what is wrapped twice",
      new Error("outer", { cause: new TypeError("fetch failed", { cause: failed({ code: "ENOTFOUND" }) }) }),
      "ENOTFOUND"
    ]
  ])("was not sent: %s", (_name, cause, code) => assert.deepInclude(transport(cause), { sent: false, code }))

  const cyclic = failed({ code: "ODD" })
  cyclic.cause = cyclic
  it.each([
    ["a reset", failed({ code: "ECONNRESET", syscall: "read" }), "ECONNRESET"],
    ["a broken pipe", failed({ code: "EPIPE", syscall: "write" }), "EPIPE"],
    ["a time-out of the socket", failed({ code: "ETIMEDOUT", syscall: "read" }), "ETIMEDOUT"],
    ["a socket written to", failed({ code: "UND_ERR_SOCKET", socket: { bytesWritten: 300 } }), "UND_ERR_SOCKET"],
    ["a body that timed out", failed({ code: "UND_ERR_BODY_TIMEOUT" }), "UND_ERR_BODY_TIMEOUT"],
    ["headers that timed out", failed({ code: "UND_ERR_HEADERS_TIMEOUT" }), "UND_ERR_HEADERS_TIMEOUT"],
    ["TLS that broke later", failed({ code: "EPROTO" }, "SSL routines::bad record mac"), "EPROTO"],
    ["an error that nobody knows", failed({}), "TransportError"],
    ["an error that is its own cause", cyclic, "ODD"],
    ["no cause", undefined, "TransportError"],
    ["a cause that is no object", "gone", "TransportError"]
  ])("may have been sent: %s", (_name, cause, code) => assert.deepInclude(transport(cause), { sent: true, code }))

  it("was not sent where the request could not be made", () => {
    for (const Reason of [HttpClientError.InvalidUrlError, HttpClientError.EncodeError]) {
      const reason = new Reason({ request, cause: new Error("bad") })
      const error = fromHttpClientError(new HttpClientError.HttpClientError({ reason }), () => [])
      assert.deepInclude(error, { sent: false, code: reason._tag })
    }
  })

  it("says what the innermost cause said, without the secrets in it", () => {
    const error = transport(new TypeError("fetch failed", { cause: failed({ code: "EODD" }, `invalid ${secret}`) }))
    assert.strictEqual(error.reason, "invalid <redacted>")
    assert.notInclude(JSON.stringify(error) + error.message + String(error), secret)
  })
})
