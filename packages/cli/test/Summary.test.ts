import { RunReport, RunState } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Summary from "../src/Summary.ts"

const report = {
  ...RunReport.fromState({ ...RunState.initial, complete: true }, 2000),
  records: { read: 1000, created: 990, existing: 0, failed: 0, rejected: 10, unresolved: 0, notSubmitted: 0 },
  elapsedMs: 2000
}
const render = (changes: Partial<Summary.Content> = {}) =>
  Summary.render({ report, examples: [], files: [], sandbox: false, ...changes })

describe("Summary", () => {
  it("shows the ends that there are, right-aligned", () => {
    const text = render()
    assert.include(text, "  read              1,000\n")
    assert.include(text, "  created             990\n")
    assert.include(text, "  rejected             10   never sent")
    assert.notInclude(text, "existing")
    assert.include(text, "495 tokens/s")
  })

  it("says why a run stopped early, and what to do", () => {
    const stopped = { reason: "WrongAddress", message: "HTTP 404: a page" } as const
    const text = render({ report: { ...report, complete: false, stopped } })
    assert.include(text, "Stopped early: HTTP 404: a page.")
    assert.include(text, "Check the base URL")
    assert.include(text, "not the whole input")
  })

  it("says of dry runs and sandboxes that nothing was created", () => {
    assert.include(render({ report: { ...report, dryRun: true } }), "would be created")
    assert.include(render({ sandbox: true }), "nothing was created at Authlete")
  })

  it("gives examples and names files", () => {
    const event = {
      _tag: "LinesRejected",
      rejections: [{ file: "a.ndjson", line: 1234, offset: 0, field: "subject", reason: "is missing" }]
    } as const
    const text = render({ examples: Summary.examplesOf(event), files: [["rejected lines", "r.ndjson"]] })
    assert.include(text, "  a.ndjson, line 1,234: subject is missing")
    assert.include(text, "rejected lines: r.ndjson")
  })
})
