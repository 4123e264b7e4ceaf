import { RunReport, RunState } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"

const records = { read: 0, created: 0, existing: 0, failed: 0, rejected: 0, unresolved: 0, notSubmitted: 0 }
const report = (changes: Partial<RunReport.RunReport>): RunReport.RunReport => ({
  ...RunReport.fromState({ ...RunState.initial, complete: true }, 0),
  ...changes
})

describe("RunReport", () => {
  it.each([
    [0, report({})],
    [0, report({ records: { ...records, read: 2, created: 1, existing: 1 } })],
    [1, report({ records: { ...records, failed: 1 } })],
    [1, report({ records: { ...records, rejected: 1 } })],
    [3, report({ records: { ...records, unresolved: 1, failed: 1 } })],
    [3, report({ records: { ...records, notSubmitted: 1 } })],
    [3, report({ complete: false })],
    [3, report({ complete: false, stopped: { reason: "SystematicRefusal", message: "" } })],
    [2, report({ complete: false, stopped: { reason: "WrongAddress", message: "" } })],
    [
      4,
      report({
        complete: false,
        stopped: { reason: "CredentialsRefused", message: "" },
        records: { ...records, unresolved: 1 }
      })
    ]
  ])("gives the exit code %i", (code, given) => assert.strictEqual(RunReport.exitCode(given), code))
})

describe("RunState", () => {
  it("tells the first reason of a stop", () => {
    const stopped = (["Unreadable", "Requested"] as const).reduce(
      (state, reason) => RunState.step(state, { _tag: "RunStopping", reason, message: "" }),
      RunState.initial
    )
    assert.strictEqual(stopped.stopped?.reason, "Unreadable")
  })
})
