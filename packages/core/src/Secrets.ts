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

const htmlEscapes: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" }

const writings = (secret: string): ReadonlySet<string> =>
  new Set([
    secret,
    JSON.stringify(secret).slice(1, -1),
    JSON.stringify(secret).slice(1, -1).replaceAll("/", "\\/"),
    encodeURIComponent(secret.toWellFormed()),
    secret.replace(/[&<>"']/g, (c) => htmlEscapes[c]!)
  ])

/**
 * The text with every secret in it replaced by {@link struck}.
 *
 * Costs some microseconds per secret: for texts of errors, not for every answer.
 */
export const strike = (text: string, secrets: Iterable<string>): string => {
  let result = text
  const all = [...secrets].filter((s) => s !== "").sort((a, b) => b.length - a.length)
  for (const secret of all) {
    for (const writing of writings(secret)) {
      if (result.includes(writing)) result = result.replaceAll(writing, struck)
    }
  }
  return result.replace(/[^\s"'<>(){}[\],;:]{8,}/g, (word) => (isPart(word, all) ? struck : word))
}

/** Whether a word is a beginning or an end of a secret, cut marks ("...") aside. */
const isPart = (word: string, secrets: ReadonlyArray<string>): boolean => {
  const bare = word.replace(/^(\.{2,}|…)|(\.+|…)$/g, "")
  return bare.length >= shortest && secrets.some((s) => s.startsWith(bare) || s.endsWith(bare))
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
