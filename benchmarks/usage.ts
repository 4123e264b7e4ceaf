/** Loaded into every measured process: writes what it has used, when it ends, to the file that BENCH_USAGE names. */
import { writeFileSync } from "node:fs"

process.on("exit", () => {
  const { maxRSS, systemCPUTime, userCPUTime } = process.resourceUsage()
  const file = process.env["BENCH_USAGE"]
  if (file !== undefined) {
    writeFileSync(file, JSON.stringify({ cpu: (userCPUTime + systemCPUTime) / 1e6, rss: maxRSS / 1024 }))
  }
})
