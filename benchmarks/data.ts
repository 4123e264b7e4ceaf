/**
 * The input files, each from one seed, kept under `node_modules/.cache/bench` from one benchmark to the next.
 *
 * All come from the sandbox's sample requests. They are written as they are made, since ten million records are 3.6 GB, and under another
 * name until they are whole.
 */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { TokenCreateRequest } from "@tokenbatch/core"
import { SampleRequests } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stream from "effect/Stream"
import { createReadStream, createWriteStream, existsSync, mkdirSync, renameSync } from "node:fs"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { fileURLToPath } from "node:url"
import { createGzip } from "node:zlib"

/** Where everything is that a benchmark writes. */
export const cache = fileURLToPath(new URL("../node_modules/.cache/bench/", import.meta.url))

/** Of what is made: to be counted up when a line comes out otherwise, so that no file of before is taken. */
const version = 2

/** The seed of all of them. */
export const seed = 1

const optionalFields = Object.keys(TokenCreateRequest.TokenCreateRequest.fields).filter((name) => name !== "grantType")

/** As an exporter writes that knows no absence: every optional field that a record lacks is there, as null. */
const withNulls = (line: string): string => {
  // No field inside `properties` or `authorizationDetails` has the name of a record's own.
  const lacking = optionalFields.filter((name) => !line.includes(`"${name}":`))
  return `${line.slice(0, -1)}${lacking.map((name) => `,"${name}":null`).join("")}}`
}

/**
 * An int64 that no JavaScript number holds, another one for each index: an odd factor permutes the numbers below 2^62. As text, since it
 * has to reach the file digit for digit.
 */
const bigId = (index: number): string =>
  String(2n ** 53n + 1n + ((BigInt(index + 1) * 0x9e3779b97f4a7c15n) % 2n ** 62n))

/** Fields in an order that differs from line to line, with spaces between the tokens. */
const shuffled = (line: string, index: number): string => {
  const fields = Object.entries(JSON.parse(line) as object)
  const order = (i: number) => ((index + 1) * (i + 1) * 7919) % 101
  const sorted = fields.map(([name, value], i) => ({ name, value, at: order(i) })).toSorted((a, b) => a.at - b.at)
  return `{${sorted.map(({ name, value }) => `"${name}": ${JSON.stringify(value)}`).join(", ")}}`
}

/** What becomes of a line of `plain`, by kind. The last three are rejected, each by another rule. */
const change = {
  plain: (line: string) => line,
  nulls: withNulls,
  bigIds: (line: string, index: number) => line.replace(/"clientId":\d+/, `"clientId":${bigId(index)}`),
  shuffled,
  claims: (line: string) =>
    line.includes('"jwtAtClaims":') ? line : line.replace(/}$/, ',"jwtAtClaims":"{\\"tenant\\":\\"a\\"}"}'),
  // A way to write a number that the recogniser leaves to the parser.
  seldom: (line: string) => line.replace(/("clientId":\d+)/, "$1.0"),
  misspelt: (line: string, index: number) => line.replace('"accessToken":', `"acces${index % 1000}Token":`),
  cutShort: (line: string) => line.slice(0, line.length >>> 1),
  wrongType: (line: string) => line.replace(/"clientId":\d+/, '"clientId":"abc"')
}

/** A file of lines, or `plain` compressed. */
export type Kind = keyof typeof change | "gzip"

const writeLines = (kind: keyof typeof change, count: number, path: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let index = 0
    const lines = SampleRequests.stream({ count, seed }).pipe(
      // Every chunk is whole lines.
      Stream.map((chunk) =>
        kind === "plain"
          ? chunk
          : Buffer.from(
              Buffer.from(chunk)
                .toString()
                .replace(/.+/g, (line) => change[kind](line, index++))
            )
      )
    )
    yield* Stream.run(lines, fs.sink(path))
  }).pipe(Effect.provide(NodeFileSystem.layer), Effect.runPromise)

/** The path of the input of this kind with so many lines, which is made if it is not there. */
export const input = async (kind: Kind, count: number): Promise<string> => {
  const path = join(cache, `${kind}-${count}-${version}.ndjson${kind === "gzip" ? ".gz" : ""}`)
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  const part = `${path}.part`
  if (kind === "gzip") {
    await pipeline(createReadStream(await input("plain", count)), createGzip(), createWriteStream(part))
  } else {
    await writeLines(kind, count, part)
  }
  renameSync(part, path)
  return path
}
