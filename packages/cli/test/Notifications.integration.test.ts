/** Notifications, from the flags that listen for them to those that have the sandbox send them. The path they come to is a secret. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { afterAll, assert, describe, it } from "@effect/vitest"
import { TokenOperations } from "@tokenbatch/core"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { clientOf } from "../src/EmbeddedSandbox.ts"
import { folder, lastEvent, line, lines, run, sandbox, serve, start, state, type Ended } from "./fixtures.ts"

const temporary = folder()
afterAll(temporary.remove)

const secret = "Zq8uJx41mVtR"
const path = `/hooks/${secret}`
const bare = { TOKENBATCH_NOTIFY_PATH: "" }

const input = (count = 3) => {
  const file = temporary.file(`input-${count}.ndjson`)
  writeFileSync(file, lines(count))
  return file
}

/** All that a folder holds, as text. */
const texts = (path: string): ReadonlyArray<string> =>
  existsSync(path)
    ? readdirSync(path, { recursive: true, withFileTypes: true }).flatMap((entry) =>
        entry.isFile() ? [readFileSync(join(entry.parentPath, entry.name), "utf8")] : []
      )
    : []

/** Nobody has written the path anywhere. */
const kept = ({ stderr, stdout }: Pick<Ended, "stderr" | "stdout">, ...folders: ReadonlyArray<string>) => {
  for (const text of [stdout, stderr, ...folders.flatMap(texts)]) assert.notInclude(text, secret)
}

/** A service that accepts a batch, and has no result of it until it is told to. */
const slowService = async () => {
  let done = false
  let creates = 0
  const polls: Array<string | undefined> = []
  const server = await serve((request, response) => {
    const json = (body: unknown) =>
      response.setHeader("content-type", "application/json").end(JSON.stringify({ resultCode: "A", ...(body as {}) }))
    if (request.method === "POST") {
      creates++
      return json({ requestId: `request-${creates}` })
    }
    polls.push(request.url)
    return json({ status: { batchKind: "CREATE", ...(done ? { result: "SUCCEEDED", tokenCount: 3 } : undefined) } })
  })
  return { ...server, creates: () => creates, polls, finish: () => (done = true) }
}

const originIn = (text: string) => /listening for notifications on (http:\/\/\S+)/.exec(text)?.[1] ?? "none"

/** Waits until something is so. */
const until = async (is: () => boolean) => {
  for (let i = 0; i < 1000 && !is(); i++) await new Promise((resolve) => setTimeout(resolve, 10))
  assert.isTrue(is(), "in time")
}

const post = async (url: string, init: RequestInit = {}) => (await fetch(url, { method: "POST", ...init })).status

describe("create --notify-listen", () => {
  it("takes notifications at the path as long as the run, and says where, but not the path", async () => {
    const service = await slowService()
    const runDir = temporary.file("run")
    const args = ["create", "--json", "--notify-listen", "0", "--run-dir", runDir, input()]
    const running = start(args, { env: { ...service.env, TOKENBATCH_NOTIFY_PATH: path } })
    let said = ""
    running.child.stderr?.on("data", (chunk) => (said += chunk))
    await running.seen("listening for notifications on http://127.0.0.1:")
    await running.seen("BatchAccepted")
    const origin = originIn(said)
    const close = { headers: { connection: "close" } }
    assert.strictEqual(await post(`${origin}${path}`, { ...close, body: '{"requestId":"request-1"}' }), 204)
    assert.strictEqual(await post(`${origin}${path}`, { ...close, body: "x".repeat(100_000) }), 413)
    assert.strictEqual(await post(`${origin}${path}`, { ...close, method: "GET" }), 405)
    assert.strictEqual(await post(`${origin}/`, close), 404)
    // One that keeps its connection keeps nothing else.
    assert.strictEqual(await post(`${origin}${path}`, { headers: { connection: "keep-alive" } }), 204)
    service.finish()
    const ended = await running.ended
    service.close()
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.strictEqual(lastEvent(ended).report.records.created, 3)
    // What was no notification is none.
    assert.match(ended.stderr, /^ {2}2 notifications came$/m)
    assert.strictEqual(await fetch(origin).catch(() => "closed"), "closed")
    assert.isAbove(texts(runDir).length, 1)
    kept(ended, runDir, state)
  })

  it("takes the path from a flag, at another address, and says nothing when quiet", async () => {
    const service = await slowService()
    service.finish()
    const args = ["create", "--notify-listen", "0", "--notify-host", "localhost", "--notify-path", path]
    const ended = await run([...args, input()], service)
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.match(originIn(ended.stderr), /^http:\/\/(127\.0\.0\.1|\[::1\]):\d+$/)
    assert.include(ended.stderr, "no notification came: check that the service is set up")
    const quiet = await run([...args, "--new", "--quiet", input()], service)
    service.close()
    assert.deepStrictEqual(quiet, { code: 0, stdout: "", stderr: "" })
    kept(ended, state)
  })

  it("has the embedded sandbox send them", async () => {
    const args = ["create", "--sandbox", "--json", "--batch-size", "10", "--notify-listen", "0", "--notify-path", path]
    const ended = await run([...args, input(100)])
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.deepInclude(lastEvent(ended).report.records, { read: 100, created: 100 })
    kept(ended, state)
  })

  it("goes with resume, too", async () => {
    const service = await slowService()
    const runDir = temporary.file("resumed")
    const first = start(["create", "--json", "--run-dir", runDir, input()], service)
    await first.seen("BatchAccepted")
    first.child.kill("SIGKILL")
    await first.ended
    const args = ["resume", "--json", "--notify-listen", "0", "--notify-path", path, runDir]
    const second = start(args, service)
    let said = ""
    second.child.stderr?.on("data", (chunk) => (said += chunk))
    await second.seen("listening for notifications on http://127.0.0.1:")
    assert.strictEqual(await post(`${originIn(said)}/elsewhere`), 404)
    service.finish()
    const ended = await second.ended
    service.close()
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.strictEqual(service.creates(), 1)
    assert.include(ended.stderr, "no notification came, but 1 other request: check")
    kept(ended, runDir)
  })
})

describe("the embedded sandbox", () => {
  it.live("sends them where it is told to", () =>
    Effect.gen(function* () {
      const posts: Array<string | undefined> = []
      const endpoint = yield* Effect.promise(() =>
        serve((request, response) => {
          posts.push(request.url)
          response.writeHead(204).end()
        })
      )
      const client = clientOf(
        Option.none(),
        NodeHttpClient.layerUndici,
        new URL(`${endpoint.env.AUTHLETE_BASE_URL}${path}`)
      )
      yield* Effect.gen(function* () {
        yield* (yield* TokenOperations.TokenOperations).createBatch([{ grantType: "CLIENT_CREDENTIALS", clientId: 1 }])
        yield* Effect.promise(() => until(() => posts.length === 1))
      }).pipe(Effect.provide(client))
      endpoint.close()
      assert.deepStrictEqual(posts, [path])
    })
  )
})

describe("the flags of notifications", () => {
  const elsewhere = createServer(() => {})
  const taken = new Promise<string>((resolve) =>
    elsewhere.listen(0, "127.0.0.1", () => resolve(String((elsewhere.address() as AddressInfo).port)))
  )
  afterAll(() => elsewhere.close())

  const both = (port: string, given: string, ...more: ReadonlyArray<string>) =>
    ["--notify-listen", port, "--notify-path", given, ...more] as const

  it.each([
    ["a port without a path", ["--notify-listen", "0"], bare, ["--notify-listen", "TOKENBATCH_NOTIFY_PATH"]],
    ["a path without a port", ["--notify-path", path], bare, ["--notify-path", "Add --notify-listen PORT"]],
    ["an address without a port", ["--notify-host", "::1"], bare, ["--notify-host", "Add --notify-listen PORT"]],
    ["a path without a slash", both("0", secret), bare, ["--notify-path is not a path", "begins with /"]],
    ["a path with a query", both("0", `${path}?a`), bare, ["--notify-path is not a path", "no ?"]],
    ["a path of a slash alone", both("0", "/"), bare, ["--notify-path is not a path"]],
    ["a URL for a path", both("0", `http://a.example${path}`), bare, ["--notify-path is not a path"]],
    [
      "a bad path in the environment",
      ["--notify-listen", "0"],
      { TOKENBATCH_NOTIFY_PATH: `/a b/${secret}` },
      ["TOKENBATCH_NOTIFY_PATH is not a path"]
    ],
    ["a port that is none", both("65536", path), bare, ["0 to 65535"]],
    ["no address at all", both("0", path, "--notify-host", ""), bare, ["notify-host", "an address"]],
    [
      "an address of another machine",
      both("0", path, "--notify-host", "192.0.2.1"),
      bare,
      ["--notify-host 192.0.2.1: nothing can listen at this address (EADDRNOTAVAIL)", "an address of this machine"]
    ],
    ["an address that is none", both("0", path, "--notify-host", "no.such.invalid"), bare, ["--notify-host no.such"]],
    [
      "a port in use",
      async () => both(await taken, path),
      bare,
      ["--notify-listen", "the port is in use at 127.0.0.1", "Name another port, or 0"]
    ],
    ["a misspelt flag", ["--notify-listen", "0", "--notify-pth", path], bare, ["--notify-path"]]
  ] as const)("refuse %s: exit code 2, flag, cause and way out, and nothing is sent", async (_, args, env, said) => {
    const service = await slowService()
    const runDir = temporary.file("refused")
    const given = typeof args === "function" ? await args() : args
    const ended = await run(["create", "--run-dir", runDir, ...given, input()], { env: { ...service.env, ...env } })
    service.close()
    assert.strictEqual(ended.code, 2, ended.stderr)
    for (const text of said) assert.include(ended.stderr, text)
    assert.notMatch(ended.stderr, /^\s+at /m)
    assert.strictEqual(service.creates(), 0)
    assert.isFalse(existsSync(runDir))
    kept(ended)
  })

  it("refuse the same for resume", async () => {
    const service = await slowService()
    const runDir = temporary.file("held")
    const first = start(["create", "--json", "--run-dir", runDir, input()], service)
    await first.seen("BatchAccepted")
    first.child.kill("SIGKILL")
    await first.ended
    const journal = readFileSync(join(runDir, "journal"))
    const polls = service.polls.length
    const ended = await run(["resume", ...both(await taken, path), runDir], service)
    service.close()
    assert.strictEqual(ended.code, 2)
    assert.include(ended.stderr, "the port is in use")
    assert.strictEqual(service.polls.length, polls)
    assert.deepStrictEqual(readFileSync(join(runDir, "journal")), journal)
    kept(ended, runDir)
  })

  it("are in the help, which shows no path, and a path alone in the environment asks for nothing", async () => {
    for (const command of ["create", "resume"]) {
      const { stdout } = await run([command, "--help"], { env: { TOKENBATCH_NOTIFY_PATH: path } })
      for (const flag of ["--notify-listen PORT", "--notify-host ADDRESS", "--notify-path SECRET-PATH"]) {
        assert.include(stdout, flag)
      }
      assert.notInclude(stdout, secret)
    }
    const ended = await run(["create", "--sandbox", input()], { env: { TOKENBATCH_NOTIFY_PATH: "no path" } })
    assert.strictEqual(ended.code, 0, ended.stderr)
  })
})

describe("sandbox --notification-endpoint", () => {
  it.each([
    [[], '{"requestId":"'],
    [["--notification-body", "empty"], ""]
  ] as const)("tells when a batch has ended, with %j, and counts", async (args, begins) => {
    const posts: Array<readonly [url: string | undefined, body: string]> = []
    const endpoint = await serve((request, response, body) => {
      posts.push([request.url, body])
      response.writeHead(posts.length === 1 ? 204 : 503).end()
    })
    const url = `${endpoint.env.AUTHLETE_BASE_URL}${path}`
    const other = await sandbox("--setup-time", "1ms", "--notification-endpoint", url, ...args)
    const file = temporary.file("told.ndjson")
    writeFileSync(file, `${line(1)}\n${line(2)}\n`)
    const created = await run(["create", "--new", "--batch-size", "1", file], other)
    assert.strictEqual(created.code, 0, created.stderr)
    await until(() => posts.length === 2)
    const ended = await other.close()
    endpoint.close()
    assert.include(ended.stderr, "Notifications: 1 delivered, 1 failed (the last with HTTP 503), 0 dropped.")
    assert.isTrue(posts.every(([url, body]) => url === path && body.startsWith(begins) && !(body && !begins)))
    kept(ended)
  })

  it.each([`127.0.0.1:8080${path}`, `ftp://127.0.0.1${path}`, `http://user:${secret}@127.0.0.1/`, secret])(
    "refuses what is no such URL, and does not repeat it",
    async (url) => {
      const ended = await run(["sandbox", "--notification-endpoint", url])
      assert.strictEqual(ended.code, 2)
      assert.include(ended.stderr, "--notification-endpoint is not a URL that can be sent to")
      kept(ended)
    }
  )
})
