import { type RunEvent, RunState } from "@tokenbatch/stream"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Format from "../src/Format.ts"
import * as Progress from "../src/Progress.ts"

const records = { read: 20_000, created: 9500, existing: 0, failed: 0, rejected: 500, unresolved: 0, notSubmitted: 0 }
const state: RunState.RunState = {
  ...RunState.initial,
  records,
  inFlight: 12,
  atService: 10,
  recordsInFlight: 10_000,
  bytes: 4000
}
const snapshot = { state, elapsed: 10_000, now: 1_000_000, rate: 950, size: 8000 }

describe("Format", () => {
  it.each([
    [0, "0.0s"],
    [4210, "4.2s"],
    [59_990, "60.0s"],
    [187_000, "3m 07s"],
    [3_720_000, "1h 02m"]
  ])("writes %i milliseconds", (millis, text) => assert.strictEqual(Format.elapsed(millis), text))

  it.each([
    [0, "0:00"],
    [9499, "0:09"],
    [187_000, "3:07"],
    [3_599_499, "59:59"],
    [3_599_500, "1h 00m"],
    [3_720_000, "1h 02m"]
  ])("writes %i milliseconds as a clock does", (millis, text) => assert.strictEqual(Format.clock(millis), text))

  it.each([
    [999, "999"],
    [9999, "9,999"],
    [12_345, "12.3k"],
    [123_456, "123k"],
    [999_499, "999k"],
    [999_500, "1.00M"],
    [1_234_567, "1.23M"],
    [12_345_678, "12.3M"]
  ])("writes %i in short", (n, text) => assert.strictEqual(Format.short(n), text))

  it("lets nothing through that does something to a terminal", () => {
    const hostile = "a\u001b[31m\u001b]0;title\u0007\u009b2J\rb\u202ec\nd"
    assert.strictEqual(Format.printable(hostile), "a\ufffd[31m\ufffd]0;title\ufffd\ufffd2J\ufffdb\ufffdc\nd")
    assert.strictEqual(Format.quote("  two\n lines\t\u001b[2J "), "two lines \ufffd[2J")
    assert.strictEqual(Format.quote("x".repeat(3000)).length, 300)
  })

  it.each([
    [0.25, "0.25"],
    [7.34, "7.3"],
    [18.2, "18"],
    [999.4, "999"],
    [8140, "8.1k"],
    [12_345, "12.3k"]
  ])("writes %d a second", (n, text) => assert.strictEqual(Format.rate(n), text))

  it("counts times", () =>
    assert.deepStrictEqual([1, 2, 3, 1234].map(Format.times), ["once", "twice", "3 times", "1,234 times"]))

  it("breaks a text between words, where it is too wide", () => {
    assert.strictEqual(Format.wrap("one two three", 13), "one two three")
    assert.strictEqual(Format.wrap("one two three four", 12), "one two\n  three four")
    assert.strictEqual(
      Format.wrap("see https://example.com/a/long/path now", 12),
      "see\n  https://example.com/a/long/path\n  now"
    )
  })

  it("fits a text to a width", () => {
    assert.strictEqual(Format.fit("abcdef", 4), "abc…")
    assert.strictEqual(Format.fit("abcd", 4), "abcd")
  })
})

describe("Progress", () => {
  it("tells what there is to tell, and how long it will take by what has been seen to its end", () => {
    assert.strictEqual(
      Progress.line(snapshot),
      "25% 20.0k read  9,500 created  500 rejected  10 in flight  950 tokens/s  0:10  0:30 left"
    )
    assert.strictEqual(
      Progress.line({ ...snapshot, size: undefined }),
      "20.0k read  9,500 created  500 rejected  10 in flight  950 tokens/s  0:10"
    )
  })

  it("goes by the limit where that ends the run first", () => {
    assert.match(Progress.line({ ...snapshot, size: 8_000_000, limit: 39_000 }), /^25% .* 0:30 left$/)
    assert.match(Progress.line({ ...snapshot, limit: 1_000_000 }), /^25% /)
    assert.match(Progress.line({ ...snapshot, size: undefined, limit: 39_000 }), /^25% /)
  })

  it("takes what is left of a run that goes on by what this process has done of it", () => {
    const before = { ...RunState.initial, records: { ...records, read: 15_000, created: 14_500 }, bytes: 6000 }
    const now = { ...state, records: { ...records, read: 19_000, created: 18_500 }, recordsInFlight: 0, bytes: 7000 }
    // An eighth in ten seconds, and an eighth is left: not a seventh of what all legs have done.
    assert.match(Progress.line({ ...snapshot, state: now, before }), /^87% .* 0:10 left$/)
    assert.notInclude(Progress.line({ ...snapshot, state: before, before }), "left")
  })

  it("says nothing of what is left before there is anything to go by", () => {
    assert.notInclude(Progress.line({ ...snapshot, elapsed: 500 }), "left")
    assert.strictEqual(
      Progress.line({ state: RunState.initial, elapsed: 0, now: 0, rate: 0, size: 0 }),
      "0 read  0 created  0 in flight  0 tokens/s  0:00"
    )
  })

  it.prop("fits any width, and leaves out what matters least first", { width: Schema.Int }, ({ width }) => {
    const text = Progress.line(snapshot, Math.abs(width) + 1)
    assert.isTrue(text.length <= Math.abs(width) + 1)
    if (Math.abs(width) >= 60) assert.include(text, "left")
    if (Math.abs(width) >= 30) assert.include(text, "created")
  })

  const spacing = { refusals: 0, changes: {}, awayMs: 0, requestsPerSecond: 18.2 }
  it.each([
    ["at first", {}, { elapsed: 1400 }, "21% 251k read  219k created  32/32 in flight  8.1k tokens/s  0:01  0:05 left"],
    ["in the middle", {}, {}, "21% 251k read  219k created  32/32 in flight  8.1k tokens/s  2:30  8:58 left"],
    [
      "large, fast and long",
      { read: 12_345_000, created: 12_145_000, recordsInFlight: 200_000, bytes: 600, atService: 198, window: 256 },
      { elapsed: 3_720_000, rate: 12_340 },
      "59% 12.3M read  12.1M created  198/256 in flight  12.3k/s  1h 02m  43:02 left"
    ],
    [
      "of which the size is not known",
      {},
      { size: undefined },
      "251k read  219k created  32/32 in flight  8.1k tokens/s  2:30"
    ],
    ["dry", { dryRun: true }, {}, "21% 251k read  219k passed  32/32 in flight  8.1k tokens/s  2:30  8:58 left"],
    // From here on what matters least has to go.
    [
      "with lines rejected",
      { created: 218_688, rejected: 312 },
      {},
      "21% 251k read  219k created  312 rejected  32/32 in flight  8.1k/s  8:58 left"
    ],
    [
      "with many, and many in flight",
      { created: 216_000, rejected: 3012, atService: 120, window: 256 },
      {},
      "21% 251k read  216k created  3,012 rejected  8.1k tokens/s  2:30  8:58 left"
    ],
    ["spaced", { flow: spacing }, {}, "21% 251k read  219k created  18 requests/s  8.1k tokens/s  2:30  8:58 left"],
    [
      "in doubt",
      { created: 217_000, unresolved: 2000 },
      {},
      "21% 251k read  217k created  2,000 in doubt  32/32 in flight  8.1k/s  8:58 left"
    ],
    [
      "in doubt, with lines rejected, and spaced",
      { created: 216_688, rejected: 312, unresolved: 2000, flow: spacing },
      {},
      "21% 251k read  217k created  2,000 in doubt  18 requests/s  8.1k/s  8:58 left"
    ],
    [
      "without the service",
      { created: 217_000, unresolved: 2000, awaySince: 968_000 },
      { rate: 0 },
      "21% 251k read  217k created  2,000 in doubt  service away 0:32  0/s  2:30"
    ],
    [
      "about to stop",
      { created: 216_988, failed: 1012, unresolved: 2000, notSubmitted: 14_000, recordsInFlight: 17_000, atService: 3 },
      {},
      "23% 251k read  217k created  1,012 failed  2,000 in doubt  14.0k not submitted"
    ]
  ])("says what matters in 80 columns: a run %s", (_, changes, more, text) => {
    const { bytes, created, failed, notSubmitted, read, recordsInFlight, rejected, unresolved, ...others } = {
      read: 251_000,
      created: 219_000,
      failed: 0,
      rejected: 0,
      unresolved: 0,
      notSubmitted: 0,
      recordsInFlight: 32_000,
      bytes: 250,
      atService: 32,
      window: 32,
      ...changes
    }
    const records = { ...state.records, read, created, failed, rejected, unresolved, notSubmitted }
    const run = { ...state, ...others, records, recordsInFlight, bytes }
    assert.strictEqual(
      Progress.line({ state: run, now: 1_000_000, elapsed: 150_000, rate: 8140, size: 1000, ...more }, 79),
      text
    )
  })

  it("tells how many are in flight of as many as may be, and what holds the run up", () => {
    const flow = { refusals: 0, changes: {}, awayMs: 0, requestsPerSecond: 18.2 }
    assert.strictEqual(
      Progress.line({ ...snapshot, state: { ...state, window: 64, flow, awaySince: 988_000 } }),
      "25% 20.0k read  9,500 created  500 rejected  service away 0:12  10 in flight  18 requests/s  950 tokens/s  0:10"
    )
    assert.include(Progress.line({ ...snapshot, state: { ...state, window: 64 } }), "10/64 in flight")
    const narrow = Progress.line({ ...snapshot, state: { ...state, window: 64, flow } }, 70)
    assert.include(narrow, "18 requests/s")
    assert.notInclude(narrow, "in flight")
    assert.include(Progress.line({ ...snapshot, state: { ...state, awaySince: 988_000 } }, 60), "service away 0:12")
    const paused = { ...snapshot, state: { ...state, pausedUntil: 1_090_000 } }
    assert.include(Progress.line(paused, 80), "to wait 1:30 as the service asks")
    assert.notInclude(Progress.line(paused), "left")
    assert.include(Progress.line({ ...paused, now: 1_090_000 }), "left")
  })

  it("calls nothing lost that may have been created", () => {
    const records = { ...state.records, unresolved: 28_000, notSubmitted: 2000, failed: 1 }
    const line = Progress.line({ ...snapshot, state: { ...state, records } })
    for (const part of ["28.0k in doubt", "2,000 not submitted", "1 failed"]) assert.include(line, part)
    assert.notInclude(line, "not created")
    const resolving = Progress.line({ ...snapshot, state: { ...state, records, resolving: true } })
    assert.include(resolving, "28.0k to find out")
    assert.notInclude(resolving, "in doubt")
    // A few batches at a time, however many may be in flight.
    assert.include(
      Progress.line({ ...snapshot, state: { ...state, records, resolving: true, window: 64 } }),
      "10 in flight"
    )
  })

  it("says what it waits for before it finds out, and how long still", () => {
    const records = { ...state.records, unresolved: 28_000, failed: 12 }
    const waiting = { ...snapshot, rate: 0, state: { ...state, records, resolving: true }, settledAt: 1_025_000 }
    assert.strictEqual(
      Progress.line(waiting, 79),
      "25% 20.0k read  9,500 created  28.0k to find out, waiting 0:25 for late batches"
    )
    const after = Progress.line({ ...waiting, now: 1_025_000 })
    assert.notInclude(after, "waiting")
    // Nothing is read any more, whatever there would be.
    assert.notInclude(after, "left")
  })

  it("says of the pace what people should know, each thing once, and not more than an outage a minute", () => {
    const notice = Progress.makePaceNotices()
    const said = (
      [
        [0, "ResultsCome"],
        [1, "TooFast", 18.2],
        [2, "TooFast", 12],
        [3, "QueueFull"],
        [4, "QueueFull"],
        [5, "RoomAgain"],
        [6, "Whims"],
        [7, "Paused", 18],
        [8, "Paused"],
        [9, "Whims"],
        [10, "Away"],
        [22.5, "Back"],
        [30, "Away"],
        [40, "Back"],
        [80, "Away"],
        [200, "Back"]
      ] satisfies ReadonlyArray<readonly [seconds: number, reason: RunEvent.FlowChanged["reason"], perSecond?: number]>
    ).flatMap(([seconds, reason, requestsPerSecond]) => {
      const text = notice({
        _tag: "FlowChanged",
        at: seconds * 1000,
        reason,
        window: 57,
        ...(requestsPerSecond === undefined ? undefined : { requestsPerSecond }),
        ...(reason === "Paused" ? { pause: 90_000 } : undefined)
      })
      return text === undefined ? [] : [text]
    })
    assert.deepStrictEqual(said, [
      "requests seem to come too fast for the service: they are spaced from here on (18 a second for now)",
      "the service's queue seems full: fewer batches in flight from here on (57 for now)",
      "the service refuses some calls whatever is done: no longer slower for that",
      "the service asks to wait 1m 30s",
      "the service does not answer: waiting until it is back",
      "the service answers again, after 12.5s",
      "the service does not answer: waiting until it is back",
      "the service answers again, after 2m 00s"
    ])
  })

  it("knows how fast it goes lately", () => {
    const rateOf = Progress.makeRate(0)
    assert.strictEqual(rateOf(0, 0), 0)
    assert.strictEqual(rateOf(1000, 100), 100)
    for (let second = 2; second <= 30; second++) rateOf(second * 1000, 100)
    assert.strictEqual(rateOf(31_000, 100), 0)
  })

  const draw = (isTty: boolean, millis: number, options: { quiet?: boolean; columns?: number } = {}) =>
    Effect.gen(function* () {
      let written = ""
      const terminal = {
        write: (text: string) => void (written += text),
        isTty,
        columns: () => options.columns ?? 40
      }
      const drawing = Progress.make({
        terminal,
        text: (_, width) => Progress.line(snapshot, width),
        quiet: options.quiet ?? false
      })
      const fiber = yield* Effect.forkChild(drawing.draw)
      yield* TestClock.adjust(millis)
      yield* drawing.say("a \u001b[2Jmessage")
      yield* Fiber.interrupt(fiber)
      yield* drawing.clear
      return { written, drawing, all: () => written }
    })

  it.effect("draws one line over and over on a terminal, fitted to its width, and takes it away for a message", () =>
    Effect.gen(function* () {
      const { written } = yield* draw(true, 1000)
      const drawn = written.split("\r\u001b[2K")
      assert.isTrue(drawn.length >= 8 && drawn.length <= 12)
      assert.isTrue(drawn.slice(1, -1).every((line) => line.length <= 39 && !line.includes("\n")))
      assert.strictEqual(drawn.at(-1), "a \ufffd[2Jmessage\n")
    })
  )

  it.effect("breaks what is said in one line within the terminal's width, and nothing elsewhere", () =>
    Effect.gen(function* () {
      const notice = "the service does not answer: waiting until it is back"
      const laidOut = `\n  ${notice}\n`
      const onTerminal = yield* draw(true, 0)
      yield* onTerminal.drawing.say(notice)
      yield* onTerminal.drawing.say(laidOut)
      assert.isTrue(
        onTerminal.all().endsWith(`the service does not answer: waiting\n  until it is back\n${laidOut}\n`),
        onTerminal.all()
      )
      const elsewhere = yield* draw(false, 0)
      yield* elsewhere.drawing.say(notice)
      assert.isTrue(elsewhere.all().endsWith(`${notice}\n`))
    })
  )

  it.effect("writes a line every five seconds elsewhere", () =>
    Effect.gen(function* () {
      const { written } = yield* draw(false, 16_000)
      assert.strictEqual(written.split("\n").length - 1, 4)
      assert.notInclude(written, "\u001b")
      assert.include(written, "0:30 left")
    })
  )

  it.effect("says nothing but errors when quiet", () =>
    Effect.gen(function* () {
      const { all, drawing, written } = yield* draw(true, 60_000, { quiet: true })
      assert.strictEqual(written, "")
      yield* drawing.sayError("error: no")
      assert.strictEqual(all(), "error: no\n")
    })
  )
})
