/**
 * The same over sockets, in real time, against the sandbox: to show that the simulation tells the truth.
 *
 * `node benchmarks/flow/sockets.ts` with these options: `--only A,B` (profiles by regular expressions), `--clients A,B` (`ours`), `--json`. It takes
 * about a minute and a half for each client.
 *
 * The sandbox works for so long on each token, so service times are spread by giving batches more or fewer tokens: of the draws that the
 * simulation uses, rounded. The simulation is given the same batches, and the round trip that was measured. When a batch was accepted and
 * completed the sandbox says itself, on the clock of this machine; a rate limit is kept on the way to it, where what it refuses can be written down,
 * and where Retry-After says how long to wait.
 */
import { AuthleteError, TokenOperations } from "@tokenbatch/core"
import { SandboxThread } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { parseArgs } from "node:util"
import * as Runs from "../runs.ts"
import { median } from "../median.ts"
import { table } from "../tables.ts"
import { clients, type Client } from "./clients.ts"
import { unitDraws, type Shape } from "./draws.ts"
import { choose, type Profile } from "./profiles.ts"
import { newTrace, TokenBucket, type BatchTrace, type RateLimit, type Trace } from "./ServiceModel.ts"
import { figuresOf, simulate, type Figures } from "./simulate.ts"

const { values: options } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    clients: { type: "string", default: "ours" },
    json: { type: "boolean", default: false }
  }
})

/** Milliseconds a token, and tokens of a batch on average: 240 milliseconds a batch. */
const perToken = 15
const meanTokens = 16

const profile = (name: string, workers: number, batches: number, shape: Shape, rateLimit?: RateLimit): Profile => {
  const draw = unitDraws(shape, 1)
  const tokens = Array.from({ length: batches }, () => Math.min(120, Math.max(1, Math.round(draw() * meanTokens))))
  const service = {
    workers,
    serviceTime: { mean: 0, perToken, shape: { _tag: "Fixed" } as const },
    ...(rateLimit === undefined ? undefined : { rateLimit })
  }
  return { name, service, batches, batchSize: meanTokens, tokens, runs: 1 }
}

const lognormal: Shape = { _tag: "Lognormal", sigma: 0.6 }
const profiles: ReadonlyArray<Profile> = [
  profile("w1-fixed", 1, 60, { _tag: "Fixed" }),
  profile("w4-logn0.6", 4, 200, lognormal),
  profile("w24-fixed", 24, 1000, { _tag: "Fixed" }),
  profile("w24-logn0.6", 24, 1000, lognormal),
  profile("w24-bimodal", 24, 1000, { _tag: "Bimodal" }),
  profile("w64-logn0.6", 64, 2000, lognormal),
  profile("rate50-retryafter", 64, 700, lognormal, {
    perSecond: 50,
    burst: 50,
    retryAfter: true,
    countsPolls: false
  })
]

/** The service with everything that happens written down, and with a rate limit of its own. Times since `begun`. */
const recorded = (trace: Trace, rateLimit: RateLimit | undefined, latencies: Array<number>) =>
  Effect.gen(function* () {
    const operations = yield* TokenOperations.TokenOperations
    const byId = new Map<string, BatchTrace>()
    const bucket = rateLimit === undefined ? undefined : new TokenBucket(rateLimit)
    const start = Date.now()
    const offset = performance.timeOrigin - start
    const now = () => performance.now() + offset
    let inFlight = 0
    const count = (change: number) => {
      inFlight += change
      trace.mostInFlight = Math.max(trace.mostInFlight, inFlight)
      trace.inFlight.push({ at: now(), inFlight })
    }
    return TokenOperations.TokenOperations.of({
      ...operations,
      createBatchEncoded: Effect.fnUntraced(function* (body, createOptions) {
        trace.creates++
        trace.begun = Math.min(trace.begun, now())
        count(1)
        if (bucket !== undefined && !bucket.take(now())) {
          trace.refusals.push({ client: "run 1", at: now(), call: "create", accepted: trace.batches.length })
          yield* Effect.sleep(1)
          count(-1)
          const wait = Math.ceil((bucket.next(now()) - now()) / 1000) * 1000
          return yield* new AuthleteError.RateLimited({
            status: 429,
            ...(rateLimit?.retryAfter === true ? { retryAfter: wait } : undefined)
          })
        }
        const called = now()
        const receipt = yield* Effect.tapError(operations.createBatchEncoded(body, createOptions), () =>
          Effect.sync(() => count(-1))
        )
        const answered = now()
        const tokens = (JSON.parse(Buffer.from(body).toString()) as ReadonlyArray<unknown>).length
        const batch: BatchTrace = {
          client: "run 1",
          tokens,
          accepted: (called + answered) / 2,
          work: tokens * perToken,
          started: Infinity,
          completed: Infinity,
          polls: 0,
          found: Infinity,
          detected: Infinity
        }
        trace.batches.push(batch)
        byId.set(receipt.requestId, batch)
        return receipt
      }),
      batchStatus: Effect.fnUntraced(function* (requestId) {
        trace.polls++
        const called = now()
        const batch = byId.get(requestId)
        if (batch !== undefined) batch.polls++
        const status = yield* operations.batchStatus(requestId)
        const answered = now()
        latencies.push(answered - called)
        if (batch !== undefined && batch.detected === Infinity && status.state === "Succeeded") {
          batch.completed = status.modifiedAt! - start
          // It is told in whole milliseconds, and may not be after it was seen.
          batch.found = Math.max(batch.completed, (called + answered) / 2)
          batch.detected = answered
          count(-1)
        }
        return status
      })
    })
  })

/** Runs a client against a sandbox of its own. */
const overSockets = Effect.fnUntraced(function* (one: Profile, client: Client) {
  const sandbox = yield* SandboxThread.start(new URL("./sandboxWorker.ts", import.meta.url), {
    serviceId: "bench",
    bearer: Redacted.make("bench"),
    workers: one.service.workers,
    setupTime: 0,
    timePerToken: perToken
  })
  const trace = newTrace()
  const latencies: Array<number> = []
  const layer = Layer.effect(TokenOperations.TokenOperations, recorded(trace, one.service.rateLimit, latencies)).pipe(
    Layer.provide(Runs.serviceAt(sandbox.baseUrl))
  )
  yield* Effect.provide(client(one), layer)
  const rtt = median(latencies)
  return { figures: figuresOf({ ...one, service: { ...one.service, rtt } }, trace, 1, ["run 1"], rtt), rtt }
}, Effect.scoped)

interface Row {
  readonly profile: string
  readonly client: string
  readonly rtt: number
  readonly sockets: Figures
  /** Of some seeds, for the draws of schedules: the batches are the same. */
  readonly simulated: ReadonlyArray<Figures>
}

const seeds = [1, 2, 3, 4, 5]

/** Over sockets, and the range of the simulations. */
const beside = (get: (figures: Figures) => number, digits: number) => (row: Row) => {
  const values = row.simulated.map(get)
  const [least, most] = [Math.min(...values).toFixed(digits), Math.max(...values).toFixed(digits)]
  return `${get(row.sockets).toFixed(digits)} (${least === most ? least : `${least}-${most}`})`
}

const rows: Array<Row> = []
for (const one of choose(profiles, options.only)) {
  for (const name of options.clients.split(",")) {
    const client = clients[name]
    if (client === undefined) throw new Error(`there is no client ${name}: ${Object.keys(clients).join(", ")}`)
    const { figures, rtt } = await Effect.runPromise(overSockets(one, client))
    const alike = { ...one, service: { ...one.service, rtt } }
    if (figures.lost !== 0) throw new Error(`${one.name} ${name}: ${figures.lost} batches have no result`)
    const simulated = seeds.map((seed) => simulate(alike, client, seed).figures)
    rows.push({ profile: one.name, client: name, rtt, sockets: figures, simulated })
    process.stderr.write(`${one.name} ${name}: ${(figures.makespan / 1000).toFixed(1)} s\n`)
  }
}
process.stdout.write(
  options.json
    ? `${JSON.stringify(rows)}\n`
    : `${table(rows, {
        profile: (row) => row.profile,
        client: (row) => row.client,
        "round trip, ms": ({ rtt }) => rtt.toFixed(1),
        "makespan / ideal": beside(({ ideal, makespan }) => makespan / ideal, 2),
        "polls a batch": beside(({ pollsPerBatch }) => pollsPerBatch, 2),
        "lag, %": beside(({ lag }) => lag * 100, 1),
        "least, %": beside(({ leastLag }) => leastLag * 100, 1),
        "refused first": beside(({ refusedFirst }) => refusedFirst, 0),
        "later, %": beside(({ refusedAfter }) => refusedAfter * 100, 1),
        "most in flight": beside(({ mostInFlight }) => mostInFlight, 0)
      })}\n`
)
