/**
 * What is not final in a run: the batches that are somewhere between intent and a last word, and those whose records are unresolved or
 * not submitted. A fold over the events, live or read back: it says what to do on resume, what there is to resolve, and which lines
 * were left when the run ended.
 *
 * The fold is mutable, since a run has as many batches as its input has thousands of lines, and forgets what is final.
 */
import type { ByteRange, LineRange } from "./Batches.ts"
import * as Lines from "./Lines.ts"
import type { RunEvent } from "./RunEvent.ts"

/**
 * How far a batch has come.
 *
 * - `Sent`: perhaps on its way; nothing is known.
 * - `NotTaken`: certainly not taken, and to be submitted (again).
 * - `Accepted`: taken, without an outcome.
 * - `Split`: not taken, in halves.
 * - `Failed`: given up by the service, perhaps after doing a part of it.
 * - `Unresolved`: ended without a verdict.
 */
export type Phase = "Sent" | "NotTaken" | "Accepted" | "Split" | "Failed" | "Unresolved"

/** A batch that is not final. */
export interface OpenBatch {
  readonly batch: number
  readonly parent: number | undefined
  /** The batch whose records it submits again, if it does. */
  readonly resolves: number | undefined
  readonly records: number
  readonly withoutAccessToken: number
  readonly lines: ReadonlyArray<LineRange>
  /** The stretch of input that it was cut from; not for the parts of another one. */
  readonly bytes: ByteRange | undefined
  readonly digest: string | undefined
  readonly phase: Phase
  readonly requestId: string | undefined
  /** The service does not know the request ID any more. */
  readonly lost: boolean
  readonly code: string
  readonly message: string
  readonly tokenCount: number | undefined
  /** Whether it has ended for now, so that taking it up again is to reopen it. */
  readonly ended: boolean
  /** Its lines that are neither final nor in a part of it that was intended. */
  readonly left: ReadonlyArray<LineRange>
  /** Whether it has been looked into to the end, and some are still unresolved. */
  readonly examined: boolean
  /** Whether its records without an access token have been sent again. */
  readonly resubmitted: boolean
  /** Whether records of it were submitted again that do not begin where it does: by parts. */
  readonly inParts: boolean
  /** How many records of it and of its parts are not final. */
  readonly openRecords: number
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

/** Lines that are not final, and why. */
export interface Leftover {
  readonly batch: number
  readonly end: "unresolved" | "notSubmitted"
  readonly requestId?: string
  readonly lines: ReadonlyArray<LineRange>
  readonly code: string
  readonly message: string
  readonly tokenCount?: number
}

/** Created records, some of them with access tokens of their own, and the stretch of input that they stand in. */
export interface Created {
  readonly bytes: ByteRange
  readonly lines: ReadonlyArray<LineRange>
}

/** As many records that were created are remembered, and those of the batch that goes beyond. */
const enoughCreated = 200

/** The fold. */
export class OpenBatches {
  private readonly batches = new Map<number, Mutable<OpenBatch>>()
  /** The open parts of each split batch, and the open batches that submit records of another one again. */
  private readonly parts = new Map<number, Set<number>>()
  private readonly attempts = new Map<number, Set<number>>()
  /** The first few batches that were created. */
  readonly created: Array<Created> = []
  private createdRecords = 0
  /** The highest number that a batch has. */
  last = 0

  get(batch: number): OpenBatch | undefined {
    return this.batches.get(batch)
  }

  /** All that is open, in the order of their numbers. */
  all(): ReadonlyArray<OpenBatch> {
    return [...this.batches.values()]
  }

  /** Those cut from the input, in its order. */
  roots(): ReadonlyArray<OpenBatch> {
    return this.all().filter(({ bytes }) => bytes !== undefined)
  }

  /** The parts of a split batch that are open. */
  partsOf(batch: number): ReadonlyArray<OpenBatch> {
    return this.related(this.parts, batch)
  }

  /** Batches under way that submit records of another one again. */
  resolving(batch: number): ReadonlyArray<OpenBatch> {
    return this.related(this.attempts, batch)
  }

  /** The batch cut from the input that a batch is, or is a part of. */
  rootOf(batch: OpenBatch): OpenBatch {
    const parent = batch.parent === undefined ? undefined : this.batches.get(batch.parent)
    return parent === undefined ? batch : this.rootOf(parent)
  }

  /** What is left when a run, or a leg of it, has ended. */
  leftovers(): ReadonlyArray<Leftover> {
    return this.all().flatMap(({ batch, code, ended, left, message, phase, requestId, resolves, tokenCount }) =>
      !ended || resolves !== undefined || left.length === 0
        ? []
        : [
            {
              batch,
              end: phase === "NotTaken" ? ("notSubmitted" as const) : ("unresolved" as const),
              ...(requestId === undefined ? undefined : { requestId }),
              lines: left,
              code,
              message,
              ...(tokenCount === undefined ? undefined : { tokenCount })
            }
          ]
    )
  }

  /** Takes one more event in. */
  step(event: RunEvent): void {
    switch (event._tag) {
      case "BatchIntended": {
        const { batch, bytes, digest, lines, parent, records, resolves, withoutAccessToken } = event
        this.last = Math.max(this.last, batch)
        this.batches.set(batch, {
          batch,
          parent,
          resolves,
          records,
          withoutAccessToken,
          lines,
          bytes,
          digest,
          phase: "Sent",
          requestId: undefined,
          lost: false,
          code: "",
          message: "",
          tokenCount: undefined,
          ended: false,
          left: lines,
          examined: false,
          resubmitted: false,
          inParts: false,
          openRecords: records
        })
        const whole = parent === undefined ? undefined : this.batches.get(parent)
        if (whole !== undefined) {
          whole.left = Lines.without(whole.left, lines)
          this.relate(this.parts, whole.batch, batch)
        }
        if (resolves !== undefined) {
          this.relate(this.attempts, resolves, batch)
          if (event.possiblyTwice !== undefined) this.change(resolves, { resubmitted: true })
          const left = this.get(resolves)?.left[0]
          if (left !== undefined && left.from !== event.lines[0]?.from) this.change(resolves, { inParts: true })
        }
        return
      }
      case "BatchReopened":
        // One that is unresolved is reopened to be asked after: the service has it.
        return this.change(
          event.batch,
          event.from === "unresolved" ? { ended: false, phase: "Accepted", lost: false } : { ended: false }
        )
      case "BatchExamined":
        return event.halted === true ? undefined : this.change(event.batch, { examined: true })
      case "BatchAttempted":
        return this.change(event.batch, { phase: "Sent" })
      case "BatchRetried":
        return this.change(event.batch, { phase: "NotTaken" })
      case "BatchAccepted":
        return this.change(event.batch, { phase: "Accepted", requestId: event.requestId })
      case "BatchSplit":
        return this.change(event.batch, { phase: "Split" })
      case "BatchFailed": {
        const { code, message, tokenCount } = event
        return this.ended(event, { phase: "Failed", code, message, tokenCount })
      }
      case "BatchUnresolved": {
        const { code, lost = false, message } = event
        return this.ended(event, { phase: "Unresolved", code, message, lost })
      }
      case "BatchNotSubmitted": {
        const { code, message } = event
        return this.ended(event, { phase: "NotTaken", code, message })
      }
      case "BatchSucceeded":
      case "BatchRefused": {
        const batch = this.batches.get(event.batch)
        if (batch === undefined) return
        if (event._tag === "BatchSucceeded") this.remember(batch)
        if (batch.resolves === undefined) return this.settle(batch, batch.lines)
        this.remove(batch)
        const resolved = this.batches.get(batch.resolves)
        return resolved === undefined ? undefined : this.settle(resolved, batch.lines)
      }
      case "RecordsSettled": {
        const batch = this.batches.get(event.batch)
        return batch === undefined ? undefined : this.settle(batch, event.lines)
      }
    }
  }

  private relate(map: Map<number, Set<number>>, to: number, batch: number): void {
    const known = map.get(to)
    if (known === undefined) map.set(to, new Set([batch]))
    else known.add(batch)
  }

  private related(map: Map<number, Set<number>>, to: number): ReadonlyArray<OpenBatch> {
    return [...(map.get(to) ?? [])].flatMap((batch) => this.batches.get(batch) ?? [])
  }

  private remove({ batch, parent, resolves }: OpenBatch): void {
    this.batches.delete(batch)
    for (const map of [this.parts, this.attempts]) map.delete(batch)
    if (parent !== undefined) this.parts.get(parent)?.delete(batch)
    if (resolves !== undefined) this.attempts.get(resolves)?.delete(batch)
  }

  private remember(batch: OpenBatch): void {
    if (this.createdRecords >= enoughCreated || batch.withoutAccessToken === batch.records) return
    const of = batch.resolves === undefined ? batch : this.batches.get(batch.resolves)
    const { bytes } = of === undefined ? batch : this.rootOf(of)
    if (bytes === undefined) return
    this.created.push({ bytes, lines: batch.lines })
    this.createdRecords += batch.records
  }

  private change(batch: number, change: Partial<OpenBatch>): void {
    const known = this.batches.get(batch)
    if (known !== undefined) Object.assign(known, change)
  }

  private ended(event: { readonly batch: number; readonly resolves?: number }, change: Partial<OpenBatch>): void {
    // One that was to resolve another has nothing of its own: what it did not settle is still the other one's.
    const batch = this.batches.get(event.batch)
    if (batch !== undefined && event.resolves !== undefined) this.remove(batch)
    else this.change(event.batch, { ...change, ended: true })
  }

  /** Lines of a batch are final: so are those of what it is a part of. */
  private settle(batch: Mutable<OpenBatch>, lines: ReadonlyArray<LineRange>): void {
    batch.left = Lines.without(batch.left, lines)
    const count = Lines.count(lines)
    for (let at: Mutable<OpenBatch> | undefined = batch; at !== undefined;) {
      at.openRecords -= count
      if (at.openRecords === 0) this.remove(at)
      at = at.parent === undefined ? undefined : this.batches.get(at.parent)
    }
  }
}
