import { TokenOperationsApi } from "@tokenbatch/core"
import { assert, describe, it } from "@effect/vitest"
import * as OpenApi from "effect/http-api/OpenApi"
import { readFileSync } from "node:fs"

type Json = { readonly [key: string]: any } // eslint-disable-line

const document: Json = OpenApi.fromApi(TokenOperationsApi.TokenOperationsApi)
const facts: Json = JSON.parse(readFileSync(new URL("fixtures/token-batch.facts.json", import.meta.url), "utf8"))

const nameOf = (ref: string) => ref.split("/").at(-1)!

/** What a schema of either document says of a type; null beside it means that the field may be absent. */
const typeOf = (schema: Json, schemas: Json): Json => {
  const alternatives: ReadonlyArray<Json> | undefined = schema["anyOf"]
  if (alternatives !== undefined) {
    const others = alternatives.filter(({ type }) => type !== "null")
    assert.strictEqual(others.length, 1, JSON.stringify(schema))
    return typeOf(others[0]!, schemas)
  }
  const name: string | undefined = schema["ref"] ?? (schema["$ref"] === undefined ? undefined : nameOf(schema["$ref"]))
  if (name !== undefined) return schemas[name].type === "string" ? typeOf(schemas[name], schemas) : { ref: name }
  return {
    type: schema["type"],
    ...(schema["format"] === undefined ? {} : { format: schema["format"] }),
    ...(schema["enum"] === undefined ? {} : { enum: schema["enum"] }),
    ...(schema["items"] === undefined ? {} : { items: typeOf(schema["items"], schemas) })
  }
}

const operations = Object.entries<Json>(document["paths"]).flatMap(([path, methods]) =>
  Object.entries<Json>(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const)
)

/** Where we differ from the service's description, on purpose. */
const stated = {
  // `clientIdentifier` may stand in its place, which OpenAPI cannot say.
  notRequired: ["token_create_request.clientId"],
  // A value that nobody knows yet is kept as it came.
  openEnums: ["token_batch_status.batchKind", "token_batch_status.result"],
  // Any string goes to the service, which knows better.
  withoutFormat: ["token_create_request.resources"]
}

describe("TokenOperationsApi", () => {
  it("has the operations of the service's description", () => {
    assert.deepStrictEqual(operations.map(([name]) => name).sort(), Object.keys(facts["operations"]).sort())
  })

  it.each(operations)("%s takes and gives what the description says", (name, operation) => {
    const fact: Json = facts["operations"][name]
    const schemas: Json = document["components"].schemas
    const content = (part: Json) => part["content"]["application/json"].schema
    assert.strictEqual(operation["operationId"], fact["operationId"])
    assert.deepStrictEqual(
      operation["parameters"].map((p: Json) => ({
        name: p["name"],
        in: p["in"],
        required: p["required"],
        type: p["schema"].type
      })),
      fact["parameters"]
    )
    if (fact["body"] !== undefined) {
      assert.deepStrictEqual(typeOf(content(operation["requestBody"]), schemas), fact["body"])
    }
    assert.deepStrictEqual(
      Object.fromEntries(
        Object.entries<Json>(operation["responses"]).map(([status, response]) => [
          status,
          typeOf(content(response), schemas)
        ])
      ),
      fact["responses"]
    )
    assert.deepStrictEqual(operation["security"], [{ bearer: [] }])
  })

  const objects = Object.entries<Json>(facts["schemas"]).filter(([, schema]) => schema["properties"] !== undefined)
  it.each(objects)("%s has the fields of the description, with their types", (name, fact) => {
    const schema: Json = document["components"].schemas[name]
    assert.deepStrictEqual(Object.keys(schema["properties"]).sort(), Object.keys(fact["properties"]).sort())
    const required = fact["required"].filter((field: string) => !stated.notRequired.includes(`${name}.${field}`))
    assert.deepStrictEqual([...(schema["required"] ?? [])].sort(), [...required].sort())
    for (const [field, expected] of Object.entries<Json>(fact["properties"])) {
      const type = typeOf(expected, facts["schemas"])
      if (stated.openEnums.includes(`${name}.${field}`)) delete (type as { enum?: unknown }).enum
      if (stated.withoutFormat.includes(`${name}.${field}`))
        delete (type as { items: { format?: unknown } }).items.format
      assert.deepStrictEqual(
        typeOf(schema["properties"][field], document["components"].schemas),
        type,
        `${name}.${field}`
      )
    }
  })

  it("has no schema that the description does not have", () => {
    const names = objects.map(([name]) => name).sort()
    assert.deepStrictEqual(Object.keys(document["components"].schemas).sort(), names)
    assert.deepStrictEqual(Object.keys(document["components"].securitySchemes), ["bearer"])
    const { scheme, type } = document["components"].securitySchemes["bearer"]
    assert.deepStrictEqual({ scheme: scheme.toLowerCase(), type }, { scheme: "bearer", type: "http" })
  })

  it("deviates where it says so, and nowhere else", () => {
    for (const name of [...stated.notRequired, ...stated.openEnums, ...stated.withoutFormat]) {
      const [schema, field] = name.split(".") as [string, string]
      const fact: Json = facts["schemas"][schema]
      const ours: Json = document["components"].schemas[schema]
      const same =
        fact["required"].includes(field) === (ours["required"] ?? []).includes(field) &&
        JSON.stringify(typeOf(fact["properties"][field], facts["schemas"])) ===
          JSON.stringify(typeOf(ours["properties"][field], document["components"].schemas))
      assert.isFalse(same, `${name} does not deviate any more`)
    }
  })

  it("is what the committed document says", () => {
    const committed = JSON.parse(readFileSync(new URL("../../../docs/openapi.json", import.meta.url), "utf8"))
    assert.deepStrictEqual(JSON.parse(JSON.stringify(document)), committed)
  })
})
