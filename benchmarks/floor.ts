/**
 * The floor: what somebody would write in an afternoon who checks nothing. Newlines become commas, batches go to undici, 64 at once.
 *
 * `floor.ts FILE BASE_URL BATCH_SIZE [parse|try]`; the file may be - for standard input. With `parse` every line is parsed, and nothing
 * is looked at. With `try` a line that does not parse is no reason to end: it is sent like the others.
 */
import { openSync, readSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { Pool } from "undici"

const [file, baseUrl, size, parse] = process.argv.slice(2)
const batchSize = Number(size)
const path = "/api/bench/auth/token/create/batch"
const headers = { "content-type": "application/json", authorization: "Bearer bench" }
const pool = new Pool(baseUrl!, { connections: 64 })

const send = async (body: Buffer) => {
  const created = await pool.request({ method: "POST", path, headers, body })
  const { requestId } = (await created.body.json()) as { readonly requestId: string }
  for (;;) {
    await sleep(60)
    const asked = await pool.request({ method: "GET", path: `${path}/status/${requestId}`, headers })
    const { status } = (await asked.body.json()) as { readonly status: { readonly result?: string } }
    if (status.result !== undefined) return
  }
}

const running = new Set<Promise<void>>()
let ended = () => {}
const submit = async (parts: ReadonlyArray<Buffer>) => {
  if (running.size >= 64) await new Promise<void>((resolve) => (ended = resolve))
  const body = Buffer.concat([Buffer.from("["), ...parts])
  for (let i = body.indexOf(10); i !== -1; i = body.indexOf(10, i + 1)) body[i] = 0x2c
  body[body.length - 1] = 0x5d
  const sent: Promise<void> = send(body).finally(() => {
    running.delete(sent)
    ended()
  })
  running.add(sent)
}

const look = (line: string) => {
  if (parse === "parse") return JSON.parse(line)
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

/** The file by the mebibyte, in one buffer. */
const chunksOf = function* (name: string) {
  const descriptor = openSync(name, "r")
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (let read = readSync(descriptor, buffer); read > 0; read = readSync(descriptor, buffer)) {
    yield buffer.subarray(0, read)
  }
}

const source: Iterable<Buffer> | AsyncIterable<Buffer> = file === "-" ? process.stdin : chunksOf(file!)
let carry: Buffer = Buffer.alloc(0)
let parts: Array<Buffer> = []
let count = 0
for await (const read of source) {
  const chunk = Buffer.concat([carry, read])
  let start = 0
  let from = 0
  for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
    if (parse !== undefined) look(chunk.toString("latin1", start, end))
    start = end + 1
    if (++count === batchSize) {
      parts.push(chunk.subarray(from, start))
      await submit(parts)
      parts = []
      count = 0
      from = start
    }
  }
  if (from < start) parts.push(chunk.subarray(from, start))
  carry = chunk.subarray(start)
}
if (count > 0) await submit(parts)
await Promise.all(running)
await pool.close()
