/**
 * What the service really has: read from what the sandbox wrote down, its ledger and its state, which must say the same.
 */
import { StateFile } from "@tokenbatch/sandbox"
import * as Schema from "effect/Schema"
import { hash } from "node:crypto"

export const hashOf = (value: string): string => hash("sha256", value, "base64url")

/** One token. */
export interface Token {
  readonly tokenHash: string
  readonly requestId: string
  readonly refreshHash: string | undefined
  /** The mark of the line that it was made for. */
  readonly mark: string | undefined
}

export interface Ledger {
  readonly tokens: ReadonlyArray<Token>
  /** Batches that were accepted and have no end yet. */
  readonly open: number
  /** How many batches went wrong by themselves, by what the sandbox did to them. */
  readonly batchFaults: Readonly<Record<string, number>>
  /** What the two files do not agree in. */
  readonly disagreements: ReadonlyArray<string>
}

const decode = Schema.decodeUnknownSync(
  Schema.fromJsonString(
    Schema.Union([StateFile.Accepted, StateFile.Ended, Schema.TaggedStruct("Forgotten", { requestId: Schema.String })])
  )
)

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "")

export const read = (state: string, ledger: string): Ledger => {
  const accepted = new Map<string, StateFile.Accepted>()
  const open = new Set<string>()
  const tokens: Array<Token> = []
  const batchFaults: Record<string, number> = {}
  const count = (fault: string) => void (batchFaults[fault] = (batchFaults[fault] ?? 0) + 1)
  for (const text of linesOf(state)) {
    const line = decode(text)
    const { requestId } = line
    if (line._tag === "Accepted") {
      accepted.set(requestId, line)
      open.add(requestId)
      if (line.faults.view !== undefined) count(line.faults.view.fault)
      if (line.faults.failsAt !== undefined) count("failAtToken")
      continue
    }
    open.delete(requestId)
    if (line._tag === "Forgotten") count("forgotten")
    if (line._tag !== "Ended") continue
    for (const place of line.created) {
      const { access, refresh, scopes } = accepted.get(requestId)!.records[place]!
      tokens.push({ tokenHash: access, requestId, refreshHash: refresh, mark: scopes?.[0] })
    }
  }
  const entered = linesOf(ledger).map(
    (text) => JSON.parse(text) as { readonly tokenHash: string; readonly requestId: string }
  )
  const told = (list: ReadonlyArray<{ readonly tokenHash: string; readonly requestId: string }>) =>
    new Set(list.map(({ requestId, tokenHash }) => `${tokenHash} ${requestId}`))
  const [inState, inLedger] = [told(tokens), told(entered)]
  const same = entered.length === tokens.length && inState.symmetricDifference(inLedger).size === 0
  const disagreements = same
    ? []
    : [`the ledger has ${entered.length} tokens, the state ${tokens.length}, and they are not the same`]
  return { tokens, open: open.size, batchFaults, disagreements }
}
