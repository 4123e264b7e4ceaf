/**
 * The two operations of Authlete's token batch API for Effect: the record, what the service answers, every way it can fail, and the
 * service that calls it.
 */
export * as AuthleteConfig from "./AuthleteConfig.ts"
export * as AuthleteError from "./AuthleteError.ts"
export * as CreateAnswer from "./CreateAnswer.ts"
export * as Credentials from "./Credentials.ts"
export * as Int64 from "./Int64.ts"
export * as Secrets from "./Secrets.ts"
export * as TokenBatch from "./TokenBatch.ts"
export * as TokenCreateRequest from "./TokenCreateRequest.ts"
export * as TokenOperations from "./TokenOperations.ts"
export * as TokenOperationsApi from "./TokenOperationsApi.ts"
