import { type RunEvent, RunReport, RunState } from "@tokenbatch/stream"
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

  it("gives a few examples of each end, the gravest first and each in one line, and names files", () => {
    const examples = Summary.makeExamples()
    for (let line = 1; line <= 10; line++) {
      examples.add({
        _tag: "LinesRejected",
        rejections: [{ file: "a.ndjson", line: line * 1000, offset: 0, field: "subject", reason: "is missing" }]
      })
    }
    const ended = { batch: 1, lines: [{ from: 7, to: 8 }] }
    examples.left([
      { ...ended, end: "unresolved", code: "HTTP 502", message: "HTTP 502: a\npage" },
      { ...ended, end: "unresolved", code: "E1", message: "no\u001b[2J", tokenCount: 412 },
      { ...ended, end: "unresolved", code: "E1", message: "a third" },
      { ...ended, end: "notSubmitted", code: "HTTP 503", message: "HTTP 503" }
    ])
    examples.add({
      _tag: "BatchRefused",
      batch: 2,
      records: 1,
      lines: [{ from: 5, to: 5 }],
      code: "E2",
      message: "bad",
      polls: 0
    })
    const text = render({ examples: examples.all(), files: [["rejected lines", "r.ndjson"]] })
    const places = [
      "  lines 7-8: HTTP 502: a page\n",
      "  lines 7-8: E1, no\ufffd[2J, after 412 tokens\n",
      "  and 2 lines more: unresolved\n",
      "  lines 7-8: HTTP 503\n",
      "  line 5: E2, bad\n",
      "  a.ndjson, line 1,000: subject is missing\n",
      "  a.ndjson, line 2,000: subject is missing\n",
      "  and 8 lines more: rejected\n",
      "rejected lines: r.ndjson"
    ].map((part) => text.indexOf(part))
    assert.isTrue(
      places.every((place, i) => place > (places[i - 1] ?? 0)),
      JSON.stringify(places)
    )
    assert.notInclude(text, "line 3,000")
    assert.notInclude(text, "a third")
  })

  it("shows one line more in place of counting it, where there is one", () => {
    for (const [count, last] of [
      [2, "line 2: bad 2"],
      [3, "line 3: bad 3"],
      [4, "and 2 lines more: rejected"]
    ] as const) {
      const examples = Summary.makeExamples()
      for (let line = 1; line <= count; line++) {
        examples.add({ _tag: "LinesRejected", rejections: [{ line, offset: 0, reason: `bad ${line}` }] })
      }
      const { where, why } = examples.all().at(-1)!
      assert.strictEqual(`${where}: ${why}`, last)
    }
  })

  it("says after how many tokens a batch was given up, however much else was said", () => {
    const examples = Summary.makeExamples()
    const left = { batch: 1, end: "unresolved", lines: [{ from: 1, to: 2 }], code: "E1" } as const
    examples.left([
      { ...left, message: "x".repeat(1000), tokenCount: 1234 },
      { ...left, message: "no", tokenCount: 1 }
    ])
    const [long, short] = examples.all()
    assert.match(long!.why, /x…, after 1,234 tokens$/)
    assert.strictEqual(short!.why, "E1, no, after 1 token")
  })

  it("says of an empty input that nothing was read, unless something else stopped it", () => {
    const records = { ...report.records, read: 0, created: 0, rejected: 0 }
    assert.include(render({ report: { ...report, records } }), Summary.nothing)
    assert.notInclude(render({ report: { ...report, records, complete: false } }), Summary.nothing)
    assert.notInclude(render(), Summary.nothing)
  })

  it("says how to go on with a run, what it took to find out, and what may be there twice", () => {
    const resolution = { calls: 12, assumed: 3, access: true }
    const text = render({ report: { ...report, legs: 2, possiblyTwice: 4, resolution }, run: "tokens-1" })
    assert.include(text, "tokenbatch resume tokens-1")
    assert.include(text, "in 2 legs\n")
    assert.include(text, "4 records without an accessToken sent again")
    assert.include(text, "12 calls")
    assert.include(text, "3 records called existing on the assumption")
    assert.notInclude(render(), "resume")
  })

  it("says why nothing could be called existing in a run that created nothing", () => {
    const records = { ...report.records, created: 0, unresolved: 990 }
    const resolution = { calls: 1980, assumed: 0 }
    const text = (changes: Partial<RunReport.RunReport>) => render({ report: { ...report, records, ...changes } })
    assert.include(text({ resolution }), "an input that was created before ends like this")
    for (const changes of [
      { resolution: { ...resolution, access: false } },
      { resolution, records: { ...records, created: 1 } },
      {}
    ]) {
      assert.notInclude(text(changes), "created before")
    }
  })

  it("says why the run went at the pace it did, where anything was learned", () => {
    const batches = { submitted: 300, succeeded: 300, failed: 0, unresolved: 0 }
    const flow = { refusals: 0, changes: {}, awayMs: 0 }
    const notes = (
      changes: Partial<RunEvent.FlowReport>,
      more: Partial<RunReport.RunReport> = {},
      content: Partial<Summary.Content> = {}
    ) =>
      render({
        report: { ...report, batches, elapsedMs: 30_000, mostInFlight: 41, ...more, flow: { ...flow, ...changes } },
        ...content
      })
        .split("\n")
        .filter((line) => /in flight|service|refused|too fast|spaced/.test(line))
    const window = { last: 40, least: 16, most: 64 }
    assert.deepStrictEqual(
      notes({
        window,
        batchSize: 2000,
        requestsPerSecond: 18.2,
        refusals: 14,
        changes: { QueueFull: 3, TooFast: 1, PollTimeout: 2, Drift: 2, Away: 1, Back: 1 },
        awayMs: 62_000
      }),
      [
        "  up to 41 batches in flight; batches of up to 2,000 records at the end; spaced to 18 requests/s at the end; no more than are done well before --poll-timeout",
        "  the service's queue seemed full 3 times; requests seemed to come too fast once; 14 create calls refused and made again; the service became slower or faster twice; the service was away for 1m 02s"
      ]
    )
    const inFlight = "  up to 41 batches in flight"
    assert.deepStrictEqual(notes({ window, changes: { ResultsCome: 1 } }), [inFlight])
    // So much closer than they came that it held nothing back.
    assert.deepStrictEqual(notes({ window, requestsPerSecond: 329 }), [inFlight])
    assert.deepStrictEqual(notes({ refusals: 1 }, { mostInFlight: 0 }), ["  1 create call refused and made again"])
    assert.deepStrictEqual(notes({ window, changes: { MaxRequests: 1 } }), [
      `${inFlight}; no more requests/s than --max-requests-per-second`
    ])
    assert.deepStrictEqual(notes({}, {}, { maxConcurrency: 41 }), [`${inFlight}, as --max-concurrency says`])
    assert.deepStrictEqual(notes({}, {}, { maxConcurrency: 42 }), [inFlight])
    assert.deepStrictEqual(notes({ changes: { Whims: 1, Paused: 2 } }, { mostInFlight: 0 }), [
      "  it refused some calls whatever was done; it asked to wait twice"
    ])
    assert.notInclude(render(), "in flight")
  })

  it("says of a run that was asked to stop whether anything is left to be done", () => {
    const stopped = { reason: "Requested", message: "the run was asked to stop" } as const
    const done = render({ report: { ...report, stopped } })
    assert.include(done, "everything was done by then")
    assert.notInclude(done, "Stopped early")
    const records = { ...report.records, notSubmitted: 1 }
    assert.include(render({ report: { ...report, records, stopped } }), "Stopped early")
    assert.include(render({ report: { ...report, complete: false, stopped } }), "Stopped early")
  })

  it("says of a run that was gone on with how fast its last leg was, and of the whole only how long ago it began", () => {
    const lastLeg = { created: 240, elapsedMs: 4000 }
    const text = render({ report: { ...report, elapsedMs: 50_400_000, legs: 2, lastLeg } })
    assert.include(text, "0 polls, 14h 00m since it began\n")
    assert.include(text, "  in 2 legs; the last took 4.0s, 60 tokens/s\n")
    assert.strictEqual(text.split("tokens/s").length, 2)
  })

  it("says whether notifications came where they were listened for, and what to check where none did", () => {
    const batches = { submitted: 40, succeeded: 40, failed: 0, unresolved: 0 }
    const note = (heard: Summary.Content["heard"], more: Partial<RunReport.RunReport> = { batches }) =>
      render({ report: { ...report, ...more }, heard })
        .split("\n")
        .filter((line) => line.includes("notification"))
    assert.deepStrictEqual(note({ notifications: 38, requests: 50 }), ["  38 notifications came"])
    assert.deepStrictEqual(note({ notifications: 1, requests: 1 }), ["  1 notification came"])
    assert.deepStrictEqual(note({ notifications: 0, requests: 0 }), [
      "  no notification came: check that the service is set up to send them, and that they get through to where the run listens"
    ])
    assert.deepStrictEqual(note({ notifications: 0, requests: 3 }), [
      "  no notification came, but 3 other requests: check that the service POSTs to the path that the run was given"
    ])
    assert.deepStrictEqual(note(undefined), [])
    // There was nothing that they could have been of.
    assert.deepStrictEqual(note({ notifications: 0, requests: 0 }, {}), [])
  })

  it("says how to have the lines named that were not created", () => {
    const records = { ...report.records, unresolved: 3 }
    const hint = "--results FILE names"
    assert.include(render({ report: { ...report, records } }), hint)
    assert.notInclude(render({ report: { ...report, records }, files: [[Summary.resultsFile, "x"]] }), hint)
    assert.notInclude(render(), hint)
  })

  it("tells what went wrong to those who want to hear nothing else", () => {
    const stopped = { reason: "GivenUp", message: "HTTP 503" } as const
    assert.match(
      Summary.error({ report: { ...report, stopped } }),
      /^error: stopped early: HTTP 503\n.*--give-up-after/
    )
    assert.strictEqual(Summary.error({ report, outputFailure: "r: no space" }), "error: r: no space")
    const records = { ...report.records, unresolved: 1, notSubmitted: 1000 }
    assert.strictEqual(
      Summary.error({ report: { ...report, records } }),
      "error: 1 record unresolved, 1,000 not submitted"
    )
  })
})
