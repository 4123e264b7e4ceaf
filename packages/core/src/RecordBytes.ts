/**
 * Says of the bytes of a line that they certainly are a record, and nothing else: the test that millions of lines go through.
 *
 * It makes no values: it reads the line once, byte by byte, as the grammar of JSON (RFC 8259) narrowed down to the fields that we know.
 * What it does not recognise is not refused: it may be written in a way that is seldom (a name with an escape in it, a number with an
 * exponent), so whoever asks parses it then, and the schema says what it is and why. A test holds every field in here against the
 * check of what `JSON.parse` makes, and lines that are damaged in every place as well.
 *
 * What it remembers stands in variables of this module, made once and used for each line: nothing here waits for anything, so no two
 * lines are ever looked at at once.
 *
 * ## Where the time goes
 *
 * Two thirds are the reading of each byte, once (docs/performance.md has the figures). What profiles have taught:
 *
 * - Names are found by trying the one that came next in the line before: the lines of a file mostly name their fields in one order.
 * - All names stand in one array, which the engine knows the place of; an array for each name costs a sixth more.
 * - A table says which bytes end the plain part of a string: one look in place of three comparisons.
 * - The bits of fields are constants. Read from an object of numbers, they had the engine optimise this anew without end.
 */
import * as Guard from "./Guard.ts"

// -----------------------------------------------------------------------------
// Fields
// -----------------------------------------------------------------------------

/** What the value of a field must look like. `null` is taken in all of them for the absence of the field. Numbers, for the sake of a fast switch. */
const Kind = {
  string: 0,
  nonEmpty: 1,
  boolean: 2,
  int64: 3,
  duration: 4,
  grantType: 5,
  subject: 6,
  thumbprint: 7,
  jsonObject: 8,
  strings: 9,
  properties: 10,
  details: 11,
  elements: 12
} as const
type Kind = (typeof Kind)[keyof typeof Kind]

/** Fields by their names. */
interface Shape {
  readonly names: Names
  readonly kinds: ReadonlyArray<Kind>
  /** A bit for each required field. */
  readonly required: number
}

const shape = (fields: Readonly<Record<string, Kind>>, required: ReadonlyArray<string> = []): Shape => {
  const names = Object.keys(fields)
  if (names.length > 31) throw new Error("a number has no bit for so many fields")
  return {
    names: new Names(names),
    kinds: Object.values(fields),
    required: required.reduce((bits, name) => bits | (1 << names.indexOf(name)), 0)
  }
}

const quote = 0x22

/** All names, one after another, each with its closing quote. */
const nameBytes = new Uint8Array(1024)
let namesEnd = 0

/** Finds names by their bytes. Mutable, for it remembers which name came after which. */
class Names {
  /** Where each stands in `nameBytes`, and how long it is there. */
  private readonly starts: Array<number> = []
  private readonly sizes: Array<number> = []
  /** The names that begin with a byte. */
  private readonly beginningWith: ReadonlyArray<Array<number>> = Array.from({ length: 256 }, () => [])
  /** For each name, and first of all for none, the one that came after it last. */
  private readonly after: Uint8Array

  constructor(names: ReadonlyArray<string>) {
    for (const [i, name] of names.entries()) {
      const bytes = new TextEncoder().encode(`${name}"`)
      nameBytes.set(bytes, namesEnd)
      this.starts.push(namesEnd)
      this.sizes.push(bytes.length)
      this.beginningWith[bytes[0]!]!.push(i)
      namesEnd += bytes.length
    }
    this.after = new Uint8Array(names.length + 1)
  }

  /** The number of the name that begins at `at`, behind its opening quote; -1 for none. `previous` is the one before, -1 for none. */
  find(bytes: Uint8Array, at: number, previous: number): number {
    const expected = this.after[previous + 1]!
    if (this.standsAt(bytes, at, expected)) return expected
    for (const name of this.beginningWith[bytes[at]!]!) {
      if (this.standsAt(bytes, at, name)) return (this.after[previous + 1] = name)
    }
    return -1
  }

  /** How many bytes a name has, its closing quote among them. */
  size(name: number): number {
    return this.sizes[name]!
  }

  private standsAt(bytes: Uint8Array, at: number, name: number): boolean {
    const start = this.starts[name]!
    const size = this.sizes[name]!
    for (let i = 0; i < size; i++) if (bytes[at + i] !== nameBytes[start + i]) return false
    return true
  }
}

const fields: Readonly<Record<keyof Guard.Parsed, Kind>> = {
  grantType: Kind.grantType,
  clientId: Kind.int64,
  subject: Kind.subject,
  scopes: Kind.strings,
  accessTokenDuration: Kind.duration,
  refreshTokenDuration: Kind.duration,
  properties: Kind.properties,
  clientIdAliasUsed: Kind.boolean,
  accessToken: Kind.nonEmpty,
  refreshToken: Kind.nonEmpty,
  accessTokenPersistent: Kind.boolean,
  certificateThumbprint: Kind.thumbprint,
  dpopKeyThumbprint: Kind.nonEmpty,
  authorizationDetails: Kind.details,
  resources: Kind.strings,
  forExternalAttachment: Kind.boolean,
  jwtAtClaims: Kind.jsonObject,
  acr: Kind.string,
  authTime: Kind.int64,
  clientEntityIdUsed: Kind.boolean,
  clientIdentifier: Kind.nonEmpty,
  sessionId: Kind.string,
  metadataDocumentUsed: Kind.boolean
}
const record = shape(fields, ["grantType"])
const property = shape({ key: Kind.string, value: Kind.string, hidden: Kind.boolean })
const details = shape({ elements: Kind.elements })
const element = shape(
  {
    type: Kind.string,
    locations: Kind.strings,
    actions: Kind.strings,
    dataTypes: Kind.strings,
    identifier: Kind.string,
    privileges: Kind.strings,
    otherFields: Kind.jsonObject
  },
  ["type"]
)

const grantTypes = new Names(Guard.grantTypes)

// -----------------------------------------------------------------------------
// The grammar. Each function takes the place where something begins and gives the one behind it, or -1 where it is not what it should be.
// A newline is a part of nothing, so nothing is read beyond it.
// -----------------------------------------------------------------------------

const newline = 0x0a
const backslash = 0x5c
const zero = 0x30
const nine = 0x39
const comma = 0x2c
const colon = 0x3a
const opening = 0x7b
const closing = 0x7d
const startOfNull = 0x6e
const startOfTrue = 0x74

/** Behind the spaces, if there are any. */
const space = (bytes: Uint8Array, at: number): number => {
  let byte = bytes[at]
  while (byte === 0x20 || byte === 0x09 || byte === 0x0d) byte = bytes[++at]
  return at
}

/** 1 for each byte that does not stand for itself in a string: its end, an escape, and what has to be escaped. */
const special = new Uint8Array(256).fill(1, 0, 0x20)
special[quote] = 1
special[backslash] = 1

/** The rest of a string. */
const text = (bytes: Uint8Array, at: number): number => {
  for (;;) {
    while (special[bytes[at]!] === 0) at++
    const byte = bytes[at++]
    if (byte === quote) return at
    at = byte === backslash ? escape(bytes, at) : -1
    if (at === -1) return -1
  }
}

const escapes = new TextEncoder().encode('"\\/bfnrt')

/** An escape, behind its backslash. */
const escape = (bytes: Uint8Array, at: number): number => {
  const byte = bytes[at]!
  if (byte !== 0x75) return escapes.includes(byte) ? at + 1 : -1
  for (let i = 1; i <= 4; i++) if (!isHex(bytes[at + i]!)) return -1
  return at + 5
}

const isHex = (byte: number): boolean =>
  (byte >= zero && byte <= nine) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)

/** The rest of a string of ASCII without escapes. */
const plain = (bytes: Uint8Array, at: number): number => {
  while (special[bytes[at]!] === 0 && bytes[at]! < 0x80) at++
  return bytes[at] === quote ? at + 1 : -1
}

/** At most so many plain characters. */
const subject = (bytes: Uint8Array, at: number): number => {
  const end = plain(bytes, at)
  return end - 1 - at <= 100 ? end : -1
}

/** 43 characters of base64url. */
const thumbprint = (bytes: Uint8Array, at: number): number => {
  const end = at + 43
  for (; at < end; at++) if (!isBase64Url(bytes[at]!)) return -1
  return bytes[end] === quote ? end + 1 : -1
}

const isBase64Url = (byte: number): boolean =>
  (byte >= 0x61 && byte <= 0x7a) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= zero && byte <= nine) ||
  byte === 0x2d ||
  byte === 0x5f

const utf8 = new TextDecoder()

/** The rest of a string that holds a JSON object. */
const jsonObject = (bytes: Uint8Array, at: number): number => {
  const end = text(bytes, at)
  if (end === -1) return -1
  return Guard.isJsonObjectText(JSON.parse(utf8.decode(bytes.subarray(at - 1, end)))) ? end : -1
}

/** An integer of so few digits that it is an int64 whatever they are. */
const integer = (bytes: Uint8Array, at: number): number => {
  const first = at
  let byte = bytes[at]!
  while (byte >= zero && byte <= nine) byte = bytes[++at]!
  const digits = at - first
  if (digits === 0 || digits > 19 || (digits > 1 && bytes[first] === zero)) return -1
  // The largest begins with a 9.
  if (digits === 19 && bytes[first] === nine) return -1
  // A fraction or an exponent makes it another number.
  return byte === 0x2e || byte === 0x65 || byte === 0x45 ? -1 : at
}

const isWord = (bytes: Uint8Array, at: number, word: Uint8Array): boolean => {
  for (let i = 0; i < word.length; i++) if (bytes[at + i] !== word[i]) return false
  return true
}

const trueWord = new TextEncoder().encode("true")
const falseWord = new TextEncoder().encode("false")
const nullWord = new TextEncoder().encode("null")

const boolean = (bytes: Uint8Array, at: number): number =>
  isWord(bytes, at, trueWord) ? at + 4 : isWord(bytes, at, falseWord) ? at + 5 : -1

/** An array of strings or, where there is a shape, of objects. */
const array = (bytes: Uint8Array, at: number, shape?: Shape): number => {
  if (bytes[at] !== 0x5b) return -1
  at = space(bytes, at + 1)
  if (bytes[at] === 0x5d) return at + 1
  for (;;) {
    at = shape !== undefined ? object(bytes, at, shape, ignored) : bytes[at] === quote ? text(bytes, at + 1) : -1
    if (at === -1) return -1
    at = space(bytes, at)
    if (bytes[at] === 0x5d) return at + 1
    if (bytes[at] !== comma) return -1
    at = space(bytes, at + 1)
  }
}

const value = (bytes: Uint8Array, at: number, kind: Kind, found: Found): number => {
  const byte = bytes[at]
  if (byte === startOfNull) return isWord(bytes, at, nullWord) ? at + 4 : -1
  switch (kind) {
    case Kind.string:
      return byte === quote ? text(bytes, at + 1) : -1
    case Kind.nonEmpty:
      return byte === quote && bytes[at + 1] !== quote ? text(bytes, at + 1) : -1
    case Kind.strings:
      return array(bytes, at)
    case Kind.int64:
      return integer(bytes, byte === 0x2d ? at + 1 : at)
    case Kind.duration:
      return integer(bytes, at)
    case Kind.boolean:
      return boolean(bytes, at)
    case Kind.subject:
      return byte === quote ? subject(bytes, at + 1) : -1
    case Kind.grantType: {
      const grantType = byte === quote ? grantTypes.find(bytes, at + 1, -1) : -1
      found.grantType = grantType
      return grantType === -1 ? -1 : at + 1 + grantTypes.size(grantType)
    }
    case Kind.properties:
      return array(bytes, at, property)
    case Kind.details:
      return object(bytes, at, details, ignored)
    case Kind.elements:
      return array(bytes, at, element)
    case Kind.thumbprint:
      return byte === quote ? thumbprint(bytes, at + 1) : -1
    case Kind.jsonObject:
      return byte === quote ? jsonObject(bytes, at + 1) : -1
  }
}

/** What is known of the fields of an object. Mutable, and used again. */
interface Found {
  /** A bit for each field that is there and not null. */
  present: number
  /** A bit for each that is `true`. */
  isTrue: number
  /** A bit for each that is the empty string. */
  isEmpty: number
  /** The number of the grant type that was read last. */
  grantType: number
}

const inRecord: Found = { present: 0, isTrue: 0, isEmpty: 0, grantType: -1 }
/** For objects inside a record, of whose fields nobody asks. */
const ignored: Found = { ...inRecord }

const object = (bytes: Uint8Array, at: number, { kinds, names, required }: Shape, found: Found): number => {
  if (bytes[at] !== opening) return -1
  at = space(bytes, at + 1)
  let present = 0
  let isTrue = 0
  let isEmpty = 0
  if (bytes[at] !== closing) {
    let seen = 0
    for (let field = -1; ;) {
      field = bytes[at] === quote ? names.find(bytes, at + 1, field) : -1
      if (field === -1) return -1
      const bit = 1 << field
      // Which of two counts is not for us to say.
      if ((seen & bit) !== 0) return -1
      seen |= bit
      at = space(bytes, at + 1 + names.size(field))
      if (bytes[at] !== colon) return -1
      at = space(bytes, at + 1)
      const first = bytes[at]
      if (first !== startOfNull) present |= bit
      if (first === startOfTrue) isTrue |= bit
      if (first === quote && bytes[at + 1] === quote) isEmpty |= bit
      at = value(bytes, at, kinds[field]!, found)
      if (at === -1) return -1
      at = space(bytes, at)
      if (bytes[at] === closing) break
      if (bytes[at] !== comma) return -1
      at = space(bytes, at + 1)
    }
  }
  if ((present & required) !== required) return -1
  found.present = present
  found.isTrue = isTrue
  found.isEmpty = isEmpty
  return at + 1
}

// -----------------------------------------------------------------------------
// The record
// -----------------------------------------------------------------------------

/** What the rules between the fields of a record ask for, and whether it carries its own access token. */
export interface Facts {
  readonly grantType: unknown
  /** Whether it names a client, by either of the two fields. */
  readonly hasClient: boolean
  /** Whether it has a subject that is not empty. */
  readonly hasSubject: boolean
  readonly hasAccessToken: boolean
  readonly hasRefreshToken: boolean
  readonly clientIdAliasUsed: boolean
  readonly clientEntityIdUsed: boolean
  readonly metadataDocumentUsed: boolean
}

/** The facts of a parsed record. */
export const factsOf = (record: Guard.Parsed): Facts => ({
  grantType: record.grantType,
  hasClient: record.clientId != null || record.clientIdentifier != null,
  hasSubject: record.subject != null && record.subject !== "",
  hasAccessToken: record.accessToken != null,
  hasRefreshToken: record.refreshToken != null,
  clientIdAliasUsed: record.clientIdAliasUsed === true,
  clientEntityIdUsed: record.clientEntityIdUsed === true,
  metadataDocumentUsed: record.metadataDocumentUsed === true
})

const bitOf = (name: keyof Guard.Parsed): number => 1 << Object.keys(fields).indexOf(name)
const clientBits = bitOf("clientId") | bitOf("clientIdentifier")
const subjectBit = bitOf("subject")
const accessTokenBit = bitOf("accessToken")
const refreshTokenBit = bitOf("refreshToken")
const clientIdAliasUsedBit = bitOf("clientIdAliasUsed")
const clientEntityIdUsedBit = bitOf("clientEntityIdUsed")
const metadataDocumentUsedBit = bitOf("metadataDocumentUsed")

/** A line that certainly is a record as far as its fields go one by one. */
export interface Recognised extends Facts {
  /** Where its newline stands. */
  readonly end: number
}

const recognised: { -readonly [K in keyof Recognised]: Recognised[K] } = { ...factsOf({}), end: 0 }

/**
 * Looks at the line that begins at `start`. `undefined` where it has to be parsed to know. What it gives is valid until the next line is
 * looked at.
 *
 * @param bytes which end with a newline, so that nothing is read beyond them: else nothing is looked at
 */
export const recognise = (bytes: Uint8Array, start: number): Recognised | undefined => {
  if (bytes[bytes.length - 1] !== newline) return undefined
  const at = object(bytes, space(bytes, start), record, inRecord)
  if (at === -1) return undefined
  const end = space(bytes, at)
  if (bytes[end] !== newline) return undefined
  const { grantType, isEmpty, isTrue, present } = inRecord
  recognised.end = end
  recognised.grantType = Guard.grantTypes[grantType]
  recognised.hasClient = (present & clientBits) !== 0
  recognised.hasSubject = (present & ~isEmpty & subjectBit) !== 0
  recognised.hasAccessToken = (present & accessTokenBit) !== 0
  recognised.hasRefreshToken = (present & refreshTokenBit) !== 0
  recognised.clientIdAliasUsed = (isTrue & clientIdAliasUsedBit) !== 0
  recognised.clientEntityIdUsed = (isTrue & clientEntityIdUsedBit) !== 0
  recognised.metadataDocumentUsed = (isTrue & metadataDocumentUsedBit) !== 0
  return recognised
}
