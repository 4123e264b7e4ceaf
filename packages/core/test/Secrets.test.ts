import { Secrets } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

const secret = 'tok"en/with+odd&chars=='

describe("Secrets", () => {
  it.each([
    ["as it is", secret],
    ["as JSON", JSON.stringify(secret)],
    ["as JSON with escaped slashes", JSON.stringify(secret).replaceAll("/", "\\/")],
    ["in a URL", encodeURIComponent(secret)],
    ["as HTML", secret.replaceAll("&", "&amp;").replaceAll('"', "&quot;")]
  ])("strikes a secret %s", (_name, written) => {
    const struck = Secrets.strike(`before ${written} after`, [secret])
    assert.include(struck, Secrets.struck)
    assert.notInclude(struck, "odd")
    assert.isTrue(struck.startsWith("before ") && struck.endsWith(" after"))
  })

  it("strikes what was cut off at either end", () => {
    const long = "abcdefghijklmnopqrstuvwxyz0123456789"
    assert.strictEqual(Secrets.strike(`bad token ${long.slice(0, 12)}...`, [long]), `bad token ${Secrets.struck}`)
    assert.strictEqual(Secrets.strike(`bad token …${long.slice(-12)}`, [long]), `bad token ${Secrets.struck}`)
  })

  it("leaves everything else alone", () => {
    const text = "[A001215] /auth/token/create, The client (ID = 26837717140341) is locked."
    assert.strictEqual(Secrets.strike(text, ["SOMETHING-ELSE-ENTIRELY", ""]), text)
  })

  it.prop(
    "lets no secret through, wherever it stands",
    {
      before: Schema.String,
      after: Schema.String,
      token: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_.~+/-]{16,43}$/))
    },
    ({ after, before, token }) => assert.notInclude(Secrets.strike(before + token + after, [token]), token)
  )

  it("finds the token values of a body, and none in what is no body", () => {
    const body = new TextEncoder().encode('[{"accessToken":"a","refreshToken":"r"},{"subject":"s"},null]')
    assert.deepStrictEqual(Secrets.tokenValues(body), ["a", "r"])
    assert.deepStrictEqual(Secrets.tokenValues(new TextEncoder().encode("{")), [])
    assert.deepStrictEqual(Secrets.tokenValues(new TextEncoder().encode("{}")), [])
  })
})
