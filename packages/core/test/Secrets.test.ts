import { Secrets } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

const secret = 'tok"en/with+odd&chars=='

describe("Secrets", () => {
  const inJson = JSON.stringify(secret).slice(1, -1)
  it.each([
    ["as it is", secret],
    ["as JSON", inJson],
    ["as JSON with escaped slashes", inJson.replaceAll("/", "\\/")],
    ["as JSON for pages", inJson.replaceAll("&", "\\u0026").replaceAll("=", "\\u003d")],
    ["in a URL", encodeURIComponent(secret)],
    ["in a URL, with small hex digits", encodeURIComponent(secret).replace(/%../g, (c) => c.toLowerCase())],
    ["as HTML", secret.replaceAll("&", "&amp;").replaceAll('"', "&quot;")],
    [
      "as HTML that escapes more",
      secret.replace(/[&"/=]/g, (c) => ({ "&": "&amp;", '"': "&quot;", "/": "&#x2F;", "=": "&#x3D;" })[c]!)
    ],
    ["twice", `${secret}${secret}`]
  ])("strikes a secret %s, all of it and nothing else", (_name, written) => {
    for (const [before, after] of [
      ["before ", " after"],
      ["token=", "&x"],
      ['"', '"'],
      ["", ""]
    ] as const) {
      assert.strictEqual(Secrets.strike(before + written + after, [secret]), before + Secrets.struck + after)
    }
  })

  const long = "abcdefghijklmnopqrstuvwxyz0123456789"
  it.each(["bad token ", "?access_token=", "/tokens/", "Bearer:", "x"])(
    "strikes what was cut off after %j",
    (before) => {
      for (let length = 8; length <= long.length; length++) {
        assert.strictEqual(
          Secrets.strike(`${before}${long.slice(0, length)}...`, [long]),
          `${before}${Secrets.struck}...`
        )
        assert.strictEqual(Secrets.strike(`${before}…${long.slice(-length)}.`, [long]), `${before}…${Secrets.struck}.`)
      }
      assert.strictEqual(
        Secrets.strike(`${before}${long.slice(0, 9)}***${long.slice(-8)}`, [long]),
        `${before}${Secrets.struck}***${Secrets.struck}`
      )
    }
  )

  it("lets stand what is too short to tell anything", () => {
    for (const text of [long.slice(0, 7), long.slice(-7), long.slice(10, 26)]) {
      assert.strictEqual(Secrets.strike(`see ${text}`, [long]), `see ${text}`)
    }
  })

  it("strikes each of many, one within the other and side by side, and nothing in what it puts there", () => {
    assert.strictEqual(Secrets.strike("a red car", ["a", "r", "e"]), "<redacted> <redacted>d c<redacted>")
    assert.strictEqual(Secrets.strike("[abcdefgh-ijkl]", ["abcdefgh", "abcdefgh-ijkl"]), "[<redacted>]")
    assert.strictEqual(Secrets.strike("one,two", ["one", "two"]), "<redacted>,<redacted>")
    assert.strictEqual(Secrets.strike("onetwo", ["one", "two"]), "<redacted>")
    assert.strictEqual(Secrets.strike("", ["one"]), "")
    assert.strictEqual(Secrets.strike("\ud800 lone-surrogate", ["\ud800"]), "<redacted> lone-surrogate")
  })

  it("finds each token of a batch whose tokens begin alike", () => {
    const tokens = Array.from({ length: 2000 }, (_, i) => `eyJhbGciOiJSUzI1NiJ9.token-${i}.0123456789`)
    const struck = Secrets.strike(tokens.slice(0, 100).join(" "), tokens)
    assert.strictEqual(struck, Array.from({ length: 100 }, () => Secrets.struck).join(" "))
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
    ({ after, before, token }) => {
      assert.notInclude(Secrets.strike(before + token + after, [token]), token)
      const cut = token.slice(0, 8)
      assert.notInclude(Secrets.strike(before + cut + after, [token]), cut)
    }
  )

  it("finds the token values of a body, and none in what is no body", () => {
    const body = new TextEncoder().encode('[{"accessToken":"a","refreshToken":"r"},{"subject":"s"},null]')
    assert.deepStrictEqual(Secrets.tokenValues(body), ["a", "r"])
    assert.deepStrictEqual(Secrets.tokenValues(new TextEncoder().encode("{")), [])
    assert.deepStrictEqual(Secrets.tokenValues(new TextEncoder().encode("{}")), [])
  })

  describe("a text and the token values of a body", () => {
    const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
    const value = "0123456789abcdefghij"
    const bodyOf = (accessToken: string, before = "") => encode([{ subject: before }, { accessToken }])

    it("tells a value, a part of one, and a text with one in it, wherever it stands", () => {
      for (let before = 0; before < 9; before++) {
        const body = bodyOf(value, "x".repeat(before))
        for (const [text, holds] of [
          [value, true],
          [`batch-${value}`, true],
          [`${value}/1`, true],
          [value.slice(3, 11), true],
          [value.slice(3, 12), true],
          [value.slice(1, 20), true],
          [value.slice(3, 10), false],
          // So much alone tells next to nothing.
          [`batch-${value.slice(0, 12)}`, false],
          ["accessToken", false],
          ["another-name-altogether", false],
          ["", false]
        ] as const) {
          assert.strictEqual(Secrets.holdsTokenValue(text, body), holds, `${text} ${before}`)
        }
      }
    })

    it("tells a value that the body writes with escapes", () => {
      const body = new TextEncoder().encode(`[{"accessToken":"0123456789abcdefghij\\/def\\u003d"}]`)
      assert.isTrue(Secrets.holdsTokenValue("0123456789abcdefghij/def=", body))
    })

    it.prop(
      "says nothing of what else is in it",
      { text: Schema.String, subject: Schema.String, tokens: Schema.Array(Schema.String) },
      ({ subject, text, tokens }) => {
        const known = [...tokens, text].filter(
          (token) => token.length >= 19 && /^[ -~]*$/.test(token) && !/["\\]/.test(token)
        )
        const body = encode(known.map((accessToken) => ({ subject, accessToken })))
        for (const one of [text, subject, `${subject}${text}`, ...tokens]) {
          const expected = known.some((token) => one.includes(token) || (one.length >= 19 && token.includes(one)))
          if (expected) assert.isTrue(Secrets.holdsTokenValue(one, body))
          if (!known.some((token) => one.includes(token) || token.includes(one))) {
            assert.isFalse(Secrets.holdsTokenValue(one, body))
          }
        }
      }
    )
  })
})
