import { TokenBatch } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"

const status = (wire: unknown) =>
  TokenBatch.statusFromResponse(Schema.decodeUnknownSync(TokenBatch.StatusResponse)(wire))

describe("TokenBatch", () => {
  it.each([
    [{}, "Running"],
    [{ status: null }, "Running"],
    [{ status: {} }, "Running"],
    [{ status: { result: null, tokenCount: null } }, "Running"],
    [{ status: { result: "SUCCEEDED" } }, "Succeeded"],
    [{ status: { result: "FAILED" } }, "Failed"],
    [{ status: { result: "PAUSED" } }, "Unknown"],
    [{ status: { result: "succeeded" } }, "Unknown"]
  ])("%j is %s", (wire, state) => assert.strictEqual(status(wire).state, state))

  it("keeps what came, as it came, and ignores what nobody knows", () => {
    const wire = {
      brandNew: 1,
      status: { result: "PAUSED", batchKind: "UPDATE", tokenCount: 7, createdAt: 1_795_583_433_160, nobodyKnows: {} }
    }
    assert.deepStrictEqual(status(wire), {
      state: "Unknown",
      result: "PAUSED",
      batchKind: "UPDATE",
      tokenCount: 7,
      createdAt: 1_795_583_433_160
    })
  })
})
