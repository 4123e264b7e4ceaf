/**
 * A service that is not there: takes batches and works on them on virtual time, as its options say, and writes down all that happens.
 *
 * A call takes half a round trip there and half a round trip back; what it meets is decided when it arrives. An accepted batch waits in
 * one queue, first come first served, for a worker. The `k`-th accepted batch gets the `k`-th draw of the seed, so that whoever runs
 * against the model, and the ideal, meets the same work.
 *
 * Past the collapse point the batches in service all slow down alike. So there is one clock of progress for all of them, and a batch ends
 * when that has gone on by its work: exact, event by event, without steps of time.
 *
 * One model may have several clients. Each has its own layer, and its own part of the trace.
 */
import { AuthleteError, TokenBatch, TokenOperations } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import { uniform, unitDraws, type Shape } from "./draws.ts"
import { Heap } from "./Heap.ts"
import type { VirtualClock } from "./VirtualClock.ts"

/** What the service is like. Times are in milliseconds. */
export interface Options {
  /** Of each call. Default 10. */
  readonly rtt?: number
  readonly workers: number
  /** Mean time of a batch in service, and more of it for each token. */
  readonly serviceTime: { readonly mean: number; readonly perToken?: number; readonly shape: Shape }
  /** Batches accepted and not completed, at most: beyond, a create gets 429. */
  readonly queueLimit?: number
  /** A token bucket; beyond, 429. */
  readonly rateLimit?: RateLimit
  /** So many of all creates, from 0 to 1, get 429 for nothing that the client did; status calls as well where that is said. */
  readonly whims?: { readonly share: number; readonly countsPolls: boolean }
  /** With `n` in service, more than `at`, each is slower by `(n / at) ** exponent`. */
  readonly collapse?: { readonly at: number; readonly exponent: number }
  /** From these times on there are so many workers. What is in service is finished. */
  readonly drift?: ReadonlyArray<{ readonly at: number; readonly workers: number }>
  /** Connections are refused meanwhile. `standsStill`: nothing is worked on either. */
  readonly outage?: { readonly from: number; readonly to: number; readonly standsStill?: boolean }
  /** A create of more is refused with 413. */
  readonly maxTokens?: number
  /** A create of so many tokens or more takes so long that the client's timeout comes first: accepted, and never answered. */
  readonly timeout?: { readonly tokens: number; readonly after: number }
}

export interface RateLimit {
  readonly perSecond: number
  readonly burst: number
  /** Whether a 429 says how long to wait, in whole seconds. */
  readonly retryAfter: boolean
  readonly countsPolls: boolean
}

/** An accepted batch. Times in milliseconds since the clock began. */
export interface BatchTrace {
  readonly client: string
  readonly tokens: number
  /** When its create arrived. */
  readonly accepted: number
  /** What is to be done, in milliseconds at full speed. */
  readonly work: number
  started: number
  completed: number
  /** Calls for its status, whatever came of them. */
  polls: number
  /** When the first poll that found its result arrived, and when the client had the answer. `Infinity`: never. */
  found: number
  detected: number
}

/** A call that was refused with 429. */
export interface Refusal {
  readonly client: string
  readonly at: number
  readonly call: "create" | "poll"
  /** Batches that had been accepted by then. */
  readonly accepted: number
}

/** A step of what is in flight. */
export interface Step {
  readonly at: number
  readonly inFlight: number
}

/** All that happened. */
export interface Trace {
  readonly batches: Array<BatchTrace>
  readonly refusals: Array<Refusal>
  /** Batches accepted, or being created, and not detected: of all clients together. */
  readonly inFlight: Array<Step>
  /** Batches in service. */
  readonly busy: Array<Step>
  /** The most that one client had in flight. */
  mostInFlight: number
  /** Calls by kind, whatever came of them. */
  creates: number
  polls: number
  /** When the first call was made. */
  begun: number
}

interface Job {
  readonly trace: BatchTrace
}

/** One round trip, where the options do not say. */
const defaultRtt = 10

/** A limit of so many calls a second, and so many at once. */
export class TokenBucket {
  private level: number
  private at = 0
  private readonly perMilli: number
  private readonly burst: number

  constructor({ burst, perSecond }: Pick<RateLimit, "burst" | "perSecond">) {
    this.perMilli = perSecond / 1000
    this.burst = burst
    this.level = burst
  }

  private fill(now: number): void {
    this.level = Math.min(this.burst, this.level + (now - this.at) * this.perMilli)
    this.at = now
  }

  /** Takes one if there is one. */
  take(now: number): boolean {
    this.fill(now)
    // What was computed to be there at this time may lack the last bits.
    if (this.level < 1 - 1e-6) return false
    this.level -= 1
    return true
  }

  /** When there will be one. */
  next(now: number): number {
    this.fill(now)
    return now + Math.max(0, 1 - this.level) / this.perMilli
  }
}

/** A trace of nothing so far. */
export const newTrace = (): Trace => ({
  batches: [],
  refusals: [],
  inFlight: [],
  busy: [],
  mostInFlight: 0,
  creates: 0,
  polls: 0,
  begun: Infinity
})

/** The model. Mutable: it is the hot loop. */
export class ServiceModel {
  readonly trace = newTrace()
  readonly rtt: number
  /** Called when some have been completed. */
  onCompleted: () => void = () => {}
  private readonly clock: VirtualClock
  private readonly options: Options
  private readonly draw: () => number
  private readonly whim: () => number
  private readonly bucket: TokenBucket | undefined
  private workers: number
  private readonly queue: Array<Job> = []
  private head = 0
  /** Batches in service, by the progress at which they end. */
  private readonly serving = new Heap<Job>()
  private progress = 0
  private progressAt = 0
  private still = false
  private cancelNext: (() => void) | undefined
  private inFlight = 0
  private readonly inFlightOf = new Map<string, number>()

  constructor(clock: VirtualClock, options: Options, seed: number) {
    this.clock = clock
    this.options = options
    this.rtt = options.rtt ?? defaultRtt
    this.draw = unitDraws(options.serviceTime.shape, seed)
    this.whim = uniform(seed + 1)
    this.bucket = options.rateLimit === undefined ? undefined : new TokenBucket(options.rateLimit)
    this.workers = options.workers
    for (const { at, workers } of options.drift ?? []) {
      clock.at(at, () => {
        this.workers = workers
        this.serve()
      })
    }
    if (options.outage?.standsStill === true) {
      clock.at(options.outage.from, () => this.setStill(true))
      clock.at(options.outage.to, () => this.setStill(false))
    }
  }

  // ---------------------------------------------------------------------------
  // The work
  // ---------------------------------------------------------------------------

  private rate(): number {
    if (this.still) return 0
    const { collapse } = this.options
    const n = this.serving.size
    return collapse === undefined || n <= collapse.at ? 1 : (collapse.at / n) ** collapse.exponent
  }

  /** Brings progress up to now, at the rate that was. To be called before anything changes the rate. */
  private advance(): void {
    this.progress += (this.clock.now - this.progressAt) * this.rate()
    this.progressAt = this.clock.now
  }

  private setStill(still: boolean): void {
    this.advance()
    this.still = still
    this.expect()
  }

  /** Puts waiting batches into service where there are workers. */
  private serve(): void {
    this.advance()
    while (this.serving.size < this.workers && this.head < this.queue.length) {
      const job = this.queue[this.head++]!
      job.trace.started = this.clock.now
      this.serving.push(this.progress + job.trace.work, job)
    }
    this.trace.busy.push({ at: this.clock.now, inFlight: this.serving.size })
    this.expect()
  }

  /** Sees to it that the next end is noticed. */
  private expect(): void {
    this.cancelNext?.()
    const rate = this.rate()
    if (this.serving.size === 0 || rate === 0) return
    const { least } = this.serving
    this.cancelNext = this.clock.at(this.clock.now + Math.max(0, least - this.progress) / rate, () => {
      this.advance()
      this.progress = Math.max(this.progress, least)
      while (this.serving.least <= this.progress) this.serving.pop()!.trace.completed = this.clock.now
      this.serve()
      this.onCompleted()
    })
  }

  /** Takes a batch now. Gives its number. */
  accept(client: string, tokens: number): number {
    const { mean, perToken = 0 } = this.options.serviceTime
    const trace: BatchTrace = {
      client,
      tokens,
      accepted: this.clock.now,
      work: this.draw() * (mean + perToken * tokens),
      started: Infinity,
      completed: Infinity,
      polls: 0,
      found: Infinity,
      detected: Infinity
    }
    const number = this.trace.batches.push(trace) - 1
    this.queue.push({ trace })
    this.serve()
    return number
  }

  /** Batches accepted and not completed. */
  get unfinished(): number {
    return this.queue.length - this.head + this.serving.size
  }

  // ---------------------------------------------------------------------------
  // The calls
  // ---------------------------------------------------------------------------

  private get away(): boolean {
    const { outage } = this.options
    return outage !== undefined && this.clock.now >= outage.from && this.clock.now < outage.to
  }

  private count(client: string, change: number): void {
    const { inFlightOf, trace } = this
    this.inFlight += change
    const own = (inFlightOf.get(client) ?? 0) + change
    inFlightOf.set(client, own)
    trace.mostInFlight = Math.max(trace.mostInFlight, own)
    trace.inFlight.push({ at: this.clock.now, inFlight: this.inFlight })
  }

  private limited(client: string, call: Refusal["call"]): AuthleteError.RateLimited {
    const { bucket, options, trace } = this
    const { now } = this.clock
    trace.refusals.push({ client, at: now, call, accepted: trace.batches.length })
    const says = options.rateLimit?.retryAfter === true && bucket !== undefined
    return new AuthleteError.RateLimited({
      status: 429,
      ...(says ? { retryAfter: Math.max(1, Math.ceil((bucket.next(now) - now) / 1000)) * 1000 } : undefined)
    })
  }

  /** Whether the bucket gives one, and the service is not of another mind. */
  private passes(call: Refusal["call"]): boolean {
    const { bucket, options } = this
    const { countsPolls = false, share = 0 } = options.whims ?? {}
    if (share > 0 && (call === "create" || countsPolls) && this.whim() < share) return false
    if (bucket === undefined || (call === "poll" && options.rateLimit?.countsPolls !== true)) return true
    return bucket.take(this.clock.now)
  }

  /** What a create meets that arrives now: the number of the batch, or an error. */
  private create(client: string, body: Uint8Array): number | AuthleteError.AuthleteError {
    const { maxTokens, queueLimit } = this.options
    if (this.away) return refused
    if (!this.passes("create")) return this.limited(client, "create")
    const tokens = this.tokensOf(body)
    if (maxTokens !== undefined && tokens > maxTokens) return tooLarge
    if (queueLimit !== undefined && this.unfinished >= queueLimit) return this.limited(client, "create")
    return this.accept(client, tokens)
  }

  private tokensOf(body: Uint8Array): number {
    const { maxTokens, serviceTime, timeout } = this.options
    if (maxTokens === undefined && serviceTime.perToken === undefined && timeout === undefined) return 1
    return (JSON.parse(Buffer.from(body).toString()) as ReadonlyArray<unknown>).length
  }

  /** A call: there, what `arrive` says, and back. `after` is called when the client has the answer, if it still listens (`heard`). */
  private call<A>(
    arrive: () => A | AuthleteError.AuthleteError,
    after: (answer: A | AuthleteError.AuthleteError, heard: boolean) => void
  ): Effect.Effect<A, AuthleteError.AuthleteError> {
    return Effect.callback((resume) => {
      const { clock, rtt, trace } = this
      trace.begun = Math.min(trace.begun, clock.now)
      let gone = false
      clock.at(clock.now + rtt / 2, () => {
        const answer = arrive()
        clock.at(clock.now + rtt / 2, () => {
          after(answer, !gone)
          if (!gone) resume(isError(answer) ? Effect.fail(answer) : Effect.succeed(answer))
        })
      })
      return Effect.sync(() => void (gone = true))
    })
  }

  /** The service as a client sees it. */
  layer(client: string): Layer.Layer<TokenOperations.TokenOperations> {
    return TokenOperations.TokenOperations.layerTest({
      createBatchEncoded: (body, { dryRun = false } = {}) =>
        Effect.suspend(() => {
          if (dryRun) return Effect.die("the model does no dry runs")
          this.trace.creates++
          this.count(client, 1)
          const { timeout } = this.options
          const created = this.call(
            () => this.create(client, body),
            (answer) => {
              if (isError(answer)) this.count(client, -1)
            }
          )
          const receipt = Effect.map(created, (number) => ({ requestId: TokenBatch.RequestId.make(`b${number}`) }))
          if (timeout === undefined || this.tokensOf(body) < timeout.tokens) return receipt
          return Effect.andThen(
            Effect.andThen(receipt, Effect.sleep(Math.max(0, timeout.after - this.rtt))),
            Effect.fail(new AuthleteError.RequestTimeout({ timeout: timeout.after, sent: true }))
          )
        }),
      batchStatus: (requestId) =>
        Effect.suspend(() => {
          this.trace.polls++
          const batch = this.trace.batches[Number(requestId.slice(1))]
          if (batch !== undefined) batch.polls++
          return this.call<TokenBatch.BatchStatus>(
            () => {
              if (this.away) return refused
              if (!this.passes("poll")) return this.limited(client, "poll")
              if (batch === undefined) return unknownId
              if (batch.completed > this.clock.now) return { state: "Running" }
              batch.found = Math.min(batch.found, this.clock.now)
              return { state: "Succeeded" }
            },
            (answer, heard) => {
              if (!heard || isError(answer) || answer.state !== "Succeeded" || batch === undefined) return
              if (batch.detected !== Infinity) return
              batch.detected = this.clock.now
              this.count(client, -1)
            }
          )
        })
    })
  }
}

const isError = (answer: unknown): answer is AuthleteError.AuthleteError => answer instanceof Error

const refused = new AuthleteError.TransportError({
  code: "ECONNREFUSED",
  reason: "the connection was refused",
  sent: false
})

const tooLarge = new AuthleteError.UnexpectedResponse({ status: 413, reason: "too large", headers: {}, body: "" })

const unknownId = new AuthleteError.ResultError({ status: 400, resultCode: "A000000" })
