import { AuthleteError, type TokenBatch } from "@tokenbatch/core"
import { RunEvent, RunReport, RunState } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as fixtures from "./fixtures.ts"

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
      { _tag: "BatchAccepted", batch: 1, requestId: "a" },
      { _tag: "BatchSplit", batch: 1, records: 3, code: "", message: "", polls: 2 },
      { ...intended, batch: 2, parent: 1, records: 2, lines: [{ from: 1, to: 2 }] },
      { _tag: "BatchAccepted", batch: 2, requestId: "b" },
      { _tag: "BatchSucceeded", batch: 2, requestId: "b", records: 2, polls: 3 },
      { ...intended, batch: 3, parent: 1, records: 1, lines: [{ from: 3, to: 3 }] },
      { _tag: "BatchRefused", batch: 3, records: 1, lines: [{ from: 3, to: 3 }], code: "", message: "", polls: 0 }
    ]
    const states = events.map((_, i) => events.slice(0, i + 1).reduce(RunState.step, RunState.initial))
    assert.deepStrictEqual(
      states.map((s) => [s.inFlight, s.atService, s.recordsInFlight, s.records.created, s.records.failed]),
      [
        [1, 0, 3, 0, 0],
        [1, 1, 3, 0, 0],
        [0, 0, 3, 0, 0],
        [1, 0, 3, 0, 0],
        [1, 1, 3, 0, 0],
        [0, 0, 1, 2, 0],
        [1, 0, 1, 2, 0],
        [0, 0, 0, 2, 1]
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

const started: RunEvent.RunEvent = {
  _tag: "RunStarted",
  format: RunEvent.format,
  runId: "run",
  startedAt: 1000,
  address: { baseUrl: "http://localhost", serviceId: "1" },
  dryRun: false,
  batchSize: 1000,
  batchBytes: 1000,
  maxLineBytes: 1000,
  allowUnknownFields: false,
  requireAccessToken: false,
  inputs: []
}
const fold = (events: ReadonlyArray<RunEvent.RunEvent>, from = RunState.initial) => events.reduce(RunState.step, from)
const flowChanged = (
  at: number,
  reason: RunEvent.FlowChanged["reason"],
  window: number,
  requestsPerSecond?: number
): RunEvent.FlowChanged => ({
  _tag: "FlowChanged",
  at,
  reason,
  window,
  ...(requestsPerSecond === undefined ? undefined : { requestsPerSecond })
})
const retried = (code: string): RunEvent.RunEvent => ({
  _tag: "BatchRetried",
  batch: 1,
  attempt: 1,
  code,
  message: "",
  delay: 0
})
const finished = (state: RunState.RunState, at: number): RunEvent.RunEvent => ({
  _tag: "RunFinished",
  report: RunReport.fromState(state, at)
})
const resumed = (at: number): RunEvent.RunEvent => ({ _tag: "RunResumed", at, leg: 2 })

describe("how long a run takes", () => {
  const created = (batch: number, records: number): ReadonlyArray<RunEvent.RunEvent> => [
    { _tag: "BatchIntended", batch, records, withoutAccessToken: 0, lines: [{ from: 1, to: records }] },
    { _tag: "BatchAccepted", batch, requestId: String(batch) },
    { _tag: "BatchSucceeded", batch, requestId: String(batch), records, polls: 1 }
  ]

  it("is told of the whole with what lay between its legs, and of the last leg by itself", () => {
    const first = fold([started, ...created(1, 30)])
    const { lastLeg: _, ...of } = RunReport.fromState(first, 3000)
    assert.strictEqual(of.elapsedMs, 2000)
    assert.notProperty(RunReport.fromState(first, 3000), "lastLeg")
    // Cut off or finished, nobody counts the night in between.
    for (const before of [first, fold([finished(first, 3000)], first)]) {
      const second = fold([resumed(90_000), ...created(2, 12)], before)
      const report = RunReport.fromState(second, 94_000)
      assert.strictEqual(report.elapsedMs, 93_000)
      assert.deepStrictEqual(report.lastLeg, { created: 12, elapsedMs: 4000 })
      const third = RunReport.fromState(fold([finished(second, 94_000), resumed(200_000)], second), 200_500)
      assert.deepStrictEqual(third.lastLeg, { created: 0, elapsedMs: 500 })
    }
  })

  it("is not missed of the last leg in a report of before", () => {
    const { lastLeg: _, ...before } = RunReport.fromState(fold([started, resumed(90_000)]), 94_000)
    assert.deepStrictEqual(Schema.decodeUnknownSync(RunEvent.RunReport)(before), before)
  })
})

describe("the pace of a run", () => {
  it("is absent where nothing was learned, and known where it was given", () => {
    const state = fold([{ ...started, concurrency: 8 }, retried("ECONNREFUSED")])
    assert.strictEqual(state.window, 8)
    assert.notProperty(RunReport.fromState(state, 2000), "flow")
    assert.strictEqual(fold([started]).window, undefined)
  })

  it("is what was last decided, with what it went through", () => {
    const state = fold([
      started,
      flowChanged(1100, "ResultsCome", 64),
      retried("HTTP 429"),
      retried("HTTP 503"),
      retried("ENOTFOUND"),
      flowChanged(1200, "QueueFull", 40),
      { ...flowChanged(1300, "TooFast", 40, 18), batchSize: 2000 }
    ])
    assert.strictEqual(state.window, 40)
    assert.deepStrictEqual(RunReport.fromState(state, 2000).flow, {
      window: { last: 40, least: 40, most: 64 },
      requestsPerSecond: 18,
      batchSize: 2000,
      refusals: 2,
      changes: { ResultsCome: 1, QueueFull: 1, TooFast: 1 },
      awayMs: 0
    })
    assert.notProperty(fold([flowChanged(1400, "RoomAgain", 41)], state).flow!, "requestsPerSecond")
  })

  it("counts how long the service was away, up to the end where it did not come back", () => {
    const outage = [flowChanged(2000, "Away", 16), flowChanged(2500, "PollTimeout", 8), flowChanged(5000, "Back", 8)]
    const during = fold([started, ...outage.slice(0, 2)])
    assert.strictEqual(during.awaySince, 2000)
    const after = fold([started, ...outage])
    assert.strictEqual(after.awaySince, undefined)
    const again = fold([flowChanged(6000, "Away", 8)], after)
    assert.strictEqual(RunReport.fromState(again, 10_000).flow?.awayMs, 7000)
    // What a leg that ended had of it is kept; of one that was cut off, nobody knows when it was.
    assert.strictEqual(fold([finished(again, 10_000), resumed(90_000)], again).flow?.awayMs, 7000)
    const cutOff = fold([resumed(90_000)], again)
    assert.deepInclude(cutOff, { awaySince: undefined, window: undefined })
    assert.strictEqual(cutOff.flow?.awayMs, 3000)
  })

  it("is spaced only as long as a leg says so", () => {
    const state = fold([started, flowChanged(1100, "TooFast", 16, 5), resumed(9000)])
    assert.notProperty(state.flow!, "requestsPerSecond")
    assert.strictEqual(state.flow?.changes.TooFast, 1)
  })

  const Change = Schema.Struct({
    ...RunEvent.FlowChanged.fields,
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })),
    window: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 256 })),
    // JSON has neither -0 nor Infinity, and no run asks as often or batches as much.
    requestsPerSecond: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 }))),
    batchSize: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10_000 })))
  })

  it.prop("adds up, whatever the law decides", { changes: Schema.Array(Change) }, ({ changes }) => {
    let at = 1000
    const events = changes.map((change) => ({ ...change, at: (at += change.at) }))
    const state = fold([started, ...events])
    const { flow } = RunReport.fromState(state, at)
    if (events.length === 0) return assert.strictEqual(flow, undefined)
    const windows = events.map(({ window }) => window)
    assert.deepStrictEqual(flow!.window, {
      last: windows.at(-1)!,
      least: Math.min(...windows),
      most: Math.max(...windows)
    })
    assert.strictEqual(
      Object.values(flow!.changes).reduce((sum, count) => sum + count, 0),
      events.length
    )
    assert.strictEqual(flow!.requestsPerSecond, events.at(-1)!.requestsPerSecond)
    // Time between an Away and the next Back, or the end.
    let away = 0
    let isAway = false
    for (const [i, event] of events.entries()) {
      isAway = event.reason === "Away" || (isAway && event.reason !== "Back")
      if (isAway) away += (events[i + 1]?.at ?? at) - event.at
    }
    assert.strictEqual(flow!.awayMs, away)
  })

  it.prop(
    "is in the report as in the fold of the report, which stands in the journal",
    { changes: Schema.Array(Change), later: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1000 })) },
    ({ changes, later }) => {
      let at = 1000
      const state = fold([started, ...changes.map((change) => ({ ...change, at: (at += change.at) }))])
      const last = finished(state, at + later)
      const written = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(RunEvent.RunEvent)(last)))
      const read = Schema.decodeUnknownSync(RunEvent.RunEvent)(written)
      assert.deepStrictEqual(read, last)
      assert.deepStrictEqual(
        RunReport.fromState(fold([read], state), at + 2 * later + 1).flow,
        state.flow && read._tag === "RunFinished" ? read.report.flow : undefined
      )
    }
  )

  it("is not missed in a report of before", () => {
    const { flow: _, ...before } = RunReport.fromState(fold([started]), 2000)
    assert.deepStrictEqual(Schema.decodeUnknownSync(RunEvent.RunReport)(before), before)
  })

  it.effect("has nothing left at the service when all has ended, whichever way", () =>
    Effect.gen(function* () {
      const against = fixtures.service({
        create: (_, call) =>
          call % 5 === 4
            ? Effect.fail(new AuthleteError.TransportError({ code: "ECONNRESET", reason: "", sent: true }))
            : Effect.succeed(`request-${call}`),
        status: (requestId, poll) =>
          Effect.succeed<TokenBatch.BatchStatus>(
            poll < 2 ? { state: "Running" } : requestId.endsWith("3") ? { state: "Failed" } : { state: "Succeeded" }
          )
      })
      for (const dryRun of [false, true]) {
        const running = yield* Effect.forkChild(fixtures.run(fixtures.lines(60), against, { batchSize: 4, dryRun }))
        yield* fixtures.seconds(120)
        const { events } = yield* Fiber.join(running)
        const most = Math.max(...events.map((_, i) => fold(events.slice(0, i + 1)).atService))
        assert.isTrue(most > 0)
        assert.deepInclude(fold(events), { inFlight: 0, atService: 0, mostAtService: most })
      }
    })
  )
})
