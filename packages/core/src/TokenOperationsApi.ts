/**
 * The two operations of the service as one `HttpApi`: the client's addresses, the sandbox's server and the OpenAPI document derive from it.
 *
 * Where what is derived does not do, and what is done instead:
 *
 * - The derived client encodes a payload value by value, and decodes a 200 with a broken body into an error without its response.
 *   `TokenOperations` sends bytes that were checked before, to the addresses that derive from here, and decodes what comes back with the
 *   schemas named here.
 * - A boolean in a query becomes one of two strings in the document, which is set right by a transform.
 * - The document says `clientId` is optional, because `clientIdentifier` may stand in its place, which OpenAPI cannot say as well.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Rec from "effect/Record"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { regions } from "./AuthleteConfig.ts"
import { CreateResponse, ResultResponse, StatusResponse } from "./TokenBatch.ts"
import { TokenCreateRequest } from "./TokenCreateRequest.ts"

/**
 * A documented error of one status, as a server raises it: `{ _tag: "ApiError", status, resultCode, resultMessage }`. Neither the tag
 * nor the status is in the body.
 */
const apiError = <const Status extends 400 | 401 | 403 | 500>(status: Status) =>
  ResultResponse.pipe(
    Schema.decodeTo(
      Schema.Struct({
        _tag: Schema.tag("ApiError"),
        status: Schema.Literal(status),
        resultCode: Schema.String,
        resultMessage: Schema.String
      }),
      SchemaTransformation.transform({
        decode: (wire) => ({
          _tag: "ApiError" as const,
          status,
          resultCode: wire.resultCode ?? "",
          resultMessage: wire.resultMessage ?? ""
        }),
        encode: ({ resultCode, resultMessage }) => ({ resultCode, resultMessage })
      })
    ),
    HttpApiSchema.status(status)
  )

const errors = [apiError(400), apiError(500)] as const
const authorizationErrors = [apiError(401), apiError(403)] as const

/** A documented error as a server raises it. */
export type ApiError = (typeof errors | typeof authorizationErrors)[number]["Type"]

/** Makes an {@link ApiError}. */
export const makeApiError = <const Status extends ApiError["status"]>(
  status: Status,
  resultCode: string,
  resultMessage: string
) => ({ _tag: "ApiError" as const, status, resultCode, resultMessage })

/** `Authorization: Bearer <service or organization access token>`. */
export class Authorization extends HttpApiMiddleware.Service<Authorization>()("@tokenbatch/core/Authorization", {
  security: { bearer: HttpApiSecurity.bearer },
  error: authorizationErrors
}) {}

/** `POST /api/{serviceId}/auth/token/create/batch`: hands a batch in. It is worked on later. */
const createBatch = HttpApiEndpoint.post("createBatch", "/api/:serviceId/auth/token/create/batch", {
  params: { serviceId: Schema.String },
  query: { dryRun: Schema.optional(Schema.Boolean) },
  payload: Schema.Array(TokenCreateRequest),
  success: CreateResponse,
  error: errors
}).annotateMerge(
  OpenApi.annotations({
    identifier: "auth_token_create_batch_api",
    description: "Accepts a batch of token requests. The tokens are created later; with dryRun nothing is created.",
    transform: (operation) => ({
      ...operation,
      parameters: operation["parameters"].map((parameter: { readonly name: string }) =>
        parameter.name === "dryRun" ? { ...parameter, schema: { type: "boolean" } } : parameter
      )
    })
  })
)

/** `GET /api/{serviceId}/auth/token/create/batch/status/{tokenBatchRequestId}`: how far a batch has come. */
const batchStatus = HttpApiEndpoint.get(
  "batchStatus",
  "/api/:serviceId/auth/token/create/batch/status/:tokenBatchRequestId",
  {
    params: { serviceId: Schema.String, tokenBatchRequestId: Schema.String },
    success: StatusResponse,
    error: errors
  }
).annotateMerge(
  OpenApi.annotations({
    identifier: "auth_token_create_batch_status_api",
    description: "The status of a batch. One without a result is still worked on."
  })
)

/** Both operations. */
export class TokenOperationsApi extends HttpApi.make("token-batch")
  .add(
    HttpApiGroup.make("tokenOperations", { topLevel: true })
      .add(createBatch, batchStatus)
      .middleware(Authorization)
      .annotateMerge(OpenApi.annotations({ title: "Token Operations" }))
  )
  .annotateMerge(
    OpenApi.annotations({
      title: "Authlete token batch operations",
      version: "3.0",
      description: "The two operations that tokenbatch calls, as it understands them. Generated from its HttpApi.",
      servers: Object.values(regions).map((url) => ({ url })),
      // Fields that nobody knows yet are ignored in answers, never refused.
      transform: (document) => ({
        ...document,
        components: {
          ...document["components"],
          schemas: Rec.map(
            document["components"].schemas as Record<string, Record<string, unknown>>,
            ({ additionalProperties: _ignored, ...schema }) => schema
          )
        }
      })
    })
  ) {}
