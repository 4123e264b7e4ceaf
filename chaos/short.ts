/** A short campaign for every day: a handful of fixed scenarios, each with something that the others do not have. */
import type { FaultPlan } from "@tokenbatch/sandbox"
import { draw, type Kill, type Scenario, type Wishes } from "./scenario.ts"

/** Something of everything, none of it long. */
const rules: ReadonlyArray<FaultPlan.Rule> = [
  { fault: "refuse", rate: 0.03 },
  { fault: "resetBeforeBody", rate: 0.01 },
  { fault: "resetBeforeAccept", rate: 0.02 },
  { fault: "resetAfterAccept", rate: 0.06, on: "create" },
  { fault: "halfAnswer", rate: 0.02 },
  { fault: "slowBeforeAccept", rate: 0.02, delay: 200 },
  { fault: "unavailable", rate: 0.01, accept: true },
  { fault: "serverError", rate: 0.02, accept: true },
  { fault: "badGateway", rate: 0.02 },
  { fault: "noRequestId", rate: 0.01, accept: true },
  { fault: "echo", rate: 0.03, accept: true, length: 700 },
  { fault: "statusServerError", rate: 0.02 },
  { fault: "unknownFor", rate: 0.03, delay: 300 },
  { fault: "flap", rate: 0.03, delay: 200 },
  { fault: "failAtToken", rate: 0.1 }
]

const shares = {
  malformed: 0.08,
  blank: 0.03,
  bad: 0.03,
  keyless: 0.05,
  repeated: 0.06,
  refreshRepeated: 0.03,
  before: 0.03
}

const kills = {
  early: { after: 120, signal: "SIGKILL" },
  sending: { event: "BatchIntended", times: 3, after: 0, signal: "SIGKILL" },
  accepted: { event: "BatchAccepted", times: 2, after: 10, signal: "SIGKILL" },
  settling: { event: "ResolutionStarted", after: 100, signal: "SIGKILL" },
  resolving: { event: "RecordsSettled", times: 2, after: 5, signal: "SIGKILL" },
  asked: { event: "BatchSucceeded", times: 2, after: 0, signal: "SIGINT" }
} satisfies Record<string, Kill>

const common: Wishes = {
  lines: 80,
  shares,
  batchSize: 10,
  concurrency: 4,
  faults: { seed: 11, rules },
  onDoubt: "resolve",
  requireAccessToken: false,
  legLimit: 5000,
  pollTimeout: 3000,
  requestTimeout: 2000,
  outages: [],
  rivals: [undefined, { after: 300 }]
}

const habits = { dryRunChecksExisting: true, lostOnRestart: "requeue", workers: 8, setupTime: 10 } as const

const wishes = {
  "a file, prefix, in order": {
    ...common,
    input: "file",
    json: true,
    habits: { ...habits, failureMode: "prefix", order: "inOrder" },
    kills: [kills.early, kills.sending, kills.asked, kills.resolving]
  },
  "gzip, atomic, shuffled": {
    ...common,
    input: "gzip",
    json: false,
    habits: { ...habits, failureMode: "atomic", order: "shuffled" },
    kills: [kills.accepted, kills.settling]
  },
  "standard input, prefix, shuffled, the sandbox killed and forgetful": {
    ...common,
    input: "stdin",
    json: true,
    habits: { ...habits, failureMode: "prefix", order: "shuffled", lostOnRestart: "forget", setupTime: 50 },
    kills: [kills.sending, kills.accepted],
    outages: [{ after: 400, down: 100 }, undefined, { after: 600, down: 100 }]
  },
  "two files, the journal torn": {
    ...common,
    input: "files",
    json: false,
    shares: { ...shares, keyless: 0 },
    habits: { ...habits, failureMode: "prefix", order: "inOrder" },
    kills: [
      { ...kills.accepted, cut: 200 },
      { ...kills.asked, cut: 3000 },
      { ...kills.settling, cut: 7 }
    ]
  }
} satisfies Record<string, Wishes>

/** The scenarios, by their names. */
export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  Object.entries(wishes).map(([name, wishes], i) => [name, draw(i + 1, wishes)])
)
