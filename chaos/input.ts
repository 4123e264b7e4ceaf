/**
 * The lines of a run, and what is known of each.
 *
 * Every record asks for a scope of its own, its mark. The sandbox keeps the scopes of what it was asked for, so that of each token it can
 * be told which line it was made for: of records without a value, too, and of two lines with one value.
 */
import { gzipSync } from "node:zlib"
import * as Dice from "./dice.ts"
import type { Scenario } from "./scenario.ts"

type Kind = "good" | "malformed" | "bad" | "keyless"

/** A line that is not blank. */
export interface Line {
  /** Where results and events say that it is. */
  readonly place: Place
  readonly kind: Kind
  readonly mark: string
  readonly subject: string
  readonly accessToken?: string
  readonly refreshToken?: string
}

export interface Place {
  readonly file?: string | undefined
  readonly line: number
}

/** A place as a key. */
export const keyOf = ({ file, line }: Place): string => `${file ?? ""}:${line}`

export interface Input {
  readonly lines: ReadonlyArray<Line>
  /** What is to be written, by the names of files. */
  readonly files: ReadonlyArray<{ readonly name: string; readonly bytes: Uint8Array }>
  /** Records that the service makes tokens for before the run, as the body of a call. */
  readonly before: string
  /** All scopes that the service has. */
  readonly scopes: ReadonlyArray<string>
  /** Every token value that anything was told of. */
  readonly secrets: ReadonlyArray<string>
}

interface Values {
  readonly accessToken?: string
  readonly refreshToken?: string
}

const beforeMark = "before"
const badScope = "unsupported"

const textOf = (mark: string, subject: string, { accessToken, refreshToken }: Values, more: object) =>
  JSON.stringify({
    grantType: "AUTHORIZATION_CODE",
    clientId: 26837717140341,
    subject,
    scopes: [mark],
    ...more,
    accessToken,
    refreshToken
  })

/** Ways to spoil a line, each found by another rule. */
const spoil: ReadonlyArray<(text: string) => string> = [
  (text) => text.slice(0, -(1 + (text.length >>> 3))),
  (text) => text.replace('"accessToken"', '"accesToken"').replace('"refreshToken"', '"refreshTokn"'),
  (text) => text.replace('"AUTHORIZATION_CODE"', '"REFRESH_TOKEN"'),
  (text) => text.replace("26837717140341", '"not a number"'),
  (text) => `${text} ${text}`,
  (text) => text.replace('"clientId":26837717140341,', ""),
  () => "not JSON at all",
  (text) => `[${text}]`,
  (text) => text.replace('"subject"', '"accessTokenDuration":-60,"subject"')
]

/** Draws the lines of a scenario. */
export const make = ({ batchSize, input, lines: count, requireAccessToken, seed, shares }: Scenario): Input => {
  const dice = Dice.make(seed, 10)
  const lines: Array<Line> = []
  const secrets = new Set<string>()
  const before: Array<string> = []
  const names =
    input === "files" ? ["first.ndjson", "second.ndjson"] : [input === "gzip" ? "input.ndjson.gz" : "input.ndjson"]
  const texts = names.map(() => [] as Array<string>)
  const secret = () => {
    // Some hold what JSON, HTML and URLs write in ways of their own.
    const value = `${dice.text(dice.between(12, 43))}${dice.chance(0.2) ? `/${dice.pick(["+", "=", '"', "&", "<", "~", "é"])}${dice.text(12)}` : ""}`
    secrets.add(value)
    return value
  }
  /** A line from some way back, with a value. */
  const earlier = (field: keyof Values) => {
    const reach = dice.pick([3, batchSize, 2 * batchSize])
    const found = lines.slice(-reach).filter((line) => line.kind === "good" && line[field] !== undefined)
    return found.length === 0 ? undefined : dice.pick(found)
  }

  for (let i = 0; i < count; i++) {
    const which = i < count * 0.6 ? 0 : texts.length - 1
    const text = texts[which]!
    if (dice.chance(shares.blank)) text.push(dice.pick(["", " ", "\t"]))
    const place = { ...(names.length > 1 ? { file: names[which]! } : undefined), line: text.length + 1 }
    const mark = `L${i}`
    const subject = `user-${i}`
    const more = { ...(dice.chance(0.3) ? { sessionId: "s".repeat(dice.between(1, 200)) } : undefined) }
    const add = (kind: Kind, values: Values, written: string) => {
      lines.push({ place, kind, mark, subject, ...values })
      text.push(written)
    }
    const values = { accessToken: secret(), ...(dice.chance(0.6) ? { refreshToken: secret() } : undefined) }
    const good = (values: Values) => add("good", values, textOf(mark, subject, values, more))
    if (dice.chance(shares.malformed)) add("malformed", {}, dice.pick(spoil)(textOf(mark, subject, values, more)))
    else if (dice.chance(shares.bad))
      add("bad", values, textOf(mark, subject, values, { ...more, scopes: [mark, badScope] }))
    else if (dice.chance(shares.keyless)) {
      const kind = requireAccessToken ? "malformed" : "keyless"
      const keyless = dice.chance(0.3) ? { refreshToken: secret() } : {}
      add(kind, kind === "keyless" ? keyless : {}, textOf(mark, subject, keyless, more))
    } else if (dice.chance(shares.repeated)) {
      const { accessToken, refreshToken } = earlier("accessToken") ?? values
      const same = { accessToken: accessToken!, ...(refreshToken === undefined ? undefined : { refreshToken }) }
      good(dice.chance(0.5) ? same : { ...values, accessToken: accessToken! })
    } else if (dice.chance(shares.refreshRepeated)) {
      good({ ...values, refreshToken: earlier("refreshToken")?.refreshToken ?? secret() })
    } else {
      good(values)
      if (dice.chance(shares.before)) {
        const { accessToken, refreshToken = secret() } = values
        const made = dice.chance(0.7) ? { ...values } : { accessToken: secret(), refreshToken }
        before.push(textOf(beforeMark, `before-${i}`, { ...made, accessToken: made.accessToken ?? accessToken }, {}))
      }
    }
  }
  const bytesOf = (text: ReadonlyArray<string>) => {
    const bytes = Buffer.from(`${text.join("\n")}${dice.chance(0.8) ? "\n" : ""}`)
    return input === "gzip" ? gzipSync(bytes) : bytes
  }
  return {
    lines,
    files: names.map((name, i) => ({ name, bytes: bytesOf(texts[i]!) })),
    before: `[${before.join(",")}]`,
    scopes: [beforeMark, ...Array.from({ length: count }, (_, i) => `L${i}`)],
    secrets: [...secrets]
  }
}
