/**
 * Virtual time: a `Clock` whose sleeps cost nothing, and a scheduler that knows when nothing is left to do.
 *
 * Everything that runs under it runs in one loop, in one turn of the event loop: first all that is runnable, in order; then time
 * jumps to what is due next. Sleeps that are due together wake in the order in which they were begun. So the same program with the
 * same seed does the same to the last bit, and an hour takes as long as what happens in it.
 *
 * Whoever waits for a promise, a socket or a timer of the platform would be overtaken by time. The run of a `TokenBatchRun` without a
 * journal waits for none of them. `runChecked` gives the platform a turn before each jump: slower, and if nothing waits for the
 * platform it comes to the same, which a test holds.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"
import { Heap } from "./Heap.ts"

/** Milliseconds since the Unix epoch at which virtual time begins. */
const epoch = Date.UTC(2026, 0, 1)

/** What takes longer has lost its way: milliseconds of virtual time, and wakings without any going by. */
const longest = 3 * 24 * 3600 * 1000
const mostAtOnce = 1_000_000

interface Timer {
  run: (() => void) | undefined
}

/** A clock with its own loop. Mutable: it is the hot loop. */
export class VirtualClock implements Clock.Clock {
  /** Milliseconds since it began, with fractions. */
  now = 0
  private readonly timers = new Heap<Timer>()
  private readonly tasks = new Heap<() => void>()
  private atOnce = 0

  /** Calls a function at a time, in milliseconds since it began. Gives what calls it off. */
  at(time: number, run: () => void): () => void {
    const timer: Timer = { run }
    this.timers.push(Math.max(time, this.now), timer)
    return () => void (timer.run = undefined)
  }

  /** Runs fibers on this clock, and knows when none of them has anything to do. */
  readonly scheduler: Scheduler.Scheduler = {
    executionMode: "async",
    shouldYield: (fiber) => fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield,
    makeDispatcher: () => this.dispatcher
  }

  private readonly dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task, priority) => this.tasks.push(priority, task),
    flush: () => this.runTasks()
  }

  private runTasks(): void {
    for (let task = this.tasks.pop(); task !== undefined; task = this.tasks.pop()) task()
  }

  /** Wakes what is due next; `false` where nothing is. */
  private jump(): boolean {
    for (;;) {
      const time = this.timers.least
      const timer = this.timers.pop()
      if (timer === undefined) return false
      if (timer.run === undefined) continue
      this.atOnce = time > this.now ? 0 : this.atOnce + 1
      if (time > longest || this.atOnce > mostAtOnce) throw new Error(`not done after ${time / 1000} s of virtual time`)
      this.now = time
      timer.run()
      return true
    }
  }

  /** Runs until nothing is left to do. */
  runToEnd(): void {
    do this.runTasks()
    while (this.jump())
  }

  private fork<A, E>(effect: Effect.Effect<A, E>): Fiber.Fiber<A, E> {
    const context = Context.make(Clock.Clock, this).pipe(Context.add(Scheduler.Scheduler, this.scheduler))
    return Effect.runForkWith(context)(effect)
  }

  /** Runs an effect to its end, at once. */
  run<A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> {
    const fiber = this.fork(effect)
    do this.runTasks()
    while (fiber.pollUnsafe() === undefined && this.jump())
    return endOf(fiber)
  }

  /** The same, with a turn for the platform before each jump. */
  async runChecked<A, E>(effect: Effect.Effect<A, E>): Promise<Exit.Exit<A, E>> {
    const fiber = this.fork(effect)
    do {
      this.runTasks()
      await new Promise((resolve) => setImmediate(resolve))
      this.runTasks()
    } while (fiber.pollUnsafe() === undefined && this.jump())
    return endOf(fiber)
  }

  currentTimeMillisUnsafe(): number {
    return epoch + Math.floor(this.now)
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.currentTimeMillisUnsafe())
  currentTimeNanosUnsafe(): bigint {
    return BigInt(epoch) * 1_000_000n + this.monotonicTimeNanosUnsafe()
  }
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  monotonicTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.now * 1e6))
  }
  readonly monotonicTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis <= 0) return Effect.yieldNow
    if (!Number.isFinite(millis)) return Effect.never
    return Effect.callback((resume) => Effect.sync(this.at(this.now + millis, () => resume(Effect.void))))
  }
}

const endOf = <A, E>(fiber: Fiber.Fiber<A, E>): Exit.Exit<A, E> => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("everything waits for something that never comes, or comes from outside")
  return exit
}
