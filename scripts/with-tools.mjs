// Runs a command with the tools of this repository, on any machine with Node 20 and npm.
//
// Node 26 and pnpm come from the npm registry as devDependencies, so the first thing is to have them installed: with pnpm through npx
// where nothing is installed yet. Nothing is installed again while the lock file and the manifests are what they were at the last
// installation. Then the command runs with `node_modules/.bin` first on the PATH, where `node` is Node 26.
//
// pnpm calls an installation whole when its list of packages is, also where a file of one is missing or cut short. So an installation
// that was interrupted, and one that does not hold what it should, is removed and made anew.
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync
} from "node:fs"
import { constants } from "node:os"
import { delimiter, join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const modules = join(root, "node_modules")
const bin = join(modules, ".bin")
const stamp = join(modules, ".installed")
const unfinished = join(modules, ".installing")
const windows = process.platform === "win32"
const signals = /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])

const packages = readdirSync(join(root, "packages"))
  .map((name) => join(root, "packages", name))
  .filter((folder) => existsSync(join(folder, "package.json")))

/** @param {string} folder */
const manifest = (folder) => JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
const { devDependencies: tools } = manifest(root)

/** @param {string} file */
const text = (file) => (existsSync(file) ? readFileSync(file, "utf8") : undefined)

const wanted = () => {
  const files = [root, ...packages].map((folder) => join(folder, "package.json"))
  const hash = createHash("sha256")
  for (const file of [...files, join(root, "pnpm-lock.yaml"), join(root, "pnpm-workspace.yaml")]) {
    hash.update(text(file) ?? "").update("\0")
  }
  return hash.digest("hex")
}

/** Every dependency of every manifest is in its place. */
const isLinked = () =>
  existsSync(join(bin, windows ? "node.cmd" : "node")) &&
  [root, ...packages].every((folder) => {
    const { dependencies, devDependencies } = manifest(folder)
    return Object.keys({ ...dependencies, ...devDependencies }).every((name) =>
      existsSync(join(folder, "node_modules", name, "package.json"))
    )
  })

const isInstalled = () => {
  if (existsSync(unfinished) || !isLinked()) return false
  if (text(stamp) === wanted()) return true
  // Somebody's own `pnpm install` leaves a copy of the lock file that it went by.
  return text(stamp) === undefined && text(join(modules, ".pnpm", "lock.yaml")) === text(join(root, "pnpm-lock.yaml"))
}

const isWhole = () =>
  isLinked() &&
  spawnSync(join(bin, "node"), ["--version"], { encoding: "utf8", shell: windows }).stdout?.trim() === `v${tools.node}`

/** @param {number} pid */
const isAlive = (pid) => {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM"
  }
}

/** Another process is installing: it keeps touching the file that it made, which has its process id. */
const isInstalling = () => {
  const modified = statSync(unfinished, { throwIfNoEntry: false })?.mtimeMs
  return modified !== undefined && Date.now() - modified < 15_000 && isAlive(Number(text(unfinished)))
}

/** A pnpm that outlived its parent may still be writing for a moment. */
const removeModules = async () => {
  for (const folder of [root, ...packages]) {
    for (let tries = 1; ; tries++) {
      try {
        rmSync(join(folder, "node_modules"), { recursive: true, force: true })
        break
      } catch (error) {
        if (tries === 50) throw error
        await setTimeout(200)
      }
    }
  }
}

/** What is printed goes to standard error: standard output is the command's. Nobody is asked anything. */
const pnpmInstall = async () => {
  mkdirSync(modules, { recursive: true })
  writeFileSync(unfinished, `${process.pid}`)
  const own = join(bin, windows ? "pnpm.cmd" : "pnpm")
  const [command, ...args] = existsSync(own) ? [own] : ["npx", "--yes", `pnpm@${tools.pnpm}`]
  const pnpm = spawn(command, [...args, "install", "--frozen-lockfile"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
    shell: windows,
    env: { ...process.env, CI: "true", NODE_ENV: undefined } // under "production" the tools would be left out
  })
  for (const signal of signals) {
    process.once(signal, () => {
      pnpm.kill(signal)
      process.exit(128 + constants.signals[signal])
    })
  }
  const alive = setInterval(() => utimesSync(unfinished, new Date(), new Date()), 1000)
  const done = await new Promise((resolve) => {
    pnpm.on("error", () => resolve(false))
    pnpm.on("exit", (code) => resolve(code === 0))
  })
  clearInterval(alive)
  for (const signal of signals) process.removeAllListeners(signal)
  return done && isWhole()
}

const install = async () => {
  if (existsSync(unfinished)) {
    console.error("The last installation did not finish; installing anew.")
    await removeModules()
  }
  if (!(await pnpmInstall())) {
    const ping = spawnSync("npm", ["ping", "--fetch-retries=0", "--fetch-timeout=10000"], { shell: windows })
    if (ping.status !== 0) {
      console.error("\nThe tools could not be installed: npm does not reach its registry (`npm ping` says more).")
      process.exit(1)
    }
    console.error("The installation is not whole; installing anew.")
    await removeModules()
    if (!(await pnpmInstall())) {
      console.error("\nThe tools could not be installed; see what is said above.")
      process.exit(1)
    }
  }
  writeFileSync(stamp, wanted())
  rmSync(unfinished, { force: true })
}

const hasTerminal = () => {
  try {
    closeSync(openSync("/dev/tty", "r"))
    return true
  } catch {
    return false
  }
}

if (isInstalling()) console.error("Waiting for another installation in this folder.")
while (isInstalling()) await setTimeout(200)
if (!isInstalled()) await install()

const [name = "node", ...args] = process.argv.slice(2)
const child = spawn(name, args, {
  cwd: root,
  stdio: "inherit",
  shell: windows,
  env: { ...process.env, PATH: [bin, process.env["PATH"]].join(delimiter) }
})
// A terminal sends its signals to the child as well, and npm sends them once more to this process; others send them to this process
// alone. The command counts: a second one ends it at once.
for (const signal of signals) {
  process.on(signal, () => {
    if (signal === "SIGTERM" || !hasTerminal()) child.kill(signal)
  })
}
child.on("error", (error) => {
  console.error(error.message)
  process.exit(127)
})
child.on("exit", (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 1 : constants.signals[signal]))
})
