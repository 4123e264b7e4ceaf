// Runs a command with the tools of this repository, on any machine with Node 20 and npm.
//
// Node 26 and pnpm come from the npm registry as devDependencies, so the first thing is to have them installed: with pnpm through npx
// where nothing is installed yet. Nothing is installed again while the lock file and the manifests are what they were at the last
// installation. Then the command runs with `node_modules/.bin` first on the PATH, where `node` is Node 26.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const modules = join(root, "node_modules")
const bin = join(modules, ".bin")
const stamp = join(modules, ".installed")
const windows = process.platform === "win32"

const manifests = ["package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml"].concat(
  readdirSync(join(root, "packages")).map((name) => join("packages", name, "package.json"))
)

const wanted = () => {
  const hash = createHash("sha256")
  for (const file of manifests) if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)))
  return hash.digest("hex")
}

const text = (file) => (existsSync(file) ? readFileSync(file, "utf8") : undefined)

const toolsAreThere = () =>
  ["node", "pnpm", "vitest", "tsc"].every((tool) => existsSync(join(bin, windows ? `${tool}.cmd` : tool)))

const isInstalled = () => {
  if (!toolsAreThere()) return false
  if (text(stamp) === wanted()) return true
  // Somebody's own `pnpm install` leaves a copy of the lock file that it went by.
  return text(join(modules, ".pnpm", "lock.yaml")) === text(join(root, "pnpm-lock.yaml")) && text(stamp) === undefined
}

const install = () => {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const own = join(bin, windows ? "pnpm.cmd" : "pnpm")
  const command = toolsAreThere() ? [own] : ["npx", "--yes", `pnpm@${devDependencies.pnpm}`]
  const result = spawnSync(command[0], [...command.slice(1), "install", "--frozen-lockfile"], {
    cwd: root,
    stdio: "inherit",
    shell: windows,
    env: { ...process.env, CI: "true" }
  })
  if (result.error !== undefined || result.status !== 0) {
    console.error("\nThe tools could not be installed. This needs npm and its registry; see what it says above.")
    process.exit(result.status || 1)
  }
  writeFileSync(stamp, wanted())
}

if (!isInstalled()) install()

const [name, ...args] = process.argv.slice(2)
const child = spawn(name, args, {
  cwd: root,
  stdio: "inherit",
  shell: windows,
  env: { ...process.env, PATH: [bin, process.env.PATH].join(delimiter) }
})
// A terminal sends its signals to the child as well; others send them to this process alone.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
  })
}
child.on("error", (error) => {
  console.error(error.message)
  process.exit(1)
})
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 1
  if (signal !== null) process.kill(process.pid, signal)
})
