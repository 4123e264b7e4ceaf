/**
 * Gets the records of a batch back after its body is gone: to take up what an earlier leg left, and to find out what became of records
 * that are unresolved.
 *
 * An input that can be read again is read again, and what is read is held against its digest. Of one that cannot, the bodies of
 * unresolved batches are kept, up to 64 MiB; what is beyond that stays unresolved until the run is resumed with the same input once
 * more.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as Batches from "./Batches.ts"
import * as InputReader from "./InputReader.ts"
import * as Lines from "./Lines.ts"
import type { OpenBatch, OpenBatches } from "./OpenBatches.ts"
import * as Resumption from "./Resumption.ts"
import type * as TokenRecords from "./TokenRecords.ts"

/** A batch that is open, with its records. */
export interface Recalled {
  readonly entry: OpenBatch
  readonly batch: Batches.Batch
}

/** Records that were created in this run, with access tokens of their own: one at least, and one with a refresh token if there was one. */
export interface Specimens {
  access: Redacted.Redacted | undefined
  refresh: Redacted.Redacted | undefined
}

/** What a leg keeps of its records. */
export interface Recall<R> {
  readonly specimens: Specimens
  /** Takes note of a batch that was created, or of some of its lines that were. */
  readonly created: (batch: Batches.Batch, lines?: ReadonlyArray<Batches.LineRange>) => void
  /** Takes note of a batch that ended without a verdict. */
  readonly undecided: (index: number, batch: Batches.Batch) => void
  /** Holds the input against what was read of it, and keeps what is needed from there. */
  readonly check: (
    reader: InputReader.InputReader<unknown, R>,
    cuts: ReadonlyArray<Resumption.Cut>,
    open: OpenBatches
  ) => Effect.Effect<void, Resumption.CannotResume, R>
  /** What an earlier leg left to be submitted or polled, batches cut from the input in its order. To be asked for once. */
  readonly takenUp: () => ReadonlyArray<Recalled>
  /** The records of open batches, in the order of the input; those that cannot be had are left out. */
  readonly records: (entries: ReadonlyArray<OpenBatch>, open: OpenBatches) => Stream.Stream<Recalled, never, R>
}

/** Most bytes kept of inputs that cannot be read again. */
const maxRetained = 64 * 1024 * 1024

/** As many records of a batch are looked at for one with a refresh token. */
const looked = 20

/** Whether there is something to submit or to poll in a batch or its parts. */
const hasWork = (entry: OpenBatch, open: OpenBatches): boolean => {
  switch (entry.phase) {
    case "NotTaken":
    case "Accepted":
      return true
    case "Split":
      return entry.left.length > 0 || open.partsOf(entry.batch).some((part) => hasWork(part, open))
    default:
      return false
  }
}

/** Whether the service has the batch, or one of its parts, and an earlier leg did not wait for its outcome. */
const isPending = (entry: OpenBatch, open: OpenBatches): boolean =>
  entry.phase === "Split"
    ? open.partsOf(entry.batch).some((part) => isPending(part, open))
    : entry.phase === "Unresolved" && entry.ended && entry.requestId !== undefined && !entry.lost

/** The text of a record of a batch. */
export const textOf = ({ body, ends }: Batches.Batch, index: number): string =>
  Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString(
    "utf8",
    index === 0 ? 1 : ends[index - 1]! + 1,
    ends[index]
  )

/** The first few of some lines, as places among a batch's records. */
const firstOf = (batch: Batches.Batch, lines: ReadonlyArray<Batches.LineRange>): ReadonlyArray<number> => {
  const places: Array<number> = []
  for (const range of lines) {
    const at = Lines.indexOf(batch.lines, range)
    if (at === -1) continue
    for (let i = at; i <= at + range.to - range.from; i++) {
      places.push(i)
      if (places.length === looked) return places
    }
  }
  return places
}

/** Some of a batch's records, by their lines. */
const select = (batch: Batches.Batch, lines: ReadonlyArray<Batches.LineRange>, records: number) => {
  const at = Lines.indexOf(batch.lines, lines[0]!)
  return at === -1 ? undefined : Batches.part(batch, at, at + records)
}

/** For the inputs of a run. */
export const make = <E, R>(
  inputs: ReadonlyArray<TokenRecords.Input<E, R>>,
  options: TokenRecords.Options
): Recall<R> => {
  const repeatable = inputs.every((input) => input.repeatable === true)
  const retained = new Map<number, Batches.Batch>()
  let retainedBytes = 0
  let taken: Array<Recalled> = []
  const specimens: Specimens = { access: undefined, refresh: undefined }

  const created: Recall<R>["created"] = (batch, lines = batch.lines) => {
    if (specimens.refresh !== undefined || batch.withoutAccessToken === batch.records) return
    for (const index of firstOf(batch, lines)) {
      const text = textOf(batch, index)
      const { accessToken, refreshToken } = JSON.parse(text) as Record<string, unknown>
      if (accessToken == null) continue
      specimens.access ??= Redacted.make(text)
      if (refreshToken == null) continue
      specimens.refresh = Redacted.make(text)
      return
    }
  }

  const undecided = (index: number, batch: Batches.Batch) => {
    if (repeatable || retainedBytes + batch.body.length > maxRetained) return
    retainedBytes += batch.body.length
    retained.set(index, Batches.part(batch, 0, batch.records))
  }

  const check: Recall<R>["check"] = Effect.fnUntraced(function* (reader, cuts, open) {
    const roots = new Map(open.roots().map((root) => [root.bytes!.from, root]))
    const specimenCuts = new Map(open.created.map(({ bytes, lines }) => [bytes.from, lines]))
    let keptBytes = 0
    const kept = yield* Resumption.check(reader, cuts, ({ bytes }) => {
      const root = roots.get(bytes.from)
      if (specimenCuts.has(bytes.from)) return true
      if (root === undefined) return false
      if (hasWork(root, open)) return true
      // What may wait for its outcome, or has to be looked into, as long as there is room for it.
      if (repeatable && !isPending(root, open)) return false
      keptBytes += bytes.to - bytes.from
      return keptBytes <= maxRetained
    })
    for (const [from, segments] of kept) {
      const batch = Resumption.batchOf(segments, options)
      const root = roots.get(from)
      if (root !== undefined && root.records !== batch?.records) {
        return yield* Resumption.changed(root.lines, "other records are in it")
      }
      if (batch === undefined) continue
      const lines = specimenCuts.get(from)
      if (lines !== undefined) created(batch, lines)
      if (root === undefined) continue
      if (hasWork(root, open) || isPending(root, open)) taken.push({ entry: root, batch })
      for (const entry of leaves(root, open)) {
        const part = select(batch, entry.lines, entry.records)
        if (part !== undefined) undecided(entry.batch, part)
      }
    }
  })

  const records: Recall<R>["records"] = (entries, open) => {
    if (!repeatable) {
      return Stream.fromIterable(entries).pipe(
        Stream.flatMap((entry) => {
          const batch = retained.get(entry.batch)
          return batch === undefined ? Stream.empty : Stream.succeed({ entry, batch })
        })
      )
    }
    const byRoot = new Map<OpenBatch, Array<OpenBatch>>()
    for (const entry of entries) {
      const root = open.rootOf(entry)
      const others = byRoot.get(root)
      if (others === undefined) byRoot.set(root, [entry])
      else others.push(entry)
    }
    const sorted = [...byRoot].sort(([a], [b]) => a.bytes!.from - b.bytes!.from)
    return Stream.unwrap(
      Effect.map(InputReader.make(inputs), (reader) => {
        let at = 0
        return Stream.fromIterable(sorted, { chunkSize: 1 }).pipe(
          Stream.mapEffect(([root, entries]) =>
            Effect.map(
              Resumption.readCut(reader, { bytes: root.bytes!, digest: root.digest!, lines: root.lines }, at, true),
              (segments): ReadonlyArray<Recalled> => {
                at = root.bytes!.to
                const batch = Resumption.batchOf(segments, options)
                if (batch === undefined) return []
                return entries.flatMap((entry) => {
                  const part = select(batch, entry.lines, entry.records)
                  return part === undefined ? [] : [{ entry, batch: part }]
                })
              }
            )
          ),
          Stream.flatMap((recalled) => Stream.fromIterable(recalled, { chunkSize: 1 }))
        )
      })
    ).pipe(
      Stream.catch((error) =>
        Stream.drain(
          Stream.fromEffect(
            Effect.logWarning(`What is unresolved stays so: ${error instanceof Error ? error.message : String(error)}`)
          )
        )
      )
    )
  }

  return {
    specimens,
    created,
    undecided,
    check,
    takenUp: () => {
      const all = taken
      taken = []
      return all
    },
    records
  }
}

/** The batches among a batch and its parts that are unresolved. */
const leaves = (entry: OpenBatch, open: OpenBatches): ReadonlyArray<OpenBatch> =>
  entry.phase === "Split" ? open.partsOf(entry.batch).flatMap((part) => leaves(part, open)) : [entry]
