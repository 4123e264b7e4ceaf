/**
 * The answering server: takes every batch and calls it done 50 ms after it was taken. Tells its port to whoever started it.
 *
 * `BENCH_HOLD_MS=N` holds each batch for so long before it is answered, so that as many are really in flight as may be.
 * `BENCH_CHUNKED=1` leaves out `Content-Length`, as a proxy may.
 */
import { randomUUID } from "node:crypto"
import { createServer } from "node:http"
import { setTimeout as sleep } from "node:timers/promises"

const hold = Number(process.env["BENCH_HOLD_MS"] ?? 0)
const chunked = process.env["BENCH_CHUNKED"] === "1"
const workTime = 50

/** When each batch was taken that has not been called done. */
const accepted = new Map<string, number>()

const server = createServer((request, response) => {
  const answer = (value: object) => {
    const body = JSON.stringify(value)
    const length = chunked ? undefined : { "content-length": Buffer.byteLength(body) }
    response.writeHead(200, { "content-type": "application/json", ...length }).end(body)
  }
  if (request.method === "GET") {
    const requestId = request.url?.split("/").at(-1) ?? ""
    const done = Date.now() - (accepted.get(requestId) ?? 0) >= workTime
    if (done) accepted.delete(requestId)
    return answer({ resultCode: "BENCH", status: done ? { requestId, result: "SUCCEEDED" } : { requestId } })
  }
  request.on("data", () => {})
  request.on("end", async () => {
    const requestId = randomUUID()
    if (hold > 0) await sleep(hold)
    accepted.set(requestId, Date.now())
    answer({ resultCode: "BENCH", requestId })
  })
  return undefined
})

// Not to outlive whoever started it, however that ends.
process.on("disconnect", () => process.exit(0))

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.(address.port)
})
