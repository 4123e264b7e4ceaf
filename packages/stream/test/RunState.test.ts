import { type RunEvent, RunReport, RunState } from "@tokenbatch/stream"
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
    [1, report({ records: { ...records, read: 1, failed: 1 } })],
    [1, report({ records: { ...records, read: 1, rejected: 1 } })],
    // Lines of which nothing is said must not pass for known.
    [3, report({ records: { ...records, read: 2, created: 1 } })],
    [3, report({ records: { ...records, unresolved: 1, failed: 1 } })],
    [3, report({ records: { ...records, notSubmitted: 1 } })],
    [3, report({ complete: false })],
    [3, report({ complete: false, stopped: { reason: "SystematicRefusal", message: "" } })],
    [2, report({ complete: false, stopped: { reason: "WrongAddress", message: "" } })],
    [
      3,
      report({
        complete: false,
        stopped: { reason: "WrongAddress", message: "" },
        batches: { submitted: 1, succeeded: 0, failed: 0, unresolved: 1 },
        records: { ...records, read: 1, unresolved: 1 }
      })
    ],
    [3, report({ complete: false, stopped: { reason: "GivenUp", message: "" } })],
    [3, report({ complete: false, records: { ...records, failed: 1, rejected: 1 } })],
    [0, report({ stopped: { reason: "Requested", message: "" } })],
    [4, report({ stopped: { reason: "CredentialsRefused", message: "" } })],
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

  it("keeps the records of a split batch in flight until its halves have ended", () => {
    const lines = [{ from: 1, to: 3 }]
    const intended = { _tag: "BatchIntended", withoutAccessToken: 1 } as const
    const events: ReadonlyArray<RunEvent.RunEvent> = [
      { ...intended, batch: 1, records: 3, lines, bytes: { from: 0, to: 90 }, digest: "" },
      { _tag: "BatchSplit", batch: 1, records: 3, code: "", message: "", polls: 2 },
      { ...intended, batch: 2, parent: 1, records: 2, lines: [{ from: 1, to: 2 }] },
      { _tag: "BatchSucceeded", batch: 2, requestId: "a", records: 2, polls: 3 },
      { ...intended, batch: 3, parent: 1, records: 1, lines: [{ from: 3, to: 3 }] },
      { _tag: "BatchRefused", batch: 3, records: 1, lines: [{ from: 3, to: 3 }], code: "", message: "", polls: 0 }
    ]
    const states = events.map((_, i) => events.slice(0, i + 1).reduce(RunState.step, RunState.initial))
    assert.deepStrictEqual(
      states.map((s) => [s.inFlight, s.recordsInFlight, s.records.created, s.records.failed]),
      [
        [1, 3, 0, 0],
        [0, 3, 0, 0],
        [1, 3, 0, 0],
        [0, 1, 2, 0],
        [1, 1, 2, 0],
        [0, 0, 2, 1]
      ]
    )
    assert.deepInclude(states.at(-1), {
      withoutAccessToken: 1,
      polls: 5,
      bytes: 90,
      batches: { submitted: 2, succeeded: 1, failed: 1, unresolved: 0 }
    })
    assert.strictEqual(states.at(-1)?.records.read, 3)
  })
})
