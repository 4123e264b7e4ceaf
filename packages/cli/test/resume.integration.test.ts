/** Runs that are cut off, and go on: with real processes, real files and a sandbox in a process of its own. */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { folder, lastEvent, line, lines, run, sandbox, start, type Running } from "./fixtures.ts"

// Many processes are started, one after another, and a machine may be slow at that.
vi.setConfig({ testTimeout: 120_000 })

const temporary = folder()
const ledger = temporary.file("ledger")
let box: Awaited<ReturnType<typeof sandbox>>

beforeAll(async () => {
  // Four batches at a time, each a while: a run of some thousand lines can be cut off in its middle.
  box = await sandbox("--ledger", ledger, "--workers", "4", "--setup-time", "60ms")
})
afterAll(async () => {
  await box.close()
  temporary.remove()
})

let count = 0
/** A file of its own lines, and a place for its run. */
const fresh = (records: number, text = lines(records)) => {
  const name = `${++count}`
  const input = temporary.file(`${name}.ndjson`)
  writeFileSync(input, text.replaceAll("access-token-value-", `access-${name}-value-`))
  return { input, runDir: temporary.file(`run-${name}`), value: `access-${name}-value-` }
}

const batchSize = 25
const small = ["--batch-size", String(batchSize), "--concurrency", "4", "--settle-time", "1s"]

/** Begins a run and kills it when it has come so far. */
const cutOff = async (args: ReadonlyArray<string>, created = 200, input?: string) => {
  const running = start(["create", "--json", ...args, ...small], {
    env: box.env,
    ...(input === undefined ? {} : { input })
  })
  await createdSoFar(running, created)
  running.child.kill("SIGKILL")
  return running.ended
}

const createdSoFar = (running: Running, least: number) =>
  new Promise<void>((resolve, reject) => {
    const look = setInterval(() => {
      const found = running.written().match(/"BatchSucceeded"/g)?.length ?? 0
      if (found * batchSize < least) return
      clearInterval(look)
      resolve()
    }, 10)
    void running.ended.then(({ stderr }) => {
      clearInterval(look)
      reject(new Error(`ended before it was cut off: ${stderr}`))
    })
  })

const inLedger = () => readFileSync(ledger, "utf8").split("\n").filter(Boolean)
const unique = () => new Set(inLedger().map((entry) => JSON.parse(entry).tokenHash)).size

/** Waits until the sandbox has done what was in flight when a run was killed. */
const still = async () => {
  for (let before = -1; before !== inLedger().length; await new Promise((resolve) => setTimeout(resolve, 700))) {
    before = inLedger().length
  }
}

describe("two runs that begin at the same moment", () => {
  it.each([[[]], [["--dry-run"]]])("with %j submit an input once, or as often as asked for", async (more) => {
    const before = inLedger().length
    const { input } = fresh(500)
    const begin = () => run(["create", ...more, ...small, input], { env: box.env })
    const codes = (await Promise.all([begin(), begin(), begin()])).map(({ code, stderr }) => ({ code, stderr }))
    if (more.length > 0)
      return assert.deepStrictEqual(
        codes.map(({ code }) => code),
        [0, 0, 0]
      )
    assert.deepStrictEqual(codes.map(({ code }) => code).sort(), [0, 2, 2], JSON.stringify(codes))
    for (const { code, stderr } of codes) {
      if (code === 2)
        assert.match(
          stderr,
          /Process \d+ is submitting the same input to this service right now|There is an unfinished run/
        )
    }
    assert.strictEqual(inLedger().length - before, 500)
  })
})

describe("a run that was killed", () => {
  it("goes on where it was, with a report of the whole, and creates nothing twice", async () => {
    const before = inLedger().length
    const { input, runDir } = fresh(2000, `${lines(1000)}{bad\n${lines(2000).split("\n").slice(1000).join("\n")}`)
    const killed = await cutOff(["--run-dir", runDir, input])
    assert.strictEqual(killed.code, null)

    const again = await run(["create", "--run-dir", `${runDir}-2`, input], { env: box.env })
    assert.strictEqual(again.code, 2)
    assert.include(again.stderr, "There is an unfinished run of the same input")
    assert.include(again.stderr, "--resume")
    assert.include(again.stderr, "--new")

    const resumed = await run(["resume", "--json", runDir, "--settle-time", "1s"], { env: box.env })
    assert.strictEqual(resumed.code, 1, resumed.stderr)
    const { report } = lastEvent(resumed)
    assert.deepInclude(report.records, { read: 2001, rejected: 1, unresolved: 0, notSubmitted: 0, failed: 0 })
    assert.strictEqual(report.records.created + report.records.existing, 2000)
    assert.strictEqual(report.legs, 2)
    assert.strictEqual(inLedger().length - before, 2000)
    assert.strictEqual(unique(), inLedger().length)

    // The folder has everything, for nobody but its owner.
    assert.deepStrictEqual(readdirSync(runDir).sort(), ["journal", "rejects.ndjson", "report.json", "results.ndjson"])
    for (const file of readdirSync(runDir)) assert.strictEqual(statSync(join(runDir, file)).mode & 0o077, 0, file)
    assert.deepStrictEqual(JSON.parse(readFileSync(join(runDir, "report.json"), "utf8")), report)
    assert.match(readFileSync(join(runDir, "rejects.ndjson"), "utf8"), /^\{"line":1001,.*\}\n$/)

    // A finished run is no reason to ask, and there is nothing to do for it.
    const finished = await run(["resume", "--json", runDir], { env: box.env })
    assert.strictEqual(finished.code, 1)
    assert.deepInclude(lastEvent(finished).report.records, report.records)
    assert.strictEqual(inLedger().length - before, 2000)
  })

  it("is found by create --resume, by its id and as the latest, and listed", async () => {
    const { input, runDir } = fresh(1500)
    await cutOff(["--run-dir", runDir, input])
    const listed = await run(["runs", "--json"])
    const { id, ...mine } = listed.stdout
      .trimEnd()
      .split("\n")
      .map((text) => JSON.parse(text))
      .find((entry) => entry.folder === runDir)
    assert.deepInclude(mine, { finished: false, resumable: true })
    assert.isTrue(mine.records.created >= 200)
    const words = await run(["runs"])
    assert.include(words.stdout, `${id}\n  unfinished`)

    const signalled = start(["resume", id, "--json", "--settle-time", "1s", "--concurrency", "2"], { env: box.env })
    await createdSoFar(signalled, 500)
    signalled.child.kill("SIGINT")
    const stopped = await signalled.ended
    assert.strictEqual(stopped.code, 3)
    assert.include(stopped.stderr, `tokenbatch resume ${id}`)

    const resumed = await run(["create", "--resume", "--json", "--settle-time", "1s", input], { env: box.env })
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.deepInclude(lastEvent(resumed).report, { runId: id, legs: 3, complete: true })
    assert.include((await run(["runs"])).stdout, `${id}\n  finished, 3 legs`)
  })

  it("goes on from standard input that is fed again, and from a compressed file", async () => {
    const { input, runDir } = fresh(1200)
    const text = readFileSync(input, "utf8")
    await cutOff(["--run-dir", runDir, "-"], 200, text)
    writeFileSync(join(runDir, "results.ndjson"), "what an earlier leg left\n")
    const wrong = await run(["resume", runDir], { env: box.env, input: text.replace("user-7", "user-8") })
    assert.strictEqual(readFileSync(join(runDir, "results.ndjson"), "utf8"), "what an earlier leg left\n")
    assert.notInclude(readdirSync(runDir).join(), "new")
    assert.strictEqual(wrong.code, 2)
    assert.include(wrong.stderr, "the input has changed since the run began, at lines 1 to 25")
    const resumed = await run(["resume", "--json", runDir, "--settle-time", "1s"], { env: box.env, input: text })
    assert.strictEqual(resumed.code, 0, resumed.stderr)
    assert.deepInclude(lastEvent(resumed).report.records, { read: 1200, unresolved: 0, notSubmitted: 0 })

    const packed = fresh(1200)
    spawnSync("gzip", ["-k", packed.input])
    await cutOff(["--run-dir", packed.runDir, `${packed.input}.gz`])
    const unpacked = await run(["resume", "--json", packed.runDir, "--settle-time", "1s"], { env: box.env })
    assert.strictEqual(unpacked.code, 0, unpacked.stderr)
  })
})

describe("what a run does not go on with", () => {
  it("is another service, another input, and one that somebody else has under way", async () => {
    const { input, runDir } = fresh(1500)
    await cutOff(["--run-dir", runDir, input])
    await still()
    const before = inLedger().length

    const elsewhere = await run(["resume", runDir, "--service-id", "other"], { env: box.env })
    assert.strictEqual(elsewhere.code, 2)
    assert.match(
      elsewhere.stderr,
      /the run began with the service http:.*, sandbox, and would go on with http:.*, other/
    )

    const text = readFileSync(input, "utf8")
    writeFileSync(input, text.replace('"subject":"user-42"', '"subject":"user-43"'))
    const changed = await run(["resume", runDir], { env: box.env })
    assert.strictEqual(changed.code, 2)
    assert.include(changed.stderr, "at lines 26 to 50")
    writeFileSync(input, text.slice(0, 5000))
    const cut = await run(["resume", runDir], { env: box.env })
    assert.strictEqual(cut.code, 2)
    assert.include(cut.stderr, "it ends before")
    assert.strictEqual(inLedger().length, before, "nothing was sent")
    writeFileSync(input, text)

    const first = start(["resume", runDir, "--json", "--settle-time", "1s"], { env: box.env })
    await first.seen("RunResumed")
    // Lest it be done before the other one has begun.
    first.child.kill("SIGSTOP")
    const second = await run(["resume", runDir], { env: box.env })
    first.child.kill("SIGCONT")
    assert.strictEqual(second.code, 2)
    assert.include(second.stderr, `in use by process ${first.child.pid}`)
    assert.strictEqual((await first.ended).code, 0)
  })

  it("is a dry run, one against a sandbox that is gone, or one that is not there", async () => {
    const dry = fresh(10)
    assert.strictEqual(
      (await run(["create", "--dry-run", "--run-dir", dry.runDir, dry.input], { env: box.env })).code,
      0
    )
    const again = await run(["resume", dry.runDir], { env: box.env })
    assert.strictEqual(again.code, 2)
    assert.include(again.stderr, "was a dry run")
    const boxed = fresh(10)
    assert.strictEqual((await run(["create", "--sandbox", "--run-dir", boxed.runDir, boxed.input])).code, 0)
    assert.include((await run(["resume", boxed.runDir], { env: box.env })).stderr, "against a sandbox that is gone")
    const none = await run(["resume", temporary.file("nothing")], { env: box.env })
    assert.strictEqual(none.code, 2)
    assert.include(none.stderr, "There is no run")
    const taken = await run(["create", "--run-dir", dry.runDir, dry.input], { env: box.env })
    assert.strictEqual(taken.code, 2)
    assert.include(taken.stderr, "holds a run already")
    // One that was cut off before its first event was written has not begun: it can.
    const begun = fresh(10)
    mkdirSync(begun.runDir)
    writeFileSync(join(begun.runDir, "journal"), '0123abcd 1 {"_tag":"RunSt')
    assert.strictEqual((await run(["create", "--run-dir", begun.runDir, begun.input], { env: box.env })).code, 0)
    const nowhere = await run(["create", "--run-dir", "/dev/null/run", dry.input], { env: box.env })
    assert.strictEqual(nowhere.code, 2)
    assert.include(nowhere.stderr, "--run-dir")
    assert.isFalse(existsSync("/dev/null/run"))
  })
})

describe("a file that only grew", () => {
  it("is gone on with, and that is said; not if its last line goes on", async () => {
    const { input, runDir, value } = fresh(300, lines(300).trimEnd())
    const whole = await run(["create", "--json", "--run-dir", runDir, ...small, input], { env: box.env })
    assert.strictEqual(whole.code, 0)
    const before = readFileSync(input, "utf8")
    appendFileSync(input, " ")
    const longer = await run(["resume", runDir], { env: box.env })
    assert.strictEqual(longer.code, 2)
    assert.include(longer.stderr, "at line 300: it goes on where it ended")
    writeFileSync(input, `${before}\n${line(301).replaceAll("access-token-value-", value)}\n`)
    const grown = await run(["resume", "--json", runDir], { env: box.env })
    assert.strictEqual(grown.code, 0, grown.stderr)
    assert.match(grown.stderr, /the input has grown by \d+ bytes/)
    assert.deepInclude(lastEvent(grown).report.records, { read: 301, created: 301 })
  })
})
