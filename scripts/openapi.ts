/** Writes the OpenAPI document that follows from core's `HttpApi`. */
import { TokenOperationsApi } from "@tokenbatch/core"
import * as OpenApi from "effect/http-api/OpenApi"
import { writeFileSync } from "node:fs"

const document = OpenApi.fromApi(TokenOperationsApi.TokenOperationsApi)
writeFileSync("docs/openapi.json", `${JSON.stringify(document, null, 2)}\n`)
