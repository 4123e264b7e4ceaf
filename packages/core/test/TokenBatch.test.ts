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
    [{ status: { result: "succeeded" } }, "Unknown"],
    [{ status: { result: "SUCCEEDED", batchKind: "CREATE" } }, "Succeeded"],
    [{ status: { result: "SUCCEEDED", batchKind: "DELETE" } }, "Unknown"],
    [{ status: { batchKind: "DELETE" } }, "Running"]
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

  it("leaves out what is absent or null", () =>
    assert.deepStrictEqual(
      status({
        resultCode: null,
        resultMessage: null,
        status: { batchKind: null, requestId: "r", errorCode: null, errorDescription: null, tokenCount: null }
      }),
      { state: "Running" }
    ))

  it("cleans each text before it is kept, the result too", () => {
    const wire = { status: { result: "ODD", batchKind: "K", errorCode: "E", errorDescription: "d", tokenCount: 1 } }
    assert.deepStrictEqual(
      TokenBatch.statusFromResponse(wire, (text) => `<${text}>`),
      { state: "Unknown", result: "<ODD>", batchKind: "<K>", errorCode: "<E>", errorDescription: "<d>", tokenCount: 1 }
    )
    assert.strictEqual(TokenBatch.statusFromResponse({ status: { result: "SUCCEEDED" } }, () => "").state, "Succeeded")
  })

  it.each([
    { status: "SUCCEEDED" },
    { status: { result: 1 } },
    { status: { tokenCount: "7" } },
    { status: { tokenCount: 1.5 } },
    [],
    null
  ])("refuses %j", (wire) => assert.isFalse(Schema.is(TokenBatch.StatusResponse)(wire)))

  it("takes timestamps and counts as large as an int64", () => {
    const wire = JSON.parse('{"status":{"tokenCount":9007199254740993,"createdAt":1795583433160}}')
    assert.strictEqual(status(wire).createdAt, 1_795_583_433_160)
  })

  it("takes an empty request id for none", () => {
    assert.isFalse(Schema.is(TokenBatch.RequestId)(""))
    assert.isTrue(Schema.is(TokenBatch.RequestId)("r/1"))
  })
})
