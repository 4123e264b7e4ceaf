/**
 * The report of a run: what became of every line, and the exit code that says it in one number.
 */
import { RunReport } from "./RunEvent.ts"
import { flowAt, type RunState } from "./RunState.ts"

export { RunReport }

/** The report of a state. `now`: milliseconds since the Unix epoch. */
export const fromState = (state: RunState, now: number): RunReport => {
  const flow = flowAt(state, now)
  return {
    runId: state.runId,
    complete: state.complete,
    dryRun: state.dryRun,
    records: state.records,
    batches: state.batches,
    withoutAccessToken: state.withoutAccessToken,
    possiblyTwice: state.possiblyTwice,
    legs: state.legs,
    ...(state.resolution === undefined ? undefined : { resolution: state.resolution }),
    polls: state.polls,
    ...(flow === undefined ? undefined : { flow }),
    mostInFlight: state.mostAtService,
    elapsedMs: now - state.startedAt,
    ...(state.legs > 1
      ? {
          lastLeg: {
            created: state.records.created - state.leg.createdBefore,
            elapsedMs: now - state.leg.startedAt
          }
        }
      : undefined),
    ...(state.stopped === undefined ? undefined : { stopped: state.stopped })
  }
}

/**
 * The exit code of a run, the first that fits: 4 the credentials were refused; 2 the address was wrong and nothing was submitted; 3
 * something is unresolved or not submitted, the input was not read to its end, or what happened could not be written down; 1 some records are failed or rejected; 0 all are
 * created or existing.
 */
export const exitCode = ({ batches, complete, records, stopped }: RunReport): 0 | 1 | 2 | 3 | 4 => {
  if (stopped?.reason === "CredentialsRefused") return 4
  if (stopped?.reason === "WrongAddress" && batches.submitted === 0) return 2
  const { created, existing, failed, notSubmitted, read, rejected, unresolved } = records
  // Lines of which nothing is said would be a fault of ours: they must not pass for known.
  if (created + existing + failed + rejected + unresolved + notSubmitted !== read) return 3
  if (unresolved > 0 || notSubmitted > 0 || !complete || stopped?.reason === "JournalFailed") return 3
  if (failed > 0 || rejected > 0) return 1
  return 0
}
