/**
 * The two operations as a service: `createBatch` hands a batch in, `batchStatus` asks how far it has come.
 *
 * Neither repeats a call by itself: whether a call may be repeated is for the caller to know (see `CreateAnswer`), all but one case:
 * after a 401 the bearer is asked for afresh, and where another one comes the call is made once more with it.
 *
 * The service needs an `HttpClient`, the `Credentials` and the `AuthleteConfig`. Redirects are not followed, with no client of Effect's, unless
 * it is made to: what answers elsewhere is not the service. The platform's own spans are turned off here, in favour of one per operation that holds
 * no header and no body.
 *
 * @example
 * ```ts
 * import { AuthleteConfig, Credentials, TokenOperations } from "@tokenbatch/core"
 * import { Effect, Layer, Redacted } from "effect"
 * import { FetchHttpClient } from "effect/http"
 *
 * const Live = TokenOperations.TokenOperations.layer.pipe(
 *   Layer.provide(AuthleteConfig.AuthleteConfig.layer({ baseUrl: "https://us.authlete.com", serviceId: "1234" })),
 *   Layer.provide(Credentials.Credentials.layerConfig),
 *   Layer.provide(FetchHttpClient.layer)
 * )
 *
 * const program = Effect.gen(function* () {
 *   const operations = yield* TokenOperations.TokenOperations
 *   const receipt = yield* operations.createBatch([
 *     { grantType: "AUTHORIZATION_CODE", clientId: 26837717140341n, subject: "john", accessToken: Redacted.make("old-value") }
 *   ])
 *   return yield* operations.batchStatus(receipt.requestId)
 * }).pipe(Effect.provide(Live))
 * ```
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { AuthleteConfig } from "./AuthleteConfig.ts"
import { RequestTimeout, type AuthleteError } from "./AuthleteError.ts"
import { bearerSetting, Credentials } from "./Credentials.ts"
import * as HttpAnswer from "./HttpAnswer.ts"
import { holdsTokenValue, strike, tokenValues } from "./Secrets.ts"
import {
  CreateResponse,
  RequestId,
  StatusResponse,
  statusFromResponse,
  type BatchStatus,
  type Receipt
} from "./TokenBatch.ts"
import { formatPath, InvalidRequest, makeCheck, toJson, type TokenCreateRequest } from "./TokenCreateRequest.ts"
import * as TimeLimit from "./TimeLimit.ts"
import { TokenOperationsApi } from "./TokenOperationsApi.ts"
import { version } from "./version.ts"

/** Options of the create operation. */
export interface CreateOptions {
  /** Have the batch processed without creating anything. Default false. */
  readonly dryRun?: boolean | undefined
}

/** Where calls go: what must stay the same for as long as anything is owed an answer. */
export interface Address {
  /** Without a slash at the end. */
  readonly baseUrl: string
  readonly serviceId: string
}

/** Create a batch, ask for its status. */
export class TokenOperations extends Context.Service<
  TokenOperations,
  {
    readonly address: Address
    /** Hands a batch in. The requests are checked before anything is sent. */
    readonly createBatch: (
      requests: ReadonlyArray<TokenCreateRequest>,
      options?: CreateOptions
    ) => Effect.Effect<Receipt, AuthleteError | InvalidRequest>
    /**
     * Hands in a batch that is encoded and checked already: a JSON array of records in UTF-8. The bytes must not change before the
     * effect has ended.
     */
    readonly createBatchEncoded: (body: Uint8Array, options?: CreateOptions) => Effect.Effect<Receipt, AuthleteError>
    /** How far a batch has come. */
    readonly batchStatus: (requestId: RequestId) => Effect.Effect<BatchStatus, AuthleteError>
  }
>()("@tokenbatch/core/TokenOperations") {
  /** The service at the address of the `AuthleteConfig`. */
  static readonly layer: Layer.Layer<TokenOperations, never, HttpClient.HttpClient | Credentials | AuthleteConfig> =
    Layer.effect(
      TokenOperations,
      Effect.suspend(() => make)
    )

  /** Everything from the environment: see `AuthleteConfig.layerConfig` and `Credentials.layerConfig`. */
  static readonly layerConfig = Layer.suspend(() =>
    TokenOperations.layer.pipe(
      Layer.provide([AuthleteConfig.layerConfig({}, [bearerSetting]), Credentials.layerConfig])
    )
  )

  /**
   * For tests: a service made of two functions, at an address of its own. `createBatch` goes through `createBatchEncoded`, as it does in the real one. What is
   * not given dies when it is called.
   */
  static readonly layerTest = (operations: Partial<Untyped>): Layer.Layer<TokenOperations> =>
    Layer.sync(TokenOperations, () =>
      TokenOperations.of(
        withTyped({
          address: operations.address ?? { baseUrl: "test:", serviceId: "test" },
          createBatchEncoded:
            operations.createBatchEncoded ?? (() => Effect.die("createBatchEncoded was not expected")),
          batchStatus: operations.batchStatus ?? (() => Effect.die("batchStatus was not expected"))
        })
      )
    )
}

const check = makeCheck()

/** Typed requests as a request body. */
export const encode = (requests: ReadonlyArray<TokenCreateRequest>): Result.Result<Uint8Array, InvalidRequest> => {
  const texts: Array<string> = []
  for (const [index, request] of requests.entries()) {
    const text = toJson(request)
    const broken = Result.isFailure(text) ? text.failure : check(text.success, JSON.parse(text.success))
    if (broken !== undefined || Result.isFailure(text)) {
      return Result.fail(
        new InvalidRequest({ index, field: formatPath(broken?.path ?? []), reason: broken?.message ?? "is invalid" })
      )
    }
    texts.push(text.success)
  }
  return Result.succeed(new TextEncoder().encode(`[${texts.join(",")}]`))
}

/** All of the service but what is made of the rest. */
type Untyped = Omit<TokenOperations["Service"], "createBatch">

const withTyped = (operations: Untyped): TokenOperations["Service"] => ({
  ...operations,
  createBatch: (requests, options) =>
    Effect.suspend(() => Effect.fromResult(encode(requests))).pipe(
      Effect.flatMap((body) => operations.createBatchEncoded(body, options))
    )
})

const decodeCreate = Schema.decodeUnknownResult(CreateResponse)
const decodeStatus = Schema.decodeUnknownResult(StatusResponse)
const isRequestId = Schema.is(RequestId)
/** In characters. It is written down for each batch, and looked for in what was sent. */
const maxRequestIdLength = 256

const headers = { "user-agent": `tokenbatch/${version}`, accept: "application/json" }

// What all calls have in common. Not in a context of their own: merging one would copy all services that there are, for each call.
const noPlatformSpan = () => true
const noRedirect = { redirect: "manual" } as const

/** A span around a call, where there are to be spans: an unwanted one would cost a tenth of all that a call does. */
const traced =
  (name: string) =>
  <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.flatMap(References.TracerEnabled, (isEnabled) =>
      isEnabled ? Effect.withSpan(call, name, { captureStackTrace: false }) : call
    )

/** Paths and queries as the `HttpApi` has them. Its derived client would encode bodies that are bytes already, and decode answers that are to be kept. */
const paths = HttpApiClient.urlBuilder(TokenOperationsApi)

const make = Effect.gen(function* () {
  const { baseUrl, requestTimeout, serviceId } = yield* AuthleteConfig
  const credentials = yield* Credentials
  const httpClient = yield* HttpClient.HttpClient
  const limited = yield* TimeLimit.make(requestTimeout)

  /** With the bearer, and once more with a fresh one after a 401. Notes each bearer that it sends: an answer may echo any of them. */
  const send = Effect.fnUntraced(function* (request: HttpClientRequest.HttpClientRequest, sent: Set<string>) {
    const bearer = yield* credentials.bearer
    sent.add(Redacted.value(bearer))
    const response = yield* httpClient.execute(HttpClientRequest.bearerToken(request, bearer))
    if (response.status !== 401) return response
    const fresh = yield* credentials.fresh(bearer)
    if (Redacted.value(fresh) === Redacted.value(bearer)) return response
    sent.add(Redacted.value(fresh))
    yield* HttpAnswer.discard(response)
    return yield* httpClient.execute(HttpClientRequest.bearerToken(request, fresh))
  })

  const call = <A>(
    name: string,
    request: () => HttpClientRequest.HttpClientRequest,
    decode: (
      body: unknown,
      secrets: () => ReadonlyArray<string>,
      bearers: ReadonlySet<string>
    ) => Result.Result<A, unknown>,
    body?: Uint8Array
  ): Effect.Effect<A, AuthleteError> =>
    Effect.suspend(() => {
      const bearers = new Set<string>()
      const secrets = () => [...bearers, ...(body === undefined ? [] : tokenValues(body))]
      const answer = send(request(), bearers).pipe(
        Effect.mapError((error) => HttpAnswer.fromHttpClientError(error, secrets)),
        Effect.flatMap((response) => HttpAnswer.read(response, (json) => decode(json, secrets, bearers), secrets))
      )
      // Whether the connection stood by then cannot be known.
      return limited(answer, () => new RequestTimeout({ timeout: Duration.toMillis(requestTimeout), sent: true }))
    }).pipe(
      Effect.provideService(HttpClient.TracerDisabledWhen, noPlatformSpan),
      Effect.provideService(FetchHttpClient.RequestInit, noRedirect),
      traced(name)
    )

  // Made once: address and headers are the same for each call.
  const createRequests = new Map(
    [undefined, false, true].map((dryRun) => {
      const url = baseUrl + paths.createBatch({ params: { serviceId }, query: { dryRun } })
      return [dryRun, HttpClientRequest.post(url, { headers })] as const
    })
  )
  const statusRequest = HttpClientRequest.get("", { headers })

  const createBatchEncoded = (body: Uint8Array, options?: CreateOptions) =>
    call(
      "TokenOperations.createBatch",
      () =>
        HttpClientRequest.setBody(createRequests.get(options?.dryRun)!, HttpBody.uint8Array(body, "application/json")),
      (json, _, bearers) =>
        Result.flatMap(decodeCreate(json), ({ requestId, resultCode, resultMessage }) => {
          if (requestId == null || requestId === "") return Result.fail("an acceptance without a requestId")
          if (!isRequestId(requestId)) return Result.fail("an acceptance whose requestId cannot be asked for")
          if (requestId.length > maxRequestIdLength)
            return Result.fail("an acceptance whose requestId is too long for one")
          // It will be written down, so it must not be a secret come back, as it was sent.
          if (holdsTokenValue(requestId, body)) {
            return Result.fail("an acceptance whose requestId was a token value of the request")
          }
          for (const bearer of bearers) {
            if (requestId.includes(bearer)) return Result.fail("an acceptance whose requestId was the credential")
          }
          return Result.succeed<Receipt>({
            requestId,
            ...(resultCode == null ? undefined : { resultCode }),
            ...(resultMessage == null ? undefined : { resultMessage })
          })
        }),
      body
    )

  const batchStatus = (tokenBatchRequestId: RequestId) =>
    call(
      "TokenOperations.batchStatus",
      () =>
        HttpClientRequest.setUrl(
          statusRequest,
          baseUrl + paths.batchStatus({ params: { serviceId, tokenBatchRequestId } })
        ),
      (json, secrets) =>
        Result.flatMap(decodeStatus(json), (response) => {
          const { requestId } = response.status ?? {}
          return requestId == null || requestId === tokenBatchRequestId
            ? Result.succeed(statusFromResponse(response, (text) => strike(text, secrets())))
            : Result.fail("a status of another batch than was asked for")
        })
    )

  return TokenOperations.of(withTyped({ address: { baseUrl, serviceId }, createBatchEncoded, batchStatus }))
})
