/** A sandbox that ends and is started anew with its state. That it is killed is tried with the command, which is a process. */
import type { SandboxOptions } from "@tokenbatch/sandbox"
import { assert, beforeEach, afterEach, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { against, upTo, type Client } from "./fixtures.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "tokenbatch-"))
})
afterEach(() => rmSync(folder, { recursive: true }))

const started = <A, E>(input: SandboxOptions.Input, use: (client: Client) => Effect.Effect<A, E>) =>
  against({ ...input, stateFile: join(folder, "state"), ledgerFile: join(folder, "ledger") }, use)

const ledger = () => readFileSync(join(folder, "ledger"), "utf8")

describe("a sandbox that is started anew", () => {
  it.live("knows results and tokens, and writes its ledger again", () =>
    Effect.gen(function* () {
      const before = yield* started({}, ({ result, taken }) =>
        Effect.gen(function* () {
          const ids = [yield* taken([1, 2]), yield* taken([3, 2, 4]), yield* taken([9], { dryRun: true })]
          return yield* Effect.forEach(ids, (id) => Effect.map(result(id), (status) => [id, status] as const))
        })
      )
      const written = ledger()
      assert.strictEqual(written.trimEnd().split("\n").length, 3)
      yield* started({}, ({ created, result, status, taken }) =>
        Effect.gen(function* () {
          for (const [id, status] of before) assert.deepStrictEqual(yield* result(id), status)
          assert.deepStrictEqual(yield* created, [1, 2, 3])
          assert.strictEqual(ledger(), written)
          assert.strictEqual((yield* status("another")).status, 400)
          assert.deepInclude(yield* result(yield* taken([1])), { errorCode: "SBX500001" })
          assert.deepInclude(yield* result(yield* taken([4, 5])), { result: "SUCCEEDED" })
        })
      )
      yield* started({}, ({ created }) =>
        Effect.map(created, (found) => assert.deepStrictEqual(found, [1, 2, 3, 4, 5]))
      )
    })
  )

  it.live("knows refresh values, too", () =>
    Effect.gen(function* () {
      yield* started({}, ({ result, taken }) => Effect.flatMap(taken([1]), result))
      yield* started({}, ({ ledger }) =>
        Effect.gen(function* () {
          const [line] = readFileSync(join(folder, "state"), "utf8").split("\n")
          assert.strictEqual(ledger.existing({ access: "x", refresh: JSON.parse(line!).records[0].refresh }), "refresh")
          assert.notMatch(readFileSync(join(folder, "state"), "utf8"), /access-1|refresh-1/)
        })
      )
    })
  )

  it.live("works again on batches that had no result", () =>
    Effect.gen(function* () {
      const ids = yield* started({ setupTime: "1 minute" }, ({ taken }) => Effect.forEach([1, 2], (n) => taken([n])))
      yield* started({ workers: 1 }, ({ created, result }) =>
        Effect.gen(function* () {
          for (const id of ids) assert.deepInclude(yield* result(id), { result: "SUCCEEDED", requestId: id })
          assert.deepStrictEqual(yield* created, [1, 2])
        })
      )
    })
  )

  it.live("which hold their places in the queue", () =>
    Effect.gen(function* () {
      const slow = { setupTime: "1 minute", maxQueue: 2 } as const
      yield* started(slow, ({ taken }) => taken([1]))
      yield* started(slow, ({ create }) =>
        Effect.gen(function* () {
          const came = yield* Effect.forEach([2, 3], (n) => create([n]))
          assert.deepStrictEqual(
            came.map(({ status }) => status),
            [200, 429]
          )
        })
      )
    })
  )

  it.live("or has forgotten them, for good", () =>
    Effect.gen(function* () {
      const id = yield* started({ setupTime: "1 minute" }, ({ taken }) => taken([1]))
      for (const lostOnRestart of ["forget", "requeue"] as const) {
        yield* started({ lostOnRestart }, ({ created, status }) =>
          Effect.gen(function* () {
            yield* Effect.sleep(30)
            assert.strictEqual((yield* status(id)).status, 400)
            assert.deepStrictEqual(yield* created, [])
          })
        )
      }
    })
  )

  it.live("has the faults of its batches still", () =>
    Effect.gen(function* () {
      const rules = [{ fault: "failAtToken", token: 2 } as const, { fault: "stuck", max: 1 } as const]
      const ids = yield* started({ setupTime: "1 minute", faults: { rules } }, ({ taken }) =>
        Effect.forEach([upTo(4), [7, 8, 9]], (numbers) => taken(numbers))
      )
      yield* started({}, ({ created, result, status }) =>
        Effect.gen(function* () {
          assert.deepInclude(yield* result(ids[1]!), { result: "FAILED", tokenCount: 2 })
          assert.notProperty(JSON.parse((yield* status(ids[0]!)).body).status, "result")
          assert.deepStrictEqual(yield* created, [1, 2, 7, 8])
        })
      )
    })
  )
})
