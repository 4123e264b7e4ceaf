/**
 * Strikes secrets out of text that came from outside.
 *
 * Services and proxies echo what they were sent: an error message may quote a token value, a proxy's error page the request's
 * headers. Nothing of such a text is kept anywhere (not in an error, a log, a journal or a report) before it has been through
 * {@link strike} with the secrets that were sent.
 *
 * A secret is found as it is, as JSON, HTML or a URL would write it, and as a beginning or an end of it that is at least eight
 * characters long, for texts that were cut by whoever wrote them.
 */

/** What stands where a secret stood. */
export const struck = "<redacted>"

/** Beginnings and ends shorter than this are let stand: they tell next to nothing, and common words look like them. */
const shortest = 8

/** As JSON is written for pages to embed (Gson, which many Java services use, does so by default). */
const jsonForPages = (secret: string) =>
  JSON.stringify(secret)
    .slice(1, -1)
    .replace(/[<>&='\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`)

const htmlEscapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }

const writings = (secret: string): ReadonlySet<string> => {
  const inUrl = encodeURIComponent(secret.toWellFormed())
  const inJson = JSON.stringify(secret).slice(1, -1)
  const inHtml = secret.replace(/[&<>"']/g, (c) => htmlEscapes[c]!)
  return new Set([
    secret,
    inJson,
    inJson.replaceAll("/", "\\/"),
    jsonForPages(secret),
    inUrl,
    inUrl.replace(/%../g, (c) => c.toLowerCase()),
    inHtml,
    inHtml.replaceAll("&#39;", "&#x27;").replace(/[=/`]/g, (c) => `&#x${c.charCodeAt(0).toString(16).toUpperCase()};`)
  ])
}

/**
 * The text with every secret in it replaced by {@link struck}.
 *
 * Costs some microseconds per secret: for texts of errors, not for every answer.
 */
export const strike = (text: string, secrets: Iterable<string>): string => {
  // What is hidden is marked first and replaced in one go, so that nothing is looked for in what was put in.
  const marks = new Uint8Array(text.length)
  for (const secret of secrets) {
    if (secret !== "") for (const writing of writings(secret)) mark(marks, text, writing)
  }
  let result = ""
  for (let start = 0; start < text.length;) {
    const marked = marks[start]
    const change = marks.indexOf(marked === 0 ? 1 : 0, start)
    const end = change === -1 ? text.length : change
    result += marked === 0 ? text.slice(start, end) : struck
    start = end
  }
  return result
}

/** Marks where a secret stands in a text, whole or as a beginning or an end that is long enough. */
const mark = (marks: Uint8Array, text: string, secret: string) => {
  const head = secret.slice(0, shortest)
  for (let at = text.indexOf(head); at !== -1; at = text.indexOf(head, at + 1)) {
    let length = head.length
    while (length < secret.length && text[at + length] === secret[length]) length++
    marks.fill(1, at, at + length)
  }
  if (secret.length <= shortest) return
  const tail = secret.slice(-shortest)
  for (let at = text.indexOf(tail); at !== -1; at = text.indexOf(tail, at + 1)) {
    let length = tail.length
    const end = at + length
    while (length < secret.length && end > length && text[end - length - 1] === secret[secret.length - length - 1])
      length++
    marks.fill(1, end - length, end)
  }
}

/** The token values in a request body: a JSON array of records. Empty where the body is no such thing. */
export const tokenValues = (body: Uint8Array): ReadonlyArray<string> => {
  try {
    const records: unknown = JSON.parse(new TextDecoder().decode(body))
    if (!Array.isArray(records)) return []
    return records.flatMap((record: { accessToken?: unknown; refreshToken?: unknown } | null) =>
      [record?.accessToken, record?.refreshToken].filter((v) => typeof v === "string")
    )
  } catch {
    return []
  }
}

/**
 * Whether a text holds a token value of a request body, or is a part of one. What is looked for is at least eight characters long, in one
 * piece as the body writes it, and nineteen where the text is as long as that: no token that is hard to guess is shorter.
 *
 * Asked of each answer, so the body is made values of only where the two have so much in common.
 */
export const holdsTokenValue = (text: string, body: Uint8Array): boolean =>
  haveRunInCommon(new TextEncoder().encode(text), body) &&
  tokenValues(body).some((value) => text.includes(value) || value.includes(text))

/** So many bytes at a place of the body are held against all places of the text. */
const window = 8
/** And so far apart these places are, at most: a run that is longer than a window by as much is looked at in one of them. */
const widestStep = 12

const hashBits = 14
/** 1 for what a window of the text begins with. Made once, and cleared after each use. */
const begins = new Uint8Array(1 << hashBits)

const hash = (view: DataView, at: number): number => Math.imul(view.getInt32(at, true), 0x9e3779b1) >>> (32 - hashBits)

const viewOf = ({ buffer, byteLength, byteOffset }: Uint8Array) => new DataView(buffer, byteOffset, byteLength)

const haveRunInCommon = (text: Uint8Array, body: Uint8Array): boolean => {
  const last = text.length - window
  if (last < 0) return false
  const ofText = viewOf(text)
  const ofBody = viewOf(body)
  for (let at = 0; at <= last; at++) begins[hash(ofText, at)] = 1
  const step = Math.min(last + 1, widestStep)
  let found = false
  for (let at = 0; at <= body.length - window && !found; at += step) {
    if (begins[hash(ofBody, at)] === 1) found = standsAt(text, body, at)
  }
  for (let at = 0; at <= last; at++) begins[hash(ofText, at)] = 0
  return found
}

/** Whether a window of the body stands somewhere in the text. */
const standsAt = (text: Uint8Array, body: Uint8Array, at: number): boolean => {
  for (let start = 0; start <= text.length - window; start++) {
    let length = 0
    while (length < window && text[start + length] === body[at + length]) length++
    if (length === window) return true
  }
  return false
}
