// shape.ts — one document against the schema of its kind: every problem at its place, in words about YAML.
//
// Where single fields are wrong, the rest of the document is still handed on (`usable`, with stand-ins at `patched`
// paths), so that a misspelt field does not hide an unknown backend three lines further down. A document with a problem
// never becomes config: `usable` is then for looking for more problems only.

import { z } from '../kernel/parse.ts'
import { FORMAT_CODES } from './kinds/common.ts'
import type { ConfigCode, ConfigProblem } from './problem.ts'
import type { Path, SourceDocument } from './source.ts'
import { nearest } from './suggest.ts'

type Issue = z.core.$ZodIssue
/** Rounds of mending; each can uncover what the one before had hidden. */
const REPAIRS_MAX = 6
const SHOWN_MAX = 60

export interface Shape<T> {
  readonly usable?: T
  readonly problems: ConfigProblem[]
  /** Where `usable` holds stand-ins: nothing must be said about the objects that hold them. */
  readonly patched: readonly Path[]
}

export function checkShape<T>(document: SourceDocument, schema: z.ZodType<T>): Shape<T> {
  let parsed = schema.safeParse(document.value, { reportInput: true })
  if (parsed.success) return { usable: parsed.data, problems: [], patched: [] }
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, document, schema))
  const copy = structuredClone(document.value)
  const patched: Path[] = []
  for (let round = 0; round < REPAIRS_MAX && !parsed.success; round++) {
    for (const issue of parsed.error.issues) patch(copy, issue, patched)
    parsed = schema.safeParse(copy, { reportInput: true })
  }
  return parsed.success ? { usable: parsed.data, problems, patched } : { problems, patched }
}

function problemsOf(issue: Issue, document: SourceDocument, schema: z.ZodType): ConfigProblem[] {
  if (issue.code === 'unrecognized_keys') {
    const known = fieldsAt(schema, issue.path)
    return issue.keys.map((key) => {
      const guess = nearest(key, known)
      const hint = guess
        ? `Did you mean "${guess}"?`
        : known.length > 0
          ? `Fields here: ${known.join(', ')}.`
          : undefined
      return document.problem([...issue.path, key], 'key', 'UNKNOWN_FIELD', `unknown field "${show(key)}"`, hint)
    })
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) {
    const field = String(issue.path.at(-1))
    return [document.problem(issue.path.slice(0, -1), 'key', 'MISSING_FIELD', `"${field}" is missing`)]
  }
  const { code, message, hint } = wording(issue)
  return [document.problem(issue.path, 'value', code, message, hint)]
}

interface Wording {
  readonly code: ConfigCode
  readonly message: string
  readonly hint?: string | undefined
}

function wording(issue: Issue): Wording {
  const field = issue.path.at(-1)
  const weight = field === 'weight' ? 'BAD_WEIGHT' : undefined
  switch (issue.code) {
    case 'invalid_type':
      return {
        code: weight ?? 'WRONG_TYPE',
        message: `expected ${nounOf(issue.expected)}, found ${describe(issue.input)}`,
      }
    case 'invalid_value':
      return invalidValue(issue)
    case 'too_small':
    case 'too_big':
      return { code: weight ?? 'OUT_OF_RANGE', message: boundMessage(issue) }
    case 'invalid_format': {
      const code = FORMAT_CODES.get(issue.pattern ?? '') ?? 'BAD_VALUE'
      const noun = { BAD_DURATION: 'duration', BAD_NAME: 'valid name', BAD_HOSTNAME: 'host name' }[code as string]
      return { code, message: `${describe(issue.input)} is no ${noun ?? 'valid value'}` }
    }
    default:
      return { code: 'BAD_VALUE', message: issue.message }
  }
}

function invalidValue(issue: Issue & { code: 'invalid_value' }): Wording {
  const values = issue.values.map(String)
  const guess = typeof issue.input === 'string' ? nearest(issue.input, values) : undefined
  const list = values.map((value) => (value === '' ? '""' : value)).join(', ')
  return {
    code: 'BAD_VALUE',
    message: `${describe(issue.input)} is not taken here`,
    hint: guess ? `Did you mean "${guess}"?` : `Use ${values.length === 1 ? '' : 'one of '}${list}.`,
  }
}

function boundMessage(issue: Issue & { code: 'too_small' | 'too_big' }): string {
  const bound = issue.code === 'too_small' ? `at least ${issue.minimum}` : `at most ${issue.maximum}`
  if (issue.origin === 'string') return `expected ${bound} characters`
  if (issue.origin === 'array') return `the list needs ${bound} ${bound.endsWith(' 1') ? 'entry' : 'entries'}`
  return `${describe(issue.input)} is out of range: ${bound}`
}

function nounOf(type: string): string {
  const nouns: Record<string, string> = {
    string: 'text',
    int: 'a whole number',
    number: 'a number',
    boolean: 'true or false',
    object: 'a mapping',
    record: 'a mapping',
    array: 'a list',
  }
  return nouns[type] ?? type
}

function describe(value: unknown): string {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a mapping'
  return typeof value === 'string' ? `"${show(value)}"` : `the ${typeof value} ${String(value)}`
}

const show = (text: string): string => (text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}…` : text)

// ── what a schema knows ─────────────────────────────────────────────────────────────────────────────────────────────

/** Names of the fields that may stand at a path. */
function fieldsAt(schema: z.core.$ZodType, path: Path): string[] {
  let at: z.core.$ZodType | undefined = bare(schema)
  for (const part of path) {
    if (at instanceof z.ZodObject) at = at.shape[String(part)] as z.core.$ZodType | undefined
    else if (at instanceof z.ZodArray) at = at.element as z.core.$ZodType
    else return []
    if (!at) return []
    at = bare(at)
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : []
}

function bare(schema: z.core.$ZodType): z.core.$ZodType {
  return schema instanceof z.ZodOptional || schema instanceof z.ZodNullable ? bare(schema.unwrap()) : schema
}

// ── stand-ins for what is wrong ─────────────────────────────────────────────────────────────────────────────────────

/** Takes out what is wrong; what was missing (also after taking out) gets a stand-in. */
function patch(root: unknown, issue: Issue, patched: Path[]): void {
  if (issue.code === 'unrecognized_keys') {
    for (const key of issue.keys) put(root, [...issue.path, key], undefined)
    return
  }
  const missing = issue.input === undefined || typeof issue.path.at(-1) === 'number'
  if (missing) patched.push(issue.path)
  put(root, issue.path, missing ? standIn(issue) : undefined)
}

function standIn(issue: Issue): unknown {
  if (issue.code === 'invalid_value') return issue.values[0]
  if (issue.code === 'too_big' && Array.isArray(issue.input)) return issue.input.slice(0, Number(issue.maximum))
  if (issue.code !== 'invalid_type') return 'x'
  const byType: Record<string, unknown> = { object: {}, record: {}, array: ['x'], int: 1, number: 1, boolean: true }
  return byType[issue.expected] ?? 'x'
}

/** `undefined` removes a field. */
function put(root: unknown, path: Path, value: unknown): void {
  let at: unknown = root
  for (const part of path.slice(0, -1)) at = (at as Record<PropertyKey, unknown> | undefined | null)?.[part]
  const last = path.at(-1)
  if (typeof at !== 'object' || at === null || last === undefined) return
  if (value === undefined) Reflect.deleteProperty(at, last)
  else Reflect.set(at, last, value)
}
