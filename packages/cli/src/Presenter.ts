/** How a wrong command line is answered: with what is wrong and where to look, on standard error, not with all the help there is. */
import * as CliOutput from "effect/cli/CliOutput"
import * as Effect from "effect/Effect"

export const layer = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => {
          for (const error of event.errors) process.stderr.write(`error: ${error.message}\n`)
          process.stderr.write(`See ${event.commandPath.join(" ")} --help.\n`)
        })
      : CliOutput.defaultPresenter.present(event)
})
