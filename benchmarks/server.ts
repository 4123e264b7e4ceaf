/** The answering server: takes every batch at once and calls it done after 50 ms. Tells its port to whoever started it. */
import { createServer } from "node:http"

const accepted = new Map<string, number>()

const server = createServer((request, response) => {
  const answer = (value: object) =>
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value))
  if (request.method === "GET") {
    const requestId = request.url?.split("/").at(-1) ?? ""
    const done = Date.now() - (accepted.get(requestId) ?? 0) >= 50
    return answer({ resultCode: "BENCH", status: done ? { requestId, result: "SUCCEEDED" } : { requestId } })
  }
  request.on("data", () => {})
  request.on("end", () => {
    const requestId = `request-${accepted.size + 1}`
    accepted.set(requestId, Date.now())
    answer({ resultCode: "BENCH", requestId })
  })
  return undefined
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object" && address !== null) process.send?.(address.port)
})
