import { FaultPlan } from "@tokenbatch/sandbox"
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"

const failureOf = (text: string) => {
  const plan = FaultPlan.parse(text)
  return Result.isFailure(plan) ? plan.failure.message : undefined
}

describe("FaultPlan", () => {
  it.each(FaultPlan.names)("knows %s, with nothing but what it cannot do without", (fault) => {
    const rule = fault === "badRequest" ? { fault, share: 0.5 } : { fault }
    assert.isUndefined(failureOf(JSON.stringify({ rules: [rule] })))
    assert.isUndefined(failureOf(JSON.stringify({ seed: 3, rules: [{ ...rule, rate: 0, from: 1, to: 2.5, max: 0 }] })))
  })

  it.each([
    ["{", /^it is not JSON/],
    ["[]", /^Expected object/],
    ["{}", /^rules: Missing key/],
    ['{"rules":[],"sed":1}', /^sed: Expected no excess property/],
    ['{"rules":[],"seed":1.5}', /^seed: Expected an integer/],
    ['{"rules":[{"fault":"sloow"}]}', /^rules\[0\]: Expected a rule whose fault is one of refuse, .*failAtToken$/],
    ['{"rules":[{"rate":1}]}', /^rules\[0\]: Expected a rule whose fault is one of/],
    [
      '{"rules":[{"fault":"refuse"},{"fault":"slow","rate":1.5}]}',
      /^rules\[1\]\.rate: Expected a value between 0 and 1/
    ],
    ['{"rules":[{"fault":"slow","delai":5}]}', /^rules\[0\]\.delai: Expected no excess property/],
    ['{"rules":[{"fault":"serverError","on":"status"}]}', /^rules\[0\]\.on: Expected no excess property/],
    ['{"rules":[{"fault":"slow","on":"poll"}]}', /^rules\[0\]\.on: Expected "create" \| "status" \| "both"/],
    ['{"rules":[{"fault":"badRequest"}]}', /^rules\[0\]\.share: Missing key/],
    ['{"rules":[{"fault":"unavailable","retryAfter":1,"accept":true}]}', /^rules\[0\]\.accept: .*beside retryAfter/],
    ['{"rules":[{"fault":"echo","status":400,"accept":true}]}', /^rules\[0\]\.accept: .*beside status 400/]
  ])("refuses %s, with place and cause", (text, message) => {
    assert.match(failureOf(text) ?? "it was taken", message)
  })

  it("has every fault in the plan of its paper", () => {
    const paper = readFileSync(new URL("../../../docs/sandbox.md", import.meta.url), "utf8")
    const plan = Result.getOrThrow(FaultPlan.parse(/^```jsonc\n(.*?)^```$/ms.exec(paper)![1]!))
    assert.deepStrictEqual(
      FaultPlan.names.filter((name) => !plan.rules.some(({ fault }) => fault === name)),
      []
    )
    assert.deepStrictEqual(
      FaultPlan.names.filter((name) => !paper.includes(`| \`${name}\` `)),
      []
    )
  })
})
