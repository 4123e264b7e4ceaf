/**
 * Finds the place in a line of JSON: where it is malformed, or where the value of a field stands.
 *
 * `JSON.parse` quotes the line in its messages, which may hold secrets, and does not always say where. This scanner makes no values
 * and quotes nothing. It is run on rejected lines only, to give a person a column.
 */

/** What is wrong with a text, in our own words, and where: a column in characters, from 1. */
export interface Malformed {
  readonly column: number
  readonly reason: string
}

const maxDepth = 256

class Scanner {
  readonly text: string
  readonly path: ReadonlyArray<PropertyKey> | undefined
  position = 0
  found: number | undefined

  constructor(text: string, path: ReadonlyArray<PropertyKey> | undefined) {
    this.text = text
    this.path = path
  }

  fail(reason: string): never {
    throw { column: this.position + 1, reason } satisfies Malformed
  }

  space(): void {
    let c = this.text.charCodeAt(this.position)
    while (c === 0x20 || c === 0x09 || c === 0x0d || c === 0x0a) c = this.text.charCodeAt(++this.position)
  }

  /** Reads one value. `depth` is how much of the path leads here, or -1 off the path. */
  value(depth: number, nesting: number): void {
    this.space()
    if (depth !== -1 && depth === this.path?.length) this.found = this.position
    if (nesting > maxDepth) this.fail("is nested too deeply")
    const c = this.text[this.position]
    if (c === undefined) this.fail("the line ends where a value is expected")
    if (c === "{") return this.object(depth, nesting)
    if (c === "[") return this.array(depth, nesting)
    if (c === '"') return void this.string("a string")
    const end = endOf(scalar, this.text, this.position)
    if (end === this.position) {
      this.fail(c === "'" ? "strings are written in double quotes" : "expected a value")
    }
    this.position = end
    const after = this.text[this.position]
    if (after !== undefined && !" \t\r\n,]}".includes(after)) {
      this.fail(
        /[\d.]/.test(after) ? "a number is not written as JSON wants it" : "expected a comma or the end of the value"
      )
    }
  }

  object(depth: number, nesting: number): void {
    this.position++
    for (let first = true; ; first = false) {
      this.space()
      const c = this.text[this.position]
      if (c === "}" && first) break
      if (c === undefined) this.fail("the line ends inside an object")
      if (c !== '"') {
        this.fail(c === "}" ? "a comma stands before the closing brace" : "expected a field name in double quotes")
      }
      const name = this.string("a field name")
      this.space()
      if (this.text[this.position] !== ":") this.fail("expected a colon after the field name")
      this.position++
      this.value(this.onPath(depth, name), nesting + 1)
      this.space()
      const end = this.text[this.position]
      if (end === "}") break
      if (end === undefined) this.fail("the line ends inside an object")
      if (end !== ",") this.fail("expected a comma or a closing brace")
      this.position++
    }
    this.position++
  }

  array(depth: number, nesting: number): void {
    this.position++
    for (let index = 0; ; index++) {
      this.space()
      const c = this.text[this.position]
      if (c === "]" && index === 0) break
      if (c === undefined) this.fail("the line ends inside an array")
      if (c === "]") this.fail("a comma stands before the closing bracket")
      this.value(this.onPath(depth, index), nesting + 1)
      this.space()
      const end = this.text[this.position]
      if (end === "]") break
      if (end === undefined) this.fail("the line ends inside an array")
      if (end !== ",") this.fail("expected a comma or a closing bracket")
      this.position++
    }
    this.position++
  }

  onPath(depth: number, key: PropertyKey): number {
    return depth !== -1 && this.path?.[depth] === key ? depth + 1 : -1
  }

  string(what: string): string {
    const start = this.position + 1
    let escaped = false
    this.position = endOf(plain, this.text, start)
    for (let c = this.text[this.position]; c !== '"'; c = this.text[this.position]) {
      if (c === undefined) this.fail(`the line ends inside ${what}`)
      if (c !== "\\") this.fail("a control character stands unescaped in a string")
      const end = endOf(escape, this.text, this.position)
      if (end === this.position) this.fail("a backslash stands before something that is no escape")
      escaped = true
      this.position = endOf(plain, this.text, end)
    }
    const end = this.position++
    if (this.path === undefined) return ""
    return escaped ? JSON.parse(this.text.slice(start - 1, end + 1)) : this.text.slice(start, end)
  }
}

const scalar = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// oxlint-disable-next-line no-control-regex -- they are what JSON does not allow here
const plain = /[^"\\\u0000-\u001f]*/y
const escape = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y

/** Where what a sticky expression matches at a place ends: that place, if it matches nothing. */
const endOf = (expression: RegExp, text: string, at: number): number => {
  expression.lastIndex = at
  return expression.test(text) ? expression.lastIndex : at
}

const run = (scanner: Scanner): Malformed | undefined => {
  try {
    scanner.value(0, 0)
    scanner.space()
    if (scanner.position < scanner.text.length) {
      scanner.fail(
        /[{[]/.test(scanner.text.charAt(scanner.position))
          ? "a second value stands on the line: one record a line"
          : "something follows the end of the record"
      )
    }
    return undefined
  } catch (malformed) {
    if (typeof malformed === "object" && malformed !== null && "column" in malformed) return malformed as Malformed
    throw malformed
  }
}

/** What is wrong with a text that `JSON.parse` refused. */
export const findMalformed = (text: string): Malformed =>
  run(new Scanner(text, undefined)) ?? { column: 1, reason: "is not JSON" }

/**
 * The column, from 1, of the value at a path in well-formed JSON; where there is none, of the innermost value on the way. What the path
 * begins with, if anything, is a field of the outermost object.
 */
export const findColumn = (text: string, path: ReadonlyArray<PropertyKey>): number => {
  if (path.length === 0) return text.search(/[^ \t\r]/) + 1
  const unique = path.length === 1 ? findUnique(text, String(path[0])) : undefined
  if (unique !== undefined) return unique
  for (let length = path.length; length >= 0; length--) {
    const scanner = new Scanner(text, path.slice(0, length))
    run(scanner)
    if (scanner.found !== undefined) return scanner.found + 1
  }
  return 1
}

/**
 * The column of a field of the outermost object, known to be there, where its name stands in the text once only: then it needs no scanner.
 * In a text without escapes a name in quotes is a name or a whole string, and a colon after it tells.
 */
const findUnique = (text: string, name: string): number | undefined => {
  const quoted = `"${name}"`
  const at = text.indexOf(quoted)
  if (at === -1 || text.includes(quoted, at + 1) || text.includes("\\")) return undefined
  const value = endOf(colon, text, at + quoted.length)
  return value === at + quoted.length ? undefined : value + 1
}

const colon = /[ \t\r]*:[ \t\r]*/y
