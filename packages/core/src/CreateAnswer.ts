/**
 * What a failed create call means for its batch: one function, so that whoever submits, resumes or resolves gives one answer.
 *
 * The question is always whether the service may have taken the batch. Only what certainly was not taken may be sent again as it is.
 * A 403, and addresses that do not answer as the API does, mean one thing before any create of this run was taken (the settings
 * are wrong) and another thing after (the settings were right a moment ago).
 */
import type { AuthleteError } from "./AuthleteError.ts"

/**
 * - `NotTaken`: certainly not taken, and no fault of the batch: again later, `retryAfter` milliseconds from now if given.
 * - `TooLarge`, `Refused`: certainly not taken, for something in it: in two halves.
 * - `CredentialsRefused`, `WrongAddress`: not taken, and neither will any other be: stop.
 * - `InDoubt`: perhaps taken. Never repeat it blindly.
 */
export type Meaning =
  | { readonly _tag: "NotTaken"; readonly retryAfter?: number }
  | { readonly _tag: "TooLarge" }
  | { readonly _tag: "Refused" }
  | { readonly _tag: "CredentialsRefused" }
  | { readonly _tag: "WrongAddress" }
  | { readonly _tag: "InDoubt" }

const inDoubt: Meaning = { _tag: "InDoubt" }

/** What the error of a create call means. `anyTaken`: whether a create of this leg was taken before. */
export const meaning = (error: AuthleteError, context: { readonly anyTaken: boolean }): Meaning => {
  switch (error._tag) {
    case "RateLimited":
      return error.retryAfter === undefined ? { _tag: "NotTaken" } : { _tag: "NotTaken", retryAfter: error.retryAfter }
    case "RequestTimeout":
    case "TransportError":
      return error.sent ? inDoubt : { _tag: "NotTaken" }
    case "ResultError":
    case "UnexpectedResponse":
      return ofStatus(error.status, context.anyTaken)
  }
}

const ofStatus = (status: number, anyTaken: boolean): Meaning => {
  switch (status) {
    case 400:
    case 422:
      return { _tag: "Refused" }
    case 401:
      return { _tag: "CredentialsRefused" }
    case 403:
      return anyTaken ? { _tag: "Refused" } : { _tag: "CredentialsRefused" }
    case 413:
      return { _tag: "TooLarge" }
    case 404:
    case 405:
    case 415:
      return anyTaken ? inDoubt : { _tag: "WrongAddress" }
    default:
      return status >= 300 && status < 400 && !anyTaken ? { _tag: "WrongAddress" } : inDoubt
  }
}
