import { Ledger } from "@tokenbatch/sandbox"
import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const folder = mkdtempSync(join(tmpdir(), "tokenbatch-"))
afterAll(() => rmSync(folder, { recursive: true }))

const hashes = (text: string) => text.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line).tokenHash]))

describe("Ledger", () => {
  it.effect("takes tokens back, from file and memory, where what belongs to them cannot be written", () => {
    const file = join(folder, "ledger")
    return Effect.gen(function* () {
      const ledger = yield* Ledger.Ledger
      ledger.addUnsafe("1", [{ access: "a", refresh: "r" }])
      assert.throws(
        () =>
          ledger.addUnsafe("2", [{ access: "b" }], () => {
            throw new Error("no")
          }),
        "no"
      )
      assert.deepStrictEqual(hashes(readFileSync(file, "utf8")), ["a"])
      assert.isUndefined(ledger.existing({ access: "b" }))
      ledger.addUnsafe("3", [{ access: "c" }])
      assert.deepStrictEqual(hashes(readFileSync(file, "utf8")), ["a", "c"])
      assert.strictEqual(yield* ledger.size, 2)
      assert.strictEqual(ledger.existing({ access: "z", refresh: "r" }), "refresh")
    }).pipe(Effect.provide(Ledger.Ledger.layer(file)))
  })

  it.effect.skipIf(process.platform !== "linux")("has nothing in memory that the file does not take", () =>
    Effect.gen(function* () {
      const ledger = yield* Ledger.Ledger
      assert.throws(() => ledger.addUnsafe("1", [{ access: "a" }]), /cannot be written/)
      assert.strictEqual(yield* ledger.size, 0)
    }).pipe(Effect.provide(Ledger.Ledger.layer("/dev/full")))
  )

  it.effect("says which file it cannot open", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(Ledger.Ledger, Ledger.Ledger.layer(join(folder, "no", "file"))))
      assert.match(error.message, /ledger .* cannot be written: ENOENT/)
    })
  )
})
