/**
 * How many batches are with the service at once, when the next is handed in, and when one is asked after: found out while the run goes on.
 *
 * The decisions are pure laws that are folded over what is observed: `FlowLaw` for handing in, `PollLaw` for asking after, `SizeLaw` for how
 * large batches are. This is the shell around them: it holds who waits, wakes whose turn it is, and tells the laws what came of it. One
 * timer serves all who wait.
 *
 * When the service is away (`Outage`), everything waits. Meanwhile no attempt is spent and no deadline comes nearer, and what is learned is
 * not learned from that time.
 *
 * A `RateLimiter` in the context, with a store that other processes share, bounds the requests of all of them together.
 */
import { AuthleteError, TokenBatch, TokenOperations } from "@tokenbatch/core"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as Option from "effect/Option"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Batches from "./Batches.ts"
import * as FlowLaw from "./FlowLaw.ts"
import * as Outage from "./Outage.ts"
import * as PaceLaw from "./PaceLaw.ts"
import * as PollLaw from "./PollLaw.ts"
import type { FlowChanged } from "./RunEvent.ts"
import * as SizeLaw from "./SizeLaw.ts"

/** Options of a flow: each switches off, or bounds, a part of what it finds out by itself. */
export interface Options {
  /** Batches in flight at once; fewer only while the queue of the service is full with fewer. Default: found out. */
  readonly concurrency?: number | undefined
  /** Most batches in flight at once, where that is found out. Default 256. */
  readonly maxConcurrency?: number | undefined
  /** Most records of a batch, or `"auto"` to find that out. Default 1,000. */
  readonly batchSize?: number | "auto" | undefined
  /** Most requests a second, create and status calls together. Default: no bound but what the service refuses. */
  readonly maxRequestsPerSecond?: number | undefined
}

/** A batch that is with the service, as its poller sees it. */
export interface Ticket {
  readonly requestId: TokenBatch.RequestId
  /** When it was taken, and how many were with the service then, it included. */
  readonly taken: number
  readonly held: number
  /** How many records it has; 0 where that is not known. */
  readonly records: number
  /** Whether it was taken in this leg: only then is anything learned from how long it took. */
  readonly ours: boolean
}

/** A batch that waits to be asked after. */
export interface Waiting {
  readonly ticket: Ticket
  /** Status calls so far that counted. */
  readonly misses: number
  /** When the last one was answered, or when the first wait began. */
  readonly last: number
  /** Milliseconds after the last one, by a schedule of the caller's. Default: found out. */
  readonly delay?: number | undefined
  /** Not before so many milliseconds after the last one. */
  readonly least?: number | undefined
  /** At the latest. Default: never. */
  readonly latest?: number | undefined
}

/** Why a wait is over. */
export type Turn =
  /** It is time. */
  | "due"
  /** Something says that there may be a result. */
  | "hinted"
  /** The service has been away for too long. */
  | "gone"
  /** The leg is halted. */
  | "halted"

/** A share of a run's flow. */
export interface Flow {
  /** The time by the clock that all of this goes by, in milliseconds: one that nobody sets. */
  readonly now: () => number
  /** A permit for each batch that may be between its intent and its end. */
  readonly slots: Semaphore.Semaphore
  /** Waits until a create call may begin, and takes it to have begun. False: it may not, because the leg stops. */
  readonly admit: Effect.Effect<boolean>
  /** It was not made after all. */
  readonly withdraw: () => void
  /** Waits until one more request may be made under the bound of the requests a second. */
  readonly limited: Effect.Effect<void>
  /** Says what came of a create call that began at `sent`: a ticket, or why it was not taken as far as is known. */
  readonly submitted: (
    sent: number,
    answer: Result.Result<TokenBatch.Receipt, AuthleteError.AuthleteError>,
    records: number
  ) => Effect.Effect<Result.Result<Ticket, AuthleteError.AuthleteError>>
  /** A ticket for a batch that was taken in another leg. */
  readonly adopt: (requestId: TokenBatch.RequestId) => Ticket
  /** In how many milliseconds the next create call may begin, as far as is known. */
  readonly createIn: () => number
  /** Waits until a batch is to be asked after. */
  readonly turn: (waiting: Waiting) => Effect.Effect<Turn>
  /** Says what came of a status call that began at `sent`: whether the time until then is one in which the service answered such calls. */
  readonly polled: (
    poll: Pick<Waiting, "ticket" | "misses" | "last"> & { readonly sent: number; readonly turn: Turn },
    answer: Result.Result<TokenBatch.BatchStatus, AuthleteError.AuthleteError>
  ) => Effect.Effect<boolean>
  /** A batch is no longer asked after. */
  readonly ended: (ticket: Ticket, found: boolean) => void
  /** A notification of the service: the batch whose request ID stands in it is asked after now, or else the one that is expected soonest. */
  readonly hint: (text: string) => void
  /** Lets go of whoever waits to hand in, because the leg stops; and lets them wait again. */
  readonly stop: () => void
  readonly goOn: () => void
  /** Lets go of whoever waits, because the leg is halted. */
  readonly halt: () => void
  /** Whether the service has been given up. */
  readonly isGone: () => boolean
  /** How long the service was away since a moment, in milliseconds: time that counts for nothing. */
  readonly awaySince: (moment: number) => number
  /** Most records of the next batch. */
  readonly batchSize: () => number
}

/** What a flow is made of. */
export interface Settings extends Options {
  readonly pollTimeout: Duration.Input
  readonly giveUpAfter: Duration.Input
  /** Called with each decision. */
  readonly changed: (event: FlowChanged) => void
  /** Called once, when the service has been away for too long. */
  readonly givenUp: (message: string) => Effect.Effect<void>
  /** Called when a fiber of its own meets a defect: nobody would be woken any more. */
  readonly died: (cause: Cause.Cause<never>) => Effect.Effect<unknown>
}

/** A batch that is with the service. */
interface Known {
  readonly ticket: Ticket
  /** When it was last asked after in vain, if nothing was answered of it since. */
  silentAt: number
  /** So often the service was taken to be away because of it among others, and was back when somebody else was asked after. */
  blamed: number
  /** Which notifications it has been brought forward by: one that named it, one that did not. */
  named: boolean
  guessed: boolean
  /** It is to be asked after once more, because a notification came while it was asked after. */
  again: boolean
}

/** Who waits to ask. */
interface Asking {
  readonly waiting: Waiting
  readonly asked: PollLaw.Asked
  readonly jitter: number
  /** When its own time comes, by what was known of results then. */
  due: number
  dueBy: PollLaw.State | undefined
  /** Whether nobody has woken it yet. */
  isWaiting: boolean
  readonly resume: (turn: Turn) => void
}

/** Asked for where no batch is known to be asked after: nobody has one of this name. */
const nobodys = TokenBatch.RequestId.make("tokenbatch-is-the-service-back")

/** A flow, for as long as the scope is open. */
export const make = Effect.fnUntraced(function* (
  settings: Settings
): Effect.fn.Return<Flow, never, TokenOperations.TokenOperations | Scope.Scope> {
  const operations = yield* TokenOperations.TokenOperations
  const clock = yield* Clock.Clock
  const random = yield* Random.Random
  const now = () => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
  const limited = yield* limit(settings.maxRequestsPerSecond, now, () => tell("MaxRequests"))

  let law = FlowLaw.initial(
    {
      fixed: settings.concurrency,
      most: settings.maxConcurrency,
      pollTimeout: Duration.toMillis(settings.pollTimeout)
    },
    now()
  )
  let polls = PollLaw.initial
  let size = SizeLaw.initial
  const { batchSize: given = Batches.defaultBatchSize } = settings
  const auto = given === "auto"
  const slots = yield* Semaphore.make(FlowLaw.windowOf(law))

  /** Who waits to hand in. */
  const creating: Array<(admitted: boolean) => void> = []
  /** In the order in which they were taken. */
  const asking: Array<Asking> = []
  let calls = 0
  /** Batches that are with the service. */
  const atService = new Map<TokenBatch.RequestId, Known>()
  /** Some that ended not long ago, of which a notification may still come. */
  const endedLately = new Set<TokenBatch.RequestId>()
  /** Notifications that name no batch of ours are followed as long as they are right as often as not. */
  let credit = fullCredit
  let lastId: TokenBatch.RequestId | undefined
  /** When a status call was last answered; and what was asked after in vain since any call was. */
  let answeredAt = -Infinity
  const silent = new Set<Known>()
  /** The most records of a create call that timed out, until it is known whether the service was away. */
  let timedOutWith = 0
  let stopped = false
  let halted = false
  const outage = yield* Outage.make({
    now,
    giveUpAfter: Duration.toMillis(settings.giveUpAfter),
    ask: Effect.suspend(() => {
      const isSilent = [...silent].some(({ ticket }) => ticket.requestId === lastId)
      return Effect.andThen(limited, operations.batchStatus(isSilent ? nobodys : (lastId ?? nobodys)))
    }),
    onAway: (millis) => {
      timedOutWith = 0
      tell("Away", { at: clock.currentTimeMillisUnsafe() - Math.round(millis) })
    },
    onBack: (millis) => {
      for (const known of silent) known.blamed++
      silent.clear()
      observe({ _tag: "WasAway", at: now(), millis })
      tell("Back")
      stir()
    },
    onGone: (last) =>
      Effect.andThen(
        settings.givenUp(`the service has not answered for too long: ${inWords(last)}`),
        Effect.sync(() => {
          for (const one of asking.slice()) wake(one, "gone")
        })
      ),
    onDefect: settings.died
  })

  const observe = (observation: FlowLaw.Observation): void => {
    const before = law
    law = FlowLaw.step(law, observation)
    const window = FlowLaw.windowOf(law)
    const reason = FlowLaw.decision(before, law)
    if (reason !== undefined) tell(reason)
    // Whoever waited for a slot goes on at once.
    if (window !== FlowLaw.windowOf(before)) Effect.runSync(slots.resize(window))
  }

  const measure = (observation: SizeLaw.Observation): void => {
    if (!auto) return
    const before = size
    size = SizeLaw.step(size, observation)
    if (size.size !== before.size) tell("BatchSize")
  }

  /** Says that the service has asked to wait, once for all calls that it has said so to. */
  let pausedUntil = 0
  const refusedFor = (retryAfter: number | undefined, at: number) => {
    if (retryAfter === undefined || retryAfter < longPause || at + retryAfter < pausedUntil + longPause) return
    pausedUntil = at + retryAfter
    tell("Paused", { pause: retryAfter })
  }

  const tell = (reason: FlowChanged["reason"], more?: Partial<Pick<FlowChanged, "at" | "pause">>) =>
    settings.changed({
      _tag: "FlowChanged",
      at: clock.currentTimeMillisUnsafe(),
      reason,
      window: FlowLaw.windowOf(law),
      ...(law.pace.spacing > 0 ? { requestsPerSecond: round(1000 / law.pace.spacing) } : undefined),
      ...(auto ? { batchSize: size.size } : undefined),
      ...more
    })

  // The timer: asleep until the next who waits is due; begun anew where somebody is due before that.
  let alarmAt = Infinity
  let isPumping = false
  const dueOf = (one: Asking, place: number) => {
    const { asked, waiting } = one
    const { delay, last, least = 0 } = waiting
    if (delay !== undefined) return last + Math.max(delay, least)
    if (!PollLaw.isKnown(polls)) return Math.max(PollLaw.due(polls, asked, place, calls), last + least)
    // Whatever happens, all who wait are looked at: not to be reckoned anew for each of them, each time.
    if (one.dueBy !== polls) {
      one.due = PollLaw.due(polls, asked, place, calls) + one.jitter * PollLaw.spread(polls, asked)
      one.dueBy = polls
    }
    return Math.max(one.due, last + least)
  }

  /** Wakes whoever may go on now, and gives the moment at which the next may. */
  const pump = (): number => {
    if (outage.isOut() || outage.isGone() || halted) return Infinity
    const at = now()
    let next = Infinity
    while (creating.length > 0) {
      const due = FlowLaw.nextCreate(law)
      if (due > at) {
        next = due
        break
      }
      observe({ _tag: "Sent", at })
      creating.shift()!(true)
    }
    const wanted = FlowLaw.wantsPoll(law) && calls === 0
    let place = 0
    const byWaiting = !PollLaw.isKnown(polls) && PollLaw.order(polls) === "waiting"
    const order = byWaiting ? asking.toSorted((a, b) => a.waiting.last - b.waiting.last) : [...asking]
    for (const one of order) {
      // Whom it wakes goes on at once, and may have woken others by then.
      if (!one.isWaiting) continue
      const { latest = Infinity } = one.waiting
      const due = Math.min(Math.max(wanted && place === 0 ? at : dueOf(one, place), FlowLaw.nextPoll(law)), latest)
      if (due <= at) wake(one, "due")
      else {
        next = Math.min(next, due)
        place++
      }
    }
    return next
  }

  const wake = (one: Asking, turn: Turn) => {
    one.isWaiting = false
    remove(asking, one)
    if (turn === "due" || turn === "hinted") {
      calls++
      observe({ _tag: "Asked", at: now() })
    }
    one.resume(turn)
  }

  /** Who is due first of those that no notification has brought forward. */
  const soonest = (): Asking | undefined => {
    let first: Asking | undefined
    let least = Infinity
    for (const [place, one] of asking.entries()) {
      if (atService.get(one.waiting.ticket.requestId)?.guessed === true) continue
      const due = dueOf(one, place)
      if (first !== undefined && due >= least) continue
      first = one
      least = due
    }
    return first
  }

  /** Whether no other batch has this request ID, as far as is remembered. */
  const isNew = (requestId: TokenBatch.RequestId) => !atService.has(requestId) && !endedLately.has(requestId)

  /** Whether the service has asked not to be asked after it for a while. */
  const mayNotYet = ({ waiting: { last, least = 0 } }: Asking): boolean => last + least > now()

  const stir = () => {
    const next = pump()
    if (next >= alarmAt) return
    alarmAt = next
    if (!isPumping) beginAlarm(alarm)
  }

  const beginAlarm = yield* FiberHandle.makeRuntime<never>()
  const alarm = Effect.forever(
    Effect.andThen(
      // For ever, where nobody waits.
      Effect.suspend(() => Effect.sleep(Math.max(Math.ceil(alarmAt - now()), 1))),
      Effect.sync(() => {
        isPumping = true
        alarmAt = Infinity
        // Whom it wakes may go on at once, and somebody be due before what it gives.
        alarmAt = Math.min(pump(), alarmAt)
        isPumping = false
      })
    )
  ).pipe(Effect.catchCause(settings.died))

  const hold = (ticket: Ticket): Ticket => {
    atService.set(ticket.requestId, {
      ticket,
      silentAt: Infinity,
      blamed: 0,
      named: false,
      guessed: false,
      again: false
    })
    return ticket
  }

  const end = (ticket: Ticket, found: boolean) => {
    const { held, records, requestId, taken } = ticket
    atService.delete(requestId)
    endedLately.add(requestId)
    if (endedLately.size > remembered) endedLately.delete(endedLately.values().next().value!)
    const learn = found && ticket.ours && !outage.wasOutSince(ticket.taken)
    const at = now()
    const sizing = auto && !size.settled
    observe({ _tag: "Ended", at, taken: learn ? { at: taken, held } : undefined, sizing })
    // One thing at a time: how large first, then how many.
    if (learn && records > 0) measure({ _tag: "Done", records, taken, held, at })
    stir()
  }

  return {
    now,
    slots,
    batchSize: () => (auto ? size.size : given),
    admit: Effect.callback<boolean>((resume) => {
      const waiting = (admitted: boolean) => resume(Effect.succeed(admitted))
      if (stopped || outage.isGone()) return waiting(false)
      creating.push(waiting)
      stir()
      return Effect.sync(() => remove(creating, waiting))
    }),
    limited,
    withdraw: () => {
      observe({ _tag: "Withdrawn" })
      stir()
    },
    submitted: (sent, given, records) =>
      Effect.suspend(() => {
        const at = now()
        const answer = Result.flatMap(given, (receipt) =>
          isNew(receipt.requestId) ? Result.succeed(receipt) : Result.fail(repeated)
        )
        const ticket = Result.map(answer, ({ requestId }): Ticket => {
          observe({ _tag: "Taken", at, sent })
          lastId = requestId
          // Others are answered meanwhile, so it was not the service that was away.
          if (timedOutWith > 0) measure({ _tag: "TooMuch", records: timedOutWith, at, forGood: false })
          timedOutWith = 0
          return hold({ requestId, taken: at, held: law.held, records, ours: true })
        })
        const error = Result.isFailure(answer) ? answer.failure : undefined
        if (error?._tag === "RateLimited") {
          observe({ _tag: "Refused", at, sent, retryAfter: error.retryAfter })
          refusedFor(error.retryAfter, at)
        } else if (error !== undefined) {
          const timedOut = error._tag === "RequestTimeout"
          observe({ _tag: "Lost", timedOut })
          const tooLarge = "status" in error && error.status === 413
          if (tooLarge) measure({ _tag: "TooMuch", records, at, forGood: true })
          else if (timedOut) timedOutWith = Math.max(timedOutWith, records)
        }
        const isAway = error !== undefined && Outage.isAway(error)
        if (!isAway) silent.clear()
        stir()
        return Effect.as(outage.heard(isAway ? error : undefined), ticket)
      }),
    adopt: (requestId) => {
      lastId = requestId
      observe({ _tag: "Adopted", at: now() })
      return hold({ requestId, taken: now(), held: law.held, records: 0, ours: false })
    },
    createIn: () => {
      const due = FlowLaw.nextCreate(law)
      return due === Infinity ? 0 : Math.max(due - now(), 0)
    },
    turn: (waiting) =>
      Effect.callback<Turn>((resume) => {
        if (halted || outage.isGone()) return resume(Effect.succeed(halted ? "halted" : "gone"))
        const one: Asking = {
          waiting,
          asked: askedOf(waiting),
          jitter: random.nextDoubleUnsafe() * 2 - 1,
          due: 0,
          dueBy: undefined,
          isWaiting: true,
          resume: (turn) => resume(Effect.succeed(turn))
        }
        let place = asking.length
        while (place > 0 && asking[place - 1]!.asked.taken > one.asked.taken) place--
        asking.splice(place, 0, one)
        const known = atService.get(waiting.ticket.requestId)
        if (known?.again === true && !outage.isOut()) {
          known.again = false
          if (!mayNotYet(one) && FlowLaw.nextPoll(law) <= now()) wake(one, "hinted")
        }
        stir()
        return Effect.sync(() => remove(asking, one))
      }),
    polled: (poll, answer) =>
      Effect.suspend(() => {
        const { sent, ticket, turn } = poll
        const at = now()
        calls--
        const error = Result.isFailure(answer) ? answer.failure : undefined
        const refused = error?._tag === "RateLimited"
        const retryAfter = refused ? error.retryAfter : undefined
        if (error === undefined || !Outage.isAway(error)) {
          observe({ _tag: "Polled", at, sent, refused, retryAfter })
          refusedFor(retryAfter, at)
        }
        if (!refused) {
          const found = Result.isSuccess(answer) && TokenBatch.hasEnded(answer.success)
          const asked = askedOf(poll)
          const limited = PaceLaw.isPressed(law.pace)
          const learn = ticket.ours && !outage.wasOutSince(ticket.taken)
          const onTime = Result.isSuccess(answer) && turn === "due"
          if (turn === "hinted") credit = Math.min(credit + (found ? 1 : -1), fullCredit)
          polls = PollLaw.step(polls, {
            asked,
            sent,
            at,
            found,
            limited,
            learn,
            onTime,
            hinted: turn === "hinted"
          })
        }
        // Two batches of earlier legs may have one request ID: this one is known no longer when the other one has ended.
        if (!atService.has(ticket.requestId)) hold(ticket)
        const known = atService.get(ticket.requestId)!
        const saysNothing = error !== undefined && Outage.saysNothing(error)
        // Others were answered between two calls for this one that were not: it is this batch, not the service.
        const isOdd = saysNothing && (answeredAt > known.silentAt || known.blamed >= blamedEnough)
        known.silentAt = saysNothing ? at : Infinity
        if (!saysNothing) {
          silent.clear()
          known.blamed = 0
          if (!refused) answeredAt = at
        } else if (!isOdd) silent.add(known)
        stir()
        return Effect.as(
          isOdd ? Effect.void : outage.heard(saysNothing ? error : undefined),
          !refused && (isOdd || !saysNothing)
        )
      }),
    ended: end,
    hint: (text) => {
      if (outage.isOut() || FlowLaw.nextPoll(law) > now()) return
      const named = longest(atService.keys(), text)
      if (named === undefined) {
        if (credit < 1 || longest(endedLately, text) !== undefined) return
        const one = soonest()
        if (one === undefined || mayNotYet(one)) return
        const known = atService.get(one.waiting.ticket.requestId)
        if (known !== undefined) known.guessed = true
        return wake(one, "hinted")
      }
      const known = atService.get(named)!
      const one = asking.find(({ waiting }) => waiting.ticket === known.ticket)
      if (known.named || (one !== undefined && mayNotYet(one))) return
      known.named = true
      // It is being asked after: the answer may be from before.
      if (one === undefined) known.again = true
      else wake(one, "hinted")
    },
    stop: () => {
      stopped = true
      for (const one of creating.splice(0)) one(false)
    },
    goOn: () => {
      stopped = false
    },
    halt: () => {
      halted = true
      for (const one of asking.slice()) wake(one, "halted")
    },
    isGone: outage.isGone,
    awaySince: outage.awaySince
  }
})

const remove = <A>(all: Array<A>, one: A): void => {
  const index = all.indexOf(one)
  if (index >= 0) all.splice(index, 1)
}

/** It is a batch, not the service, that nothing is heard of: when that looked like an outage so often. */
const blamedEnough = 2

/** A receipt that another batch has already is not one of this batch: something in between repeats an answer. */
const repeated = new AuthleteError.UnexpectedResponse({
  status: 200,
  reason: "an acceptance whose requestId another batch has",
  headers: {},
  body: ""
})

/** So many notifications that name no batch of ours may be wrong in a row. */
const fullCredit = 8

/** Milliseconds that the service may ask to wait without its being said. */
const longPause = 5000

/** As many batches that have ended are remembered, lest a late notification of one be taken for one of another. */
const remembered = 1024

/** The longest of some names that stands in a text. */
const longest = <A extends string>(names: Iterable<A>, text: string): A | undefined => {
  let found: A | undefined
  for (const name of names) if (text.includes(name) && name.length > (found?.length ?? 0)) found = name
  return found
}

const askedOf = ({
  last,
  misses,
  ticket: { held, taken }
}: Pick<Waiting, "ticket" | "misses" | "last">): PollLaw.Asked => ({
  taken,
  held,
  polls: misses,
  last
})

/** Not what an answer says: it may quote what was sent. */
const inWords = (error: AuthleteError.AuthleteError): string =>
  "status" in error ? `HTTP ${error.status}` : error.message

const round = (n: number) => Number(n.toPrecision(3))

/** For so long each request has to wait before the bound is said to hold them back, in milliseconds: not for a few that come at once. */
const heldBack = 1000

/** Waits for its turn under the bound of the requests a second, if there is one. `held`: called once, when it has held requests back. */
const limit = Effect.fnUntraced(function* (perSecond: number | undefined, now: () => number, held: () => void) {
  if (perSecond === undefined) return Effect.void
  const given = yield* Effect.serviceOption(RateLimiter.RateLimiter)
  const limiter = Option.isSome(given)
    ? given.value
    : // Of this run alone, also where the application has such a store for something else.
      yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory, { local: true })
  const { address } = yield* TokenOperations.TokenOperations
  // Few at once, so that hardly anything is lost to how exact a timer is; and as many fewer afterwards, so that no second has more than that.
  const atOnce = Math.max(Math.floor(perSecond / 50), 1)
  let warned = false
  let told = false
  let waitingSince: number | undefined
  return RateLimiter.sleep(limiter, {
    key: `${address.baseUrl}/${address.serviceId}`,
    algorithm: "token-bucket",
    limit: atOnce,
    window: (atOnce / (perSecond - atOnce + 1)) * 1000
  }).pipe(
    Effect.map(({ delay }) => {
      waitingSince = Duration.isZero(delay) ? undefined : (waitingSince ?? now())
      if (told || waitingSince === undefined || now() - waitingSince < heldBack) return
      told = true
      held()
    }),
    // The run is worth more than the bound.
    Effect.catch((error) => {
      if (warned) return Effect.void
      warned = true
      return Effect.logWarning(`requests are not bounded: the limiter's store fails: ${error.message}`)
    })
  )
})
