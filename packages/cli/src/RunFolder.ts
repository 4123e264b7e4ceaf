/**
 * The folder of a run: its journal, and beside it the rejects, the results and the report.
 *
 * Where none is named, it is made under the platform's state directory, by the input's name and the time. Runs whose folder is elsewhere
 * have a link there, so that all of them can be found.
 */
import * as UserDirectories from "effect/persistence/UserDirectories"
import { RunJournal, RunReport, RunState, type RunEvent } from "@tokenbatch/stream"
import * as FileLock from "@tokenbatch/stream/FileLock"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { createHash, randomBytes } from "node:crypto"
import { Failure } from "./Failure.ts"
import * as IoError from "./IoError.ts"
import * as OutputFiles from "./OutputFiles.ts"

/** The files in a run's folder. */
export interface RunFolder {
  readonly id: string
  readonly path: string
  readonly journal: string
  readonly rejects: string
  readonly results: string
  readonly report: string
}

type Started = Extract<RunEvent.RunEvent, { readonly _tag: "RunStarted" }>

/** A folder whose journal cannot be read to its end. */
interface Unreadable extends RunFolder {
  /** What its first line says, if that can be read. */
  readonly started: Started | undefined
  readonly problem: string
}

/** What a folder's journal says. */
export interface Run extends RunFolder {
  readonly started: Started
  readonly state: RunState.RunState
  /** Whether nothing is left to be done. */
  readonly finished: boolean
  /** Whether it can go on: it is no dry run, and not against a sandbox that is gone. */
  readonly resumable: boolean
}

const at = (id: string, path: string, { join }: Path.Path): RunFolder => ({
  id,
  path,
  journal: join(path, "journal"),
  rejects: join(path, "rejects.ndjson"),
  results: join(path, "results.ndjson"),
  report: join(path, "report.json")
})

const cannot = (path: string) => (error: PlatformError.PlatformError) =>
  new Failure({
    problem: `The run's folder ${path} cannot be used: ${IoError.describe(error)}.`,
    remedy: "Name another one with --run-dir."
  })

/** Where the folders of runs are, unless they were put elsewhere. */
const root = Effect.gen(function* () {
  const { join } = yield* Path.Path
  const directories = yield* UserDirectories.UserDirectories
  return join(yield* directories.state("tokenbatch"), "runs")
}).pipe(
  Effect.mapError(
    () =>
      new Failure({
        problem: "There is no place to keep the run's journal: the home directory is not known.",
        remedy: "Set HOME or XDG_STATE_HOME, or name a folder with --run-dir."
      })
  ),
  Effect.provide(UserDirectories.layer)
)

/** What the journal in a folder says; `undefined` where there is none, or nothing in it. */
const look = Effect.fnUntraced(function* (id: string, folder: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const files = at(id, folder, path)
  if (!(yield* Effect.orElseSucceed(fs.exists(files.journal), () => false))) return undefined
  let state = RunState.initial
  let started: Started | undefined
  let report: RunReport.RunReport | undefined
  yield* Stream.runForEach(RunJournal.read(files.journal), (event) =>
    Effect.sync(() => {
      state = RunState.step(state, event)
      if (event._tag === "RunStarted") started = event
      report = event._tag === "RunFinished" ? event.report : undefined
    })
  )
  if (started === undefined) return undefined
  const code = report === undefined ? 3 : RunReport.exitCode(report)
  const run: Run = {
    ...files,
    id: started.runId,
    started,
    state,
    finished: code <= 1,
    resumable: !started.dryRun && started.sandbox !== true
  }
  return run
})

/** Makes the folder of a new run, for its owner only. @param input what is read, for the name */
export const make = Effect.fnUntraced(function* (input: string, runDir: Option.Option<string>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const time = new Date(yield* Clock.currentTimeMillis).toISOString().replace(/[-:]|\.\d+/g, "")
  const name = path
    .basename(input)
    .replace(/[^\w.-]+/g, "_")
    .slice(0, 60)
  const id = `${name}-${time}-${randomBytes(2).toString("hex")}`
  const home = yield* Option.isNone(runDir) ? Effect.map(root, Option.some) : Effect.option(root)
  const place = Option.orElse(runDir, () => Option.map(home, (folder) => path.join(folder, id)))
  const folder = at(id, path.resolve(Option.getOrElse(place, () => id)), path)
  const before = yield* Effect.mapError(
    look(id, folder.path),
    ({ message }) => new Failure({ problem: `${message}.`, remedy: "Name another folder with --run-dir." })
  )
  // A journal without an event is of a run that was cut off before it had begun.
  if (before !== undefined) {
    return yield* new Failure({
      problem: `${folder.path} holds a run already.`,
      remedy: `Go on with it: tokenbatch resume ${folder.path}. Or name another folder with --run-dir.`
    })
  }
  yield* Effect.mapError(fs.makeDirectory(folder.path, { recursive: true, mode: 0o700 }), cannot(folder.path))
  if (Option.isSome(runDir) && Option.isSome(home)) {
    // So that it is found by its id, where links can be made.
    yield* Effect.ignore(
      Effect.andThen(
        fs.makeDirectory(home.value, { recursive: true, mode: 0o700 }),
        fs.symlink(folder.path, path.join(home.value, id))
      )
    )
  }
  return folder
})

/** The folders of all runs that can be found. */
const folders = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = yield* root
  const names = yield* Effect.orElseSucceed(fs.readDirectory(home), () => [])
  return yield* Effect.forEach(names, (name) => {
    const place = path.join(home, name)
    return Effect.map(
      Effect.orElseSucceed(fs.realPath(place), () => place),
      (folder) => at(name, folder, path)
    )
  })
})

/** All runs that can be found, the latest first, and those whose journals cannot be read. */
export const list = Effect.gen(function* () {
  const runs: Array<Run> = []
  const unreadable: Array<Unreadable> = []
  for (const folder of yield* folders) {
    yield* Effect.matchEffect(look(folder.id, folder.path), {
      onSuccess: (run) => Effect.sync(() => (run === undefined ? undefined : void runs.push(run))),
      onFailure: ({ message }) =>
        Effect.map(
          Effect.orElseSucceed(RunJournal.first(folder.journal), () => undefined),
          (started) => void unreadable.push({ ...folder, started, problem: message })
        )
    })
  }
  return { runs: runs.sort((a, b) => b.started.startedAt - a.started.startedAt), unreadable }
})

/** The run that is meant: by its folder or its id, or the latest that is not finished. */
export const find = Effect.fnUntraced(function* (named: Option.Option<string>) {
  const { resolve } = yield* Path.Path
  if (Option.isSome(named)) {
    const folder = resolve(named.value)
    const inFolder = yield* Effect.catchTag(look(named.value, folder), "JournalError", ({ message }) =>
      Effect.fail(new Failure({ problem: `${message}.`, remedy: "Nothing was sent." }))
    )
    if (inFolder !== undefined) return inFolder
  }
  const { runs, unreadable } = yield* list
  const broken = unreadable.find(
    ({ id, started }) => id === Option.getOrUndefined(named) || started?.runId === Option.getOrUndefined(named)
  )
  if (broken !== undefined) return yield* new Failure({ problem: `${broken.problem}.`, remedy: "Nothing was sent." })
  const found = Option.isSome(named)
    ? runs.find(({ id }) => id === named.value)
    : runs.find(({ finished, resumable }) => !finished && resumable)
  if (found !== undefined) return found
  return yield* Option.isSome(named)
    ? new Failure({
        problem: `There is no run ${named.value}: no run has this id, and no folder of this name holds a journal with an event in it.`,
        remedy: "See tokenbatch runs."
      })
    : new Failure({ problem: "There is no run to go on with.", remedy: "See tokenbatch runs." })
})

/** What files are, whatever they are called: those of a run may have other names now. */
const filesOf = (inputs: RunEvent.Pinned["inputs"]) =>
  Effect.map(
    Effect.forEach(inputs, ({ identity }) => OutputFiles.identityOf(identity)),
    (files) => files.filter((file) => file !== undefined)
  )

/**
 * Holds these inputs at this address until the scope closes: two runs that begin at the same moment would not see each other's journals, and
 * submit all of it twice. Where nothing can be written down about it, nothing is held.
 */
export const hold = Effect.fnUntraced(function* (
  inputs: RunEvent.Pinned["inputs"],
  { baseUrl, serviceId }: RunEvent.Pinned["address"]
) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = yield* Effect.option(root)
  if (Option.isNone(home)) return
  const locks = path.join(path.dirname(home.value), "locks")
  yield* Effect.ignore(fs.makeDirectory(locks, { recursive: true, mode: 0o700 }))
  // In one order, so that of two that want the same ones one gets them all.
  for (const file of (yield* filesOf(inputs)).toSorted()) {
    const name = createHash("sha256")
      .update(JSON.stringify([file, baseUrl, serviceId]))
      .digest("hex")
      .slice(0, 32)
    yield* FileLock.acquire(path.join(locks, name)).pipe(
      Effect.catchTags({
        LockHeld: ({ pid }) =>
          Effect.fail(
            new Failure({
              problem: `Process ${pid} is submitting the same input to this service right now.`,
              remedy: "Wait until it has ended. To submit everything again in a new run all the same: --new."
            })
          ),
        PlatformError: () => Effect.void
      })
    )
  }
})

/**
 * The latest run of any of these inputs at this address that is not finished and can go on. One of which nothing can have been taken does not
 * count; one whose journal cannot be read does, and that is refused.
 */
export const unfinished = Effect.fnUntraced(function* (
  inputs: RunEvent.Pinned["inputs"],
  address: RunEvent.Pinned["address"]
) {
  const files = new Set(yield* filesOf(inputs))
  const found: Array<Run> = []
  for (const folder of yield* Effect.orElseSucceed(folders, () => [])) {
    const started = yield* Effect.orElseSucceed(RunJournal.first(folder.journal), () => undefined)
    if (started === undefined || started.dryRun || started.sandbox === true) continue
    if (!(yield* filesOf(started.inputs)).some((file) => files.has(file))) continue
    if (started.address.baseUrl !== address.baseUrl || started.address.serviceId !== address.serviceId) continue
    const run = yield* Effect.mapError(
      look(folder.id, folder.path),
      ({ message }) =>
        new Failure({
          problem: `There is an earlier run of the same input that cannot be read. ${message}.`,
          remedy: "To submit everything again in a new run all the same: --new."
        })
    )
    if (run !== undefined && !run.finished && run.state.batches.submitted + run.state.inFlight > 0) found.push(run)
  }
  return found.sort((a, b) => b.started.startedAt - a.started.startedAt)[0]
})
