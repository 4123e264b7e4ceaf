/**
 * 64-bit integers, as the service's OpenAPI description means them by `format: int64`.
 *
 * A JavaScript number holds integers exactly up to 2^53 - 1 only, and client ids may be larger. So there are two schemas:
 *
 * - {@link Int64}: what a typed value may hold, a safe integer as a `number` or any int64 as a `bigint`.
 * - {@link Int64FromJson}: what `JSON.parse` makes of an int64 in a line of input. The number may have lost digits, which does no
 *   harm where the line is sent as the bytes it came as; nothing may be computed from it.
 *
 * To read an int64 out of JSON digit for digit use {@link reviver}; {@link rawJson} writes one.
 */
import * as Effect from "effect/Effect"
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaIssue from "effect/SchemaIssue"

const min = -(2n ** 63n)
const max = 2n ** 63n - 1n

const jsonSchema = { type: "integer", format: "int64" } as const

/**
 * Whether a number out of JSON stands for an int64. It may have been rounded; where it was rounded to 2^63 or -2^63, only its
 * digits tell.
 */
export const isInt64Number = (n: number): boolean => Number.isInteger(n) && Math.abs(n) < 2 ** 63

/** An int64 as `JSON.parse` gives it, see {@link isInt64Number}. */
export const Int64FromJson = Schema.Finite.check(
  Schema.makeFilter(isInt64Number, {
    expected: "a 64-bit integer",
    toJsonSchema: () => jsonSchema,
    arbitraryConstraint: {
      number: "integer",
      order: Order.Number,
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER
    }
  })
)

/** A safe integer as a `number`, or any integer within [-2^63, 2^63 - 1] as a `bigint`. */
export type Int64 = number | bigint

/** Whether a value is an {@link Int64}. A number beyond 2^53 - 1 is none: it has lost digits already. */
export const isInt64 = (u: unknown): u is Int64 =>
  typeof u === "bigint" ? u >= min && u <= max : Number.isSafeInteger(u)

/**
 * The schema of {@link Int64}. Its JSON form is a number; a bigint that a number cannot hold is refused there rather than
 * rounded, because JSON of such a value must be written with {@link rawJson}.
 */
export const Int64 = Schema.declare<Int64>(isInt64, {
  expected: "a 64-bit integer (a safe integer, or a bigint)",
  toCodecJson: () =>
    Schema.link<Int64>()(Int64FromJson, {
      decode: SchemaGetter.transform((n: number): Int64 => n),
      encode: SchemaGetter.transformEffect((n: Int64, options) =>
        Number.isSafeInteger(Number(n))
          ? Effect.succeed(Number(n))
          : Effect.fail(new SchemaIssue.InvalidValue({ message: "would lose digits as a JSON number" }, n, options))
      )
    }),
  toCodecArbitrary: () =>
    Schema.link<Int64>()(
      Schema.Union([Schema.Int, Schema.BigInt.check(Schema.isBetweenBigInt({ minimum: min, maximum: max }))]),
      {
        decode: SchemaGetter.transform((n: number | bigint): Int64 => n),
        encode: SchemaGetter.transform((n: Int64) => n)
      }
    )
})

/**
 * A `JSON.parse` reviver: integers beyond 2^53 - 1 become bigints with all their digits. It visits every value, so it costs more
 * than the parse itself: not for the hot path.
 */
export const reviver = (_key: string, value: unknown, context?: { readonly source?: string }): unknown =>
  typeof value === "number" &&
  !Number.isSafeInteger(value) &&
  context?.source !== undefined &&
  /^-?\d+$/.test(context.source)
    ? BigInt(context.source)
    : value

// Stage 4 of ECMAScript and in Node since 21, not yet in TypeScript's library.
const { rawJSON } = JSON as typeof JSON & { readonly rawJSON: (text: string) => unknown }

/** A `JSON.stringify` replacer: bigints are written as JSON numbers, digit for digit. */
export const rawJson = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" ? rawJSON(value.toString()) : value
