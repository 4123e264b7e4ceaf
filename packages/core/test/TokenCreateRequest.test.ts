import { Int64, TokenCreateRequest, TokenOperations } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import * as Guard from "@tokenbatch/core/Guard"

const checkText = TokenCreateRequest.makeCheck()
const check = (value: unknown) => checkText("", value)
const good = { grantType: "AUTHORIZATION_CODE", clientId: 1, subject: "john", accessToken: "value" }
const thumbprint = "A".repeat(43)

/** A valid value for each field, so that no field is forgotten. */
const valid: Record<keyof Guard.Parsed, unknown> = {
  grantType: "PASSWORD",
  clientId: 26837717140341,
  subject: "john",
  scopes: ["openid"],
  accessTokenDuration: 0,
  refreshTokenDuration: 3600,
  properties: [{ key: "k", value: "v", hidden: true }],
  clientIdAliasUsed: true,
  accessToken: "a",
  refreshToken: "r",
  accessTokenPersistent: false,
  certificateThumbprint: thumbprint,
  dpopKeyThumbprint: thumbprint,
  authorizationDetails: {
    elements: [
      {
        type: "t",
        locations: ["l"],
        actions: ["a"],
        dataTypes: ["d"],
        identifier: "i",
        privileges: ["p"],
        otherFields: "{}"
      }
    ]
  },
  resources: ["https://api.example.com"],
  forExternalAttachment: true,
  jwtAtClaims: '{"a":1}',
  acr: "acr",
  authTime: 1_700_000_000,
  clientEntityIdUsed: false,
  clientIdentifier: "https://client.example.com",
  sessionId: "sid",
  metadataDocumentUsed: false
}
const fields = Object.keys(valid) as Array<keyof Guard.Parsed>
const optionalFields = fields.filter((field) => field !== "grantType")

const reason = (record: unknown, options?: TokenCreateRequest.CheckOptions) => {
  const violation = TokenCreateRequest.makeCheck(options)("", record)
  return violation === undefined ? undefined : `${TokenCreateRequest.formatPath(violation.path)}: ${violation.message}`
}

describe("TokenCreateRequest", () => {
  it("knows every field of the schema, and no other", () => {
    assert.deepStrictEqual([...fields].sort(), Object.keys(TokenCreateRequest.TokenCreateRequest.fields).sort())
    assert.isUndefined(reason(valid))
  })

  it.each(fields)("takes a record with %s", (field) => {
    assert.isUndefined(reason({ ...good, [field]: valid[field] }))
    assert.isTrue(Guard.isRecord({ ...good, [field]: valid[field] }, false), "and needs no decoding for it")
  })

  it.each(optionalFields)("takes null in %s for its absence", (field) => {
    const alone = { ...valid, [field]: null }
    const without = { ...valid }
    delete without[field]
    assert.strictEqual(reason(alone), reason(without))
    assert.isTrue(Guard.isRecord(alone, false))
  })

  it.each(fields)("refuses values of other types in %s, and says which field it is", (field) => {
    for (const wrong of [{}, [{}], 1.5, "ä", true, ["x", 1]]) {
      const record = { ...good, [field]: wrong }
      const found = reason(record)
      assert.strictEqual(found === undefined, Guard.isRecord(record, false), inspect(record))
      if (found !== undefined) assert.isTrue(found.startsWith(field), found)
    }
  })

  it.each([
    [{ ...good, grantType: "REFRESH_TOKEN" }, "grantType: REFRESH_TOKEN cannot be created"],
    [{ ...good, grantType: "WHATEVER" }, "grantType: expected one of AUTHORIZATION_CODE"],
    [{ ...good, grantType: null }, "grantType: is required"],
    [{ clientId: 1, subject: "john" }, "grantType: is required"],
    [{ ...good, clientId: null }, "clientId: is required (or clientIdentifier in its place)"],
    [{ ...good, clientId: "1" }, "clientId: expected a 64-bit integer"],
    [{ ...good, subject: null }, "subject: is required for grant type AUTHORIZATION_CODE"],
    [{ ...good, subject: "" }, "subject: is required for grant type AUTHORIZATION_CODE"],
    [{ ...good, subject: "jöhn" }, "subject: holds a character that is not ASCII"],
    [{ ...good, subject: "x".repeat(101) }, "subject: is longer than 100 characters"],
    [{ ...good, accessToken: "" }, "accessToken: is empty"],
    [{ ...good, refreshToken: "" }, "refreshToken: is empty"],
    [{ ...good, grantType: "CLIENT_CREDENTIALS", refreshToken: "r" }, "refreshToken: cannot be given"],
    [{ ...good, grantType: "IMPLICIT", refreshToken: "r" }, "refreshToken: cannot be given"],
    [{ ...good, accessTokenDuration: -1 }, "accessTokenDuration: is negative"],
    [{ ...good, certificateThumbprint: "short" }, "certificateThumbprint: expected a SHA-256 thumbprint"],
    [{ ...good, jwtAtClaims: "[1]" }, "jwtAtClaims: expected a JSON object, written as a string"],
    [{ ...good, clientIdAliasUsed: true, clientEntityIdUsed: true }, "clientEntityIdUsed: only one of"],
    [{ ...good, clientIdAliasUsed: true, metadataDocumentUsed: true }, "metadataDocumentUsed: only one of"],
    [{ ...good, clientEntityIdUsed: true, metadataDocumentUsed: true }, "metadataDocumentUsed: only one of"],
    [{ ...good, scopes: ["a", null] }, "scopes[1]: expected a string"],
    [
      { ...good, authorizationDetails: { elements: [{ type: null }] } },
      "authorizationDetails.elements[0].type: is required"
    ],
    [
      { ...good, authorizationDetails: { elements: [{ type: "t", otherFields: "x" }] } },
      "authorizationDetails.elements[0].otherFields: expected a JSON object"
    ],
    [{ ...good, accesToken: "x" }, "accesToken: is not a field that the service knows: did you mean accessToken?"],
    [{ ...good, access_token: "x" }, "access_token: is not a field that the service knows: did you mean accessToken?"],
    [
      { ...good, properties: [{ kye: "x" }] },
      "properties[0].kye: is not a field that the service knows: did you mean key?"
    ],
    [{ ...good, authorizationDetails: { element: [] } }, "authorizationDetails.element: is not a field"],
    [
      { ...good, authorizationDetails: { elements: [{ type: "t", action: [] }] } },
      "authorizationDetails.elements[0].action: is not a field"
    ],
    [
      JSON.parse('{"grantType":"PASSWORD","clientId":1,"subject":"j","__proto__":{"a":1}}'),
      ": holds a field that the service does not know"
    ],
    [[good], ": expected a JSON object"],
    [null, ": expected a JSON object"],
    ["text", ": expected a JSON object"]
  ])("refuses %j", (record, expected) => {
    const found = reason(record)
    assert.isTrue(found?.startsWith(expected), found)
  })

  it("needs no subject for CLIENT_CREDENTIALS and JWT_BEARER, and no clientId with a clientIdentifier", () => {
    assert.isUndefined(reason({ grantType: "CLIENT_CREDENTIALS", clientId: 1 }))
    assert.isUndefined(reason({ grantType: "JWT_BEARER", clientId: 1 }))
    assert.isUndefined(reason({ grantType: "PASSWORD", clientIdentifier: "https://c", subject: "s" }))
  })

  it("lets unknown fields pass, and requires access tokens, when told to", () => {
    assert.isUndefined(reason({ ...good, whatever: 1 }, { allowUnknownFields: true }))
    assert.isUndefined(reason({ ...good, properties: [{ a: 1 }] }, { allowUnknownFields: true }))
    assert.isDefined(reason({ ...good, whatever: 1, clientId: "x" }, { allowUnknownFields: true }))
    assert.isTrue(
      reason({ ...good, accessToken: null }, { requireAccessToken: true })?.startsWith("accessToken: is required")
    )
  })

  it("takes the largest and the smallest int64, and nothing beyond, though all of them round to the same number", () => {
    const reasonOf = (clientId: string) => {
      const text = JSON.stringify({ ...good, clientId: 0 }).replace('"clientId":0', `"clientId":${clientId}`)
      return checkText(text, JSON.parse(text))?.message
    }
    for (const fits of ["9223372036854775807", "9223372036854775800", "-9223372036854775808"]) {
      assert.isUndefined(reasonOf(fits), fits)
    }
    for (const beyond of ["9223372036854775808", "-9223372036854775809", "1e400", "99999999999999999999"]) {
      assert.strictEqual(reasonOf(beyond), "expected a 64-bit integer", beyond)
    }
  })

  it("does not overflow on nesting without end", () => {
    const deep = JSON.parse(`{"grantType":"PASSWORD","scopes":${"[".repeat(50_000)}${"]".repeat(50_000)}}`)
    assert.isDefined(check(deep))
  })

  const secret = "SECRET-VALUE-1234567890"
  it.each(fields)("repeats no value of %s", (field) => {
    for (const wrong of [secret, [secret, 1], { [secret]: secret }, [{ [secret]: secret }], { elements: secret }]) {
      assert.notInclude(reason({ ...good, [field]: wrong, accessTokenDuration: secret }) ?? "", secret)
    }
    assert.notInclude(reason({ ...good, [secret]: 1 }) ?? "", secret)
  })

  const { acr, accessToken, accessTokenDuration, authTime, clientId, properties, refreshToken, scopes, sessionId } =
    TokenCreateRequest.TokenCreateRequest.fields
  // What random values seldom meet by themselves is fixed: a subject and a client.
  const Request = Schema.Struct({
    grantType: Schema.Literals(["AUTHORIZATION_CODE", "PASSWORD", "CIBA"]),
    clientIdentifier: Schema.Literal("https://client.example.com"),
    subject: Schema.Literal("john"),
    acr,
    accessToken,
    accessTokenDuration,
    authTime,
    clientId,
    properties,
    refreshToken,
    scopes,
    sessionId
  })
  it.prop("goes through text and check unharmed, whatever its values", { request: Request }, ({ request }) => {
    const text = Result.getOrThrow(TokenCreateRequest.toJson(request))
    assert.isUndefined(checkText(text, JSON.parse(text)), text)
    const back = Schema.decodeUnknownSync(TokenCreateRequest.TokenCreateRequest)(JSON.parse(text, Int64.reviver))
    const again = Result.getOrThrow(TokenCreateRequest.toJson(back))
    assert.deepStrictEqual(JSON.parse(again, Int64.reviver), JSON.parse(text, Int64.reviver))
  })

  it("writes token values in clear and bigints digit for digit, and refuses numbers that have lost digits", () => {
    const request = {
      grantType: "PASSWORD",
      clientId: 9007199254740993n,
      subject: "j",
      accessToken: Redacted.make("t")
    } as const
    assert.deepStrictEqual(
      TokenCreateRequest.toJson(request),
      Result.succeed('{"grantType":"PASSWORD","clientId":9007199254740993,"subject":"j","accessToken":"t"}')
    )
    const encoded = TokenOperations.encode([{ ...request, clientId: 2 ** 53 }])
    assert.isTrue(Result.isFailure(encoded) && encoded.failure.message.includes("give a bigint"))
    const invalid = TokenOperations.encode([request, { ...request, subject: "" }])
    assert.isTrue(Result.isFailure(invalid) && invalid.failure.index === 1 && invalid.failure.field === "subject")
  })

  it("never shows a token value of a typed request", () => {
    const decoded = Schema.decodeUnknownSync(TokenCreateRequest.TokenCreateRequest)({
      ...good,
      accessToken: secret,
      refreshToken: secret
    })
    for (const shown of [JSON.stringify(decoded), inspect(decoded, { depth: 9 }), String(decoded.accessToken)]) {
      assert.notInclude(shown, secret)
    }
  })
})
