/**
 * What is to go wrong in a sandbox, and how often: a plan of faults, as plain JSON.
 *
 * A plan is a seed and rules. A rule names a fault and says how often it happens (`rate`), in which window of time since the sandbox
 * started (`from`, `to`, milliseconds), and how often at most (`max`). Everything but the name may be left out.
 *
 * **When a rule is asked**
 *
 * - `refuse`: when a client connects.
 * - `resetBeforeBody`: when the headers of a call have come, before its body is read.
 * - the other faults of calls: when the body of a call has been read, and is a batch, and the call is not refused for coming too fast
 *   (`Limits`). Faults of both operations take `on`; the rest happen to create calls alone, dry runs or not.
 * - `unknownFor`, `stuck`, `flap`, `failAtToken`: when a batch is accepted. They stay with it, also when the sandbox is started anew.
 *
 * At each of these moments every rule that could apply draws a number, in the order of the plan, and the first whose fault comes up
 * has its way. (Of the last four, one that hides the status and one that fails the batch.)
 *
 * **Determinism**
 *
 * Each rule has a generator of its own, seeded by the plan's seed and the rule's place in it. It draws whenever it is asked, outside
 * of its window too. So the same plan and the same order of calls give the same faults, whatever the time between the calls, and a
 * rule is not disturbed by the rules before it. A sandbox that is started anew draws from the beginning.
 *
 * **Gotchas**
 *
 * - A client that keeps its connections is refused none: an outage is `refuse` and `resetBeforeBody` in one window, both at rate 1.
 * - `accept` says whether the batch was taken although the answer is an error. Answers that say it was not (429, 413, 400, 401, 503
 *   with Retry-After) have no such choice: the sandbox does not lie.
 *
 * @example
 * ```ts
 * import { Sandbox } from "@tokenbatch/sandbox"
 *
 * const Rough = Sandbox.Sandbox.layer({
 *   faults: {
 *     seed: 7,
 *     rules: [
 *       { fault: "resetAfterAccept", rate: 0.02 },
 *       { fault: "rateLimited", rate: 0.1, retryAfter: 1, on: "both" },
 *       { fault: "refuse", from: 10_000, to: 15_000 },
 *       { fault: "stuck", max: 1 }
 *     ]
 *   }
 * })
 * ```
 */
import { TokenCreateRequest } from "@tokenbatch/core"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const Millis = Schema.Number.check(Schema.isGreaterThanOrEqualTo(0))
const Share = Schema.Number.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

const often = {
  /** How often the fault happens when the rule is asked, from 0 to 1. Default 1: always. */
  rate: Schema.optionalKey(Share),
  /** Not before this time, in milliseconds since the sandbox started. Default 0. */
  from: Schema.optionalKey(Millis),
  /** Not from this time on, in milliseconds since the sandbox started. Default: for ever. */
  to: Schema.optionalKey(Millis),
  /** How often at most. Default: without bound. */
  max: Schema.optionalKey(Count)
}

const rule = <const Name extends string, const Fields extends Schema.Struct.Fields>(fault: Name, fields: Fields) =>
  Schema.Struct({ fault: Schema.Literal(fault), ...often, ...fields })

/** Which operation a fault happens to. Default `both`. */
const on = { on: Schema.optionalKey(Schema.Literals(["create", "status", "both"])) }
/** Whether the batch is taken all the same. Default false. */
const accept = { accept: Schema.optionalKey(Schema.Boolean) }
/** `Retry-After`, in seconds. Default: the header is left out. */
const retryAfter = { retryAfter: Schema.optionalKey(Count) }
/** Milliseconds. */
const delay = { delay: Schema.optionalKey(Millis) }

const rules = Schema.Union([
  // ---- on the wire

  /** The connection is reset as soon as it is made. */
  rule("refuse", {}),
  /** The connection is reset when the headers have come. */
  rule("resetBeforeBody", on),
  /** The connection is reset when the body has been read, before the batch is taken. */
  rule("resetBeforeAccept", {}),
  /** The batch is taken, then the connection is reset in place of an answer. A status call is just reset. */
  rule("resetAfterAccept", on),
  /** The batch is taken, then half of the answer is sent, and the connection ends. */
  rule("halfAnswer", on),
  /** The batch is taken, then answered after `delay`. Default 30,000. */
  rule("slow", { ...on, ...delay }),
  /** The batch is taken after `delay`, even if the client has gone away, then answered. Default 30,000. */
  rule("slowBeforeAccept", delay),

  // ---- in the answers to calls

  /** 429. */
  rule("rateLimited", { ...on, ...retryAfter }),
  /** 503. With `retryAfter` the batch is never taken. */
  rule("unavailable", { ...on, ...retryAfter, ...accept }).check(
    Schema.makeFilter((unavailable) =>
      unavailable.accept === true && unavailable.retryAfter !== undefined
        ? { path: ["accept"], issue: "expected no accept beside retryAfter, which says that the batch was not taken" }
        : undefined
    )
  ),
  /** 500 with a JSON result, to create. */
  rule("serverError", accept),
  /** 502 with a page of HTML. */
  rule("badGateway", { ...on, ...accept }),
  /** 413 where the body has more bytes, or the batch more records, than this; always where neither is given. */
  rule("tooLarge", { bytes: Schema.optionalKey(Count), records: Schema.optionalKey(Count) }),
  /**
   * 400 where a record of the batch is a bad one. Which are is a property of the plan's seed and the record's subject (its access token
   * where it has none): `share` of all. Such a record is refused each time and alone, whatever its batch and its other fields.
   */
  rule("badRequest", { share: Share }),
  /** 200 without a request id. */
  rule("noRequestId", accept),
  /** An error whose message holds the first `length` characters of the body. Defaults: 500, 1,000. */
  rule("echo", {
    status: Schema.optionalKey(Schema.Literals([400, 500])),
    length: Schema.optionalKey(Count),
    ...accept
  }).check(
    Schema.makeFilter((echo) =>
      echo.accept === true && echo.status === 400
        ? { path: ["accept"], issue: "expected no accept beside status 400, which says that the batch was not taken" }
        : undefined
    )
  ),
  /** 401. */
  rule("unauthorized", on),
  /** 500 with a JSON result, to status. */
  rule("statusServerError", {}),

  // ---- in the status of a batch, decided when it is accepted

  /** The request id is unknown (400) until `delay` after the batch was accepted. Default 5,000. */
  rule("unknownFor", delay),
  /**
   * There is no result until `delay` after the batch was accepted; without `delay`, for ever. Its tokens are created meanwhile, unless
   * `works` is false (default true): then the batch is not worked on before, or never.
   */
  rule("stuck", { ...delay, works: Schema.optionalKey(Schema.Boolean) }),
  /**
   * Until the batch has its result, and for `delay` after it was accepted at least, a status is now one without a result, now a 500,
   * now an unknown id. Default 2,000.
   */
  rule("flap", delay),

  // ---- in the outcome of a batch, decided when it is accepted

  /**
   * The batch is FAILED, with code SBX500099, for no reason of a record: when `token` records have been carried out (a number of the
   * dice's if absent). A batch that has no more than `token` records is spared. Dry runs fail only if `dryRuns` is true.
   */
  rule("failAtToken", { token: Schema.optionalKey(Count), dryRuns: Schema.optionalKey(Schema.Boolean) })
])

/** The names of all faults. */
export const names: ReadonlyArray<Rule["fault"]> = rules.members.map(({ fields }) => fields.fault.literal)

/** A rule of a plan: one member for each fault, told apart by `fault`. */
export const Rule = rules.annotate({ expected: `a rule whose fault is one of ${names.join(", ")}` })
export type Rule = typeof Rule.Type

/** The rule of one of some faults. */
export type RuleOf<Fault extends Rule["fault"]> = Extract<Rule, { readonly fault: Fault }>

/** A plan: which faults happen, and how often. */
export const FaultPlan = Schema.Struct({
  /** Default 1. */
  seed: Schema.optionalKey(Schema.Int),
  rules: Schema.Array(Rule)
})
export interface FaultPlan extends Schema.Schema.Type<typeof FaultPlan> {}

/** A text is no plan. */
export class FaultPlanError extends Schema.TaggedError<FaultPlanError>()("FaultPlanError", {
  /** Where in the plan, such as `rules[2].rate`; empty for the whole. */
  place: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.place === "" ? this.reason : `${this.place}: ${this.reason}`
  }
}

const decode = Schema.decodeUnknownResult(FaultPlan, { onExcessProperty: "error", errors: "first" })
const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Reads a plan from JSON text. A name that no rule has is an error, too: it would be a fault that never happens. */
export const parse = (text: string): Result.Result<FaultPlan, FaultPlanError> => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    return Result.fail(new FaultPlanError({ place: "", reason: `it is not JSON: ${(error as SyntaxError).message}` }))
  }
  return Result.mapError(decode(json), ({ issue }) => {
    const first = format(issue).issues[0]
    const path = (first?.path ?? []).map((part) => (typeof part === "object" ? part.key : part))
    return new FaultPlanError({
      place: TokenCreateRequest.formatPath(path),
      reason: first?.message ?? "it cannot be decoded"
    })
  })
}
