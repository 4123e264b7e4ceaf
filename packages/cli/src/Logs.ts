/** What is logged, said as the program says things: in words, on standard error, without times and fibers. */
import * as Logger from "effect/Logger"
import type * as Layer from "effect/Layer"
import * as Format from "./Format.ts"

/** Hands each thing logged to `say`, as a line. */
export const layer = (say: (line: string) => void): Layer.Layer<never> =>
  Logger.layer([
    Logger.make(({ logLevel, message }) => {
      const text = Format.quote((Array.isArray(message) ? message : [message]).map(String).join(" "))
      say(
        `${logLevel === "Warn" ? "warning" : logLevel === "Error" || logLevel === "Fatal" ? "error" : "note"}: ${text}`
      )
    })
  ])
