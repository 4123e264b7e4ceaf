/**
 * An Authlete stand-in on a loopback socket, with a ledger of what it created, and sample requests to feed it.
 */
export * as FaultPlan from "./FaultPlan.ts"
export * as Ledger from "./Ledger.ts"
export * as Limits from "./Limits.ts"
export * as Notifications from "./Notifications.ts"
export * as SampleRequests from "./SampleRequests.ts"
export * as Sandbox from "./Sandbox.ts"
export * as SandboxOptions from "./SandboxOptions.ts"
export * as SandboxThread from "./SandboxThread.ts"
export * as StateFile from "./StateFile.ts"
