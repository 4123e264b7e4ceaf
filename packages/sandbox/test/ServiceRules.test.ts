import { assert, it } from "@effect/vitest"
import { read } from "@tokenbatch/sandbox/ServiceRules"
import * as Result from "effect/Result"

const body = (clientId: string) =>
  `[{"grantType":"PASSWORD","clientId":1,"subject":"a"},{"grantType":"PASSWORD","clientId":${clientId},"subject":"b","acr":null}]`

it.each([
  ["9223372036854775807", undefined],
  ["-9223372036854775808", undefined],
  ["9223372036854775808", "Request 1 is not valid: clientId expected a 64-bit integer"],
  ['"1"', "Request 1 is not valid: clientId expected a 64-bit integer"]
])("takes a client id of %s by its digits", (clientId, refusal) => {
  const requested = read(body(clientId))
  if (refusal === undefined) assert.isTrue(Result.isSuccess(requested))
  else assert.include(Result.isFailure(requested) ? requested.failure.message : "", refusal)
})
