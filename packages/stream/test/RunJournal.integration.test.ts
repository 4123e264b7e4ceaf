import * as NodeServices from "@effect/platform-node/NodeServices"
import { RunEvent, RunJournal } from "@tokenbatch/stream"
import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"

const started: RunEvent.RunEvent = {
  _tag: "RunStarted",
  format: 1,
  runId: "a-run",
  startedAt: 1,
  concurrency: 2,
  address: { baseUrl: "https://us.authlete.com", serviceId: "1" },
  dryRun: false,
  batchSize: 10,
  batchBytes: 1000,
  maxLineBytes: 1000,
  allowUnknownFields: false,
  requireAccessToken: false,
  inputs: [{ identity: "/tokens.ndjson" }]
}
const events: ReadonlyArray<RunEvent.RunEvent> = [
  started,
  {
    _tag: "BatchIntended",
    batch: 1,
    records: 2,
    withoutAccessToken: 0,
    lines: [{ from: 1, to: 2 }],
    bytes: { from: 0, to: 20 },
    digest: "abc",
    rejections: [{ line: 3, offset: 12, reason: "äöü is no field" }]
  },
  { _tag: "BatchAccepted", batch: 1, requestId: "r-1" },
  { _tag: "BatchSucceeded", batch: 1, requestId: "r-1", records: 2, polls: 1, elapsed: 12 }
]

const temporary = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const { join } = yield* Path.Path
  return join(yield* fs.makeTempDirectoryScoped(), "journal")
})

const append = (path: string, more: ReadonlyArray<RunEvent.RunEvent>) =>
  Effect.provide(
    Effect.flatMap(RunJournal.RunJournal, (journal) => journal.append(more)),
    RunJournal.layerFile(path)
  )

/** What is read back, and how much was cut off. */
const reopen = (path: string) =>
  Effect.provide(
    Effect.flatMap(RunJournal.RunJournal, ({ begun, cutOff, history }) =>
      Effect.map(Stream.runCollect(history), (read) => ({ read, cutOff, begun }))
    ),
    RunJournal.layerFile(path)
  )

layer(NodeServices.layer)("RunJournal.layerFile", (it) => {
  it.effect("gives back what was written, in as many legs as it takes, to nobody but its owner", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      assert.deepStrictEqual(yield* reopen(path), { read: [], cutOff: 0, begun: false })
      yield* append(path, events.slice(0, 2))
      yield* append(path, events.slice(2))
      assert.deepStrictEqual(yield* reopen(path), { read: [...events], cutOff: 0, begun: true })
      assert.deepStrictEqual(yield* Stream.runCollect(RunJournal.read(path)), [...events])
      assert.strictEqual((yield* fs.stat(path)).mode & 0o777, 0o600)
      assert.isFalse(yield* fs.exists(`${path}.lock`), "the lock does not outlive its holder")
      const [first] = (yield* fs.readFileString(path)).split("\n")
      assert.match(first!, /^[0-9a-f]{8} 1 \{"_tag":"RunStarted"/)
    }).pipe(Effect.scoped)
  )

  it.effect("cuts off what was torn at its end, wherever that is, and goes on behind the rest", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      yield* append(path, events)
      const whole = yield* fs.readFile(path)
      const text = new TextDecoder("latin1").decode(whole)
      for (let length = 0; length < whole.length; length++) {
        const sound = text.slice(0, length).split("\n").length - 1
        yield* fs.writeFile(path, whole.subarray(0, length))
        const { cutOff, read } = yield* reopen(path)
        assert.deepStrictEqual(read, events.slice(0, sound), `${length} bytes`)
        assert.strictEqual(cutOff, length - (text.slice(0, length).lastIndexOf("\n") + 1))
        yield* append(path, events.slice(sound))
        assert.deepStrictEqual(yield* fs.readFile(path), whole)
      }
      // What some file systems leave after the power was cut.
      yield* fs.writeFile(path, Buffer.concat([whole, new Uint8Array(5000)]))
      assert.deepStrictEqual(yield* reopen(path), { read: [...events], cutOff: 5000, begun: true })
    }).pipe(Effect.scoped)
  )

  it.effect("refuses a journal that is damaged in its middle, with the line and what can be done", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      yield* append(path, events)
      const whole = yield* fs.readFile(path)
      const second = whole.indexOf(10) + 1
      for (const at of [second, second + 3, second + 9, second + 60]) {
        const damaged = Uint8Array.from(whole)
        damaged[at] = damaged[at]! ^ 1
        yield* fs.writeFile(path, damaged)
        const error = yield* Effect.flip(reopen(path))
        assert.strictEqual(error.reason, "Damaged")
        assert.match(error.message, /^Line 2 of the journal .* is damaged, and 2 sound ones .*head -n 1/)
        assert.deepStrictEqual(yield* fs.readFile(path), damaged, "it is left as it is")
      }
      // A line that is gone is damage as well, the last but one too.
      const three = (yield* Effect.sync(() => Buffer.from(whole).toString())).split("\n")
      yield* fs.writeFileString(path, [three[0], three[1], three[3], ""].join("\n"))
      assert.match((yield* Effect.flip(reopen(path))).message, /^Line 3 /)
      const lines = (yield* Effect.sync(() => Buffer.from(whole).toString())).split("\n")
      yield* fs.writeFileString(path, [lines[0], lines[2], lines[3], ""].join("\n"))
      assert.match((yield* Effect.flip(reopen(path))).message, /^Line 2 /)
    }).pipe(Effect.scoped)
  )

  it.effect("refuses what another version wrote, by name", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      const newer = { ...started, format: 2 }
      yield* fs.writeFileString(path, RunJournal.encodeLine(1, newer))
      const error = yield* Effect.flip(reopen(path))
      assert.strictEqual(error.reason, "Format")
      assert.include(error.message, "format 2")
      yield* fs.writeFileString(
        path,
        RunJournal.encodeLine(1, started) + RunJournal.encodeLine(2, { _tag: "Else" } as never)
      )
      const unknown = yield* Effect.flip(reopen(path))
      assert.match(unknown.message, /^Line 2 of .* is no event/)
    }).pipe(Effect.scoped)
  )

  it.effect("leaves a file alone that is no journal", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      for (const text of ['{"grantType":"PASSWORD"}\n{"grantType":"PASSWORD"}\n', "hello", "\n\n"]) {
        yield* fs.writeFileString(path, text)
        const error = yield* Effect.flip(reopen(path))
        assert.include(error.message, "is no journal")
        assert.strictEqual(yield* fs.readFileString(path), text)
        assert.isUndefined(yield* RunJournal.first(path))
      }
    }).pipe(Effect.scoped)
  )

  it.effect("is held by one run at a time, under whatever name", () =>
    Effect.gen(function* () {
      const path = yield* temporary
      yield* Effect.provide(
        Effect.gen(function* () {
          const { hold } = yield* RunJournal.RunJournal
          yield* hold
          assert.strictEqual((yield* Effect.flip(hold)).reason, "Locked")
          const { basename, dirname } = yield* Path.Path
          const other = `${dirname(path)}/../${basename(dirname(path))}/journal`
          assert.strictEqual((yield* Effect.flip(reopen(other))).reason, "Locked")
        }),
        RunJournal.layerFile(path)
      )
    }).pipe(Effect.scoped)
  )

  it.effect("is held by one at a time, and taken over from a process that is gone", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const path = yield* temporary
      yield* Effect.provide(
        Effect.gen(function* () {
          const error = yield* Effect.flip(reopen(path))
          assert.strictEqual(error.reason, "Locked")
          assert.include(error.message, `process ${process.pid}`)
        }),
        RunJournal.layerFile(path)
      )
      // A living process that is not ours, one that is gone, and one that has got the number of one that is gone.
      yield* fs.writeFileString(`${path}.lock`, JSON.stringify({ pid: 1 }))
      assert.include((yield* Effect.flip(reopen(path))).message, "process 1.")
      yield* fs.writeFileString(`${path}.lock`, JSON.stringify({ pid: 2 ** 22 + 1 }))
      yield* reopen(path)
      yield* fs.writeFileString(`${path}.lock`, JSON.stringify({ pid: process.pid }))
      yield* reopen(path)
      yield* fs.writeFileString(`${path}.lock`, "")
      yield* reopen(path)
      // What is no lock and will not go away is said, and not waited for.
      yield* fs.makeDirectory(`${path}.lock`)
      assert.strictEqual((yield* Effect.flip(reopen(path))).reason, "Io")
      yield* fs.remove(`${path}.lock`, { recursive: true })
      yield* fs.symlink("nowhere", `${path}.lock`)
      assert.strictEqual((yield* Effect.flip(reopen(path))).reason, "Io")
      yield* fs.remove(`${path}.lock`)
      if (yield* fs.exists("/proc/1/stat")) {
        yield* fs.writeFileString(`${path}.lock`, JSON.stringify({ pid: 1, began: "not then" }))
        yield* reopen(path)
      }
    }).pipe(Effect.scoped)
  )

  it.effect("says why a place will not do", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const folder = yield* fs.makeTempDirectoryScoped()
      const error = yield* Effect.flip(reopen(`${folder}/none/journal`))
      assert.strictEqual(error.reason, "Io")
      assert.include(error.message, `${folder}/none/journal`)
    }).pipe(Effect.scoped)
  )
})

describe("RunJournal", () => {
  it("encodes events as they are, since they are plain JSON", () => {
    for (const event of events) {
      assert.deepStrictEqual(Schema.encodeUnknownSync(RunEvent.RunEvent)(event), event)
    }
  })
})
