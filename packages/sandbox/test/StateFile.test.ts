import { SandboxOptions, StateFile } from "@tokenbatch/sandbox"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "tokenbatch-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Opens a state file, and gives what it knows. */
const open = <A>(stateFile: string, use: (state: StateFile.StateFile["Service"]) => A, ledgerFile = `${stateFile}.x`) =>
  Effect.flatMap(StateFile.StateFile, (state) => Effect.sync(() => use(state))).pipe(
    Effect.provide(StateFile.StateFile.layer(SandboxOptions.make({ stateFile, ledgerFile })))
  )

const accepted = (requestId: string, at = 1): StateFile.Accepted => ({
  _tag: "Accepted",
  requestId,
  at,
  dryRun: false,
  faults: { view: { fault: "stuck", works: true }, failsAt: 3 },
  records: [{ access: "a", refresh: "r", scopes: ["openid"] }, { access: "b" }]
})

const ended = (requestId: string): StateFile.Ended => ({
  _tag: "Ended",
  requestId,
  at: 2,
  result: "FAILED",
  tokenCount: 1,
  errorCode: "SBX500001",
  errorDescription: "It — exists.",
  created: [0]
})

const lines = [
  accepted("1"),
  accepted("2"),
  ended("2"),
  accepted("3"),
  ended("1"),
  { _tag: "Forgotten", requestId: "3" }
]

describe("StateFile", () => {
  it.effect("knows again what was written, for its owner only", () =>
    Effect.gen(function* () {
      const file = join(folder, "whole")
      writeFileSync(file, "")
      chmodSync(file, 0o644)
      yield* open(file, (state) => {
        assert.deepStrictEqual(state.known, { ended: [], open: [] })
        for (const line of [...lines, accepted("4")]) state.writeUnsafe(line as StateFile.Accepted)
      })
      yield* open(file, ({ known }) => {
        assert.deepStrictEqual(known.ended, [
          [accepted("2"), ended("2")],
          [accepted("1"), ended("1")]
        ])
        assert.deepStrictEqual(known.open, [accepted("4")])
      })
      assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    })
  )

  it.effect("cut at any byte, knows all the lines that are whole, and writes on after them", () =>
    Effect.gen(function* () {
      const file = join(folder, "cut")
      const whole = Buffer.from(lines.map((line) => `${JSON.stringify(line)}\n`).join(""))
      for (let cut = 0; cut <= whole.length; cut++) {
        const kept = whole.subarray(0, whole.lastIndexOf(10, cut - 1) + 1).toString()
        const count = cut === 0 ? 0 : kept.split("\n").length - 1
        writeFileSync(file, whole.subarray(0, cut))
        yield* open(file, (state) => {
          assert.strictEqual(state.known.ended.length, [0, 0, 0, 1, 1, 2, 2][count])
          assert.strictEqual(state.known.open.length, [0, 1, 2, 1, 2, 1, 0][count])
          state.writeUnsafe(accepted("9"))
        })
        assert.strictEqual(readFileSync(file, "utf8"), `${cut === 0 ? "" : kept}${JSON.stringify(accepted("9"))}\n`)
      }
    })
  )

  it.effect.each([
    ["something else", "Dear diary,\n", /line 1 is none of a sandbox's state/],
    ["something else without a line's end", "Dear diary", /line 1 is none/],
    ["a broken line", `${JSON.stringify(accepted("1"))}\n{"_tag":"Ended"}\n`, /line 2 is none/]
  ] as const)("refuses %s, and leaves it as it is", ([, text, message]) =>
    Effect.gen(function* () {
      const file = join(folder, "other")
      writeFileSync(file, text)
      const error = yield* Effect.flip(open(file, () => {}))
      assert.match(error.message, message)
      assert.strictEqual(readFileSync(file, "utf8"), text)
    })
  )

  it.effect("is no ledger, and is in a folder", () =>
    Effect.gen(function* () {
      const file = join(folder, "same")
      assert.match((yield* Effect.flip(open(file, () => {}, file))).message, /the file of the ledger, too/)
      assert.match((yield* Effect.flip(open(join(folder, "no", "file"), () => {}))).message, /ENOENT/)
    })
  )
})
