import { ByteSource } from "@tokenbatch/stream"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { bytesOf, lines, pieces } from "./fixtures.ts"

const text = lines(3000)
const read = <E, R>(bytes: Stream.Stream<Uint8Array, E, R>) =>
  Stream.runFold(
    bytes,
    () => "",
    (all, chunk) => all + Buffer.from(chunk).toString()
  )

const halves = [text.slice(0, 1000), text.slice(1000)].map((half) => bytesOf(half))

describe("ByteSource", () => {
  it.effect.each([
    ["plain", bytesOf(text)],
    ["gzip", gzipSync(text)],
    ["gzip of two members", Buffer.concat(halves.map((half) => gzipSync(half)))],
    ["zstd", zstdCompressSync(text)],
    ["zstd of two frames", Buffer.concat(halves.map((half) => zstdCompressSync(half)))],
    [
      "zstd after a skippable frame",
      Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]), zstdCompressSync(text)])
    ]
  ] as const)("reads %s, by content, in pieces of any size", ([, bytes]) =>
    Effect.gen(function* () {
      for (const size of [3, 1000, 1 << 20]) {
        assert.strictEqual(yield* read(ByteSource.decompress(pieces(bytes, size))), text)
      }
    })
  )

  it.effect.each(["", "a", "\u001f"])("reads the short input %j", (short) =>
    Effect.map(read(ByteSource.decompress(pieces(bytesOf(short), 1))), (all) => assert.strictEqual(all, short))
  )

  it.effect("says that a compressed input was cut off, or is damaged", () =>
    Effect.gen(function* () {
      const cut = yield* Effect.flip(read(ByteSource.decompress(pieces(gzipSync(text).subarray(0, 5000), 1000))))
      assert.include(cut.message, "was it cut off?")
      const damaged = gzipSync(text)
      damaged.fill(0, 2000, 2100)
      const error = yield* Effect.flip(read(ByteSource.decompress(pieces(damaged, 1000))))
      assert.strictEqual(error._tag, "DecompressionError")
    })
  )

  it.effect("passes on a failure of the source, compressed or not", () =>
    Effect.gen(function* () {
      for (const bytes of [bytesOf(text), gzipSync(text)]) {
        const failing = Stream.concat(
          pieces(bytes, 1000).pipe(Stream.take(3)),
          Stream.fail("the disk is gone" as const)
        )
        assert.strictEqual(yield* Effect.flip(read(ByteSource.decompress(failing))), "the disk is gone")
      }
    })
  )

  it.effect("reads files", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(file, text)
      assert.strictEqual(yield* read(ByteSource.fromFile(file)), text)
      const missing = yield* Effect.flip(read(ByteSource.fromFile(`${file}.missing`)))
      assert.strictEqual(missing._tag, "PlatformError")
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )
})
