import { Pool } from "undici"
import { setTimeout as sleep } from "node:timers/promises"
const [baseUrl, count] = process.argv.slice(2)
const body = new Uint8Array(Buffer.from("[" + Array.from({length: 100}, (_, i) => JSON.stringify({grantType:"AUTHORIZATION_CODE",clientId:1234567890+i,subject:"x".repeat(280)})).join(",") + "]"))
const path = "/api/bench/auth/token/create/batch"
const headers = { "content-type": "application/json", authorization: "Bearer bench" }
const pool = new Pool(baseUrl!, { connections: 64 })
let left = Number(count)
const worker = async () => { while (left-- > 0) {
  const created = await pool.request({ method: "POST", path, headers, body })
  const { requestId } = (await created.body.json()) as any
  await sleep(60)
  const asked = await pool.request({ method: "GET", path: `${path}/status/${requestId}`, headers })
  await asked.body.json()
} }
await Promise.all(Array.from({ length: 64 }, worker))
const u = process.cpuUsage(); console.log("raw", ((u.user+u.system)/1e6).toFixed(2))
await pool.close()
