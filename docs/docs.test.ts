/** Every command and code block of the papers is run or type-checked. */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { spawn, spawnSync, type ChildProcess } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const program = join(root, "packages/cli/src/launch.ts")
const papers = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(root, "packages")).map((name) => join("packages", name, "README.md")),
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join("docs", name))
]

const blocks = papers.flatMap((paper) =>
  [...readFileSync(join(root, paper), "utf8").matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, language, text]) => ({
    paper,
    language,
    text: text!
  }))
)
const { scripts }: { readonly scripts: Record<string, string> } = JSON.parse(
  readFileSync(join(root, "package.json"), "utf8")
)

/** Commands that came with a paper's block, in order. */
const commands = blocks
  .filter(({ language }) => language === "sh")
  .flatMap(({ paper, text }) =>
    text
      .trim()
      .split("\n")
      .map((command) => ({ paper, command }))
  )

describe("papers", () => {
  const folder = mkdtempSync(join(tmpdir(), "tokenbatch-docs-"))
  let sandbox: ChildProcess
  let env: Record<string, string> = {}
  const windows = process.platform === "win32"

  beforeAll(async () => {
    sandbox = spawn(process.execPath, [program, "sandbox"])
    const text = await new Promise<string>((resolve) => sandbox.stdout?.once("data", (chunk) => resolve(String(chunk))))
    env = {
      ...Object.fromEntries([...text.matchAll(/^export (\w+)=(.*)$/gm)].map(([, name, value]) => [name!, value!])),
      XDG_STATE_HOME: folder
    }
  })
  afterAll(() => {
    sandbox.kill()
    rmSync(folder, { recursive: true, force: true })
  })

  it.each(commands.filter(({ command }) => command.startsWith("npm ")))("$paper: $command is there", ({ command }) => {
    const [, first, second] = command.split(" ")
    assert.property(scripts, first === "run" ? second! : first!)
  })

  const calls = commands.flatMap(({ command, paper }) => {
    const call = /^(?:npx )?tokenbatch (.*)$/.exec(command)
    return call === null ? [] : [{ paper, command, args: call[1]!.split(" ") }]
  })
  it.each(calls)("$paper: $command", ({ args }) => {
    const { status, stderr } = spawnSync(process.execPath, [program, ...args], {
      cwd: folder,
      env: { ...process.env, ...env },
      encoding: "utf8"
    })
    // The sample has some bad lines on purpose.
    assert.include([0, 1], status, stderr)
  })

  it("calls the command line as it is called in a checkout", () => {
    const [npx, ...args] = "npx tokenbatch --version".split(" ")
    const { status, stderr, stdout } = spawnSync(npx!, args, { cwd: root, encoding: "utf8", shell: windows })
    assert.strictEqual(status, 0, stderr)
    assert.match(stdout, /\d+\.\d+\.\d+/)
    const readme = calls.filter(({ paper }) => paper === "README.md")
    assert.isTrue(readme.length > 0 && readme.every(({ command }) => command.startsWith("npx ")))
  })

  it("has no other commands", () => {
    assert.deepStrictEqual(
      commands.filter(({ command }) => !/^(npm|(npx )?tokenbatch) /.test(command)),
      []
    )
  })

  const json = blocks.filter(({ language }) => language === "json")
  it.each(json)("$paper: a record that is one", ({ text }) => {
    const { status, stderr } = spawnSync(process.execPath, [program, "validate"], { input: text, encoding: "utf8" })
    assert.strictEqual(status, 0, stderr)
  })

  it("has examples of code that type-check, in papers and in doc comments", () => {
    const sources = ["core", "stream", "sandbox"].flatMap((name) => {
      const src = join(root, "packages", name, "src")
      return readdirSync(src).map((file) => join(src, file))
    })
    const examples = sources.flatMap((source) =>
      [...readFileSync(source, "utf8").matchAll(/^ \* ```ts\n([\s\S]*?)^ \* ```$/gm)].map(([, text]) =>
        text!.replaceAll(/^ \* ?/gm, "")
      )
    )
    const all = [...blocks.filter(({ language }) => language === "ts").map(({ text }) => text), ...examples]
    assert.isTrue(all.length >= 4)
    // Inside the checkout, so that packages are found as an example finds them.
    const place = join(root, "node_modules", ".cache", "blocks")
    rmSync(place, { recursive: true, force: true })
    mkdirSync(place, { recursive: true })
    for (const [i, text] of all.entries()) writeFileSync(join(place, `block-${i}.ts`), `${text}\nexport {}\n`)
    writeFileSync(
      join(place, "tsconfig.json"),
      JSON.stringify({
        extends: "../../../tsconfig.base.json",
        compilerOptions: {
          noEmit: true,
          composite: false,
          incremental: false,
          declaration: false,
          declarationMap: false,
          sourceMap: false,
          noUnusedLocals: false,
          allowImportingTsExtensions: true,
          rewriteRelativeImportExtensions: false,
          typeRoots: ["../../@types"]
        },
        include: ["*.ts"]
      })
    )
    const { status, stdout } = spawnSync(join(root, "node_modules/.bin/tsc"), ["--project", place], {
      encoding: "utf8",
      shell: windows
    })
    assert.strictEqual(status, 0, stdout)
  })

  it("links to what is there", () => {
    const broken = papers.flatMap((paper) =>
      [...readFileSync(join(root, paper), "utf8").matchAll(/\]\((?!https?:)([^)#]+)/g)]
        .map(([, to]) => join(dirname(paper), to!))
        .filter((to) => !existsSync(join(root, to)))
    )
    assert.deepStrictEqual(broken, [])
  })

  const examples = commands.filter(({ command }) => command.startsWith("npm run example:"))
  it("says how each example is run", () =>
    assert.deepStrictEqual(
      examples.map(({ command }) => scripts[command.split(" ")[2]!]!.split("/").at(-1)).toSorted(),
      readdirSync(join(root, "examples")).toSorted()
    ))

  const said: Record<string, string> = {
    "npm run example:file": "created: 9997",
    "npm run example:application": "rejected: sessions 7: subject is required"
  }
  it.each(examples)("$paper: $command runs", ({ command }) => {
    const [npm, ...args] = command.split(" ")
    const { status, stderr, stdout } = spawnSync(npm!, args, { cwd: root, encoding: "utf8", shell: windows })
    assert.strictEqual(status, 0, stderr)
    assert.include(stdout, said[command]!)
  })
})
