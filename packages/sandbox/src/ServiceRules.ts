/**
 * What the service makes of a request body: the records of a batch, or why it refuses it unread.
 *
 * A body that is no array of well-formed records is refused with 400 and nothing is taken. Fields that the service does not know are
 * ignored, as the real one does. What can only be known by doing it (a token value that exists, a scope that is not supported) fails
 * the batch later. Codes are the sandbox's own: those of the real service's batch operations are not published.
 */
import { Int64, TokenCreateRequest } from "@tokenbatch/core"
import * as Result from "effect/Result"

/** A record as the workers need it. */
export interface Requested {
  readonly subject: string | undefined
  readonly accessToken: string | undefined
  readonly refreshToken: string | undefined
  readonly scopes: ReadonlyArray<string>
}

/** Why a body was refused. */
export interface Refusal {
  readonly code: string
  readonly message: string
}

const check = TokenCreateRequest.makeCheck({ allowUnknownFields: true })

const refuse = (code: string, message: string) => Result.fail({ code, message: `[${code}] ${message}` })

/** Why a record of the body is none, if it is: by its own text, with all digits of its numbers. */
const violationOf = (body: string, index: number): TokenCreateRequest.Violation | undefined => {
  const records = JSON.parse(body, Int64.reviver) as ReadonlyArray<unknown>
  const text = JSON.stringify(records[index], Int64.rawJson)
  return check(text, JSON.parse(text))
}

/** Reads a request body. */
export const read = (body: string): Result.Result<ReadonlyArray<Requested>, Refusal> => {
  let records: unknown
  try {
    records = JSON.parse(body)
  } catch {
    return refuse("SBX400001", "The request body is not JSON.")
  }
  if (!Array.isArray(records)) return refuse("SBX400002", "The request body is not an array.")
  const requested: Array<Requested> = []
  for (const [index, record] of records.entries()) {
    const violation = check(body, record) === undefined ? undefined : violationOf(body, index)
    if (violation !== undefined) {
      const field = TokenCreateRequest.formatPath(violation.path)
      return refuse("SBX400003", `Request ${index} is not valid: ${field === "" ? "it" : field} ${violation.message}.`)
    }
    requested.push({
      subject: record.subject ?? undefined,
      accessToken: record.accessToken ?? undefined,
      refreshToken: record.refreshToken ?? undefined,
      scopes: record.scopes ?? []
    })
  }
  return Result.succeed(requested)
}
