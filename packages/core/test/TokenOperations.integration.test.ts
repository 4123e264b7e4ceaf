import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import { operationsOverHttp } from "./operationsOverHttp.ts"

operationsOverHttp("fetch", FetchHttpClient.layer)
operationsOverHttp("undici", NodeHttpClient.layerUndici)
