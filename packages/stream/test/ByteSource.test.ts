import { ByteSource } from "@tokenbatch/stream"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
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

  it.effect.each([
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync]
  ] as const)("reads members of %s byte by byte", ([, compress]) =>
    Effect.gen(function* () {
      const parts = [lines(2), "", lines(3)]
      const bytes = Buffer.concat(parts.map((part) => compress(part)))
      assert.strictEqual(yield* read(ByteSource.decompress(pieces(bytes, 1))), parts.join(""))
    })
  )

  it.effect.each(["", "a", "{}", "\u001f", "(\u00b5/"])("reads the short input %j", (short) =>
    Effect.map(read(ByteSource.decompress(pieces(bytesOf(short), 1))), (all) => assert.strictEqual(all, short))
  )

  it.effect.each([
    ["gzip", gzipSync(lines(2))],
    ["gzip of two members", Buffer.concat([gzipSync(lines(1)), gzipSync(lines(1))])],
    ["zstd", zstdCompressSync(lines(2))],
    ["zstd of two frames", Buffer.concat([zstdCompressSync(lines(1)), zstdCompressSync(lines(1))])]
  ] as const)("says that %s was cut off, wherever it was", ([, bytes]) =>
    Effect.gen(function* () {
      // A cut between two members cannot be seen.
      const members = [gzipSync(lines(1)), zstdCompressSync(lines(1))]
      const member = members.find((m) => m.equals(bytes.subarray(0, m.length)))
      for (let length = 4; length < bytes.length; length++) {
        if (length === member?.length) continue
        for (const size of length % 9 === 0 ? [1, 1000] : [1000]) {
          const error = yield* Effect.flip(read(ByteSource.decompress(pieces(bytes.subarray(0, length), size))))
          // A piece of the beginning of a second frame is nothing that begins one.
          assert.match(error.message, /was it cut off\?|Trailing junk/, `at ${length} in pieces of ${size}`)
        }
      }
    })
  )

  it.effect.each([
    ["gzip", gzipSync(text)],
    ["zstd", zstdCompressSync(text)]
  ] as const)("takes nothing for the end of %s but its end", ([, bytes]) =>
    Effect.gen(function* () {
      const damaged = Buffer.from(bytes)
      damaged.fill(0, 2000, 2100)
      const second = Buffer.from(bytes)
      second[0] = 1
      for (const wrong of [damaged, Buffer.concat([bytes, second]), Buffer.concat([bytes, bytesOf("more")])]) {
        for (const size of [7, 1000, 1 << 20]) {
          const error = yield* Effect.flip(read(ByteSource.decompress(pieces(wrong, size))))
          assert.strictEqual(error._tag, "DecompressionError")
        }
      }
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

  it.effect("lets go of the source when nobody reads on, or when it is interrupted", () =>
    Effect.gen(function* () {
      for (const bytes of [bytesOf(text), gzipSync(text), zstdCompressSync(text)]) {
        let open = 0
        const source = Stream.unwrap(
          Effect.as(
            Effect.acquireRelease(
              Effect.sync(() => open++),
              () => Effect.sync(() => open--)
            ),
            Stream.concat(pieces(bytes, 1000).pipe(Stream.take(5)), Stream.never)
          )
        )
        yield* ByteSource.decompress(source).pipe(Stream.take(1), Stream.runDrain)
        assert.strictEqual(open, 0)
        const fiber = yield* Effect.forkChild(Stream.runDrain(ByteSource.decompress(source)))
        for (let i = 0; i < 20; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
        assert.strictEqual(open, 1)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(open, 0)
      }
    })
  )

  it.effect("reads files", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const file = yield* fs.makeTempFileScoped()
      yield* fs.writeFileString(file, text)
      assert.strictEqual(yield* read(ByteSource.fromFile(file)), text)
      // Longer than one read, so that the buffer is used again.
      const long = text.repeat(20)
      yield* fs.writeFileString(file, long)
      assert.isTrue((yield* read(ByteSource.fromFile(file))) === long)
      yield* fs.writeFile(file, gzipSync(long))
      assert.isTrue((yield* read(ByteSource.decompress(ByteSource.fromFile(file)))) === long)
      const missing = yield* Effect.flip(read(ByteSource.fromFile(`${file}.missing`)))
      assert.strictEqual(missing._tag, "PlatformError")
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.each([
    ["22.19.0", false],
    ["24.0.2", false],
    ["24.21.0", true],
    ["26.10.0", true]
  ])("reads zstd on Node.js %s: %s", (version, reads) => assert.strictEqual(ByteSource.zstdTellsDamage(version), reads))
})
