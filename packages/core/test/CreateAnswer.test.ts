import { AuthleteError, CreateAnswer } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"

const { RateLimited, RequestTimeout, ResultError, TransportError, UnexpectedResponse } = AuthleteError

const answered = (status: number) => new UnexpectedResponse({ status, reason: "", headers: {}, body: "" })
const result = (status: 400 | 401 | 403 | 500) => new ResultError({ status, resultCode: "A1" })

/** The first table of the accounting, row by row: the answer, what it means before anything was taken, and after. */
const table: ReadonlyArray<
  readonly [string, AuthleteError.AuthleteError, CreateAnswer.Meaning["_tag"], CreateAnswer.Meaning["_tag"]]
> = [
  ["not sent", new TransportError({ code: "ECONNREFUSED", reason: "", sent: false }), "NotTaken", "NotTaken"],
  ["429", new RateLimited({ status: 429 }), "NotTaken", "NotTaken"],
  ["503 with Retry-After", new RateLimited({ status: 503, retryAfter: 1000 }), "NotTaken", "NotTaken"],
  ["413", answered(413), "TooLarge", "TooLarge"],
  ["400", result(400), "Refused", "Refused"],
  ["400 without a result code", answered(400), "Refused", "Refused"],
  ["422", answered(422), "Refused", "Refused"],
  ["401", result(401), "CredentialsRefused", "CredentialsRefused"],
  ["401 without a result code", answered(401), "CredentialsRefused", "CredentialsRefused"],
  ["403", result(403), "CredentialsRefused", "Refused"],
  ["403 without a result code", answered(403), "CredentialsRefused", "Refused"],
  ["301", answered(301), "WrongAddress", "InDoubt"],
  ["302", answered(302), "WrongAddress", "InDoubt"],
  ["307", answered(307), "WrongAddress", "InDoubt"],
  ["404", answered(404), "WrongAddress", "InDoubt"],
  ["405", answered(405), "WrongAddress", "InDoubt"],
  ["415", answered(415), "WrongAddress", "InDoubt"],
  ["500 with a result code", result(500), "InDoubt", "InDoubt"],
  ["500", answered(500), "InDoubt", "InDoubt"],
  ["502", answered(502), "InDoubt", "InDoubt"],
  ["503 without Retry-After", answered(503), "InDoubt", "InDoubt"],
  ["504", answered(504), "InDoubt", "InDoubt"],
  ["408", answered(408), "InDoubt", "InDoubt"],
  ["a time-out", new RequestTimeout({ timeout: 1, sent: true }), "InDoubt", "InDoubt"],
  [
    "a reset after the first body byte",
    new TransportError({ code: "ECONNRESET", reason: "", sent: true }),
    "InDoubt",
    "InDoubt"
  ],
  ["a 200 without requestId, or half of one", answered(200), "InDoubt", "InDoubt"],
  ["201", answered(201), "InDoubt", "InDoubt"],
  ["418", answered(418), "InDoubt", "InDoubt"]
]

describe("CreateAnswer", () => {
  it.each(table)("%s", (_name, error, before, after) => {
    assert.strictEqual(CreateAnswer.meaning(error, { anyTaken: false })._tag, before)
    assert.strictEqual(CreateAnswer.meaning(error, { anyTaken: true })._tag, after)
  })

  it("passes on how long the service asks to wait", () => {
    assert.deepStrictEqual(
      CreateAnswer.meaning(new RateLimited({ status: 429, retryAfter: 7000 }), { anyTaken: true }),
      {
        _tag: "NotTaken",
        retryAfter: 7000
      }
    )
  })

  it("knows no status that the table does not name: those are in doubt", () => {
    const named = new Set([400, 401, 403, 404, 405, 413, 415, 422])
    for (let status = 100; status < 600; status++) {
      if (named.has(status)) continue
      const redirect = status >= 300 && status < 400
      assert.strictEqual(
        CreateAnswer.meaning(answered(status), { anyTaken: false })._tag,
        redirect ? "WrongAddress" : "InDoubt",
        String(status)
      )
      assert.strictEqual(CreateAnswer.meaning(answered(status), { anyTaken: true })._tag, "InDoubt", String(status))
    }
  })

  it("takes a time-out before anything was sent for not taken", () => {
    const error = new RequestTimeout({ timeout: 1, sent: false })
    assert.strictEqual(CreateAnswer.meaning(error, { anyTaken: false })._tag, "NotTaken")
  })

  it("says nothing of waiting where the service does not", () =>
    assert.deepStrictEqual(CreateAnswer.meaning(new RateLimited({ status: 429 }), { anyTaken: true }), {
      _tag: "NotTaken"
    }))
})
