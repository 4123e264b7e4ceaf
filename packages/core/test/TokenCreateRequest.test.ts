import { Int64, TokenCreateRequest, TokenOperations } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { inspect } from "node:util"
import * as Guard from "@tokenbatch/core/Guard"

const checkText = TokenCreateRequest.makeCheck()
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
  const violation = TokenCreateRequest.makeCheck(options)(JSON.stringify(record, Int64.rawJson) ?? "", record)
  return violation === undefined ? undefined : `${TokenCreateRequest.formatPath(violation.path)}: ${violation.message}`
}

describe("TokenCreateRequest", () => {
  it("knows every field of the schema, and no other", () => {
    assert.deepStrictEqual([...fields].sort(), Object.keys(TokenCreateRequest.TokenCreateRequest.fields).sort())
    assert.isUndefined(reason(valid))
  })

  it.each(fields)("takes a record with %s", (field) => {
    assert.isUndefined(reason({ ...good, [field]: valid[field] }))
    assert.isUndefined(Guard.wrongField({ ...good, [field]: valid[field] }, false), "and needs no decoding for it")
  })

  it.each(optionalFields)("takes null in %s for its absence", (field) => {
    const alone = { ...valid, [field]: null }
    const without = { ...valid }
    delete without[field]
    assert.strictEqual(reason(alone), reason(without))
    assert.isUndefined(Guard.wrongField(alone, false))
  })

  it.each(fields)("refuses values of other types in %s, and says which field it is", (field) => {
    for (const wrong of [{}, [{}], 1.5, "ä", true, ["x", 1]]) {
      const record = { ...good, [field]: wrong }
      const found = reason(record)
      assert.strictEqual(Guard.wrongField(record, false), found === undefined ? undefined : field, inspect(record))
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
    assert.isDefined(checkText("null", deep))
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

  it("takes null for absence inside objects, and for nothing else", () => {
    const element = { type: "t", locations: null, actions: null, dataTypes: null, identifier: null, privileges: null }
    for (const record of [
      { ...good, properties: [{ key: null, value: null, hidden: null }, {}] },
      { ...good, authorizationDetails: { elements: null } },
      { ...good, authorizationDetails: { elements: [{ ...element, otherFields: null }] } }
    ]) {
      assert.isUndefined(reason(record), inspect(record))
    }
    for (const [record, expected] of [
      [{ ...good, properties: [null] }, "properties[0]: expected an object"],
      [{ ...good, resources: [null] }, "resources[0]: expected a string"],
      [{ ...good, authorizationDetails: { elements: [null] } }, "authorizationDetails.elements[0]: expected an object"],
      [
        { ...good, authorizationDetails: { elements: [{ type: "t", locations: [null] }] } },
        "authorizationDetails.elements[0].locations[0]: expected a string"
      ],
      [{ ...good, acr: null, subject: null }, "subject: is required for grant type AUTHORIZATION_CODE"],
      [{ ...good, nobodyKnows: null }, ": holds a field that the service does not know"]
    ] as const) {
      assert.strictEqual(reason(record), expected)
    }
  })

  it("names the nearest field for each way to miss one", () => {
    for (const [wrong, right] of [
      ["accessTokn", "accessToken"],
      ["ACCESSTOKEN", "accessToken"],
      ["access-token", "accessToken"],
      ["refresh_token", "refreshToken"],
      ["client_id", "clientId"],
      ["scope", "scopes"],
      ["_a_c_r", "acr"],
      ["axx", "acr"],
      ["grant_type", "grantType"],
      ["accesTokenDuratoin", "accessTokenDuration"]
    ] as const) {
      assert.strictEqual(
        reason({ ...good, [wrong]: "x" }),
        `${wrong}: is not a field that the service knows: did you mean ${right}?`
      )
    }
    assert.strictEqual(reason({ ...good, expires_at: 1 }), ": holds a field that the service does not know")
  })

  it("names the grant type that was meant, and repeats nothing of what was written", () => {
    for (const [wrong, right] of [
      ["authorization_code", "AUTHORIZATION_CODE"],
      ["authorizationCode", "AUTHORIZATION_CODE"],
      ["Password", "PASSWORD"],
      ["client-credential", "CLIENT_CREDENTIALS"],
      ["ciba", "CIBA"],
      ["urn:ietf:params:oauth:grant-type:device_code", "DEVICE_CODE"],
      ["urn:ietf:params:oauth:grant-type:token-exchange", "TOKEN_EXCHANGE"],
      ["urn:ietf:params:oauth:grant-type:pre-authorized_code", "PRE_AUTHORIZED_CODE"]
    ] as const) {
      const found = reason({ ...good, grantType: wrong })
      assert.match(found ?? "", new RegExp(`^grantType: expected one of .*: did you mean ${right}\\?$`))
      assert.notInclude(found, wrong)
    }
    for (const wrong of ["code", "", "x".repeat(100_000), "urn:", 7, ["PASSWORD"]]) {
      assert.match(reason({ ...good, grantType: wrong }) ?? "", /^grantType: expected one of [A-Z_, ]+$/)
    }
    assert.match(reason({ ...good, grantType: "refresh_token" }) ?? "", /^grantType: REFRESH_TOKEN cannot be created/)
    const encoded = TokenOperations.encode([{ ...good, grantType: "password" as "PASSWORD", accessToken: undefined }])
    assert.isTrue(Result.isFailure(encoded) && encoded.failure.message.endsWith("did you mean PASSWORD?"))
  })

  it("says first that a field is misnamed: that is why another one is missing", () =>
    assert.isTrue(reason({ granttype: "PASSWORD", clientId: "x" })?.startsWith("granttype: is not a field")))

  it("lets unknown fields pass at every depth, but no known field that is wrong beside them", () => {
    const loose = { allowUnknownFields: true }
    const details = (element: object) => ({
      ...good,
      authorizationDetails: { x: 1, elements: [{ type: "t", ...element }] }
    })
    assert.isUndefined(reason(details({ x: {} }), loose))
    assert.strictEqual(
      reason(details({ x: {}, actions: "a" }), loose),
      "authorizationDetails.elements[0].actions: expected an array"
    )
    assert.strictEqual(
      reason({ ...good, properties: [{ x: 1, key: 1 }] }, loose),
      "properties[0].key: expected a string"
    )
  })

  it("requires an access token last, after everything that is wrong with a record", () => {
    const strict = { requireAccessToken: true }
    assert.strictEqual(
      reason({ grantType: "PASSWORD", clientId: 1 }, strict),
      "subject: is required for grant type PASSWORD"
    )
    assert.isTrue(reason({ grantType: "JWT_BEARER", clientId: 1 }, strict)?.startsWith("accessToken: is required here"))
    assert.isUndefined(reason(good, strict))
  })

  it("takes what lies on the edge of each rule", () => {
    for (const record of [
      { ...good, subject: "x".repeat(100) },
      { ...good, subject: "\u0000~\u007f" },
      { ...good, accessTokenDuration: -0 },
      { ...good, authTime: -1 },
      { ...good, clientId: null, clientIdentifier: "c" },
      { ...good, grantType: "CLIENT_CREDENTIALS", subject: null, refreshToken: null },
      { ...good, grantType: "JWT_BEARER", subject: "" },
      { ...good, clientIdAliasUsed: true, clientEntityIdUsed: false, metadataDocumentUsed: null },
      { ...good, jwtAtClaims: " {} ", certificateThumbprint: `${"-_".repeat(21)}9` },
      { ...good, scopes: [], properties: [], resources: [], authorizationDetails: {} }
    ]) {
      assert.isUndefined(reason(record), inspect(record))
    }
    for (const record of [
      { ...good, subject: "\u0080" },
      { ...good, grantType: "password" },
      { ...good, clientId: 1.5 },
      { ...good, clientId: true },
      { ...good, clientIdentifier: "", clientId: null },
      { ...good, certificateThumbprint: "A".repeat(42) },
      { ...good, certificateThumbprint: "A".repeat(44) },
      { ...good, certificateThumbprint: `${"A".repeat(42)}=` },
      { ...good, certificateThumbprint: `${"A".repeat(43)}\n` },
      { ...good, dpopKeyThumbprint: "" },
      { ...good, jwtAtClaims: "null" },
      { ...good, jwtAtClaims: "" }
    ]) {
      assert.isDefined(reason(record), inspect(record))
    }
  })

  /** Numbers below 1 that look random, the same ones for a seed. */
  const randomOf = (seed: number) => () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const oddities = [
    null,
    "",
    "x",
    "ä",
    "{}",
    "[]",
    0,
    -1,
    1.5,
    2 ** 53,
    2 ** 63,
    true,
    [],
    ["a"],
    [1],
    {},
    [{}],
    [null]
  ]
  const element = (valid["authorizationDetails"] as { readonly elements: ReadonlyArray<object> }).elements[0]!
  /** A record of good values and seldom more than a few bad ones, at every depth. */
  const makeRecord = (random: () => number, odd: ReadonlyArray<unknown>): Record<string, unknown> => {
    const draw = (count: number) => Math.floor(random() * count)
    const someOf = (object: object): Record<string, unknown> =>
      Object.fromEntries(
        Object.entries(object).flatMap(([key, value]) =>
          draw(3) === 0 ? [] : [[key, draw(25) === 0 ? odd[draw(odd.length)] : draw(12) === 0 ? null : value]]
        )
      )
    const unknown = ["accesToken", "whatever", "type"][draw(40)]
    return {
      ...good,
      ...someOf({ ...valid, properties: [someOf({ key: "k", value: "v", hidden: true }), {}] }),
      ...(draw(3) === 0 ? { authorizationDetails: { elements: [{ type: "t", ...someOf(element) }, element] } } : {}),
      ...(draw(3) === 0 ? { clientIdAliasUsed: true, clientEntityIdUsed: draw(4) === 0 } : {}),
      ...(draw(2) === 0 ? { grantType: Guard.grantTypes[draw(Guard.grantTypes.length)] } : {}),
      ...(unknown === undefined ? {} : { [unknown]: "x" })
    }
  }
  const withoutNulls = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(withoutNulls)
      : typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value).flatMap(([key, field]) => (field === null ? [] : [[key, withoutNulls(field)]]))
          )
        : value

  it.prop("checks as the schema does, both ways, whatever the record", { seed: Schema.Int }, ({ seed }) => {
    const random = randomOf(seed)
    const codec = Schema.toCodecJson(TokenCreateRequest.TokenCreateRequest)
    for (let i = 0; i < 50; i++) {
      const record = makeRecord(random, oddities)
      const found = reason(record)
      const decoded = Schema.decodeUnknownResult(codec)(withoutNulls(record), { onExcessProperty: "error" })
      // Out of JSON the typed model takes exact numbers alone; the check takes the bytes for what they are.
      if (!Object.values(record).includes(2 ** 53)) {
        assert.strictEqual(found === undefined, Result.isSuccess(decoded), `${found} ${inspect(record, { depth: 9 })}`)
      }
      assert.notInclude(found ?? "", "is not a valid record")
    }
  })

  const scan = TokenCreateRequest.makeRecogniser()
  const scanText = (text: string, scanner = scan) => {
    const bytes = Buffer.from(`{"before":1}\n${text}\n{"after":1}\n`)
    const known = scanner(bytes, bytes.indexOf("\n") + 1)
    if (known === undefined) return undefined
    assert.strictEqual(known.end, bytes.lastIndexOf("\n", -2))
    return known.hasAccessToken ? "keyed" : "keyless"
  }
  /** What the scan has to say, or nothing: from the parsed line. */
  const expected = (text: string, options?: TokenCreateRequest.CheckOptions) => {
    try {
      const value = JSON.parse(text) as { readonly accessToken?: unknown }
      if (TokenCreateRequest.makeCheck(options)(text, value) !== undefined) return undefined
      return value.accessToken == null ? "keyless" : "keyed"
    } catch {
      return undefined
    }
  }

  it.prop("knows by its bytes whatever the check takes, as anybody writes it", { seed: Schema.Int }, ({ seed }) => {
    const random = randomOf(seed)
    for (let i = 0; i < 50; i++) {
      const record = makeRecord(random, oddities)
      const entries = Object.entries(record)
      const shuffled = Object.fromEntries(entries.toSorted(() => random() - 0.5))
      for (const text of [
        JSON.stringify(record),
        JSON.stringify(shuffled, undefined, 1).replaceAll(/\n */g, " "),
        ` ${JSON.stringify(shuffled, undefined, "\t").replaceAll("\n", "\r")}\r`,
        JSON.stringify(record).replace(/"acr":"acr"/, '"acr":"\\u00e4 \\ud800 \\/ \\" ä 🙂"')
      ]) {
        // More digits than any int64 has are for the parser.
        const known = Object.values(record).includes(2 ** 63) ? undefined : expected(text)
        assert.strictEqual(scanText(text), known, text)
        assert.strictEqual(
          scanText(text, TokenCreateRequest.makeRecogniser({ requireAccessToken: true })),
          known === "keyless" ? undefined : known,
          text
        )
      }
    }
  })

  it.prop(
    "never takes a damaged line for a record that parsing would not",
    { seed: Schema.Int },
    ({ seed }) => {
      const random = randomOf(seed)
      const draw = (count: number) => Math.floor(random() * count)
      const pieces = [
        ...'"\\{}[]:,0-+.eEunltrfas \t\r\0\x1f\x7fä',
        "\\u12",
        "null",
        "true",
        "false",
        '"a":',
        ",,",
        '"",'
      ]
      for (let i = 0; i < 50; i++) {
        let text = JSON.stringify(makeRecord(random, oddities))
        for (let times = draw(3); times >= 0; times--) {
          const at = draw(text.length + 1)
          // Insert, replace, cut out, or write something that stands elsewhere once more.
          const piece = draw(4) === 0 ? text.slice(draw(text.length), draw(text.length)) : pieces[draw(pieces.length)]!
          text = text.slice(0, at) + (draw(3) === 0 ? "" : piece) + text.slice(at + draw(3))
        }
        if (text.includes("\n")) continue
        const found = scanText(text)
        if (found !== undefined) assert.strictEqual(found, expected(text), text)
      }
    },
    { arbitrary: { runs: 400 } }
  )

  it.each(optionalFields)("recognises a record with null in %s", (field) => {
    const text = JSON.stringify({ ...valid, grantType: "JWT_BEARER", [field]: null })
    assert.isDefined(scanText(text))
    assert.strictEqual(scanText(text), expected(text))
  })

  it("recognises what is just within bounds, and nothing beyond", () => {
    const text = JSON.stringify({ ...good, certificateThumbprint: thumbprint, authTime: 1 })
    for (const [within, beyond] of [
      ['"subject":"' + "x".repeat(100), '"subject":"' + "x".repeat(101)],
      ['"subject":"\x7f', '"subject":"\x80'],
      [`"certificateThumbprint":"${"-_".repeat(21)}9`, `"certificateThumbprint":"${"A".repeat(42)}`],
      [`"certificateThumbprint":"${"z".repeat(43)}`, `"certificateThumbprint":"${"A".repeat(44)}`],
      [`"authTime":-8${"9".repeat(18)}`, `"authTime":${2n ** 63n}`],
      ['"authTime":-0', '"authTime":01'],
      ['"accessToken":" ', '"accessToken":"'],
      ['"authTime":0', '"authTime":0x1']
    ] as const) {
      const put = (what: string) => text.replace(new RegExp(`${/^"\w+":/.exec(what)![0]}("[^"]*|\\d+)`), () => what)
      assert.isDefined(scanText(put(within)), put(within))
      assert.strictEqual(scanText(put(within)), expected(put(within)), put(within))
      assert.isUndefined(scanText(put(beyond)), put(beyond))
      assert.isUndefined(expected(put(beyond)), put(beyond))
    }
  })

  it("leaves to the parser what has to be looked at twice", () => {
    const text = JSON.stringify(good)
    assert.strictEqual(scanText(text), "keyed")
    for (const seldom of [
      text.replace('"clientId":1', '"clientId":1.0'),
      text.replace('"clientId":1', '"clientId":1e3'),
      text.replace('"clientId":1', `"clientId":${2n ** 63n - 1n}`),
      text.replace("clientId", "client\\u0049d"),
      text.replace('"john"', '"j\\u006fhn"')
    ]) {
      assert.isUndefined(scanText(seldom), seldom)
      assert.isDefined(expected(seldom), seldom)
    }
    // And what has no end.
    assert.isUndefined(scan(Buffer.from(text), 0))
  })

  describe("what a parser does not tell", () => {
    const check = TokenCreateRequest.makeLineCheck({ allowUnknownFields: true })
    const of = (text: string) => {
      const violation = check(text, JSON.parse(text))
      return violation && `${TokenCreateRequest.formatPath(violation.path)}: ${violation.message}`
    }
    const text = JSON.stringify(good)

    it("refuses a token value that stands twice: which of them counts is not for us to say", () => {
      for (const [name, odd] of [
        ["accessToken", text.replace("{", '{"accessToken":"first",')],
        ["accessToken", text.replace("{", '{"accessToken":null,')],
        ["accessToken", text.replace("{", '{"\\u0061ccessToken" : "first",')],
        ["refreshToken", text.replace("{", '{"refreshToken":"}\\"",').replace(/}$/, ', "refreshToken":"b\\\\"}')]
      ] as const) {
        assert.strictEqual(of(odd), `${name}: stands twice in the record`)
        assert.isUndefined(scanText(odd))
      }
      // As values, and inside of other fields, they may.
      const inside = '{"a":"accessToken","b":{"accessToken":1,"x":[{"accessToken":2,"\\u0061":3}]},"c":["accessToken"],'
      assert.isUndefined(of(text.replace("{", inside)))
      // Of other fields the last one counts, as for every parser.
      assert.isUndefined(of(text.replace("{", '{"acr":"a",').replace(/}$/, ',"acr":"b"}')))
    })

    it("refuses what is nested too deeply, however deep that is", () => {
      for (const depth of [1, 200, 255, 256, 4000, 100_000]) {
        const deep = `${"[".repeat(depth)}"]"${"]".repeat(depth)}`
        const expected = depth < 256 ? undefined : ": is nested too deeply: 256 levels at most"
        assert.strictEqual(of(text.replace("{", `{"mine":${deep},`)), expected, `${depth}`)
        // Where a number has to be looked at digit for digit as well.
        const wide = text.replace('"clientId":1', `"clientId":${2n ** 63n},"scopes":${deep}`)
        assert.include(of(wide), depth < 256 ? "expected a" : "too deeply", `${depth}`)
      }
    })
  })

  it.prop("repeats no value, whatever is wrong and wherever", { seed: Schema.Int }, ({ seed }) => {
    const marker = "MARKER0123456789"
    const random = randomOf(seed)
    const odd = [
      marker,
      [marker],
      { [marker]: marker },
      [{ [marker]: 1 }],
      { elements: marker },
      { elements: [marker] }
    ]
    for (let i = 0; i < 20; i++) {
      const record = makeRecord(random, odd)
      for (const allowUnknownFields of [false, true]) {
        const checkLoosely = TokenCreateRequest.makeCheck({ allowUnknownFields })
        for (const value of [
          record,
          { ...record, [marker]: marker },
          { ...record, properties: [{ [marker]: marker }] }
        ]) {
          assert.notInclude(JSON.stringify(checkLoosely(JSON.stringify(value), value) ?? {}), marker)
        }
      }
    }
  })

  // The schema makes every value by itself, save those of which hardly one in a million would be a JSON object or a thumbprint.
  const { authorizationDetails: _details, ...rest } = TokenCreateRequest.TokenCreateRequest.fields
  const text = Schema.Literals(["{}", '{"a":[1,{"b":null}]}', ' {"é":"\\u0000"} '])
  const Any = Schema.Struct({
    ...rest,
    // Present, so that most requests are acceptable.
    grantType: Schema.Literals(Guard.grantTypes),
    clientId: Int64.Int64,
    subject: Schema.Literals(["john", "\u0000~", ""]),
    metadataDocumentUsed: Schema.optional(Schema.Literal(false)),
    accessToken: Schema.Redacted(Schema.NonEmptyString, { label: "accessToken" }),
    certificateThumbprint: Schema.optional(Schema.Literals([thumbprint, `${"-_".repeat(21)}9`])),
    jwtAtClaims: Schema.optional(text),
    authorizationDetails: Schema.Struct({
      elements: Schema.Array(
        Schema.Struct({
          type: Schema.String,
          locations: Schema.optional(Schema.Array(Schema.String)),
          identifier: Schema.optional(Schema.String),
          otherFields: Schema.optional(text)
        })
      )
    })
  })
  it.prop(
    "takes any typed request that the schema takes, through text and check, and back",
    { request: Any },
    ({ request }) => {
      const typed: TokenCreateRequest.TokenCreateRequest = request
      const written = TokenCreateRequest.toJson(typed)
      assert.isTrue(Result.isSuccess(written))
      if (Result.isFailure(written)) return
      const found = checkText(written.success, JSON.parse(written.success))
      assert.strictEqual(found === undefined, Schema.is(TokenCreateRequest.TokenCreateRequest)(typed), written.success)
      const encoded = TokenOperations.encode([typed, typed])
      assert.strictEqual(Result.isSuccess(encoded), found === undefined)
      if (Result.isSuccess(encoded)) {
        assert.strictEqual(new TextDecoder().decode(encoded.success), `[${written.success},${written.success}]`)
      } else {
        assert.deepInclude(encoded.failure, { index: 0, field: TokenCreateRequest.formatPath(found?.path ?? []) })
      }
      const back = JSON.parse(written.success, Int64.reviver) as Record<string, unknown>
      for (const field of ["clientId", "authTime", "accessTokenDuration", "refreshTokenDuration"] as const) {
        assert.strictEqual(
          back[field] === undefined ? undefined : BigInt(back[field] as number),
          request[field] === undefined ? undefined : BigInt(request[field])
        )
      }
      for (const field of ["accessToken", "refreshToken"] as const) {
        assert.strictEqual(back[field], request[field] === undefined ? undefined : Redacted.value(request[field]))
        if (request[field] !== undefined) {
          for (const shown of [JSON.stringify(request[field]), inspect(request[field]), String(request[field])]) {
            assert.strictEqual(shown.replaceAll('"', ""), `<redacted:${field}>`.replaceAll('"', ""))
          }
        }
      }
    },
    { arbitrary: { runs: 500 } }
  )

  it("says of typed requests which one is wrong, and quotes none", () => {
    const request = { grantType: "PASSWORD", clientId: 1, subject: "j", accessToken: Redacted.make(secret) } as const
    const invalid = TokenOperations.encode([
      request,
      { ...request, grantType: "IMPLICIT", refreshToken: Redacted.make(secret) }
    ])
    assert.isTrue(Result.isFailure(invalid))
    if (Result.isFailure(invalid)) {
      assert.strictEqual(
        invalid.failure.message,
        "Request 1: refreshToken cannot be given: grant type IMPLICIT has no refresh token"
      )
      assert.notInclude(JSON.stringify(invalid.failure), secret)
    }
    const big = TokenOperations.encode([{ ...request, clientId: 2n ** 63n }])
    assert.isTrue(Result.isFailure(big) && big.failure.field === "clientId")
    assert.deepStrictEqual(TokenOperations.encode([]), Result.succeed(new TextEncoder().encode("[]")))
  })

  it("writes paths as people do", () => {
    assert.strictEqual(TokenCreateRequest.formatPath([]), "")
    assert.strictEqual(TokenCreateRequest.formatPath(["a", "b", 0, 1, "c"]), "a.b[0][1].c")
  })
})
