import * as NodeServices from "@effect/platform-node/NodeServices"
import { afterAll, assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import * as OutputFiles from "../src/OutputFiles.ts"
import { folder } from "./fixtures.ts"

const temporary = folder()
afterAll(() => temporary.remove())

const { file } = temporary
const nothing = { files: [], descriptors: [] }
const named = (name: string) => Option.some(file(name))

layer(NodeServices.layer)("OutputFiles", (it) => {
  describe("checkPaths", () => {
    const refusal = (output: Option.Option<string>, taken: OutputFiles.Taken, flag = "--rejects") =>
      Effect.map(Effect.flip(OutputFiles.checkPaths([[flag, output]], taken)), ({ problem }) => problem)

    it.effect("knows a file by any of its names", () =>
      Effect.gen(function* () {
        writeFileSync(file("input"), "content")
        symlinkSync(file("input"), file("symbolic"))
        linkSync(file("input"), file("hard"))
        const taken = { ...nothing, files: [["the input", file("input")]] } as const
        for (const name of ["input", "symbolic", "hard"]) {
          assert.include(yield* refusal(named(name), taken), "would write over the input")
        }
        yield* OutputFiles.checkPaths([["--rejects", named("other")]], taken)
        assert.strictEqual(readFileSync(file("input"), "utf8"), "content")
      })
    )

    it.effect("knows one that is yet to be by its folder", () =>
      Effect.gen(function* () {
        mkdirSync(file("real"))
        symlinkSync(file("real"), file("alias"))
        const both = [
          ["--rejects", named("real/new")],
          ["--results", named("alias/new")]
        ] as const
        const { problem } = yield* Effect.flip(OutputFiles.checkPaths(both, nothing))
        assert.include(problem, "--results would write over --rejects")
        assert.isFalse(existsSync(file("real/new")))
      })
    )

    it.effect("lets several outputs go to nothing at all", () =>
      OutputFiles.checkPaths(
        [
          ["--rejects", Option.some("/dev/null")],
          ["--results", Option.some("/dev/null")]
        ],
        nothing
      )
    )
  })

  describe("create", () => {
    it.effect("makes files that only their owner can read, and empties those that were there", () =>
      Effect.gen(function* () {
        writeFileSync(file("old"), "old content", { mode: 0o644 })
        const { appends: files } = yield* OutputFiles.create({
          old: named("old"),
          fresh: named("fresh"),
          none: Option.none()
        })
        assert.isUndefined(files.none)
        yield* files.old!([{ a: 1 }, { b: 2 }])
        yield* files.old!([])
        yield* files.old!([{ c: 3 }])
        assert.strictEqual(readFileSync(file("old"), "utf8"), '{"a":1}\n{"b":2}\n{"c":3}\n')
        for (const name of ["old", "fresh"]) assert.strictEqual(statSync(file(name)).mode & 0o777, 0o600, name)
      })
    )

    it.effect("empties none where one cannot be opened", () =>
      Effect.gen(function* () {
        writeFileSync(file("kept"), "kept")
        const error = yield* Effect.flip(OutputFiles.create({ kept: named("kept"), lost: named("no/such") }))
        assert.include(error.problem, "no such file or folder")
        assert.strictEqual(readFileSync(file("kept"), "utf8"), "kept")
      })
    )
  })
})
