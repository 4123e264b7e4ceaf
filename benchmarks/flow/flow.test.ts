/** That the model of the service is what it is called, that the ideal is one, and that the same seed gives the same. */
import { AuthleteError, TokenOperations } from "@tokenbatch/core"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import { assert, describe, it } from "vitest"
import { median } from "../median.ts"
import { checks } from "./checks.ts"
import { clients, type Client } from "./clients.ts"
import { unitDraws, type Shape } from "./draws.ts"
import { Heap } from "./Heap.ts"
import * as Ideal from "./ideal.ts"
import { plot } from "./plots.ts"
import { choose, profiles, quick, type Profile } from "./profiles.ts"
import { ServiceModel, TokenBucket, type Options } from "./ServiceModel.ts"
import { simulate } from "./simulate.ts"
import { VirtualClock } from "./VirtualClock.ts"

const fixed = (mean: number) => ({ mean, shape: { _tag: "Fixed" } as const })

const named = (name: string): Profile => profiles.find((profile) => profile.name === name)!

/** Runs an effect against a model of its own. */
const against = <A, E>(
  options: Options,
  effect: (clock: VirtualClock) => Effect.Effect<A, E, TokenOperations.TokenOperations>
) => {
  const clock = new VirtualClock()
  const model = new ServiceModel(clock, options, 1)
  const exit = clock.run(Effect.provide(effect(clock), model.layer("test")))
  if (Exit.isFailure(exit)) throw new Error(Cause.pretty(exit.cause))
  return { value: exit.value, model, clock }
}

const body = (tokens: number) => Buffer.from(`[${Array.from({ length: tokens }, () => "{}").join(",")}]`)

const create = Effect.fnUntraced(function* (tokens = 1) {
  const operations = yield* TokenOperations.TokenOperations
  return yield* Effect.result(operations.createBatchEncoded(body(tokens)))
})

const createMany = (count: number) =>
  Effect.forEach(Array.from({ length: count }), () => create(), { concurrency: "unbounded" })

/** Hands in batches at once, and waits until the service has done them all. */
const work = (options: Options, count: number) => {
  const { clock, model } = against(options, () => createMany(count))
  clock.runToEnd()
  return model.trace.batches.map(({ completed }) => completed)
}

describe("median", () => {
  it("is the middle, and of an even number the mean of the two there", () => {
    assert.strictEqual(median([9, 1, 3]), 3)
    assert.strictEqual(median([9, 1, 3, 4]), 3.5)
  })
})

describe("choose", () => {
  const chosen = (only: string) => choose(profiles, only).map(({ name }) => name)

  it("takes profiles by several patterns, each once", () => {
    assert.deepStrictEqual(chosen("^queue8-,w8-5min,5min$"), ["queue8-w4-1s", "queue8-w4-20s", "w8-5min"])
    assert.strictEqual(choose(profiles, "").length, profiles.length)
  })

  it("says what a pattern is and what profiles are called where one matches none", () => {
    assert.throws(
      () => chosen("whims5,nope"),
      /the regular expression nope matches .* no profile; .* w1-50ms-fixed, .* and the like/
    )
    assert.throws(() => chosen("["), /\[ is no regular expression/)
  })
})

describe("Heap", () => {
  it("gives the least first, and equals in the order in which they came", () => {
    const heap = new Heap<string>()
    const draw = unitDraws({ _tag: "Lognormal", sigma: 1 }, 7)
    const items = Array.from({ length: 500 }, (_, i) => ({ key: Math.floor(draw() * 20), name: `n${i}` }))
    for (const { key, name } of items) heap.push(key, name)
    const given = Array.from({ length: 500 }, () => heap.pop())
    assert.deepStrictEqual(
      given,
      items.toSorted((a, b) => a.key - b.key).map(({ name }) => name)
    )
    assert.strictEqual(heap.pop(), undefined)
  })
})

describe("VirtualClock", () => {
  it("sleeps without waiting, and wakes in order", () => {
    const clock = new VirtualClock()
    const woken: Array<string> = []
    const sleeper = (name: string, millis: number) =>
      Effect.andThen(
        Effect.sleep(millis),
        Effect.sync(() => void woken.push(`${name} ${clock.now}`))
      )
    const exit = clock.run(
      Effect.all([sleeper("a", 2000), sleeper("b", 10), sleeper("c", 2000), Effect.sleep("3 hours")], {
        concurrency: "unbounded"
      }).pipe(
        Effect.andThen(Clock.currentTimeMillis),
        Effect.map((now) => now - Date.UTC(2026, 0, 1))
      )
    )
    assert.deepStrictEqual(woken, ["b 10", "a 2000", "c 2000"])
    assert.deepStrictEqual(exit, Exit.succeed(3 * 3600 * 1000))
  })

  it("calls a sleep off", () => {
    const clock = new VirtualClock()
    clock.run(Effect.timeoutOption(Effect.sleep("1 day"), "1 second"))
    assert.strictEqual(clock.now, 1000)
  })

  it("says so when what is waited for cannot come", () => {
    assert.throws(() => new VirtualClock().run(Effect.promise(() => new Promise(() => {}))), /never comes/)
  })

  it("says so when something has no end", () => {
    assert.throws(() => new VirtualClock().run(Effect.forever(Effect.sleep("1 hour"))), /not done/)
  })

  it("has nothing to wait for in a run: with a turn of the platform before each jump it comes to the same", async () => {
    const profile = { ...named("queue40-w24-1s"), batches: 200 }
    const trace = async (checked: boolean) => {
      const clock = new VirtualClock()
      const model = new ServiceModel(clock, profile.service, 1)
      const run = clients["ours"]!(profile).pipe(Effect.provide(model.layer("run")), Random.withSeed(1))
      const exit = checked ? await clock.runChecked(run) : clock.run(run)
      assert.isTrue(Exit.isSuccess(exit))
      return model.trace
    }
    assert.deepStrictEqual(await trace(true), await trace(false))
  })
})

describe("draws", () => {
  const shapes: ReadonlyArray<readonly [Shape, number]> = [
    [{ _tag: "Fixed" }, 0],
    [{ _tag: "Lognormal", sigma: 0.6 }, Math.sqrt(Math.exp(0.36) - 1)],
    [{ _tag: "Bimodal" }, 0.75]
  ]
  it.each(shapes)("have a mean of 1, and vary as they should: %o", (shape, variation) => {
    const draw = unitDraws(shape, 3)
    const drawn = Array.from({ length: 200_000 }, draw)
    const mean = drawn.reduce((a, b) => a + b, 0) / drawn.length
    const deviation = Math.sqrt(drawn.reduce((a, b) => a + (b - mean) ** 2, 0) / drawn.length)
    assert.approximately(mean, 1, 0.01)
    assert.approximately(deviation, variation, 0.02)
  })
})

describe("ServiceModel", () => {
  it("works in rounds where service times are fixed", () => {
    const ends = work({ workers: 4, serviceTime: fixed(100) }, 10)
    assert.deepStrictEqual(ends, [...Array(4).fill(105), ...Array(4).fill(205), 305, 305])
  })

  it("takes longer for more tokens", () => {
    const { clock, model } = against({ workers: 1, serviceTime: { ...fixed(100), perToken: 2 } }, () =>
      Effect.andThen(create(1), create(50))
    )
    clock.runToEnd()
    assert.deepStrictEqual(
      model.trace.batches.map(({ work }) => work),
      [102, 200]
    )
  })

  it("refuses what is beyond the limit of its queue", () => {
    const { model, value } = against({ workers: 2, queueLimit: 5, serviceTime: fixed(100) }, () => createMany(8))
    assert.strictEqual(value.filter(Result.isSuccess).length, 5)
    assert.strictEqual(model.trace.refusals.length, 3)
    assert.strictEqual(model.trace.mostInFlight, 8)
  })

  it("slows all down past the collapse point", () => {
    // Eight in service, four times as slow: 400. Then there are none.
    const collapse = { at: 4, exponent: 2 }
    assert.deepStrictEqual(work({ workers: 8, serviceTime: fixed(100), collapse }, 8), Array(8).fill(405))
    // Five with work 100, one of them half done when the others come: 50 alone, then (5/4)^2 as slow.
    const { clock, model } = against({ workers: 8, serviceTime: fixed(100), collapse }, () =>
      Effect.andThen(create(), Effect.andThen(Effect.sleep(40), createMany(4)))
    )
    clock.runToEnd()
    const ends = model.trace.batches.map(({ completed }) => completed)
    const slow = 50 * (5 / 4) ** 2
    assert.approximately(ends[0]!, 5 + 50 + slow, 1e-6)
    assert.approximately(ends[4]!, 5 + 50 + slow + 50, 1e-6)
  })

  it("loses workers and gets them back", () => {
    const drift = [
      { at: 150, workers: 1 },
      { at: 350, workers: 2 }
    ]
    const ends = work({ rtt: 0, workers: 2, serviceTime: fixed(100), drift }, 8)
    // At 150 two are in service and are finished; then one works until there are two again.
    assert.deepStrictEqual(ends, [100, 100, 200, 200, 300, 400, 450, 500])
  })

  it("is away for a while, and stands still if it is to", () => {
    const outage = { from: 50, to: 150 }
    assert.deepStrictEqual(work({ workers: 2, serviceTime: fixed(100), outage }, 2), [105, 105])
    const still = { workers: 2, serviceTime: fixed(100), outage: { ...outage, standsStill: true } }
    assert.deepStrictEqual(work(still, 2), [205, 205])
    const { value } = against({ workers: 1, serviceTime: fixed(100), outage }, () =>
      Effect.andThen(Effect.sleep(60), create())
    )
    assert.isTrue(Result.isFailure(value) && value.failure._tag === "TransportError" && !value.failure.sent)
  })

  it("refuses by rate, polls too if they count, and says how long", () => {
    const rateLimit = { perSecond: 2, burst: 3, retryAfter: true, countsPolls: true }
    const { value } = against({ workers: 1, serviceTime: fixed(10), rateLimit }, () =>
      Effect.gen(function* () {
        const operations = yield* TokenOperations.TokenOperations
        const created = yield* createMany(3)
        const { requestId } = yield* Effect.fromResult(created[0]!)
        const refused = yield* Effect.flip(operations.batchStatus(requestId))
        yield* Effect.sleep(500)
        return [refused, yield* operations.batchStatus(requestId)] as const
      })
    )
    assert.deepStrictEqual(value[0], new AuthleteError.RateLimited({ status: 429, retryAfter: 1000 }))
    assert.strictEqual(value[1].state, "Succeeded")
  })

  it("refuses what is too large, and does not answer what takes too long", () => {
    const options: Options = {
      workers: 1,
      serviceTime: fixed(10),
      maxTokens: 10,
      timeout: { tokens: 5, after: 1000 }
    }
    const { clock, model, value } = against(options, () => Effect.all([create(11), create(5), create(4)]))
    assert.isTrue(Result.isFailure(value[0]) && "status" in value[0].failure && value[0].failure.status === 413)
    assert.isTrue(Result.isFailure(value[1]) && value[1].failure._tag === "RequestTimeout" && value[1].failure.sent)
    assert.isTrue(Result.isSuccess(value[2]))
    assert.strictEqual(model.trace.batches.length, 2)
    assert.strictEqual(clock.now, 1020)
  })

  it("keeps its bucket", () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 2 })
    assert.deepStrictEqual(
      [0, 0, 0].map((now) => bucket.take(now)),
      [true, true, false]
    )
    assert.strictEqual(bucket.next(0), 100)
    assert.deepStrictEqual(
      [99, 100, 101].map((now) => bucket.take(now)),
      [false, true, false]
    )
    // It fills up to the burst, however long nobody comes.
    assert.deepStrictEqual(
      [9000, 9000, 9000].map((now) => bucket.take(now)),
      [true, true, false]
    )
  })
})

describe("ideal", () => {
  const service = (options: Partial<Options>): Options => ({ workers: 4, serviceTime: fixed(100), ...options })
  const ideal = (options: Partial<Options>, batches: number) =>
    Ideal.makespan({ service: service(options), batches, batchSize: 1, runs: 1 }, 1)

  it("is what is known in closed form", () => {
    assert.strictEqual(ideal({}, 10), 310)
    assert.strictEqual(ideal({ queueLimit: 2 }, 10), 510)
    // Away after a second and for a minute: 36 are done by then, and the service has 64 more to work on, and no more.
    const outage = { from: 1000, to: 61_000 }
    assert.strictEqual(ideal({ outage }, 100), 61_005)
    assert.strictEqual(ideal({ outage }, 104), 61_105)
    assert.approximately(ideal({ workers: 8, collapse: { at: 4, exponent: 2 } }, 10), 310, 1e-6)
    // The last of ten creates is allowed at 1.6 s, after a burst of two.
    const rateLimit = { perSecond: 5, burst: 2, retryAfter: false, countsPolls: false }
    assert.approximately(ideal({ rateLimit }, 10), 1600 + 100 + 10, 1e-6)
    assert.approximately(ideal({ rateLimit: { ...rateLimit, countsPolls: true } }, 10), 3600 + 10, 1e-6)
  })

  it.each(quick)("is beaten by nobody: $name", (profile) => {
    for (const [name, client] of Object.entries(clients)) {
      const { figures } = simulate(profile, client, 11)
      assert.isAtLeast(figures.makespan, figures.ideal - 1e-6, name)
      assert.strictEqual(figures.lost, 0, name)
    }
  })

  it("knows the least lag of distributions for which it is known", () => {
    const draws = (shape: Shape) => {
      const draw = unitDraws(shape, 5)
      return Array.from({ length: 4000 }, draw)
    }
    assert.strictEqual(Ideal.leastLag(draws({ _tag: "Fixed" }), 2), 0)
    assert.approximately(Ideal.leastLag(draws({ _tag: "Bimodal" }), 2), 0, 1e-9)
    assert.approximately(Ideal.leastLag(draws({ _tag: "Lognormal", sigma: 0.2 }), 2), 0.1, 0.01)
    assert.approximately(Ideal.leastLag(draws({ _tag: "Lognormal", sigma: 0.6 }), 2), 0.26, 0.02)
    // One poll a batch: at the longest of two, half of them are half of the range late.
    assert.approximately(Ideal.leastLag([1, 3], 1), 0.5, 1e-9)
    // One poll and a half: at each of the two. Between them it mixes.
    assert.approximately(Ideal.leastLag([1, 3], 1.5), 0, 1e-9)
    assert.approximately(Ideal.leastLag([1, 3], 1.25), 0.25, 1e-9)
  })
})

describe("simulate", () => {
  it.each(["ours", "aimd", "fixed8-exp"])("does the same with the same seed, to the last bit: %s", (name) => {
    for (const profile of quick) {
      const once = simulate(profile, clients[name]!, 5)
      const again = simulate(profile, clients[name]!, 5)
      assert.deepStrictEqual(again, once)
      assert.strictEqual(plot(profile, name, again.trace), plot(profile, name, once.trace))
    }
  })

  it("hands in batches of the sizes that it is told", () => {
    const tokens = [3, 1, 120, 16, 16, 40, 2]
    const service = { workers: 2, serviceTime: { ...fixed(0), perToken: 10 } }
    const profile = { name: "sizes", service, batches: tokens.length, batchSize: 1, tokens, runs: 1 }
    for (const name of ["fixed1-1s", "aimd"]) {
      const { figures, trace } = simulate(profile, clients[name]!, 1)
      assert.strictEqual(figures.lost, 0)
      assert.deepStrictEqual(
        trace.batches.map((batch) => batch.tokens),
        tokens
      )
    }
  })

  it("draws other service times with another seed", () => {
    const profile = { ...named("w24-1s-logn0.6"), batches: 100 }
    const one = simulate(profile, clients["fixed8-exp"]!, 5)
    const other = simulate(profile, clients["fixed8-exp"]!, 6)
    assert.notStrictEqual(one.figures.makespan, other.figures.makespan)
  })

  it("finds that a client is good or not", () => {
    const profile = { ...named("w4-1s-fixed"), batches: 200 }
    const { figures } = simulate(profile, knowing, 1)
    assert.deepStrictEqual(
      checks(profile, figures).filter(({ held }) => !held),
      []
    )
    const slow = simulate(profile, clients["fixed1-1s"]!, 1)
    assert.include(
      checks(profile, slow.figures)
        .filter(({ held }) => !held)
        .map(({ name }) => name),
      "makespan"
    )
  })
})

describe("the product", () => {
  // Of each kind, one that it holds well within the bounds: all of them are for the benchmark to say.
  it.each([
    "w1-1s-logn0.6",
    "w4-20s-fixed",
    "w24-1s-logn0.6",
    "queue8-w4-1s",
    "rate20-silent-polls",
    "outage-w24-1s-still",
    "two-w4-1s"
  ])("reaches all bounds of %s", (name) => {
    for (const seed of [1, 2]) {
      const { figures } = simulate(named(name), clients["ours"]!, seed)
      const missed = checks(named(name), figures).filter((check) => !check.held && check.name !== "lag")
      assert.deepStrictEqual(missed, [], `seed ${seed}`)
    }
  })
})

/** Knows that there are four workers, and that each batch takes a second. */
const knowing: Client = Effect.fnUntraced(function* ({ batches }) {
  const operations = yield* TokenOperations.TokenOperations
  yield* Effect.forEach(
    Array.from({ length: batches }),
    (_, index) =>
      Effect.gen(function* () {
        yield* Effect.sleep(Math.floor(index / 4) * 1000)
        const { requestId } = yield* operations.createBatchEncoded(body(1))
        yield* Effect.sleep(990)
        const { state } = yield* operations.batchStatus(requestId)
        assert.strictEqual(state, "Succeeded")
      }),
    { concurrency: "unbounded" }
  )
})
