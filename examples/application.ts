/**
 * An application that moves its own sessions, and writes back what became of each: rows go in, rows come out.
 */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { TokenOperations } from "@tokenbatch/core"
import { Sandbox } from "@tokenbatch/sandbox"
import { Outcome } from "@tokenbatch/stream"
import { Console, Effect, Layer, Redacted, Stream } from "effect"

interface Session {
  readonly id: number
  readonly user: string
  readonly token: Redacted.Redacted
}

// A cursor over a table, say.
const sessions: Stream.Stream<Session> = Stream.range(1, 2500).pipe(
  Stream.map((id) => ({ id, user: id === 7 ? "" : `user-${id}`, token: Redacted.make(`old-value-${id}`) }))
)

const markMigrated = (ids: ReadonlyArray<number>) => Console.log(`migrated ${ids.length} sessions`)

const program = sessions.pipe(
  Outcome.create((session) => ({
    grantType: "AUTHORIZATION_CODE",
    clientId: 26837717140341n,
    subject: session.user,
    accessToken: session.token
  })),
  Stream.runForEach(({ end, message, values }) =>
    end === "created"
      ? markMigrated(values.map(({ id }) => id))
      : Console.log(`${end}: sessions ${values.map(({ id }) => id).join(", ")}: ${message}`)
  )
)

const Service = TokenOperations.TokenOperations.layer.pipe(
  Layer.provide(Sandbox.Sandbox.layerClient),
  Layer.provide(Sandbox.Sandbox.layer()),
  Layer.provide(NodeHttpClient.layerUndici)
)

program.pipe(Effect.provide(Service), NodeRuntime.runMain)
