/**
 * The record: what the service needs to know to create one token (`token_create_request` in its OpenAPI description).
 *
 * One map of fields and one function of rules between them. The schemas are derived from the map; what has to be fast names the fields once more
 * (`Guard`, `RecordBytes`), and tests hold it against the schemas, both ways:
 *
 * - {@link TokenCreateRequest}: the typed model. Token values are `Redacted`, int64 fields may be bigints.
 * - {@link toJson}: a typed value as the JSON text that the service takes, digit for digit.
 * - {@link makeRecogniser}: whether a line certainly is a record, by its bytes. Built for millions of lines, most of which are not parsed.
 * - {@link makeCheck}: what an input line must hold, over the output of `JSON.parse`, for the others: a guard says yes or no without
 *   making anything, and only what it refuses is decoded to find the reason.
 *
 * `null` in an optional field means its absence. Unknown fields are refused unless asked for: the service ignores them, so a
 * misspelt `accessToken` would create a token that nobody knows.
 *
 * Sources: the OpenAPI description (fields, types), authlete-java-common's `TokenCreateRequest` (rules between fields).
 */
import * as Rec from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaAST from "effect/SchemaAST"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import * as Struct from "effect/Struct"
import * as Guard from "./Guard.ts"
import { Int64, Int64FromJson, isInt64, isInt64Number, rawJson, reviver } from "./Int64.ts"
import * as RecordBytes from "./RecordBytes.ts"
import * as RecordText from "./RecordText.ts"

const grantTypeExpected = `expected one of ${Guard.grantTypes.filter((type) => type !== "REFRESH_TOKEN").join(", ")}`
const refreshTokenRefused = "REFRESH_TOKEN cannot be created: name the grant type that the token first came from"

/** How the token was obtained. */
export const GrantType = Schema.Literals(Guard.grantTypes).annotate({ message: grantTypeExpected })
export type GrantType = typeof GrantType.Type

// -----------------------------------------------------------------------------
// Fields
// -----------------------------------------------------------------------------

const isNonEmpty = (message: string) => Schema.isNonEmpty({ message })

const jsonObjectText = Schema.makeFilter(Guard.isJsonObjectText, {
  message: "expected a JSON object, written as a string",
  toJsonSchema: () => [{}, true]
})

const Subject = Schema.String.check(
  Schema.isAscii({ message: "holds a character that is not ASCII" }),
  Schema.isMaxLength(100, { message: "is longer than 100 characters" })
)

const Thumbprint = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_-]{43}$/, {
    message: "expected a SHA-256 thumbprint in base64url: 43 characters, without padding"
  })
)

const TokenValue = Schema.String.check(isNonEmpty("is empty: leave the field out to have a value generated"))

const negative = "is negative: a duration counts seconds from the token's creation (has it expired already?)"

const Duration = Int64FromJson.check(
  Schema.makeFilter((seconds: number) => seconds >= 0, {
    message: negative,
    toJsonSchema: () => [{}, true],
    arbitraryConstraint: { minimum: 0 }
  })
)

const propertyFields = { key: Schema.String, value: Schema.String, hidden: Schema.Boolean }

const elementFields = {
  locations: Schema.Array(Schema.String),
  actions: Schema.Array(Schema.String),
  dataTypes: Schema.Array(Schema.String),
  identifier: Schema.String,
  privileges: Schema.Array(Schema.String),
  otherFields: Schema.String.check(jsonObjectText)
}

/** The optional fields in their JSON form, but for the two that hold objects. */
const flatFields = {
  clientId: Int64FromJson,
  subject: Subject,
  scopes: Schema.Array(Schema.String),
  accessTokenDuration: Duration,
  refreshTokenDuration: Duration,
  clientIdAliasUsed: Schema.Boolean,
  accessToken: TokenValue,
  refreshToken: TokenValue,
  accessTokenPersistent: Schema.Boolean,
  certificateThumbprint: Thumbprint,
  dpopKeyThumbprint: Schema.String.check(isNonEmpty("is empty")),
  resources: Schema.Array(Schema.String),
  forExternalAttachment: Schema.Boolean,
  jwtAtClaims: Schema.String.check(jsonObjectText),
  acr: Schema.String,
  authTime: Int64FromJson,
  clientEntityIdUsed: Schema.Boolean,
  clientIdentifier: Schema.String.check(isNonEmpty("is empty")),
  sessionId: Schema.String,
  metadataDocumentUsed: Schema.Boolean
}

const Property = Schema.Struct(Struct.map(propertyFields, Schema.optional)).annotate({ identifier: "property" })

const AuthorizationDetails = Schema.Struct({
  elements: Schema.optional(
    Schema.Array(
      Schema.Struct({ type: Schema.String, ...Struct.map(elementFields, Schema.optional) }).annotate({
        identifier: "authorization_details_element"
      })
    )
  )
}).annotate({ identifier: "authz_details" })

// -----------------------------------------------------------------------------
// Rules between fields
// -----------------------------------------------------------------------------

/** Why a value cannot be a record: which field, and what a person can do about it. Never holds a value. */
export interface Violation {
  /** Where in the record, outermost field first. Empty for the record as a whole. */
  readonly path: ReadonlyArray<PropertyKey>
  readonly message: string
}

/** A path as people write it: `authorizationDetails.elements[0].type`. */
export const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.reduce<string>(
    (text, key) => (typeof key === "number" ? `${text}[${key}]` : text === "" ? String(key) : `${text}.${String(key)}`),
    ""
  )

const violation = (field: string, message: string): Violation => ({ path: [field], message })

/** The rules between fields. */
const ruleBroken = (facts: RecordBytes.Facts): Violation | undefined => {
  const { clientEntityIdUsed, clientIdAliasUsed, grantType, metadataDocumentUsed } = facts
  if (grantType === "REFRESH_TOKEN") {
    return violation("grantType", refreshTokenRefused)
  }
  if (!facts.hasClient) {
    return violation("clientId", "is required (or clientIdentifier in its place)")
  }
  if (!facts.hasSubject && grantType !== "CLIENT_CREDENTIALS" && grantType !== "JWT_BEARER") {
    return violation("subject", `is required for grant type ${String(grantType)}`)
  }
  if (facts.hasRefreshToken && (grantType === "CLIENT_CREDENTIALS" || grantType === "IMPLICIT")) {
    return violation("refreshToken", `cannot be given: grant type ${grantType} has no refresh token`)
  }
  if (
    (clientIdAliasUsed && (clientEntityIdUsed || metadataDocumentUsed)) ||
    (clientEntityIdUsed && metadataDocumentUsed)
  ) {
    return violation(
      clientIdAliasUsed && clientEntityIdUsed ? "clientEntityIdUsed" : "metadataDocumentUsed",
      "only one of clientIdAliasUsed, clientEntityIdUsed and metadataDocumentUsed may be true"
    )
  }
  return undefined
}

// -----------------------------------------------------------------------------
// The typed model
// -----------------------------------------------------------------------------

const TypedDuration = Int64.check(
  Schema.makeFilter((seconds: Int64) => seconds >= 0, {
    message: negative,
    toJsonSchema: () => [{}, true]
  })
)

/**
 * A request for one token, typed. Decodes from and encodes to JSON as the service takes it, with one reservation: a bigint beyond
 * 2^53 - 1 has to go through {@link toJson}, since no JavaScript number holds it.
 *
 * @example
 * ```ts
 * import { TokenCreateRequest } from "@tokenbatch/core"
 * import { Redacted } from "effect"
 *
 * const request: TokenCreateRequest.TokenCreateRequest = {
 *   grantType: "AUTHORIZATION_CODE",
 *   clientId: 26837717140341n,
 *   subject: "john",
 *   accessToken: Redacted.make("value-from-the-old-system")
 * }
 * ```
 */
export const TokenCreateRequest = Schema.Struct({
  grantType: GrantType,
  ...Struct.map(
    {
      ...flatFields,
      clientId: Int64,
      accessTokenDuration: TypedDuration,
      refreshTokenDuration: TypedDuration,
      authTime: Int64,
      accessToken: Schema.RedactedFromValue(TokenValue, { label: "accessToken" }),
      refreshToken: Schema.RedactedFromValue(TokenValue, { label: "refreshToken" }),
      properties: Schema.Array(Property),
      authorizationDetails: AuthorizationDetails
    },
    Schema.optional
  )
})
  .check(
    Schema.makeFilter(
      (record: Guard.Parsed) => {
        const broken = ruleBroken(RecordBytes.factsOf(record))
        return broken === undefined ? undefined : { path: broken.path, issue: broken.message }
      },
      { toJsonSchema: () => [{}, true] }
    )
  )
  .annotate({ identifier: "token_create_request" })
export interface TokenCreateRequest extends Schema.Schema.Type<typeof TokenCreateRequest> {}

/** A typed request failed the rules of a record. Nothing was sent. */
export class InvalidRequest extends Schema.TaggedError<InvalidRequest>()("InvalidRequest", {
  /** Its place in the array, from 0. */
  index: Schema.Int,
  field: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `Request ${this.index}: ${this.field} ${this.reason}`
  }
}

const int64Fields = ["clientId", "accessTokenDuration", "refreshTokenDuration", "authTime"] as const

/**
 * A typed request as the JSON text that the service takes: token values in clear, bigints digit for digit. Fails on a number that
 * has lost digits; the other rules are {@link makeCheck}'s, which looks at the parsed text.
 */
export const toJson = (request: TokenCreateRequest): Result.Result<string, Violation> => {
  let hasBigint = false
  for (const field of int64Fields) {
    const value = request[field]
    if (typeof value === "bigint") hasBigint = true
    if (value != null && !isInt64(value)) {
      return Result.fail(violation(field, "expected a 64-bit integer: beyond 2^53 - 1 give a bigint"))
    }
  }
  const { accessToken, refreshToken, ...rest } = request
  const json = {
    ...rest,
    accessToken: accessToken === undefined ? undefined : Redacted.value(accessToken),
    refreshToken: refreshToken === undefined ? undefined : Redacted.value(refreshToken)
  }
  return Result.succeed(hasBigint ? JSON.stringify(json, rawJson) : JSON.stringify(json))
}

// -----------------------------------------------------------------------------
// The check of an input line
// -----------------------------------------------------------------------------

const optional = (fields: Record<string, Schema.ConstraintDecoder<unknown>>) =>
  Rec.map(fields, (field) => Schema.optionalKey(field))

/** An int64 out of JSON, as a number or with all its digits. */
const ParsedInt64 = Schema.declare<Int64>((u): u is Int64 => (typeof u === "number" ? isInt64Number(u) : isInt64(u)), {
  expected: "a 64-bit integer"
})
const ParsedDuration = ParsedInt64.check(Schema.makeFilter((n: Int64) => n >= 0, { message: negative }))

/** The JSON form of each field of a record. */
const decoders = Rec.map(
  {
    grantType: GrantType,
    ...flatFields,
    clientId: ParsedInt64,
    accessTokenDuration: ParsedDuration,
    refreshTokenDuration: ParsedDuration,
    authTime: ParsedInt64,
    properties: Schema.Array(Schema.Struct(optional(propertyFields))),
    authorizationDetails: Schema.Struct(
      optional({ elements: Schema.Array(Schema.Struct({ type: Schema.String, ...optional(elementFields) })) })
    )
  },
  (field: Schema.ConstraintDecoder<unknown>) => SchemaParser.decodeUnknownResult(field)
)

const names = (...fields: ReadonlyArray<object>): ReadonlySet<string> => new Set(fields.flatMap((f) => Object.keys(f)))
const propertyNames = names(propertyFields)
const elementNames = names({ type: 0 }, elementFields)
const detailsNames = names({ elements: 0 })
const grantTypeNames: ReadonlySet<string> = new Set(Guard.grantTypes)

/** A name without what writers of names differ in. */
const bare = (name: string) => name.toLowerCase().replace(/[_-]/g, "")

/** For a name that is none of the known ones, the one that is most like it, if any is. */
const nearest = (name: string, known: ReadonlySet<string>): string | undefined => {
  // None of ours is half as long, and what is remembered has to stay small.
  if (name.length > 40) return undefined
  let memory = memories.get(known)
  if (memory === undefined) {
    memory = { candidates: Array.from(known, (candidate) => [candidate, bare(candidate)]), found: new Map() }
    memories.set(known, memory)
  }
  if (memory.found.has(name)) return memory.found.get(name)
  // A file that is misspelt is so on each line.
  if (memory.found.size >= 1000) memory.found.clear()
  const best = findNearest(name, memory.candidates)
  memory.found.set(name, best)
  return best
}

interface Memory {
  readonly candidates: ReadonlyArray<readonly [name: string, bare: string]>
  /** What was found for the names that were looked for last. */
  readonly found: Map<string, string | undefined>
}

const memories = new WeakMap<ReadonlySet<string>, Memory>()

const findNearest = (name: string, candidates: Memory["candidates"]): string | undefined => {
  let best: string | undefined
  let bestDistance = Math.max(2, Math.floor(name.length / 4)) + 1
  const wanted = bare(name)
  for (const [candidate, bareCandidate] of candidates) {
    const d = distance(wanted, bareCandidate, bestDistance)
    if (d < bestDistance) {
      best = candidate
      bestDistance = d
    }
  }
  return best
}

/** Levenshtein distance, or `limit` where it is no less. */
const distance = (a: string, b: string, limit: number): number => {
  if (Math.abs(a.length - b.length) >= limit) return limit
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    let least = i
    for (let j = 1; j <= b.length; j++) {
      const d = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      next.push(d)
      if (d < least) least = d
    }
    // It does not get less from row to row.
    if (least >= limit) return limit
    row = next
  }
  return row[b.length]!
}

const unknownIn = (
  object: object,
  known: ReadonlySet<string>,
  path: ReadonlyArray<PropertyKey>
): Violation | undefined => {
  for (const name in object) {
    if (!known.has(name)) {
      const suggestion = nearest(name, known)
      // A name of any length and content can stand there, even a token value: only one that looks like a field's is repeated.
      const shown = suggestion === undefined ? undefined : name
      return {
        path: shown === undefined ? path : [...path, shown],
        message:
          suggestion === undefined
            ? "holds a field that the service does not know"
            : `is not a field that the service knows: did you mean ${suggestion}?`
      }
    }
  }
  return undefined
}

interface Nested {
  readonly properties?: ReadonlyArray<object> | null
  readonly authorizationDetails?: { readonly elements?: ReadonlyArray<object> | null } | null
}

/** The first unknown field inside the objects of a record that is well-formed otherwise. */
const unknownField = (record: Nested): Violation | undefined => {
  if (record.properties != null) {
    for (let i = 0; i < record.properties.length; i++) {
      const inner = unknownIn(record.properties[i]!, propertyNames, ["properties", i])
      if (inner !== undefined) return inner
    }
  }
  const details = record.authorizationDetails
  if (details != null) {
    const outer = unknownIn(details, detailsNames, ["authorizationDetails"])
    if (outer !== undefined) return outer
    for (let i = 0; i < (details.elements?.length ?? 0); i++) {
      const inner = unknownIn(details.elements![i]!, elementNames, ["authorizationDetails", "elements", i])
      if (inner !== undefined) return inner
    }
  }
  return undefined
}

const article: Partial<Record<SchemaAST.AST["_tag"], string>> = {
  String: "expected a string",
  Declaration: "expected a 64-bit integer",
  Boolean: "expected true or false",
  Arrays: "expected an array",
  Objects: "expected an object"
}

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => {
    switch (issue._tag) {
      case "MissingKey":
        return "is required"
      case "InvalidType":
        return article[issue.ast._tag] ?? SchemaIssue.defaultLeafHook(issue)
      default:
        return SchemaIssue.defaultLeafHook(issue)
    }
  },
  checkHook: (issue) => {
    const message = issue.filter.annotations?.message ?? issue.filter.annotations?.expected
    return message === undefined ? undefined : message.startsWith("a ") ? `expected ${message}` : message
  }
})

/** From a field of a record to the innermost field in it, and no deeper than a stack can take. */
const depth = 4

/** What a field holds without null fields, at every level where null means absence. */
const dropNulls = (value: unknown, levels = depth): unknown => {
  if (typeof value !== "object" || value === null || levels === 0) return value
  if (Array.isArray(value)) return value.map((item) => dropNulls(item, levels - 1))
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, field]) => (field === null ? [] : [[name, dropNulls(field, levels - 1)]]))
  )
}

/** A value that was meant for a grant type: in lower case, as OAuth 2.0 writes it (RFC 6749, RFC 8628), or misspelt. Says nothing of it. */
const explainGrantType = (grantType: unknown): string => {
  if (grantType == null) return "is required"
  // Those of the extensions are URNs, such as urn:ietf:params:oauth:grant-type:device_code.
  const meant = typeof grantType === "string" ? nearest(grantType.replace(/^urn:.*:/, ""), grantTypeNames) : undefined
  if (meant === undefined) return grantTypeExpected
  return meant === "REFRESH_TOKEN" ? refreshTokenRefused : `${grantTypeExpected}: did you mean ${meant}?`
}

/** The reason why the guard did not take a field. */
const explain = (record: Guard.Parsed, field: Guard.FieldName): Violation => {
  if (field === "grantType") return violation(field, explainGrantType(record.grantType))
  const decoded = decoders[field](dropNulls(record[field]))
  if (Result.isSuccess(decoded)) return unknownField(record as Nested) ?? violation(field, "is not valid")
  const issue = format(decoded.failure).issues[0]
  const path = (issue?.path ?? []).map((part) => (typeof part === "object" ? part.key : part))
  return { path: [field, ...path], message: issue?.message ?? "is not valid" }
}

/** What a line must hold, beyond the rules of the service. */
export interface CheckOptions {
  /** Let fields pass that the service does not know. Default: they are refused. */
  readonly allowUnknownFields?: boolean | undefined
  /** Refuse records that do not carry their own `accessToken`. Default: they pass. */
  readonly requireAccessToken?: boolean | undefined
}

/** Objects and arrays inside one another, at most: far beyond what a record needs, and what every reader's stack can take. */
const maxDepth = 256
const tooDeep: Violation = { path: [], message: `is nested too deeply: ${maxDepth} levels at most` }

/** Fields that may stand in a record once only: the service might take the other value than the one that is known here. */
const tokenFields = ["accessToken", "refreshToken"] as const

/** What their names end with. So short a text is searched for fast, where longer ones have tables made for each search. */
const ending = 'Token"'

/** The field of these that stands twice in a record, if one does. */
const repeatedToken = (text: string, record: Guard.Parsed): (typeof tokenFields)[number] | undefined => {
  let endings = 0
  for (let at = text.indexOf(ending); at !== -1; at = text.indexOf(ending, at + 1)) endings++
  const present = Number(record.accessToken !== undefined) + Number(record.refreshToken !== undefined)
  // Hardly any text has it more often than that, or an escape that a name may be written with.
  if (endings <= present && !text.includes("\\u")) return undefined
  return tokenFields.find((name) => RecordText.standsTwice(text, name))
}

/** A number of so many digits may have been rounded out of the range of an int64, or into it. */
const manyDigits = /\d{19}/

/** Whether a field was refused for a number whose digits may tell otherwise. */
const mayBeRounded = (text: string, value: unknown, field: PropertyKey | undefined): boolean => {
  if (!int64Fields.some((name) => name === field)) return false
  const number = (value as Guard.Parsed)[field as keyof Guard.Parsed]
  return typeof number === "number" && !Number.isSafeInteger(number) && manyDigits.test(text)
}

/**
 * Makes the check of one line, given the text and what `JSON.parse` made of it: `undefined` for a record, or the first reason why it is
 * none.
 */
export const makeCheck = ({ allowUnknownFields = false, requireAccessToken = false }: CheckOptions = {}) => {
  const check = (value: unknown): Violation | undefined => {
    if (!Guard.isObject(value)) return { path: [], message: "expected a JSON object" }
    const misnamed = allowUnknownFields ? undefined : unknownIn(value, Guard.recordNames, [])
    if (misnamed !== undefined) return misnamed
    const wrong = Guard.wrongField(value, allowUnknownFields)
    if (wrong !== undefined) return explain(value, wrong)
    const facts = RecordBytes.factsOf(value as Guard.Parsed)
    return (
      ruleBroken(facts) ??
      (requireAccessToken && !facts.hasAccessToken
        ? violation("accessToken", "is required here: without it nobody will know the token's value")
        : undefined)
    )
  }
  return (text: string, value: unknown): Violation | undefined => {
    const broken = check(value)
    if (broken === undefined || !mayBeRounded(text, value, broken.path[0])) return broken
    return RecordText.isDeeperThan(text, maxDepth) ? tooDeep : check(JSON.parse(text, reviver))
  }
}

/** The check of a text that is one record and nothing else: as {@link makeCheck}, and of what a parser does not tell. */
export const makeLineCheck = (options: CheckOptions = {}) => {
  const check = makeCheck(options)
  return (text: string, value: unknown): Violation | undefined => {
    const broken = check(text, value)
    if (broken !== undefined) return broken
    // What the service knows is not deep.
    if (options.allowUnknownFields === true && RecordText.isDeeperThan(text, maxDepth)) return tooDeep
    const twice = repeatedToken(text, value as Guard.Parsed)
    return twice === undefined ? undefined : violation(twice, "stands twice in the record")
  }
}

/**
 * Makes the test that comes before parsing, for lines as bytes of UTF-8: whether the line that begins at `start` certainly is a record.
 * `undefined` where it has to be parsed to know. Costs less than parsing alone, and makes nothing: what it gives is valid until the next
 * line is looked at. The bytes have to end with a newline.
 */
export const makeRecogniser =
  ({ requireAccessToken = false }: CheckOptions = {}) =>
  (bytes: Uint8Array, start: number): RecordBytes.Recognised | undefined => {
    const record = RecordBytes.recognise(bytes, start)
    return record !== undefined && ruleBroken(record) === undefined && (record.hasAccessToken || !requireAccessToken)
      ? record
      : undefined
  }
