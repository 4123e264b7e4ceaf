/** `tokenbatch sandbox`: its flags, its limits with `create` against them, and that it can be killed at any moment. */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { afterAll, assert, describe, it } from "vitest"
import { bearer, folder, lastEvent, line, lines, run, start } from "./fixtures.ts"

const temporary = folder()
afterAll(temporary.remove)

const file = (name: string, text: string) => {
  const path = temporary.file(name)
  writeFileSync(path, text)
  return path
}

/** What a status shows: of a batch, or that it is unknown. */
interface Shown {
  readonly result?: string
  readonly tokenCount?: number
  readonly unknown?: number
}

/** A sandbox in a process that can be killed, and calls to it. */
const sandbox = async (args: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const running = start(["sandbox", ...args], { env })
  await running.seen("AUTHLETE_BEARER=")
  const printed = Object.fromEntries([...running.written().matchAll(/^export (\w+)=(.*)$/gm)].map(([, k, v]) => [k, v]))
  const batch = `${printed["AUTHLETE_BASE_URL"]}/api/${printed["AUTHLETE_SERVICE_ID"]}/auth/token/create/batch`
  const headers = { authorization: `Bearer ${printed["AUTHLETE_BEARER"]}`, connection: "close" }
  const end = (signal: "SIGKILL" | "SIGINT") => {
    running.child.kill(signal)
    return running.ended
  }
  return {
    printed,
    port: new URL(printed["AUTHLETE_BASE_URL"]!).port,
    create: (numbers: ReadonlyArray<number>, dryRun = false) =>
      fetch(`${batch}?dryRun=${dryRun}`, { method: "POST", headers, body: `[${numbers.map(line).join(",")}]` }),
    status: async (requestId: string): Promise<Shown> => {
      const answer = await fetch(`${batch}/status/${requestId}`, { headers })
      return answer.status === 200
        ? ((await answer.json()) as { readonly status: Shown }).status
        : { unknown: answer.status }
    },
    kill: () => end("SIGKILL"),
    close: () => end("SIGINT")
  }
}

type Running = Awaited<ReturnType<typeof sandbox>>

const idOf = async (answer: Response) => ((await answer.json()) as { readonly requestId: string }).requestId

/** The result of a batch, once it has one. */
const resultOf = async ({ status }: Running, requestId: string) => {
  for (let i = 0; i < 500; i++) {
    const found = await status(requestId)
    if (found.result !== undefined || found.unknown !== undefined) return found
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error("the batch has no result")
}

const hashOf = (n: number) => createHash("sha256").update(`access-token-value-${n}`).digest("base64url")

describe("a sandbox that is killed", () => {
  it("goes on from where it was, at its address and with its credential", async () => {
    const [state, ledger] = [temporary.file("state.ndjson"), temporary.file("ledger.ndjson")]
    const args = ["--bearer-file", file("bearer", `${bearer}\n`), "--state", state, "--ledger", ledger]
    const told = new Map<string, { readonly numbers: ReadonlyArray<number>; result?: string | undefined }>()
    let port = "0"
    let next = 1
    for (const round of [1, 2, 3]) {
      const running = await sandbox([...args, "--setup-time", "15ms", "--port", port])
      assert.strictEqual(running.printed["AUTHLETE_BEARER"], bearer)
      port = running.port
      // What was told once is still so, and what had no result gets one.
      for (const [id, before] of told) {
        const { result } = await resultOf(running, id)
        assert.strictEqual(result, before.result ?? "SUCCEEDED")
        before.result = result
      }
      // Killed in the midst of it: batches come in, and are worked on.
      const stop = new Promise((resolve) => setTimeout(resolve, 100 + round * 37)).then(running.kill)
      for (;;) {
        const numbers = Array.from({ length: 50 }, () => next++)
        try {
          const id = await idOf(await running.create(numbers))
          told.set(id, { numbers })
          for (const [id, batch] of told) batch.result ??= (await running.status(id)).result
        } catch {
          break
        }
      }
      assert.notStrictEqual((await stop).code, 0)
    }
    const last = await sandbox([...args, "--port", port])
    for (const id of told.keys()) assert.strictEqual((await resultOf(last, id)).result, "SUCCEEDED")
    const entries = readFileSync(ledger, "utf8")
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text))
    for (const [id, { numbers }] of told) {
      assert.deepStrictEqual(
        entries.flatMap(({ requestId, tokenHash }) => (requestId === id ? [tokenHash] : [])),
        numbers.map(hashOf)
      )
    }
    // Batches that were taken and whose answers were lost are whole as well.
    assert.strictEqual(entries.length % 50, 0)
    assert.strictEqual(new Set(entries.map(({ tokenHash }) => tokenHash)).size, entries.length)
    assert.isAtLeast(told.size, 6)
    assert.strictEqual((await last.close()).code, 0)
    assert.notMatch(readFileSync(state, "utf8"), /access-token-value/)
  })

  it("forgets what had no result, if told so", async () => {
    const args = ["--state", temporary.file("forgetful.ndjson"), "--lost-on-restart", "forget"]
    const first = await sandbox([...args, "--setup-time", "60s"])
    const id = await idOf(await first.create([1]))
    await first.kill()
    const second = await sandbox(args)
    assert.deepStrictEqual(await second.status(id), { unknown: 400 })
    await second.close()
  })
})

describe("a sandbox with a pace of its own", () => {
  it.each([
    ["a queue of four", ["--max-queue", "4", "--setup-time", "50ms"]],
    ["twenty calls a second", ["--rate-limit", "20"]]
  ])(
    "gets everything created that is handed to it: %s",
    async (name, flags) => {
      const ledger = temporary.file(`${name}.ndjson`)
      const running = await sandbox([...flags, "--ledger", ledger])
      const ended = await run(["create", "--json", "--batch-size", "10", file(`${name}.input`, lines(160))], {
        env: running.printed
      })
      assert.strictEqual(ended.code, 0, ended.stderr)
      const { report } = lastEvent(ended)
      assert.deepInclude(report.records, { read: 160, created: 160, failed: 0, unresolved: 0, notSubmitted: 0 })
      assert.match(ended.stderr, /HTTP 429/, "it was too fast at some time")
      assert.strictEqual(readFileSync(ledger, "utf8").trimEnd().split("\n").length, 160)
      await running.close()
    },
    60_000
  )
})

describe("the flags of sandbox", () => {
  it("say how it behaves", async () => {
    const plan = file("plan.json", '{"rules":[{"fault":"rateLimited","retryAfter":9,"max":1,"on":"create"}]}')
    const flags = [
      "--dry-run-checks-existing",
      "false",
      "--supported-scopes",
      "openid, email",
      "--max-body-size",
      "1kB"
    ]
    const running = await sandbox(["--faults", plan, "--order", "shuffled", ...flags], { SANDBOX_BEARER: bearer })
    assert.strictEqual(running.printed["AUTHLETE_BEARER"], bearer)
    const limited = await running.create([1])
    assert.deepStrictEqual([limited.status, limited.headers.get("retry-after")], [429, "9"])
    const id = await idOf(await running.create([1, 2]))
    assert.include(await resultOf(running, id), { result: "SUCCEEDED", tokenCount: 2 })
    assert.strictEqual((await resultOf(running, await idOf(await running.create([1], true)))).result, "SUCCEEDED")
    assert.strictEqual((await running.create(Array.from({ length: 20 }, (_, i) => i))).status, 413)
    await running.close()
  })

  it("bound how much it takes, and how fast", async () => {
    const flags = "--max-queue 1 --setup-time 60s --rate-limit 1 --rate-limit-burst 3".split(" ")
    const running = await sandbox([...flags, "--rate-limit-on", "create", "--rate-limit-retry-after", "9s"])
    const id = await idOf(await running.create([1]))
    const full = await running.create([2])
    assert.deepStrictEqual([full.status, full.headers.get("retry-after")], [429, null])
    const answers = [await running.create([2]), await running.create([2]), await running.create([2])]
    const last = answers.find(({ headers }) => headers.has("retry-after"))
    assert.deepStrictEqual([last?.status, last?.headers.get("retry-after")], [429, "9"])
    assert.notProperty(await running.status(id), "unknown")
    await running.close()
  })

  it.each([
    ["a plan that is not there", ["--faults", "no-such-plan.json"], /no-such-plan\.json cannot be read: no such file/],
    [
      "a plan that does not decode",
      () => ["--faults", file("bad.json", '{"rules":[{"fault":"slow","rate":2}]}')],
      /bad\.json cannot be used: rules\[0\]\.rate: Expected a value between 0 and 1/
    ],
    [
      "a plan that is not JSON",
      () => ["--faults", file("worse.json", "rules:")],
      /worse\.json cannot be used: it is not JSON/
    ],
    ["a bearer file that is not there", ["--bearer-file", "no-bearer"], /no-bearer cannot be read: no such file/],
    ["a bearer of two words", () => ["--bearer-file", file("two", "one two")], /two does not hold a bearer/],
    [
      "a state that is something else",
      () => ["--state", file("diary", "Dear diary,\n")],
      /diary cannot be used: line 1/
    ],
    ["an order that is none", ["--order", "backwards"], /inOrder/],
    ["a burst of no rate", ["--rate-limit-burst", "4"], /--rate-limit, which is missing[^]*Add --rate-limit N/],
    [
      "a Retry-After of no rate",
      ["--max-queue", "4", "--rate-limit-retry-after", "1s"],
      /--rate-limit, which is missing/
    ],
    [
      "a Retry-After that is no whole seconds",
      ["--rate-limit", "4", "--rate-limit-retry-after", "1500ms"],
      /Expected: whole seconds/
    ],
    ["a queue that takes nothing", ["--max-queue", "0"], /1 or more/]
  ] as const)("refuse %s", async (_, args, message) => {
    const { code, stderr, stdout } = await run(["sandbox", ...(typeof args === "function" ? args() : args)])
    assert.strictEqual(code, 2)
    assert.match(stderr + stdout, message)
    assert.notInclude(stderr, "one two")
  })

  it("and the environment refuses a bearer that is none", async () => {
    const { code, stderr } = await run(["sandbox"], { env: { SANDBOX_BEARER: "one two" } })
    assert.strictEqual(code, 2)
    assert.match(stderr, /SANDBOX_BEARER does not hold a bearer/)
  })
})
