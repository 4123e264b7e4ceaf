/**
 * Deals out the faults of a {@link FaultPlan.FaultPlan}: asked at each moment at which something may go wrong, it says what does.
 *
 * It only decides. The server carries out the faults of calls (`FaultyAnswers`), the workers those of batches (`BatchWorkers`). When the
 * rules are asked, and what the same plan promises, is said in `FaultPlan`.
 */
import type * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { hash } from "node:crypto"
import type { FaultPlan, Rule, RuleOf } from "./FaultPlan.ts"
import * as Random from "./Random.ts"
import type { Requested } from "./ServiceRules.ts"

/** Faults that happen to either operation, as `on` says. */
const faultsOfBoth = [
  "resetAfterAccept",
  "halfAnswer",
  "slow",
  "rateLimited",
  "unavailable",
  "badGateway",
  "unauthorized"
] as const
const faultsOfCreate = [
  "resetBeforeAccept",
  "slowBeforeAccept",
  "serverError",
  "tooLarge",
  "badRequest",
  "noRequestId",
  "echo"
] as const
const faultsOfView = ["unknownFor", "stuck", "flap"] as const

const isOfBoth = is(...faultsOfBoth)
const isOfCreate = is(...faultsOfCreate)

function is<const Names extends ReadonlyArray<Rule["fault"]>>(...names: Names) {
  return (rule: Rule): rule is RuleOf<Names[number]> => names.includes(rule.fault)
}

const isOn = ({ on = "both" }: { readonly on?: Operation | "both" }, operation: Operation) =>
  on === "both" || on === operation

type Operation = "create" | "status"

/** A fault of a call whose body has been read. */
export type CallFault = RuleOf<(typeof faultsOfBoth)[number] | (typeof faultsOfCreate)[number] | "statusServerError">

/** A create call, as far as it matters for its faults. */
export interface CreateCall {
  /** The length of the body, in bytes. */
  readonly bytes: number
  readonly records: ReadonlyArray<Requested>
}

/** What goes wrong with a batch. Plain data, so that it can be written down with the batch. */
export const BatchFaults = Schema.Struct({
  /** What hides its status, and until when (milliseconds since the Unix epoch; for ever if absent). */
  view: Schema.optionalKey(
    Schema.Struct({
      fault: Schema.Literals(faultsOfView),
      until: Schema.optionalKey(Schema.Number),
      /** Whether the batch is worked on meanwhile. */
      works: Schema.Boolean
    })
  ),
  /** It fails when this many records have been carried out. */
  failsAt: Schema.optionalKey(Schema.Int)
})
export interface BatchFaults extends Schema.Schema.Type<typeof BatchFaults> {}

/** Deals out faults. Each question is answered at once, and draws: it is asked once for each call, or batch. */
export class Faults extends Context.Service<
  Faults,
  {
    /** Whether a new connection is refused. */
    readonly ofConnection: () => boolean
    /** Whether a call whose headers have come is reset. */
    readonly ofHeaders: (operation: Operation) => boolean
    /** What goes wrong with a create call whose body has been read. */
    readonly ofCreate: (call: CreateCall) => CallFault | undefined
    /** What goes wrong with a status call. */
    readonly ofStatus: () => CallFault | undefined
    /** What goes wrong with a batch that is accepted now. */
    readonly ofBatch: (batch: { readonly dryRun: boolean; readonly size: number }) => BatchFaults
    /** What a flapping batch shows now: no result, an error, or that it is unknown. */
    readonly flap: () => "running" | "error" | "unknown"
  }
>()("@tokenbatch/sandbox/Faults") {
  /** Deals out the faults of a plan, from the moment the layer is built; none without a plan. */
  static readonly layer = (plan: FaultPlan = { rules: [] }): Layer.Layer<Faults> =>
    Layer.effect(
      Faults,
      Effect.clockWith((clock) => Effect.sync(() => make(plan, clock)))
    )
}

const make = ({ rules, seed = 1 }: FaultPlan, clock: Clock.Clock): Faults["Service"] => {
  const start = clock.currentTimeMillisUnsafe()
  const dealers = rules.map((rule, index) => ({ rule, random: Random.make(seed, index + 1), times: 0 }))
  const flaps = Random.make(seed, rules.length + 1)
  const tokens = Random.make(seed, rules.length + 2)

  /** The first of the rules that apply whose fault comes up. All that apply draw, so that none depends on those before it. */
  const deal = <R extends Rule>(applies: (rule: Rule) => rule is R): R | undefined => {
    const time = clock.currentTimeMillisUnsafe() - start
    let dealt: R | undefined
    for (const dealer of dealers) {
      const { rule } = dealer
      if (!applies(rule)) continue
      const comesUp = Random.fraction(dealer.random) < (rule.rate ?? 1)
      const isOpen = time >= (rule.from ?? 0) && time < (rule.to ?? Infinity) && dealer.times < (rule.max ?? Infinity)
      if (dealt !== undefined || !comesUp || !isOpen) continue
      dealt = rule
      dealer.times++
    }
    return dealt
  }

  /** Whether `badRequest` refuses a record, whatever its batch. */
  const isBad = ({ accessToken, subject }: Requested, share: number): boolean => {
    const key = subject ?? accessToken
    return key !== undefined && hash("sha256", `${seed} ${key}`, "buffer").readUInt32LE() / 2 ** 32 < share
  }

  const matches = (rule: RuleOf<(typeof faultsOfCreate)[number]>, { bytes, records }: CreateCall): boolean => {
    switch (rule.fault) {
      case "badRequest":
        return records.some((record) => isBad(record, rule.share))
      case "tooLarge": {
        const isUnbounded = rule.bytes === undefined && rule.records === undefined
        return isUnbounded || bytes > (rule.bytes ?? Infinity) || records.length > (rule.records ?? Infinity)
      }
      default:
        return true
    }
  }

  return {
    ofConnection: () => deal(is("refuse")) !== undefined,
    ofHeaders: (operation) =>
      deal((rule): rule is Rule => is("resetBeforeBody")(rule) && isOn(rule, operation)) !== undefined,
    ofCreate: (call) =>
      deal(
        (rule): rule is CallFault =>
          (isOfBoth(rule) && isOn(rule, "create")) || (isOfCreate(rule) && matches(rule, call))
      ),
    ofStatus: () =>
      deal((rule): rule is CallFault => (isOfBoth(rule) && isOn(rule, "status")) || rule.fault === "statusServerError"),
    ofBatch: ({ dryRun, size }) => {
      const view = deal(is(...faultsOfView))
      const failure = deal(
        (rule): rule is RuleOf<"failAtToken"> =>
          rule.fault === "failAtToken" && (!dryRun || rule.dryRuns === true) && (rule.token ?? 0) < size
      )
      return {
        ...(view === undefined ? undefined : { view: viewOf(view, clock.currentTimeMillisUnsafe()) }),
        ...(failure === undefined ? undefined : { failsAt: failure.token ?? Random.below(tokens, size) })
      }
    },
    flap: () => (["running", "error", "unknown"] as const)[Random.below(flaps, 3)]!
  }
}

const viewOf = (rule: RuleOf<(typeof faultsOfView)[number]>, now: number): NonNullable<BatchFaults["view"]> => {
  switch (rule.fault) {
    case "unknownFor":
      return { fault: rule.fault, until: now + (rule.delay ?? 5000), works: true }
    case "flap":
      return { fault: rule.fault, until: now + (rule.delay ?? 2000), works: true }
    case "stuck": {
      const until = rule.delay === undefined ? undefined : { until: now + rule.delay }
      return { fault: rule.fault, ...until, works: rule.works ?? true }
    }
  }
}
