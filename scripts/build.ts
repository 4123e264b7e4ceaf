/**
 * Builds what is published: `dist` with declarations for the libraries, and the program as one file for the command line, with its
 * sandbox thread beside it. Libraries are not bundled.
 */
import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { rolldown } from "rolldown"

const packages = ["core", "stream", "sandbox"]

const run = (command: string, ...args: ReadonlyArray<string>) => {
  const { status } = spawnSync(command, args, { stdio: "inherit", shell: process.platform === "win32" })
  if (status !== 0) process.exit(status ?? 1)
}

for (const name of [...packages, "cli"]) rmSync(`packages/${name}/dist`, { recursive: true, force: true })
run("tsc", "--build", "--force", ...packages.map((name) => `packages/${name}`))

// As it starts in a checkout, with Node's flags for the whole process (docs/performance.md has the figures): a young generation that is
// small, and an old one that is collected before it has grown, so that what a run holds is what its batches need.
const banner = readFileSync("packages/cli/bin/tokenbatch.mjs", "utf8").split("\n", 1)[0]!

/** The package that a bundled module came out of, by its folder. */
const bundled = new Set<string>()

for (const [input, output] of [
  ["launch", "tokenbatch"],
  ["sandboxWorker", "sandboxWorker"]
]) {
  const bundle = await rolldown({ input: `packages/cli/src/${input}.ts`, platform: "node", logLevel: "warn" })
  const { output: chunks } = await bundle.write({
    dir: "packages/cli/dist",
    format: "esm",
    entryFileNames: `${output}.mjs`,
    chunkFileNames: `${output}-[name].mjs`,
    minify: { mangle: false, compress: true, codegen: { removeWhitespace: true } },
    banner: (chunk) => (chunk.isEntry && output === "tokenbatch" ? banner : "")
  })
  for (const id of chunks.flatMap((chunk) => (chunk.type === "chunk" ? chunk.moduleIds : []))) {
    const folder = /^.*\/node_modules\/(@[^/]+\/)?[^/]+/.exec(id.replaceAll("\\", "/"))?.[0]
    if (folder !== undefined) bundled.add(folder)
  }
  await bundle.close()
}
chmodSync("packages/cli/dist/tokenbatch.mjs", 0o755)

// Their licences ask to be handed on with what is made of them.
const notices = [...bundled].map((folder) => {
  const { license, name, version } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"))
  const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"]
    .map((base) => `${folder}/${base}`)
    .find((path) => existsSync(path))
  if (file === undefined) throw new Error(`${name} has no licence file`)
  return `${name} ${version} (${license})\n\n${readFileSync(file, "utf8").trim()}\n`
})
writeFileSync("packages/cli/dist/THIRD-PARTY-LICENSES.txt", notices.toSorted().join(`\n${"-".repeat(80)}\n\n`))
