/** A sandbox as a client sees it that looks at the wire. */
import { Ledger, Sandbox, type SandboxOptions } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { request as httpRequest } from "node:http"

/** What came back: an answer, or what there was of one when the connection broke. */
export interface Came {
  readonly status?: number | undefined
  readonly headers?: NodeJS.Dict<string | Array<string>> | undefined
  readonly body: string
  /** The code of the error, where the answer did not come whole. */
  readonly error?: string | undefined
}

/** A record of a batch, by a number. */
const record = (n: number) => ({
  grantType: "AUTHORIZATION_CODE",
  clientId: 1,
  subject: `user-${n}`,
  accessToken: `access-${n}`,
  refreshToken: `refresh-${n}`
})

/** Numbers from 1. */
export const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i + 1)

export interface Client {
  /** Hands in a batch of numbered records; gives up after `timeout` milliseconds. */
  readonly create: (
    numbers: ReadonlyArray<number>,
    options?: { readonly dryRun?: boolean; readonly timeout?: number }
  ) => Effect.Effect<Came>
  /** Hands one in that is taken, and gives its request id. */
  readonly taken: (numbers: ReadonlyArray<number>, options?: { readonly dryRun?: boolean }) => Effect.Effect<string>
  readonly status: (requestId: string) => Effect.Effect<Came>
  /** The status of a batch once it has a result. */
  readonly result: (requestId: string) => Effect.Effect<Record<string, unknown>>
  readonly ledger: Ledger.Ledger["Service"]
  /** The numbers of the records that became tokens, in order. */
  readonly created: Effect.Effect<ReadonlyArray<number>>
}

const call = (method: string, url: string, bearer: string, body = "", timeout = 5000) =>
  Effect.callback<Came>((resume) => {
    const done = (came: Came) => resume(Effect.succeed(came))
    const request = httpRequest(url, {
      method,
      agent: false,
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", "content-length": body.length }
    })
    const timer = setTimeout(() => request.destroy(Object.assign(new Error("too late"), { code: "TIMEOUT" })), timeout)
    request.on("close", () => clearTimeout(timer))
    request.on("error", (error: NodeJS.ErrnoException) => done({ body: "", error: error.code ?? error.message }))
    request.on("response", (response) => {
      const { headers, statusCode: status } = response
      let text = ""
      response.on("data", (chunk) => (text += chunk))
      response.on("error", (error: NodeJS.ErrnoException) => done({ status, headers, body: text, error: error.code }))
      response.on("end", () => done({ status, headers, body: text }))
    })
    request.end(body)
  })

/** Calls a sandbox that runs. */
const client = Effect.gen(function* () {
  const { baseUrl, bearer, serviceId } = yield* Sandbox.Sandbox
  const ledger = yield* Ledger.Ledger
  const batch = `${baseUrl}/api/${serviceId}/auth/token/create/batch`
  const secret = Redacted.value(bearer)
  const numberOf = new Map(upTo(2000).map((n) => [Ledger.hashOf(`access-${n}`), n]))
  const create: Client["create"] = (numbers, { dryRun = false, timeout } = {}) =>
    call("POST", `${batch}?dryRun=${dryRun}`, secret, JSON.stringify(numbers.map(record)), timeout)
  const status: Client["status"] = (requestId) => call("GET", `${batch}/status/${requestId}`, secret)
  return {
    create,
    status,
    ledger,
    taken: (numbers, options) => Effect.map(create(numbers, options), ({ body }) => String(JSON.parse(body).requestId)),
    result: (requestId) =>
      Effect.gen(function* () {
        for (let i = 0; i < 300; i++) {
          const came = yield* status(requestId)
          const found = came.status === 200 ? JSON.parse(came.body).status : {}
          if (found.result !== undefined) return found
          yield* Effect.sleep(10)
        }
        return yield* Effect.die(new Error("the batch has no result"))
      }),
    created: Effect.map(ledger.entries, (entries) => entries.map(({ tokenHash }) => numberOf.get(tokenHash) ?? -1))
  } satisfies Client
})

/** Runs a test against a sandbox of its own. */
export const against = <A, E>(input: SandboxOptions.Input, use: (client: Client) => Effect.Effect<A, E>) =>
  Effect.flatMap(client, use).pipe(Effect.provide(Sandbox.Sandbox.layer({ setupTime: "1 millis", ...input })))
