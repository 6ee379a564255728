// shape.ts — one document against the schema of its kind: every problem at its place, in words about YAML.
//
// Where only single fields are wrong, the rest of the document is still handed on (`usable`), so that a misspelt field
// does not hide an unknown backend three lines further down.

import { z } from '../kernel/parse.ts'
import { FORMAT_CODES } from './kinds/common.ts'
import type { ConfigCode, ConfigProblem } from './problem.ts'
import type { Path, SourceDocument } from './source.ts'
import { nearest } from './suggest.ts'

type Issue = z.core.$ZodIssue
/** Rounds of leaving out what is wrong; each can uncover what the one before had hidden. */
const REPAIRS_MAX = 3
const SHOWN_MAX = 60

export function checkShape<T>(
  document: SourceDocument,
  schema: z.ZodType<T>,
): { usable?: T; problems: ConfigProblem[] } {
  let parsed = schema.safeParse(document.value, { reportInput: true })
  if (parsed.success) return { usable: parsed.data, problems: [] }
  const problems = parsed.error.issues.flatMap((issue) => problemsOf(issue, document, schema))
  let value: unknown = document.value
  for (let round = 0; round < REPAIRS_MAX && !parsed.success; round++) {
    value = withoutFaults(value, parsed.error.issues)
    parsed = schema.safeParse(value, { reportInput: true })
  }
  return parsed.success ? { usable: parsed.data, problems } : { problems }
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
  if (issue.origin === 'array') return `expected ${bound} entries`
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

// ── leaving out what is wrong ───────────────────────────────────────────────────────────────────────────────────────

/** A copy without the faulty fields. Entries of lists stay (places would shift), so those cannot be mended. */
function withoutFaults(value: unknown, issues: readonly Issue[]): unknown {
  const copy = structuredClone(value)
  for (const issue of issues) {
    if (issue.code === 'unrecognized_keys') for (const key of issue.keys) remove(copy, [...issue.path, key])
    else remove(copy, issue.path)
  }
  return copy
}

function remove(root: unknown, path: Path): void {
  let at: unknown = root
  for (const part of path.slice(0, -1)) at = (at as Record<PropertyKey, unknown> | undefined | null)?.[part]
  const last = path.at(-1)
  if (typeof last === 'string' && typeof at === 'object' && at !== null && !Array.isArray(at))
    Reflect.deleteProperty(at, last)
}
