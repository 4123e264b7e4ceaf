/** The processes of a run: a sandbox that can be killed and started again at its address, and legs of the command line. */
import { spawn, type ChildProcess } from "node:child_process"
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Kill, Moment, Outage, Rival, Scenario } from "./scenario.ts"

/** What runs, so that nothing outlives this process. */
const running = new Set<ChildProcess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

interface Process {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
}

const start = (
  program: string,
  args: ReadonlyArray<string>,
  options: {
    readonly cwd: string
    readonly env: Record<string, string>
    readonly output: string
    readonly stdin: "pipe" | "ignore"
  }
): Process => {
  const [stdout, stderr] = [openSync(`${options.output}.stdout`, "a"), openSync(`${options.output}.stderr`, "a")]
  const { PATH = "", HOME = "" } = process.env
  const child = spawn(process.execPath, ["--max-semi-space-size=4", program, ...args], {
    cwd: options.cwd,
    env: { PATH, HOME, ...options.env },
    stdio: [options.stdin, stdout, stderr]
  })
  closeSync(stdout)
  closeSync(stderr)
  running.add(child)
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on("error", reject)
    child.on("close", (code, signal) => {
      running.delete(child)
      resolve({ code, signal })
    })
  })
  return { child, ended }
}

/** Flags as arguments; `false` leaves one out. */
export const flags = (values: Readonly<Record<string, string | number | boolean>>): ReadonlyArray<string> =>
  Object.entries(values).flatMap(([name, value]) =>
    value === false ? [] : value === true ? [`--${name}`] : [`--${name}`, String(value)]
  )

/** Where everything of a run is. */
export interface Folders {
  /** The input, and the working directory of the command line. */
  readonly work: string
  /** The run's own folder. */
  readonly run: string
  /** What the processes of the command line said. */
  readonly said: string
  /** The user's state directory. */
  readonly state: string
  /** The sandbox's files. */
  readonly sandbox: string
}

// -----------------------------------------------------------------------------
// The sandbox
// -----------------------------------------------------------------------------

export interface Sandbox {
  readonly start: (options: { readonly faults: boolean }) => Promise<void>
  readonly kill: () => Promise<void>
  readonly env: () => Record<string, string>
  readonly stateFile: string
  readonly ledgerFile: string
}

/** How long a process may take to be ready, in milliseconds. */
const patience = 30_000

export const makeSandbox = (
  program: string,
  { sandbox: folder, state }: Folders,
  { habits }: Scenario,
  bearer: string,
  scopes: ReadonlyArray<string>
): Sandbox => {
  let port = "0"
  let current: Process | undefined
  let starts = 0
  const stateFile = join(folder, "state.ndjson")
  const ledgerFile = join(folder, "ledger.ndjson")
  const kill = async () => {
    current?.child.kill("SIGKILL")
    await current?.ended
    current = undefined
  }
  return {
    stateFile,
    ledgerFile,
    kill,
    env: () => ({
      AUTHLETE_BASE_URL: `http://127.0.0.1:${port}`,
      AUTHLETE_SERVICE_ID: "sandbox",
      AUTHLETE_BEARER: bearer
    }),
    start: async ({ faults }) => {
      await kill()
      const output = join(folder, `said-${++starts}`)
      current = start(
        program,
        [
          "sandbox",
          ...flags({
            port,
            state: stateFile,
            ledger: ledgerFile,
            "supported-scopes": scopes.join(","),
            "failure-mode": habits.failureMode,
            order: habits.order,
            "dry-run-checks-existing": String(habits.dryRunChecksExisting),
            "lost-on-restart": habits.lostOnRestart,
            workers: habits.workers,
            "setup-time": `${habits.setupTime}ms`,
            faults: faults && join(folder, "plan.json")
          })
        ],
        { cwd: folder, env: { SANDBOX_BEARER: bearer, XDG_STATE_HOME: state }, output, stdin: "ignore" }
      )
      let over = false
      void current.ended.then(() => (over = true))
      for (const until = Date.now() + patience; ; await sleep(10)) {
        const said = readFileSync(`${output}.stdout`, "utf8")
        const found = /AUTHLETE_BASE_URL=http:\/\/127\.0\.0\.1:(\d+)\n[^]*AUTHLETE_BEARER=/.exec(said)
        if (found !== null) return void (port = found[1]!)
        if (over) throw new Error(`the sandbox did not start: ${readFileSync(`${output}.stderr`, "utf8")}`)
        if (Date.now() > until) throw new Error("the sandbox is not ready")
      }
    }
  }
}

// -----------------------------------------------------------------------------
// Legs
// -----------------------------------------------------------------------------

export interface Leg extends Ended {
  /** What this process did to it. */
  readonly killed: ReadonlyArray<{ readonly signal: "SIGKILL" | "SIGINT"; readonly at: number }>
  /** Whether the sandbox was killed meanwhile. */
  readonly outage: boolean
  /** How a second process on the same run ended, if there was one. */
  readonly rival: Ended | undefined
  /** It had not ended when its time was over. */
  readonly hung: boolean
  /** Milliseconds. */
  readonly elapsed: number
  readonly stdout: string
  readonly stderr: string
}

/** Longest time of a leg, in milliseconds. */
const legLimit = 150_000

/** Runs the command line until it ends, or is ended. */
export const runLeg = async (given: {
  readonly program: string
  readonly args: ReadonlyArray<string>
  /** Of a second process on the same run. */
  readonly rivalArgs: ReadonlyArray<string>
  readonly folders: Folders
  readonly env: Record<string, string>
  readonly number: number
  /** What is fed to standard input. */
  readonly stdin: Uint8Array | undefined
  readonly kill: Kill | undefined
  /** The kill comes after so long, in milliseconds, whether its moment has or not. */
  readonly limit: number
  readonly outage: Outage | undefined
  readonly rival: Rival | undefined
  readonly sandbox: Sandbox
}): Promise<Leg> => {
  const { folders, kill, number, outage, sandbox } = given
  const output = join(folders.said, `leg-${String(number).padStart(2, "0")}`)
  const journal = join(folders.run, "journal")
  const from = statSync(journal, { throwIfNoEntry: false })?.size ?? 0
  const startedAt = performance.now()
  const go = (args: ReadonlyArray<string>, output: string) => {
    const { child, ended } = start(given.program, args, {
      cwd: folders.work,
      env: { ...given.env, XDG_STATE_HOME: folders.state },
      output,
      stdin: given.stdin === undefined ? "ignore" : "pipe"
    })
    child.stdin?.on("error", () => {})
    child.stdin?.end(given.stdin)
    return { child, ended }
  }
  const { child, ended } = go(given.args, output)
  const over = new AbortController()
  const killed: Array<Leg["killed"][number]> = []
  const end = (signal: "SIGKILL" | "SIGINT") => {
    killed.push({ signal, at: Math.round(performance.now() - startedAt) })
    child.kill(signal)
  }
  /** Something that happens meanwhile; not if the leg is over before. */
  const meanwhile = (what: () => Promise<void>) =>
    what().catch((error: unknown) => {
      if (!over.signal.aborted) throw error
    })
  let hung = false
  let wasOut = false
  let rival: Ended | undefined
  const others = [
    meanwhile(async () => {
      await sleep(legLimit, undefined, over)
      hung = true
      child.kill("SIGKILL")
    }),
    meanwhile(async () => {
      if (kill === undefined) return
      const tooLong = sleep(given.limit, undefined, over)
      await Promise.race([reached(kill, journal, from, over.signal), tooLong])
      end(kill.signal)
      if (kill.again === undefined) return
      await sleep(kill.again.after, undefined, over)
      end(kill.again.signal)
    }),
    meanwhile(async () => {
      if (given.rival === undefined) return
      await sleep(given.rival.after, undefined, over)
      if (!existsSync(journal)) return
      const other = go(given.rivalArgs, `${output}-rival`)
      const tooLong = setTimeout(() => other.child.kill("SIGKILL"), given.limit)
      rival = await other.ended
      clearTimeout(tooLong)
    }),
    meanwhile(async () => {
      if (outage === undefined) return
      await sleep(outage.after, undefined, over)
      wasOut = true
      await sandbox.kill()
      // Begun, it is ended, whatever becomes of the leg.
      await sleep(outage.down)
      await sandbox.start({ faults: true })
    })
  ]
  const { code, signal } = await ended
  const elapsed = performance.now() - startedAt
  over.abort()
  await Promise.all(others)
  return {
    code,
    signal,
    killed,
    outage: wasOut,
    rival,
    hung,
    elapsed,
    stdout: readFileSync(`${output}.stdout`, "utf8"),
    stderr: readFileSync(`${output}.stderr`, "utf8")
  }
}

/** Waits for a moment of a leg: whose journal has had a length when it began. */
const reached = async ({ after, event, times = 1 }: Moment, journal: string, from: number, signal: AbortSignal) => {
  if (event === "journal") while (!existsSync(journal)) await sleep(1, undefined, { signal })
  else if (event !== undefined) {
    const tag = `{"_tag":"${event}"`
    let at = from
    let carry = ""
    for (let seen = 0; seen < times; await sleep(2, undefined, { signal })) {
      const size = statSync(journal, { throwIfNoEntry: false })?.size ?? 0
      if (size <= at) continue
      const more = Buffer.alloc(size - at)
      const file = openSync(journal, "r")
      at += readSync(file, more, 0, more.length, at)
      closeSync(file)
      const parts = (carry + more.toString("latin1")).split(tag)
      seen += parts.length - 1
      carry = parts.at(-1)!.slice(-tag.length)
    }
  }
  await sleep(after, undefined, { signal })
}
