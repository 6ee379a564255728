// source.ts — YAML text → plain values that keep their places. The only file that knows the YAML library.
//
// YAML 1.2 core schema, no tags, no merge keys, no directives. Hostile input is bounded before it costs anything
// (threat T18): 1 MiB a file, 64 levels, 50 aliases and 100,000 values after expansion, no key that means something to
// JavaScript. Every problem is collected; a document with one still yields what could be read of it.

import {
  type Alias,
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  type YAMLMap,
} from 'yaml'
import { CONFIG_CODES, type ConfigCode, type ConfigProblem, excerptOf, type Place } from './problem.ts'

export const FILE_BYTES_MAX = 1024 * 1024
export const DEPTH_MAX = 64
export const ALIASES_MAX = 50
export const VALUES_MAX = 100_000
/** Syntax problems shown for one file: behind the first few, the rest is echo. */
const SYNTAX_PROBLEMS_MAX = 20
const FORBIDDEN = new Set(['__proto__', 'constructor', 'prototype'])

export interface ConfigFile {
  /** As the user named it; appears in every problem. */
  readonly name: string
  readonly text: string
}

export type Path = readonly PropertyKey[]
/** `key`: the field's name; `value`: what stands there. What does not exist falls back to what holds it. */
export type Aim = 'key' | 'value'

/** All documents of a file that hold something, and everything wrong with the YAML itself. */
export function readDocuments(file: ConfigFile): { documents: SourceDocument[]; problems: ConfigProblem[] } {
  const text = new SourceText(file)
  const bytes = Buffer.byteLength(file.text)
  if (bytes > FILE_BYTES_MAX) {
    return { documents: [], problems: [text.problem(0, 1, 'FILE_TOO_LARGE', `the file has ${bytes} bytes`)] }
  }
  const composed = text.compose()
  if (!Array.isArray(composed)) return { documents: [], problems: [composed] }
  const documents: SourceDocument[] = []
  const problems: ConfigProblem[] = []
  for (const document of composed) {
    const reader = new Reader(text, document)
    problems.push(...syntaxProblems(text, document))
    const value = reader.read()
    problems.push(...reader.problems)
    if (value !== null && value !== undefined) documents.push(new SourceDocument(text, document, value))
  }
  return { documents, problems }
}

// ── text and places ─────────────────────────────────────────────────────────────────────────────────────────────────

class SourceText {
  readonly file: string
  private readonly text: string
  private readonly lines = new LineCounter()

  constructor(file: ConfigFile) {
    this.file = file.name
    this.text = file.text
    this.lines.addNewLine(0)
  }

  /** The parser keeps a stack and never recurses, the composer recurses: so depth is watched between the two. */
  compose(): Document[] | ConfigProblem {
    const parser = new Parser(this.lines.addNewLine)
    const tokens = []
    for (const lexeme of new Lexer().lex(this.text)) {
      tokens.push(...parser.next(lexeme))
      if (levelsOf(parser) > DEPTH_MAX) {
        return this.problem(parser.offset, 1, 'YAML_TOO_DEEP', `nested deeper than ${DEPTH_MAX} levels`)
      }
    }
    tokens.push(...parser.end())
    const options = { schema: 'core', merge: false, uniqueKeys: true, strict: true, resolveKnownTags: false } as const
    return [...new Composer(options).compose(tokens, true, this.text.length)] as unknown as Document[]
  }

  wordAt(offset: number): string {
    return /^[^\s:,\]}]{1,80}/.exec(this.text.slice(offset, offset + 80))?.[0] ?? 'key'
  }

  place(offset: number): Place {
    const { line, col } = this.lines.linePos(Math.min(offset, this.text.length))
    return { file: this.file, line: Math.max(1, line), column: Math.max(1, col) }
  }

  problem(offset: number, length: number, code: ConfigCode, message: string, hint?: string): ConfigProblem {
    const place = this.place(offset)
    const start = this.lines.lineStarts[place.line - 1] ?? 0
    const end = this.text.indexOf('\n', start)
    const line = this.text.slice(start, end < 0 ? undefined : end).replace(/\r$/, '')
    return {
      severity: 'error',
      code,
      ...place,
      message,
      hint: hint ?? CONFIG_CODES[code],
      ...excerptOf(line, place.column, length),
    }
  }
}

/** Collections open at this point: the stack holds the document, them, and perhaps a scalar. */
function levelsOf({ stack }: Parser): number {
  const top = stack[stack.length - 1]?.type
  const inCollection = top === 'block-map' || top === 'block-seq' || top === 'flow-collection'
  return inCollection ? stack.length - 1 : stack.length - 2
}

function syntaxProblems(text: SourceText, document: Document): ConfigProblem[] {
  const problems = document.errors
    .slice(0, SYNTAX_PROBLEMS_MAX)
    .map(({ code, pos, message }) =>
      code === 'DUPLICATE_KEY'
        ? text.problem(
            pos[0],
            text.wordAt(pos[0]).length,
            'DUPLICATE_KEY',
            `a second "${text.wordAt(pos[0])}" in this mapping`,
          )
        : text.problem(pos[0], pos[1] - pos[0], 'YAML_SYNTAX', lowerFirst(message)),
    )
  for (const { code, pos, message } of document.warnings.slice(0, SYNTAX_PROBLEMS_MAX)) {
    const ours: ConfigCode = code === 'TAG_RESOLVE_FAILED' ? 'YAML_TAG' : 'YAML_SYNTAX'
    problems.push(text.problem(pos[0], pos[1] - pos[0], ours, lowerFirst(message)))
  }
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== '1.2') {
    problems.push(text.problem(0, 5, 'YAML_DIRECTIVE', `%YAML ${document.directives.yaml.version}`))
  }
  return problems
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)

/** One YAML document with a value. */
export class SourceDocument {
  readonly file: string
  /** Objects, arrays, strings, numbers, booleans, null. */
  readonly value: unknown
  private readonly text: SourceText
  private readonly document: Document

  constructor(text: SourceText, document: Document, value: unknown) {
    this.file = text.file
    this.text = text
    this.document = document
    this.value = value
  }

  place(path: Path, aim: Aim = 'value'): Place {
    return this.text.place(this.span(path, aim)[0])
  }

  problem(path: Path, aim: Aim, code: ConfigCode, message: string, hint?: string): ConfigProblem {
    const [start, end] = this.span(path, aim)
    return this.text.problem(start, end - start, code, message, hint)
  }

  private span(path: Path, aim: Aim): [number, number] {
    let node: unknown = this.document.contents
    let span = spanOf(node)
    for (const [index, part] of path.entries()) {
      node = isAlias(node) ? node.resolve(this.document) : node
      const found = entryOf(node, part)
      if (!found) return span
      const keyWanted = aim === 'key' && index === path.length - 1
      const empty = found.value === null || (isScalar(found.value) && found.value.value === null)
      span = (keyWanted || empty) && found.key ? spanOf(found.key) : spanOf(found.value)
      // What a missing child is blamed on: the name of the map that lacks it.
      if (index < path.length - 1 && found.key && !entryOf(resolved(found.value, this.document), path[index + 1]!)) {
        return spanOf(found.key)
      }
      node = found.value
    }
    return span
  }
}

const resolved = (node: unknown, document: Document): unknown => (isAlias(node) ? node.resolve(document) : node)

function entryOf(node: unknown, part: PropertyKey): { key?: unknown; value: unknown } | undefined {
  if (isSeq(node) && typeof part === 'number') {
    return part < node.items.length ? { value: node.items[part] } : undefined
  }
  if (!isMap(node)) return undefined
  const pair = node.items.find((item) => isScalar(item.key) && item.key.value === part)
  return pair && { key: pair.key, value: pair.value }
}

function spanOf(node: unknown): [number, number] {
  const range = (node as Node | null)?.range
  return range ? [range[0], range[1]] : [0, 1]
}

// ── nodes → values ──────────────────────────────────────────────────────────────────────────────────────────────────

/** Ends the reading of a document whose aliases multiply. */
class TooMuch extends Error {}

class Reader {
  readonly problems: ConfigProblem[] = []
  private readonly text: SourceText
  private readonly document: Document
  private aliases = 0
  private values = 0

  constructor(text: SourceText, document: Document) {
    this.text = text
    this.document = document
  }

  read(): unknown {
    try {
      return this.valueOf(this.document.contents, 0)
    } catch (error) {
      if (error instanceof TooMuch) return undefined
      throw error
    }
  }

  private valueOf(node: unknown, depth: number): unknown {
    if (++this.values > VALUES_MAX) this.stop(node, `more than ${VALUES_MAX} values`)
    if (isAlias(node)) return this.aliasOf(node, depth)
    if (depth > DEPTH_MAX) this.stop(node, `aliases nest deeper than ${DEPTH_MAX} levels`)
    if (isMap(node)) return this.objectOf(node, depth)
    if (isSeq(node)) return node.items.map((item) => this.valueOf(item, depth + 1))
    return isScalar(node) ? node.value : null
  }

  private aliasOf(node: Alias, depth: number): unknown {
    if (++this.aliases > ALIASES_MAX) this.stop(node, `more than ${ALIASES_MAX} aliases are expanded`)
    const target = node.resolve(this.document)
    if (target) return this.valueOf(target, depth + 1)
    this.report(node, 'UNKNOWN_ALIAS', `no anchor &${node.source} before this alias`)
    return null
  }

  private objectOf(node: YAMLMap, depth: number): Record<string, unknown> {
    const object: Record<string, unknown> = {}
    for (const pair of node.items) {
      const key = this.keyOf(pair)
      // The second of two equal keys has been reported already; the first one stands.
      if (key !== undefined && !Object.hasOwn(object, key)) object[key] = this.valueOf(pair.value, depth + 1)
    }
    return object
  }

  private keyOf(pair: Pair): string | undefined {
    const { key } = pair
    if (!isScalar(key) || typeof key.value !== 'string') {
      this.report(key, 'BAD_KEY', 'this key is not plain text')
      return undefined
    }
    if (!FORBIDDEN.has(key.value)) return key.value
    this.report(key, 'FORBIDDEN_KEY', `"${key.value}" cannot be a key`)
    return undefined
  }

  private report(node: unknown, code: ConfigCode, message: string): void {
    const [start, end] = spanOf(node)
    this.problems.push(this.text.problem(start, end - start, code, message))
  }

  private stop(node: unknown, message: string): never {
    this.report(node, 'ALIAS_BOMB', message)
    throw new TooMuch()
  }
}
