import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { createHash } from "node:crypto"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync
} from "node:fs"
import { RunEvent } from "@tokenbatch/stream"
import * as Schema from "effect/Schema"
import { execFileSync, spawn } from "node:child_process"
import { createServer } from "node:net"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { bearer, folder, lastEvent, line, lines, program, run, sandbox, serve, start, state } from "./fixtures.ts"

const temporary = folder()
const file = (name: string, content: string | Uint8Array) => {
  writeFileSync(temporary.file(name), content)
  return temporary.file(name)
}
afterAll(() => temporary.remove())

const jsonLines = (path: string) =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => JSON.parse(text))

describe("create --sandbox", () => {
  it("creates every record, and its counts match the ledger", async () => {
    const sample = temporary.file("sample.ndjson")
    assert.strictEqual((await run(["sample", "--count", "5000", "--bad-lines", "20", "--output", sample])).code, 0)
    const [ledger, rejects, results] = ["ledger", "rejects", "results"].map(temporary.file)
    file("rejects", "old content")
    chmodSync(rejects!, 0o644)
    const ended = await run([
      "create",
      "--sandbox",
      "--json",
      "--sandbox-ledger",
      ledger!,
      "--rejects",
      rejects!,
      "--results",
      results!,
      sample
    ])
    assert.strictEqual(ended.code, 1)
    const { report } = lastEvent(ended)
    assert.deepInclude(report.records, { read: 5000, created: 4980, rejected: 20, unresolved: 0, notSubmitted: 0 })
    assert.deepInclude(report, {
      complete: true,
      dryRun: false,
      batches: { submitted: 5, succeeded: 5, failed: 0, unresolved: 0 }
    })
    assert.strictEqual(jsonLines(ledger!).length, 4980)
    assert.strictEqual(jsonLines(rejects!).length, 20)
    assert.deepInclude(jsonLines(rejects!)[0], { line: 250 })
    assert.strictEqual(jsonLines(results!).length, 20)
    for (const path of [ledger!, rejects!, results!]) assert.strictEqual(statSync(path).mode & 0o777, 0o600, path)
    assert.include(ended.stderr, "nothing was created at Authlete")
    const written = [
      ended.stdout,
      ended.stderr,
      ...[ledger!, rejects!, results!].map((path) => readFileSync(path, "utf8"))
    ]
    const values = [...readFileSync(sample, "utf8").matchAll(/"(?:access|refresh)Token":"([^"]+)"/g)].map((m) => m[1]!)
    assert.isTrue(values.length > 4000)
    for (const value of values.slice(0, 200)) for (const text of written) assert.notInclude(text, value)
    const decode = Schema.decodeUnknownSync(RunEvent.RunEvent)
    for (const text of ended.stdout.trimEnd().split("\n")) decode(JSON.parse(text))
  })

  it("runs as its flags say", async () => {
    const flags = "--dry-run --batch-size 7 --batch-bytes 2MiB --concurrency 3 --limit 20".split(" ")
    const ended = await run(["create", "--sandbox", "--json", ...flags, file("flags.ndjson", lines(30))])
    const events = ended.stdout
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text))
    const given = { dryRun: true, batchSize: 7, batchBytes: 2 * 1024 * 1024, concurrency: 3, limit: 20 }
    assert.deepInclude(events[0], given)
    const intended = events.filter(({ _tag }) => _tag === "BatchIntended")
    assert.deepStrictEqual(
      intended.map(({ records }) => records),
      [7, 7, 6]
    )
  })

  it("does not touch an input that an output would go over, as which name ever", async () => {
    const content = lines(3)
    const input = file("precious.ndjson", content)
    const link = temporary.file("precious-link")
    symlinkSync(input, link)
    const named = await run(["create", "--sandbox", "--rejects", link, input])
    assert.strictEqual(named.code, 2)
    const stdin = openSync(input, "r")
    const redirected = await start(["create", "--sandbox", "--results", input], { stdin }).ended
    assert.strictEqual(redirected.code, 2)
    for (const { stderr } of [named, redirected]) assert.include(stderr, "would write over the input")
    assert.strictEqual(readFileSync(input, "utf8"), content)
  })

  it.skipIf(process.platform === "win32")("writes into a pipe, and leaves its mode as it is", async () => {
    const pipe = temporary.file("pipe")
    execFileSync("sh", ["-c", 'mkfifo -m 644 "$0"', pipe])
    const reader = spawn("cat", [pipe])
    let read = ""
    reader.stdout.on("data", (chunk) => (read += chunk))
    const closed = new Promise((resolve) => reader.on("close", resolve))
    const ended = await run(["create", "--sandbox", "--quiet", "--rejects", pipe, file("piped.ndjson", "{bad\n[]\n")])
    await closed
    assert.strictEqual(ended.code, 1)
    assert.deepStrictEqual(
      read
        .trimEnd()
        .split("\n")
        .map((text) => JSON.parse(text).line),
      [1, 2]
    )
    assert.strictEqual(statSync(pipe).mode & 0o777, 0o644)
  })

  it("reads several files, compressed ones and standard input, one after another", async () => {
    const plain = file("a.ndjson", lines(3))
    const packed = file("b.ndjson.gz", gzipSync(lines(6).split("\n").slice(3).join("\n")))
    const more = lines(10).split("\n").slice(6).join("\n")
    const ended = await run(["create", "--sandbox", "--json", plain, "-", packed], { input: more })
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.strictEqual(lastEvent(ended).report.records.created, 10)
  })

  it("takes an empty file for what it is", async () => {
    const ended = await run(["create", "--sandbox", file("empty", "")])
    assert.strictEqual(ended.code, 0)
    assert.include(ended.stderr, "read              0")
    assert.include(ended.stderr, "No lines were read")
    const checked = await run(["validate", file("blank", "\n\n")])
    assert.strictEqual(checked.code, 0)
    assert.include(checked.stderr, "No lines were read")
  })

  it("takes the first records only, and keeps rejected lines where it is told to", async () => {
    const rejects = temporary.file("with-input")
    const input = file("limit.ndjson", `{bad "secret"\n${lines(100)}`)
    const ended = await run([
      "create",
      "--sandbox",
      "--json",
      "--limit",
      "7",
      "--rejects",
      rejects,
      "--rejects-with-input",
      input
    ])
    assert.strictEqual(lastEvent(ended).report.records.created, 7)
    assert.deepInclude(jsonLines(rejects)[0], { line: 1, input: '{bad "secret"' })
    assert.notInclude(ended.stdout + ended.stderr, "secret")
  })

  it("goes on when whoever reads its output goes away", async () => {
    const ledger = temporary.file("ledger-epipe")
    const running = start([
      "create",
      "--sandbox",
      "--json",
      "--batch-size",
      "10",
      "--sandbox-ledger",
      ledger,
      file("pipe.ndjson", lines(2000))
    ])
    await running.seen("RunStarted")
    running.child.stdout?.destroy()
    running.child.stderr?.destroy()
    assert.strictEqual((await running.ended).code, 0)
    assert.strictEqual(jsonLines(ledger).length, 2000)
  })

  it.skipIf(!existsSync("/dev/full"))("says what could not be written, and that not everything is known", async () => {
    const rejects = await run([
      "create",
      "--sandbox",
      "--rejects",
      "/dev/full",
      file("full.ndjson", `{bad\n${lines(3)}`)
    ])
    assert.strictEqual(rejects.code, 3)
    assert.include(rejects.stderr, "/dev/full cannot be written on: no space is left on the device")
    const quiet = await run(["create", "--sandbox", "--quiet", "--rejects", "/dev/full", temporary.file("full.ndjson")])
    assert.strictEqual(quiet.code, 3)
    assert.include(quiet.stderr, "no space is left")
    const full = openSync("/dev/full", "w")
    const child = start(["create", "--sandbox", "--json", file("full.ndjson", lines(3))], { stdout: full })
    const ended = await child.ended
    assert.strictEqual(ended.code, 3)
    assert.include(ended.stderr, "standard output cannot be written on")
  })

  it("warns of records without an access token, and refuses them when told to", async () => {
    const input = file("without.ndjson", line(1).replace(/,"accessToken":"[^"]*"/, ""))
    const warned = await run(["create", "--sandbox", input])
    assert.strictEqual(warned.code, 0)
    assert.include(warned.stderr, "warning: some records have no accessToken")
    assert.strictEqual((await run(["create", "--sandbox", "--require-access-token", input])).code, 1)
  })

  it("says nothing when it is to be quiet", async () => {
    const ended = await run(["create", "--sandbox", "--quiet", file("quiet.ndjson", lines(5))])
    assert.deepStrictEqual(ended, { code: 0, stdout: "", stderr: "" })
  })
})

describe("against a sandbox in another process", () => {
  let other: Awaited<ReturnType<typeof sandbox>>
  beforeAll(async () => {
    other = await sandbox("--setup-time", "5ms")
  })
  afterAll(async () => assert.strictEqual((await other.close()).code, 0))

  it("creates, tries dry, and does not create twice", async () => {
    const input = file("tokens.ndjson", lines(50))
    const dry = await run(["create", "--dry-run", "--json", input], other)
    assert.strictEqual(dry.code, 0, dry.stderr)
    assert.deepInclude(lastEvent(dry).report, { dryRun: true })
    const real = await run(["create", "--json", input], other)
    assert.strictEqual(lastEvent(real).report.records.created, 50)
    const again = await run(["create", "--json", "--results", temporary.file("again"), input], other)
    assert.strictEqual(again.code, 3)
    assert.deepInclude(lastEvent(again).report.records, { created: 0, unresolved: 50 })
    assert.deepInclude(jsonLines(temporary.file("again"))[0], { from: 1, to: 50, end: "unresolved", code: "SBX500001" })
    // Line 7 is there already: a dry run of all of them names every such line.
    const dryAgain = await run(
      [
        "create",
        "--dry-run",
        "--json",
        "--keep-going",
        "--results",
        temporary.file("dry"),
        file("one.ndjson", `${line(100)}\n${line(7)}\n${line(101)}\n`)
      ],
      other
    )
    assert.strictEqual(dryAgain.code, 1)
    assert.deepInclude(jsonLines(temporary.file("dry"))[0], { from: 2, to: 2, end: "failed" })
  })

  it("asks for the status of a batch", async () => {
    const created = await run(["create", "--json", file("status.ndjson", line(500))], other)
    const accepted = created.stdout
      .split("\n")
      .map((text) => text && JSON.parse(text))
      .find((e) => e._tag === "BatchAccepted")
    const status = await run(["status", "--json", accepted.requestId], other)
    assert.strictEqual(status.code, 0)
    assert.deepInclude(JSON.parse(status.stdout), { state: "Succeeded", tokenCount: 1 })
  })

  it("says that the service does not know a request ID, and its code once", async () => {
    const { code, stderr, stdout } = await run(["status", "--json", "nope"], other)
    assert.strictEqual(code, 2)
    assert.match(stderr, /^error: the service does not know this request ID: HTTP 400: \[SBX400004\] .*\nCheck the ID/)
    assert.strictEqual(stderr.split("SBX400004").length, 2)
    assert.deepInclude(JSON.parse(stdout), { requestId: "nope", _tag: "ResultError", code: "SBX400004" })
    const elsewhere = { ...other.env, AUTHLETE_BASE_URL: `${other.env["AUTHLETE_BASE_URL"]}/elsewhere` }
    const missed = await run(["status", "nope"], { env: elsewhere })
    assert.strictEqual(missed.code, 2)
    assert.include(missed.stderr, "no such request ID at this address: HTTP 404")
  })

  it("ends with 4 at a wrong token", async () => {
    const ended = await run(["create", "--json", file("wrong.ndjson", lines(20))], {
      env: { ...other.env, AUTHLETE_BEARER: "wrong" }
    })
    assert.strictEqual(ended.code, 4)
    assert.deepInclude(lastEvent(ended).report.records, { created: 0, notSubmitted: 20 })
    assert.include(ended.stderr, "Check the bearer")
    assert.strictEqual((await run(["status", "x"], { env: { ...other.env, AUTHLETE_BEARER: "wrong" } })).code, 4)
  })

  it("reads the bearer from a file", async () => {
    const bearerFile = file("bearer", `${other.env["AUTHLETE_BEARER"]}\n`)
    const env = {
      AUTHLETE_BASE_URL: other.env["AUTHLETE_BASE_URL"]!,
      AUTHLETE_SERVICE_ID: other.env["AUTHLETE_SERVICE_ID"]!
    }
    const ended = await run(["create", "--bearer-file", bearerFile, file("bf.ndjson", line(600))], { env })
    assert.strictEqual(ended.code, 0, ended.stderr)
  })
})

describe("a run that is told to stop", () => {
  let slow: Awaited<ReturnType<typeof sandbox>>
  beforeAll(async () => {
    slow = await sandbox("--setup-time", "1500ms")
  })
  afterAll(() => slow.close())

  it("stops in order at the first signal: what is in flight ends, the rest is not submitted", async () => {
    const running = start(
      ["create", "--json", "--batch-size", "10", "--concurrency", "2", file("stop.ndjson", lines(1000))],
      slow
    )
    await running.seen("BatchAccepted")
    running.child.kill("SIGINT")
    await running.seen("stopping: waiting up to 10 s")
    const ended = await running.ended
    assert.strictEqual(ended.code, 3)
    const { report } = lastEvent(ended)
    assert.strictEqual(report.stopped.reason, "Requested")
    assert.isTrue(report.records.created > 0 && report.records.created <= 40)
    assert.strictEqual(report.records.unresolved, 0)
  })

  it("ends at once at the second", async () => {
    const input = file("twice.ndjson", lines(30).replaceAll("value", "other"))
    const running = start(["create", "--json", "--max-concurrency", "7", input], slow)
    await running.seen("BatchAccepted")
    running.child.kill("SIGTERM")
    await running.seen("stopping")
    running.child.kill("SIGTERM")
    const ended = await running.ended
    assert.strictEqual(ended.code, 143)
    assert.include(ended.stderr, "ended at once: 30 records in flight")
    assert.match(ended.stderr, /To go on: tokenbatch resume twice\.ndjson-\S+ --max-concurrency 7\n$/)
  })

  it("says what it has found of a check that is stopped", async () => {
    const running = start(["validate", "--json"], { input: "open" })
    running.child.stdin?.write(`${line(1)}\n{bad\n`)
    await running.seen("LinesRejected")
    running.child.kill("SIGINT")
    const ended = await running.ended
    assert.strictEqual(ended.code, 3)
    assert.deepInclude(lastEvent(ended), { complete: false, records: { read: 2, valid: 1, rejected: 1 } })
  })

  it("stops while it waits for standard input that never comes", async () => {
    const running = start(["create", "--sandbox", "--json"], { input: "open" })
    await running.seen("RunStarted")
    running.child.kill("SIGINT")
    assert.strictEqual((await running.ended).code, 3)
  })
})

describe("bad usage", () => {
  const env = { AUTHLETE_BASE_URL: "http://127.0.0.1:9", AUTHLETE_SERVICE_ID: "1", AUTHLETE_BEARER: bearer }
  const input = () => file("usage.ndjson", lines(3))
  const folderPath = () => {
    if (!existsSync(temporary.file("folder"))) mkdirSync(temporary.file("folder"))
    return temporary.file("folder")
  }

  it.each([
    ["an unknown flag", () => ["create", "--bach-size", "5"], env, "--batch-size"],
    ["an unknown command", () => ["creat"], env, "creat"],
    ["help with an unknown command", () => ["report", "--help"], env, 'Unknown subcommand "report"'],
    ["a batch size of nothing", () => ["create", "--batch-size", "0", input()], env, "1 or more"],
    ["a duration that is none", () => ["create", "--request-timeout", "soon", input()], env, "a duration such as"],
    ["a missing file", () => ["create", temporary.file("missing")], env, "no such file"],
    ["a folder for a file", () => ["create", folderPath()], env, "is a directory"],
    ["no settings", () => ["create", input()], {}, "AUTHLETE_BASE_URL"],
    ["no service id", () => ["create", "--region", "us", input()], {}, "AUTHLETE_SERVICE_ID"],
    ["no bearer", () => ["create", input()], { ...env, AUTHLETE_BEARER: "" }, "AUTHLETE_BEARER is not set"],
    ["an empty bearer file", () => ["create", "--bearer-file", file("no-bearer", ""), input()], env, "is empty"],
    [
      "a missing bearer file",
      () => ["create", "--bearer-file", temporary.file("missing"), input()],
      env,
      "cannot be read"
    ],
    ["http:// to elsewhere", () => ["create", "--base-url", "http://example.com", input()], env, "unencrypted"],
    ["a URL that is none", () => ["create", "--base-url", "example", input()], env, "is not a URL"],
    [
      "a base URL and a region",
      () => ["create", "--base-url", "https://a.example", "--region", "us", input()],
      env,
      "say two things"
    ],
    ["a sandbox and a service", () => ["create", "--sandbox", "--service-id", "1", input()], {}, "sandbox of its own"],
    ["a ledger without a sandbox", () => ["create", "--sandbox-ledger", "x", input()], env, "there is none"],
    ["rejects without a place", () => ["create", "--rejects-with-input", "-"], env, "nothing says where"],
    ["an output over the input", () => ["create", "--rejects", input(), input()], env, "would write over the input"],
    [
      "one file for two outputs",
      () => ["create", "--rejects", temporary.file("r"), "--results", temporary.file("r"), input()],
      env,
      "would write over --rejects"
    ],
    [
      "an output in no folder",
      () => ["create", "--sandbox", "--rejects", temporary.file("no/such/r"), input()],
      {},
      "no such file or folder"
    ],
    ["one file twice", () => ["create", "--sandbox", input(), input()], {}, "named twice"],
    ["a request id that is none", () => ["status", ".."], env, "request id"],
    [
      "a bound of what is fixed",
      () => ["create", "--concurrency", "8", "--max-concurrency", "4", input()],
      env,
      "--concurrency says how many batches are in flight"
    ],
    [
      "the same when a run goes on",
      () => ["resume", "--concurrency", "4", "--max-concurrency", "256"],
      env,
      "Leave out --max-concurrency"
    ],
    ["standard input twice", () => ["create", "--sandbox", "-", "-"], {}, "named twice"],
    [
      "a bearer that is more than one",
      () => ["create", input()],
      { ...env, AUTHLETE_BEARER: `${bearer}\nmore` },
      "more than a bearer"
    ],
    [
      "a proxy that is none",
      () => ["create", input()],
      { ...env, HTTPS_PROXY: `ftp://user:${bearer}@127.0.0.1` },
      "HTTPS_PROXY is not the URL of a proxy"
    ],
    ["a port that is none", () => ["sandbox", "--port", "65536"], {}, "0 to 65535"],
    [
      "an output over the bearer's file",
      () => ["create", "--bearer-file", file("bearer-3", bearer), "--results", temporary.file("bearer-3"), input()],
      env,
      "would write over the bearer file"
    ]
  ] as const)(
    "%s: exit code 2, place, cause and way out, and no stack trace",
    async (_name, args, environment, said) => {
      const ended = await run(args(), { env: environment })
      assert.strictEqual(ended.code, 2, ended.stderr)
      assert.include(ended.stderr, said)
      assert.notMatch(ended.stderr, /^\s+at /m)
      assert.isTrue(ended.stderr.trim().split("\n").length <= 6, ended.stderr)
      assert.notInclude(ended.stderr, bearer)
    }
  )

  it("helps, and tells its version", async () => {
    for (const args of [
      ["--help"],
      ["create", "--help"],
      ["validate", "--help"],
      ["sandbox", "--help"],
      ["sample", "--help"],
      ["status", "--help"]
    ]) {
      const ended = await run(args)
      assert.strictEqual(ended.code, 0)
      assert.include(ended.stdout, "USAGE")
    }
    const { stdout } = await run(["resume", "--help"])
    assert.include(stdout, "How long a call may take (such as 500ms, 90s or 15m; default: 1m)")
    assert.include(stdout, "Most batches in flight at once, where that is found out (default: 256)")
    assert.match((await run(["--version"])).stdout, /\d+\.\d+\.\d+/)
  })
})

describe("a service that is not as it should be", () => {
  it("is given up when it is away for too long, and everything is accounted for", async () => {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as { port: number }
    server.close()
    const env = { AUTHLETE_BASE_URL: `http://127.0.0.1:${port}`, AUTHLETE_SERVICE_ID: "1", AUTHLETE_BEARER: bearer }
    const ended = await run(["create", "--json", "--give-up-after", "1s", file("gone.ndjson", lines(5))], { env })
    assert.strictEqual(ended.code, 3)
    assert.deepInclude(lastEvent(ended).report.records, { read: 5, notSubmitted: 5 })
    assert.include(ended.stderr, "ECONNREFUSED")
    // Quiet is not silent: what a code alone does not tell is said, and nothing else.
    const quiet = await run(["create", "--quiet", "--give-up-after", "1s", file("gone.ndjson", lines(5))], { env })
    assert.strictEqual(quiet.code, 3)
    assert.match(quiet.stderr, /^error: stopped early: .*ECONNREFUSED.*\n.*--give-up-after.*\n$/)
  })

  it("is reached through the proxy that the environment names, whose password nobody gets to see", async () => {
    const tunnels: Array<string> = []
    const proxy = createServer((socket) => {
      socket.on("error", () => {})
      socket.once("data", (chunk) => {
        tunnels.push(chunk.toString())
        socket.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
      })
    })
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
    const { port } = proxy.address() as { port: number }
    const settings = { AUTHLETE_SERVICE_ID: "1", AUTHLETE_BEARER: bearer }
    const HTTPS_PROXY = `http://user:proxy-password@127.0.0.1:${port}`
    const args = ["create", "--json", "--give-up-after", "1s", file("proxied.ndjson", lines(2))]
    const ended = await run(args, { env: { ...settings, HTTPS_PROXY, AUTHLETE_REGION: "us" } })
    assert.strictEqual(ended.code, 3)
    assert.match(tunnels[0]!, /^CONNECT us\.authlete\.com:443 /)
    assert.include(ended.stderr, "407")
    assert.notMatch(ended.stdout + ended.stderr, /proxy-password|dXNlcjpwcm94/)
    // This machine is not reached through it.
    const before = tunnels.length
    const local = await serve((_, response) => response.writeHead(404).end())
    assert.strictEqual((await run(args, { env: { ...local.env, HTTPS_PROXY, HTTP_PROXY: HTTPS_PROXY } })).code, 2)
    assert.strictEqual(tunnels.length, before)
    local.close()
    proxy.close()
  })

  it("is reached without a proxy where the environment says so, in small letters before large ones", async () => {
    let connections = 0
    const proxy = createServer((socket) => {
      connections++
      socket.on("error", () => {}).end("HTTP/1.1 502 Bad Gateway\r\n\r\n")
    })
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve))
    const { port } = proxy.address() as { port: number }
    const reached = async (noProxy: Record<string, string>) => {
      connections = 0
      const env = {
        AUTHLETE_BASE_URL: "http://service.invalid",
        AUTHLETE_SERVICE_ID: "1",
        AUTHLETE_BEARER: bearer,
        HTTP_PROXY: `http://127.0.0.1:${port}`
      }
      await run(["status", "--allow-insecure", "x"], { env: { ...env, ...noProxy } })
      return connections > 0
    }
    assert.isTrue(await reached({}))
    assert.isFalse(await reached({ no_proxy: "service.invalid" }))
    assert.isFalse(await reached({ no_proxy: "service.invalid", NO_PROXY: "" }))
    assert.isFalse(await reached({ no_proxy: "service.invalid", NO_PROXY: "other.invalid" }))
    assert.isFalse(await reached({ NO_PROXY: "service.invalid" }))
    proxy.close()
  })

  it("does nothing to the terminal of whoever reads what it says", async () => {
    const hostile = "\u001b]0;title\u0007\u001b[2J\nmore \u009b31m"
    const server = await serve((_, response) =>
      response
        .writeHead(400, { "content-type": "application/json" })
        .end(JSON.stringify({ resultCode: "A1\u001b[1m", resultMessage: hostile + "x".repeat(5000) }))
    )
    const created = await run(["create", file("hostile.ndjson", lines(2))], server)
    const status = await run(["status", "x"], server)
    server.close()
    for (const { stderr } of [created, status]) {
      assert.include(stderr, "]0;title")
      assert.notMatch(stderr, /[^\P{Cc}\n]/u)
      assert.isTrue(stderr.split("\n").every((text) => text.length < 400))
    }
  })

  it("is a wrong address where something else answers", async () => {
    const server = await serve((_, response) =>
      response.writeHead(404, { "content-type": "text/html" }).end("<html>no")
    )
    const ended = await run(["create", file("page.ndjson", lines(5))], server)
    server.close()
    assert.strictEqual(ended.code, 2)
    assert.include(ended.stderr, "Check the base URL")
  })

  it("keeps what is logged out of the events, and the old bearer where no other can be had", async () => {
    const bearerFile = file("rotated", bearer)
    const server = await serve((_, response) => {
      rmSync(bearerFile, { force: true })
      response.writeHead(401, { "content-type": "application/json" }).end(JSON.stringify({ resultCode: "A401" }))
    })
    const ended = await run(["create", "--json", "--bearer-file", bearerFile, file("r.ndjson", lines(3))], server)
    server.close()
    assert.strictEqual(ended.code, 4)
    assert.match(ended.stderr, /^warning: No fresh credential could be had; keeping the old one$/m)
    for (const text of ended.stdout.trimEnd().split("\n")) assert.isString(JSON.parse(text)._tag)
    assert.notInclude(ended.stderr, bearer)
  })

  it("may say that a request ID is gone, which is as good as not to know it", async () => {
    const server = await serve((_, response) => response.writeHead(410).end())
    const { code, stderr } = await run(["status", "x"], server)
    server.close()
    assert.strictEqual(code, 2)
    assert.include(stderr, "no such request ID at this address: HTTP 410")
  })

  it("is given time before it is asked what became of a batch, and that is said", async () => {
    let creates = 0
    const server = await serve((request, response) => {
      const lost = request.method === "POST" && ++creates === 2
      response
        .writeHead(lost ? 502 : 200, { "content-type": "application/json" })
        .end(JSON.stringify(lost ? {} : { requestId: `request-${creates}`, status: { result: "SUCCEEDED" } }))
    })
    const ended = await run(
      ["create", "--batch-size", "1", "--settle-time", "1200ms", file("late.ndjson", lines(2))],
      server
    )
    server.close()
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.match(
      ended.stderr,
      /^finding out about 1 unresolved record in 1 batch, after waiting 1\.\ds for late batches$/m
    )
  })

  it("gets neither the bearer nor a token value into anything that a run writes, whatever it echoes", async () => {
    let calls = 0
    const bodies = new Map<string, string>()
    const server = await serve((request, response, body) => {
      const echo = `${request.headers.authorization} ${body}`
      const json = (status: number, value: object) =>
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value))
      if (request.method === "GET") {
        const batch = `${request.headers.authorization} ${bodies.get(request.url!.split("/").at(-1)!)}`
        return json(200, { status: { result: "FAILED", errorCode: `E ${batch}`, errorDescription: `no: ${batch}` } })
      }
      switch (++calls % 4) {
        case 1:
          bodies.set(`request-${calls}`, body)
          return json(200, { requestId: `request-${calls}` })
        case 2:
          return response
            .writeHead(502, { "content-type": "text/html", server: echo.slice(0, 60), via: bearer })
            .end(`<html>${echo}`)
        case 3:
          return json(400, { resultCode: "A1", resultMessage: `bad: ${echo}` })
        default:
          return response.writeHead(200).end(echo)
      }
    })
    const [rejects, results] = [temporary.file("s-rejects"), temporary.file("s-results")]
    const runDir = temporary.file("s-run")
    const input = file(
      "secrets.ndjson",
      `${lines(8)}{"accessToken":"access-token-value-9"}\n{"accessToken":"access-token-value-10\n`
    )
    const ended = await run(
      "create --json --batch-size 2 --keep-going --settle-time 10ms --run-dir"
        .split(" ")
        .concat(runDir, "--rejects", rejects, "--results", results, input),
      server
    )
    // What is unresolved is looked into once more, and everything is written again.
    const resumed = await run(["resume", "--json", "--settle-time", "10ms", runDir], server)
    server.close()
    assert.strictEqual(ended.code, 3)
    assert.strictEqual(resumed.code, 3)
    const files = [rejects, results, ...readdirSync(runDir).map((name) => join(runDir, name))]
    assert.isTrue(files.some((name) => name.endsWith("journal")))
    const written = [ended, resumed]
      .flatMap(({ stderr, stdout }) => [stdout, stderr])
      .concat(files.map((name) => readFileSync(name, "utf8")))
      .join("\n")
    assert.isTrue(jsonLines(results).length >= 6)
    assert.include(written, "<redacted>")
    assert.notInclude(written, bearer)
    assert.notInclude(written, "access-token-value")
    assert.notInclude(written, createHash("sha256").update("access-token-value-1").digest("base64url"))
  })
})

describe("validate", () => {
  it("finds what create would reject, without a network", async () => {
    const rejects = temporary.file("validate-rejects")
    const ended = await run(["validate", "--json", "--rejects", rejects, file("v.ndjson", `${lines(3)}{bad\n`)])
    assert.strictEqual(ended.code, 1)
    assert.deepInclude(lastEvent(ended), {
      _tag: "ValidationFinished",
      complete: true,
      records: { read: 4, valid: 3, rejected: 1 }
    })
    assert.deepInclude(jsonLines(rejects)[0], { line: 4, column: 2 })
    assert.include(ended.stderr, "line 4: malformed JSON")
    assert.strictEqual((await run(["validate", file("good.ndjson", lines(3))])).code, 0)
    assert.strictEqual((await run(["validate", file("cut.gz", gzipSync(lines(3)).subarray(0, 30))])).code, 3)
  })
})

describe("sample", () => {
  it("ends when nobody reads on", async () => {
    const running = start(["sample", "--count", "1000000000"])
    await running.seen("grantType")
    running.child.stdout?.destroy()
    assert.strictEqual((await running.ended).code, 0)
  })
})

describe.skipIf(!existsSync("/usr/bin/script"))("on a terminal", () => {
  const onTerminal = async (args: ReadonlyArray<string>, columns: number, env: Record<string, string> = {}) => {
    const command = `stty cols ${columns}; exec ${[process.execPath, program, ...args].map((arg) => `'${arg}'`).join(" ")}`
    const child = spawn("/usr/bin/script", ["-qec", command, "/dev/null"], {
      env: { ...process.env, XDG_STATE_HOME: state, TERM: "xterm", ...env },
      stdio: ["ignore", "pipe", "inherit"]
    })
    let written = ""
    child.stdout.on("data", (chunk) => (written += chunk))
    await new Promise((resolve) => child.on("close", resolve))
    return written
  }
  const input = () => file("terminal.ndjson", lines(40_000))

  it("draws one line within its width, and takes it away before the summary", async () => {
    const written = await onTerminal(["create", "--sandbox", input()], 44)
    const [before, ...drawn] = written.split("\r\u001b[2K")
    assert.strictEqual(before, "")
    assert.isTrue(drawn.length >= 2, written)
    for (const text of drawn.slice(0, -1)) assert.isTrue(/^\S/.test(text) && text.length < 44, JSON.stringify(text))
    assert.match(drawn.at(-1)!, /^\r\n {2}read +40,000\r\n/)
    assert.notInclude(drawn.at(-1)!, "\u001b")
  })

  it("draws nothing over on a terminal that cannot", async () => {
    const written = await onTerminal(["create", "--sandbox", input()], 80, { TERM: "dumb" })
    assert.notInclude(written, "\u001b")
    assert.include(written, "created")
  })

  it("does not draw over the events that go to the same terminal", async () => {
    const written = await onTerminal(["create", "--sandbox", "--json", input()], 80)
    assert.notInclude(written, "\u001b")
  })
})
