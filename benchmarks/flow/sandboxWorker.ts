/** The entry of the thread that the sandbox runs on. */
import { SandboxThread } from "@tokenbatch/sandbox"
import * as Effect from "effect/Effect"

Effect.runFork(SandboxThread.main)
