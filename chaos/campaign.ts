/**
 * One run of the campaign, from a seed to a verdict: real processes of the command line against a real sandbox process, killed at the
 * scenario's moments and resumed until the run has ended by itself; then resumed in calm until nothing changes any more; then held
 * against the sandbox's ledger.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import * as Dice from "./dice.ts"
import * as Input from "./input.ts"
import * as Ledger from "./ledger.ts"
import * as Oracle from "./oracle.ts"
import * as Processes from "./processes.ts"
import { settleTime, type Scenario } from "./scenario.ts"
import * as Secrets from "./secrets.ts"

/** What became of a run. */
export interface Outcome {
  readonly scenario: Scenario
  readonly violations: ReadonlyArray<string>
  /** One line each: how it was started, what was done to it, how it ended. */
  readonly legs: ReadonlyArray<string>
  readonly kills: Readonly<Record<"SIGKILL" | "SIGINT" | "sandbox" | "cut" | "rival", number>>
  readonly batchFaults: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<Oracle.End, number>>
  readonly resolvable: Oracle.Verdict["resolvable"]
  /** Milliseconds. */
  readonly elapsed: number
}

/** Legs at most when nothing goes wrong any more; fewer if nothing changes from one to the next. */
const calmLegs = 8

/** Runs a scenario in a folder of its own. @param program the command line, as a file that Node.js runs */
export const run = async (scenario: Scenario, folder: string, program: string): Promise<Outcome> => {
  const startedAt = performance.now()
  const input = Input.make(scenario)
  const folders: Processes.Folders = {
    work: join(folder, "work"),
    run: join(folder, "work", "run"),
    said: join(folder, "said"),
    state: join(folder, "state"),
    sandbox: join(folder, "sandbox")
  }
  for (const path of [folders.work, folders.said, folders.state, folders.sandbox]) mkdirSync(path, { recursive: true })
  for (const { bytes, name } of input.files) writeFileSync(join(folders.work, name), bytes)
  writeFileSync(join(folders.sandbox, "plan.json"), JSON.stringify(scenario.faults))
  const bearer = Dice.make(scenario.seed, 20).text(40)
  const sandbox = Processes.makeSandbox(program, folders, scenario, bearer, input.scopes)

  const violations: Array<string> = []
  const legs: Array<string> = []
  const kills = { SIGKILL: 0, SIGINT: 0, sandbox: 0, cut: 0, rival: 0 }
  const journal = join(folders.run, "journal")
  const options = Processes.flags({
    "settle-time": `${settleTime}ms`,
    "poll-timeout": `${scenario.pollTimeout}ms`,
    "give-up-after": "60s",
    "request-timeout": `${scenario.requestTimeout}ms`,
    "keep-going": true,
    "on-doubt": scenario.onDoubt,
    json: scenario.json
  })
  const fed = scenario.input === "stdin" ? input.files[0]!.bytes : undefined
  const own = Processes.flags({
    "run-dir": folders.run,
    "batch-size": scenario.batchSize,
    "require-access-token": scenario.requireAccessToken,
    journal: fed !== undefined
  })
  const named = fed === undefined ? input.files.map(({ name }) => name) : ["-"]

  /** One leg: the first is to begin the run, and so is one after a leg that had not got so far. */
  const leg = async (planned: Pick<Scenario, "kills" | "outages" | "rivals" | "concurrency" | "legLimit">) => {
    const number = legs.length + 1
    const kill = planned.kills[number - 1]
    const begins = !hasBegun(journal)
    const going = [...options, ...Processes.flags({ concurrency: planned.concurrency })]
    const ended = await Processes.runLeg({
      program,
      args: begins ? ["create", ...own, ...named, ...going] : ["resume", folders.run, ...going],
      rivalArgs: ["resume", folders.run, ...going],
      rival: planned.rivals[number - 1],
      folders,
      env: sandbox.env(),
      number,
      stdin: fed,
      kill,
      limit: planned.legLimit,
      outage: planned.outages[number - 1],
      sandbox
    })
    for (const { signal } of ended.killed) kills[signal]++
    if (ended.outage) kills.sandbox++
    let text = `${begins ? "create" : "resume"}: ${ended.killed.map(({ at, signal }) => `${signal} after ${at} ms, `).join("")}${ended.outage ? "the sandbox killed, " : ""}ended with ${ended.code ?? ended.signal} after ${Math.round(ended.elapsed)} ms`
    if (ended.rival !== undefined) {
      kills.rival++
      const { code, signal } = ended.rival
      text += `, a second process with ${code ?? signal}`
      // Refused, unless the first one was gone: then it had its share.
      const said = readFileSync(join(folders.said, `leg-${String(number).padStart(2, "0")}-rival.stderr`), "utf8")
      const isRefused = code === 2 && /is in use by process|There is no run/.test(said)
      if (!isRefused && ![0, 1, 3, 4, null].includes(code))
        violations.push(`a second process ended with ${code}: ${said}`)
    }
    const wasKilled = ended.killed.some(({ signal }) => signal === "SIGKILL") || ended.killed.length > 1
    if (ended.hung) violations.push(`leg ${number} did not end`)
    // 130: a signal before anything had begun.
    const codes = ended.killed.length > 0 ? [0, 1, 3, 4, 130] : [0, 1, 3, 4]
    if (
      !ended.hung &&
      !wasKilled &&
      !codes.includes(ended.code ?? -1) &&
      // The second process was quicker, and has it.
      !(ended.rival !== undefined && ended.code === 2 && /is in use by process/.test(ended.stderr)) &&
      !(ended.killed.length > 0 && ended.signal === "SIGINT")
    ) {
      violations.push(`leg ${number} ended with ${ended.code ?? ended.signal}: ${ended.stderr.slice(-500)}`)
      // A run that can neither begin nor go on: so that the rest can be looked at all the same.
      if (begins && existsSync(journal)) rmSync(folders.run, { recursive: true })
    }
    if (/has a fault/.test(ended.stderr)) violations.push(`leg ${number} has a fault: ${ended.stderr.slice(-1500)}`)
    if (kill?.cut !== undefined && ended.killed.length > 0) {
      const cut = cutTail(journal, kill.cut)
      if (cut > 0) {
        kills.cut++
        text += `, ${cut} bytes of the journal cut off`
      }
    }
    legs.push(text)
    return ended
  }

  try {
    await sandbox.start({ faults: false })
    if (input.before !== "[]") {
      const { AUTHLETE_BASE_URL, AUTHLETE_BEARER } = sandbox.env()
      const answer = await fetch(`${AUTHLETE_BASE_URL}/api/sandbox/auth/token/create/batch?dryRun=false`, {
        method: "POST",
        headers: {
          authorization: `Bearer ${AUTHLETE_BEARER}`,
          "content-type": "application/json",
          connection: "close"
        },
        body: input.before
      })
      if (!answer.ok) throw new Error(`what is to exist before cannot be made: ${await answer.text()}`)
      await idle(sandbox.stateFile)
    }
    await sandbox.start({ faults: true })
    const ways = [...scenario.kills, { after: scenario.legLimit, signal: "SIGKILL" as const }]
    while (legs.length < ways.length) {
      const { code, killed } = await leg({ ...scenario, kills: ways })
      if (killed.length === 0 && (code === 0 || code === 1)) break
    }
    await sandbox.start({ faults: false })
    let last: Processes.Leg
    for (let calm = 1, before = ""; ; calm++) {
      last = await leg({ kills: [], outages: [], rivals: [], concurrency: 16, legLimit: Infinity })
      const report = readIfThere(join(folders.run, "report.json"))
      const now = report === "" ? "" : JSON.stringify(JSON.parse(report).records)
      if (last.code === 0 || last.code === 1 || (now === before && now !== "") || calm === calmLegs) break
      before = now
    }
    await idle(sandbox.stateFile)
    await sandbox.kill()

    const find = Secrets.finder([...input.secrets, bearer])
    for (const file of [...filesUnder(folders.run), ...filesUnder(folders.state), ...filesUnder(folders.said)]) {
      for (const found of find(readFileSync(file, "utf8"))) violations.push(`${file} holds a secret: ${found}`)
    }
    const ledger = Ledger.read(readFileSync(sandbox.stateFile, "utf8"), readFileSync(sandbox.ledgerFile, "utf8"))
    const { habits, json, onDoubt } = scenario
    const verdict = Oracle.judge({
      lines: input.lines,
      ledger,
      journal: readIfThere(journal),
      results: readIfThere(join(folders.run, "results.ndjson")),
      rejects: readIfThere(join(folders.run, "rejects.ndjson")),
      report: readIfThere(join(folders.run, "report.json")),
      exitCode: last.code,
      events: json ? last.stdout : undefined,
      faults: scenario.faults,
      resolvable: habits.dryRunChecksExisting,
      resubmitted: onDoubt === "resubmit"
    })
    violations.push(...verdict.violations)
    const { counts, resolvable } = verdict
    const elapsed = performance.now() - startedAt
    return { scenario, violations, legs, kills, batchFaults: ledger.batchFaults, counts, resolvable, elapsed }
  } finally {
    await sandbox.kill()
  }
}

/** Whether a journal holds an event, so that its run can be resumed. */
const hasBegun = (journal: string): boolean => readIfThere(journal).includes("\n")

const readIfThere = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "")

const filesUnder = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { recursive: true, withFileTypes: true }).flatMap((entry) =>
    entry.isFile() ? [join(entry.parentPath, entry.name)] : []
  )

/** Cuts bytes off the end, but not the first line: what a run is. Gives how many. */
const cutTail = (journal: string, bytes: number): number => {
  const text = existsSync(journal) ? readFileSync(journal) : Buffer.alloc(0)
  const first = text.indexOf(10) + 1
  const keep = Math.max(first, text.length - bytes)
  if (first === 0 || keep >= text.length) return 0
  truncateSync(journal, keep)
  return text.length - keep
}

/** Waits until the sandbox has done all that it has accepted. */
const idle = async (stateFile: string) => {
  for (const until = Date.now() + 15_000; Date.now() < until; await sleep(50)) {
    if (Ledger.read(readFileSync(stateFile, "utf8"), "").open === 0) return
  }
}
