/**
 * Realistic requests to try things with: an honest mix of grant types and optional fields, unique token values, all from one seed.
 *
 * The same count, seed and bad lines give the same bytes. Bad lines take the place of records and lie evenly spread.
 */
import * as Stream from "effect/Stream"
import * as Random from "./Random.ts"

/** What to write. */
export interface Options {
  /** Lines, bad ones included. */
  readonly count: number
  /** Default 1. */
  readonly seed?: number | undefined
  /** How many lines are to be bad. Default 0. */
  readonly badLines?: number | undefined
}

/** Lines made at once. */
const chunkLines = 1000

const scopes = ["openid", "profile", "email", "address", "phone", "offline_access", "payments:read", "accounts"]

/** Grant types by how often they occur, in percent. */
const grants = [
  ["AUTHORIZATION_CODE", 72],
  ["PASSWORD", 8],
  ["CLIENT_CREDENTIALS", 6],
  ["DEVICE_CODE", 5],
  ["CIBA", 3],
  ["TOKEN_EXCHANGE", 3],
  ["JWT_BEARER", 2],
  ["PRE_AUTHORIZED_CODE", 1]
] as const

const pickGrant = (percent: number): string => {
  let sum = 0
  for (const [grant, share] of grants) {
    sum += share
    if (percent < sum) return grant
  }
  return grants[0][0]
}

const value = Buffer.alloc(32)

/** 256 bits in base64url: 43 characters. */
const tokenValue = (random: Random.Random): string => {
  for (let i = 0; i < 32; i += 4) value.writeUInt32LE(random(), i)
  return value.toString("base64url")
}

const goodLine = (index: number, random: Random.Random): string => {
  const dice = random()
  const grant = pickGrant(dice % 100)
  const hasSubject = grant !== "CLIENT_CREDENTIALS"
  const hasRefresh = hasSubject && grant !== "JWT_BEARER"
  // Fourteen digits as usual; one client in a hundred beyond what a JavaScript number can hold.
  const client = dice % 97 === 0 ? `90071992547409${93 + (dice % 7)}` : `2683771714${1000 + (dice % 40)}`
  const access = tokenValue(random)
  let line = `{"grantType":"${grant}","clientId":${client}`
  if (hasSubject) line += `,"subject":"user-${1_000_000 + index}"`
  line += `,"scopes":["openid","${scopes[1 + (dice % 7)]}","${scopes[1 + ((dice + 1 + ((dice >>> 5) % 6)) % 7)]}"]`
  line += `,"accessTokenDuration":${3600 * (1 + (dice % 24))}`
  if (hasRefresh) line += `,"refreshTokenDuration":${86_400 * (1 + (dice % 60))}`
  if (dice % 2 === 0) line += `,"properties":[{"key":"legacy_id","value":"${index}","hidden":true}]`
  line += `,"accessToken":"${access}"`
  if (hasRefresh) line += `,"refreshToken":"${tokenValue(random)}"`
  if (dice % 5 === 0) line += ',"acr":"urn:mace:incommon:iap:silver"'
  if (dice % 3 === 0) line += `,"authTime":${1_700_000_000 + (dice % 90_000_000)}`
  if (dice % 4 === 0) line += `,"sessionId":"sid-${access.slice(0, 12)}"`
  if (dice % 50 === 0) {
    line += `,"authorizationDetails":{"elements":[{"type":"account_information","actions":["list_accounts","read_balances"]}]}`
  }
  if (dice % 20 === 0) line += `,"certificateThumbprint":"${tokenValue(random)}"`
  return `${line}}`
}

/** Ways to spoil a record, each found by another rule. */
const spoil: ReadonlyArray<(line: string) => string> = [
  (line) => line.slice(0, line.length >>> 1),
  (line) => line.replace('"accessToken"', '"accesToken"'),
  (line) => line.replace(/"grantType":"\w+"/, '"grantType":"REFRESH_TOKEN"'),
  (line) => line.replace(/"clientId":\d+/, '"clientId":"not a number"'),
  (line) => line.replace(/"scopes":\[[^\]]*\]/, '"scopes":"openid email"'),
  (line) => line.replace(/"accessTokenDuration":\d+/, '"accessTokenDuration":-60'),
  (line) => line.replace(/"accessToken":"[^"]*"/, '"accessToken":""'),
  (line) => line.replace(/"grantType":"\w+",/, ""),
  (line) => `${line} ${line}`,
  () => "not JSON at all"
]

/** The lines as bytes, some hundred kilobytes a chunk. */
export const stream = ({ badLines = 0, count, seed = 1 }: Options): Stream.Stream<Uint8Array> =>
  Stream.suspend(() => {
    const random = Random.make(seed)
    let line = 0
    let spoilt = 0
    return Stream.fromIterable(
      {
        *[Symbol.iterator]() {
          while (line < count) {
            let text = ""
            for (const end = Math.min(line + chunkLines, count); line < end; line++) {
              const good = goodLine(line, random)
              const isBad = Math.floor(((line + 1) * badLines) / count) > Math.floor((line * badLines) / count)
              text += isBad ? spoil[spoilt++ % spoil.length]!(good) : good
              text += "\n"
            }
            yield Buffer.from(text)
          }
        }
      },
      { chunkSize: 1 }
    )
  })
