/** Runs the program as a process, against a sandbox in another or a server of the test's own. */
import { spawn, type ChildProcess } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** The program, as a file that Node.js runs. */
export const program = fileURLToPath(new URL("../src/launch.ts", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** What it has written to standard output so far. */
  readonly written: () => string
  /** Waits until something has been written. */
  readonly seen: (text: string) => Promise<void>
}

/** Where runs are kept, in place of the user's own. */
export const state = mkdtempSync(join(tmpdir(), "tokenbatch-state-"))
process.on("exit", () => rmSync(state, { recursive: true, force: true }))

const clean = () => ({
  XDG_STATE_HOME: state,
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^AUTHLETE_|^XDG_|_proxy$/i.test(name)))
})

/** Starts `tokenbatch` with arguments. */
export const start = (
  args: ReadonlyArray<string>,
  options: {
    readonly env?: Record<string, string>
    readonly input?: string | Uint8Array | "open"
    readonly stdin?: number
    readonly stdout?: number
  } = {}
): Running => {
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...clean(), ...options.env },
    stdio: [options.stdin ?? "pipe", options.stdout ?? "pipe", "pipe"]
  })
  let stdout = ""
  let stderr = ""
  const waiting = new Set<() => void>()
  child.stdout?.on("data", (chunk) => {
    stdout += chunk
    for (const look of waiting) look()
  })
  child.stderr?.on("data", (chunk) => {
    stderr += chunk
    for (const look of waiting) look()
  })
  if (options.input !== "open") child.stdin?.end(options.input ?? "")
  else child.stdin?.on("error", () => {})
  const ended = new Promise<Ended>((resolve) => child.on("close", (code) => resolve({ code, stdout, stderr })))
  const seen = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => {
        if (!stdout.includes(text) && !stderr.includes(text)) return
        waiting.delete(look)
        resolve()
      }
      waiting.add(look)
      look()
      void ended.then(() => reject(new Error(`ended without ${JSON.stringify(text)}: ${stderr}`)))
    })
  return { child, ended, seen, written: () => stdout }
}

/** Runs `tokenbatch` to its end. */
export const run = (...given: Parameters<typeof start>): Promise<Ended> => start(...given).ended

/** The last event of `--json`. */
export const lastEvent = ({ stdout }: Ended) => JSON.parse(stdout.trimEnd().split("\n").at(-1)!)

/** A folder that goes away with `remove`. */
export const folder = () => {
  const path = mkdtempSync(join(tmpdir(), "tokenbatch-"))
  return {
    path,
    file: (name: string) => join(path, name),
    remove: () => rmSync(path, { recursive: true, force: true })
  }
}

export const bearer = "bearer-0123456789abcdefghij"

/** A server that answers as told. */
export const serve = async (answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) => {
  const server = createServer((request, response) => {
    let body = ""
    request.on("data", (chunk) => (body += chunk))
    request.on("end", () => answer(request, response, body))
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  return {
    env: { AUTHLETE_BASE_URL: `http://127.0.0.1:${port}`, AUTHLETE_SERVICE_ID: "1", AUTHLETE_BEARER: bearer },
    close: () => {
      server.closeAllConnections()
      server.close()
    }
  }
}

/** A sandbox in a process of its own, and the environment that names it. */
export const sandbox = async (...args: ReadonlyArray<string>) => {
  const running = start(["sandbox", ...args])
  await running.seen("Ctrl-C ends it")
  await running.seen("AUTHLETE_BEARER=")
  const env = Object.fromEntries(
    running
      .written()
      .split("\n")
      .flatMap((text) => {
        const match = /^export (\w+)=(.*)$/.exec(text)
        return match === null ? [] : [[match[1]!, match[2]!]]
      })
  ) as Record<string, string>
  return {
    env,
    close: () => {
      running.child.kill("SIGINT")
      return running.ended
    }
  }
}

export const line = (n: number): string =>
  `{"grantType":"AUTHORIZATION_CODE","clientId":26837717140341,"subject":"user-${n}","accessToken":"access-token-value-${n}"}`

export const lines = (count: number): string => `${Array.from({ length: count }, (_, i) => line(i + 1)).join("\n")}\n`
