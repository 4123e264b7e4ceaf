/**
 * Where bytes come from: files, read into one buffer that is used again, and what is compressed made plain.
 *
 * Compression is recognised by content, not by name: gzip (RFC 1952) and zstd (RFC 8878), both with several members end to end.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Readable, type Duplex } from "node:stream"
import { createGunzip, createZstdDecompress } from "node:zlib"

/** The compressed input is damaged or ends too early. */
export class DecompressionError extends Schema.TaggedError<DecompressionError>()("DecompressionError", {
  format: Schema.Literals(["gzip", "zstd"]),
  reason: Schema.String
}) {
  override get message() {
    return `the ${this.format} input cannot be read on: ${this.reason}`
  }
}

/** Bytes read at once. */
const chunkSize = 1024 * 1024

/**
 * The bytes of a file. Each chunk is valid until the next one is pulled, because all of them are read into one buffer.
 */
export const fromFile = (path: string): Stream.Stream<Uint8Array, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Stream.fromPull(
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.open(path, { flag: "r" })
      const buffer = Buffer.allocUnsafeSlow(chunkSize)
      return Effect.flatMap(file.read(buffer), (size) =>
        size === 0 ? Cause.done() : Effect.succeed(Arr.of<Uint8Array>(buffer.subarray(0, size)))
      )
    })
  ).pipe(Stream.scoped)

export type Format = DecompressionError["format"]

const magicSize = 4

/** What begins with these bytes, four of them at least; `undefined` for plain input. A zstd file may begin with a skippable frame. */
export const formatOf = (head: Uint8Array): Format | undefined => {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip"
  if (head.length < magicSize) return undefined
  const magic = new DataView(head.buffer, head.byteOffset).getUint32(0, true)
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : undefined
}

/** Plain bytes as they are, gzip and zstd decompressed. */
export const decompress = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | DecompressionError, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(bytes)
      // The beginning may come in pieces, and a piece is valid only until the next.
      let head = new Uint8Array(0)
      let end: Effect.Effect<never, E | Cause.Done> | undefined
      while (head.length < magicSize && end === undefined) {
        yield* Effect.matchCause(pull, {
          onSuccess: (chunks) => void (head = Buffer.concat([head, ...chunks])),
          onFailure: (cause) => void (end = Effect.failCause(cause))
        })
      }
      let read = head.length === 0
      const rest = Stream.fromPull(
        Effect.succeed(
          Effect.suspend(() => {
            if (read) return end ?? pull
            read = true
            return Effect.succeed(Arr.of<Uint8Array>(head))
          })
        )
      )
      const format = formatOf(head)
      if (format === undefined) return rest
      if (format === "zstd" && !zstdTellsDamage(process.versions.node)) {
        return yield* new DecompressionError({
          format,
          reason: `Node.js ${process.versions.node} reads past damaged and cut off zstd in silence; decompress it before (zstd -dc), or use Node.js 24.21 or newer`
        })
      }
      // The decompressor works on a chunk in another thread, so it needs a copy of its own.
      return through(
        format,
        Stream.map(rest, (chunk) => Uint8Array.from(chunk))
      )
    })
  )

/** Whether a version of Node.js tells a zstd input that was cut off, or goes on after its first frame, from a whole one: tried, from 24.21 on. */
export const zstdTellsDamage = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split(".").map(Number)
  return major > 24 || (major === 24 && minor >= 21)
}

const through = <E, R>(
  format: Format,
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<Uint8Array, E | DecompressionError, R> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const source = yield* Stream.toAsyncIterableEffect(bytes)
      const readable = Readable.from(source, { objectMode: true, highWaterMark: 1 })
      const decompressor: Duplex =
        format === "gzip"
          ? createGunzip({ chunkSize })
          : createZstdDecompress({ chunkSize, rejectGarbageAfterEnd: true })
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          readable.destroy()
          decompressor.destroy()
        })
      )
      readable.on("error", (error) => decompressor.destroy(error))
      readable.pipe(decompressor)
      return Stream.fromAsyncIterable<Uint8Array, E | DecompressionError>(decompressor, (error) =>
        readable.errored === error ? (error as E) : new DecompressionError({ format, reason: reasonOf(error) })
      )
    })
  )

const reasonOf = (error: unknown): string => {
  const { code, message } = error as { readonly code?: string; readonly message?: string }
  return code === "Z_BUF_ERROR" ? "it ends in the middle (was it cut off?)" : (message ?? String(error))
}
