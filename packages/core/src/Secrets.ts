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
 * Whether a text stands somewhere in bytes of UTF-8, as it is. By Horspool's algorithm (R. N. Horspool, Practical fast searching in
 * strings, 1980), which looks at few of the bytes: a body is too large to make a string of for every answer, and not every platform has a `Buffer`.
 */
export const standsIn = (bytes: Uint8Array, text: string): boolean => {
  const wanted = new TextEncoder().encode(text)
  const last = wanted.length - 1
  if (last < 0) return true
  const steps = new Int32Array(256).fill(wanted.length)
  for (let i = 0; i < last; i++) steps[wanted[i]!] = last - i
  for (let at = last; at < bytes.length; at += steps[bytes[at]!]!) {
    let back = 0
    while (back <= last && bytes[at - back] === wanted[last - back]) back++
    if (back > last) return true
  }
  return false
}
