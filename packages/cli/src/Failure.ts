/** What a user can mend: said in words, without a stack trace, with the exit code 2. */
import * as Schema from "effect/Schema"

/** A command cannot do what was asked. Nothing was submitted by it. */
export class Failure extends Schema.TaggedError<Failure>()("Failure", {
  /** Place and cause. */
  problem: Schema.String,
  /** The way out. */
  remedy: Schema.String,
  /** The exit code, where it is not the one for bad usage. */
  code: Schema.optionalKey(Schema.Int)
}) {
  override get message() {
    return `${this.problem}\n${this.remedy}`
  }
}
