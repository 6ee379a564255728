// problem.ts — one thing wrong with the config, with its place, and how people and programs read it.
//
// Owns: the table of config codes (never renamed or reused) and both renderings. Text from files is shown with control
// characters taken out: a config file must not be able to drive a terminal (threat T28).

import type { Problem } from '../kernel/errors.ts'

/** Code → the hint used when the place of the problem knows no better one. */
export const CONFIG_CODES = {
  // The file
  FILE_TOO_LARGE: 'Split the file; at most 1 MiB each is read.',
  YAML_SYNTAX: 'Mend the YAML; indentation is by spaces.',
  YAML_TOO_DEEP: 'At most 64 levels of nesting are read.',
  YAML_TAG: 'Remove the tag; plain YAML 1.2 values are all that is read.',
  YAML_DIRECTIVE: 'Remove the directive; files are read as YAML 1.2.',
  DUPLICATE_KEY: 'Keep one of the two; which one would win is not defined.',
  BAD_KEY: 'Keys are plain text; quote numbers and dates.',
  FORBIDDEN_KEY: 'Use another name; this one has a meaning in JavaScript objects.',
  ALIAS_BOMB: 'Write the values out; at most 50 aliases and 100,000 values are expanded.',
  UNKNOWN_ALIAS: 'Define the anchor (&name) before the alias in the same document.',
  // The shape
  NOT_AN_OBJECT: 'Each document is a mapping with apiVersion, kind, metadata and spec.',
  UNKNOWN_KIND: 'See docs/config.md for the kinds.',
  UNKNOWN_FIELD: 'Remove it, or see docs/config.md for the fields of this kind.',
  MISSING_FIELD: 'Add it; see docs/config.md for an example.',
  WRONG_TYPE: 'See docs/config.md for the type of this field.',
  BAD_VALUE: 'Use one of the values listed.',
  OUT_OF_RANGE: 'Use a value within the bounds.',
  BAD_WEIGHT: 'A weight is a whole number from 0 to 1000000; its share is weight / sum of the weights.',
  BAD_DURATION: 'Write durations as 500ms, 10s, 1m30s or 2h (GEP-2257): whole numbers, no spaces, no decimals.',
  BAD_NAME: 'Use lower-case letters, digits and dashes; begin and end with a letter or digit.',
  BAD_PATH: 'Begin with /; no //, /./, /../, %2f or #.',
  BAD_HEADER: 'Use an RFC 9110 field name and a value without control characters.',
  BAD_HOSTNAME: 'Write a host name, lower-case, without scheme or path.',
  BAD_ADDRESS: 'Write address and port of a listener, such as 10.0.0.7 and 8080.',
  BAD_PRINCIPAL: 'Write spiffe://<trust-domain>/ns/<namespace>/sa/<service>, or a prefix of it ending in *.',
  BAD_REGEX: 'Expressions are a linear-time subset of RE2 and match the whole value.',
  NOT_SUPPORTED: 'Not supported yet; see the CHANGELOG for what this build does.',
  // The meaning
  CONFLICT: 'Keep one of the two.',
  DUPLICATE_RESOURCE: 'Rename or remove one; names are unique by kind and namespace.',
  DUPLICATE_HOSTNAME: 'A host name leads to one Service only.',
  DUPLICATE_POLICY: 'Merge the two policies; which one would win is not defined.',
  UNKNOWN_BACKEND: 'Declare a Service of that name and namespace.',
  UNKNOWN_TARGET: 'Declare a Service of that name and namespace.',
  UNKNOWN_PARENT: 'Declare a Service of that name and namespace.',
  // Warnings
  NO_BACKENDS: 'Every request of this rule is answered 500; add backendRefs.',
  IGNORED: 'It has no effect here.',
  FOREIGN_TRUST_DOMAIN: 'Check the trust domain of the principal against the Mesh document.',
  OTHER_APPLIER: 'Send it with `fairlead apply`; the scheduler takes this kind.',
  // Found by `fairlead config analyze`: valid, and hardly what was meant
  RULE_SHADOWED: 'Remove it, or make its matches narrower than those of the rule before it.',
  SPLIT_ONE_SIDED: 'Give another backend a weight above 0, or remove the ones that get nothing.',
  BACKEND_TWICE: 'Keep one reference and add the weights up.',
  REDIRECT_LOOP: 'Change host, scheme, port or path, or narrow the match so that the new address does not fit it.',
  TIMEOUT_BELOW_RETRIES: 'Raise timeouts.request, lower timeouts.backendRequest, or ask for fewer retries.',
  TIMEOUT_CUT: 'Raise timeouts.request of the TrafficPolicy, or lower that of the rule.',
  RETRY_OFF: 'Raise attempts, or remove the other fields of retry.',
  RETRY_BUDGET_EMPTY: 'Give the budget percent or minPerSecond above 0; without both nothing is ever retried.',
  EVERYONE_LOCKED_OUT: 'Add an ALLOW rule that a caller can fit, or remove the policies of this service.',
  ALLOW_HIDDEN: 'DENY goes before ALLOW: narrow the DENY rule, or remove the ALLOW rule.',
  RULE_NEVER_FITS: 'Mend the rule: no caller can fulfil all that it says.',
  PRINCIPAL_UNKNOWN: 'Declare a Service of that name, or mend the principal.',
  NAMESPACE_UNKNOWN: 'Mend the namespace; no Service of this config is in it.',
  SERVICE_UNUSED: 'Send a share of a route to it, or remove the Service.',
} as const satisfies Record<string, string>

export type ConfigCode = keyof typeof CONFIG_CODES

export interface Place {
  readonly file: string
  /** Both from 1. */
  readonly line: number
  readonly column: number
}

export interface ConfigProblem extends Place {
  readonly severity: 'error' | 'warning'
  readonly code: ConfigCode
  readonly message: string
  readonly hint: string
  /** The offending line (or the window of it around the column), printable. */
  readonly excerpt: string
  /** Where the caret stands in the excerpt, from 0, and how many characters it covers. */
  readonly caret: number
  readonly length: number
}

export const EXCERPT_MAX = 160

/** One line of text → excerpt with a caret at `column` (from 1). */
export function excerptOf(
  line: string,
  column: number,
  length: number,
): Pick<ConfigProblem, 'excerpt' | 'caret' | 'length'> {
  const from = column - 1 > EXCERPT_MAX - 40 ? column - 1 - 60 : 0
  const excerpt = printable(line.slice(from, from + EXCERPT_MAX)).trimEnd()
  const caret = Math.min(column - 1 - from, excerpt.length)
  return { excerpt, caret, length: Math.max(1, Math.min(length, excerpt.length - caret)) }
}

/** One character stays one character, so that carets stand right. */
export function printable(text: string): string {
  return text
    .replaceAll('\t', ' ')
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
}

/** rustc's shape, which people know how to read. */
export function renderProblem(problem: ConfigProblem, paint: Paint = plain): string {
  const number = String(problem.line)
  const gutter = ' '.repeat(number.length)
  const tone = problem.severity === 'error' ? paint.error : paint.warning
  return [
    `${tone(`${problem.severity}[${problem.code}]`)}: ${printable(problem.message)}`,
    `${gutter}${paint.dim('-->')} ${printable(problem.file)}:${problem.line}:${problem.column}`,
    `${gutter} ${paint.dim('|')}`,
    `${number} ${paint.dim('|')} ${problem.excerpt}`,
    `${gutter} ${paint.dim('|')} ${' '.repeat(problem.caret)}${tone('^'.repeat(problem.length))}`,
    `${gutter} ${paint.dim('= hint:')} ${printable(problem.hint)}`,
  ].join('\n')
}

/** Colours, or none. */
export interface Paint {
  error(text: string): string
  warning(text: string): string
  dim(text: string): string
}
export const plain: Paint = { error: (text) => text, warning: (text) => text, dim: (text) => text }

/** For a FairleadError CONFIG_INVALID: path = `file:line:column`. */
export function toProblems(problems: readonly ConfigProblem[]): Problem[] {
  return problems.map(({ file, line, column, code, message, hint }) => ({
    path: `${file}:${line}:${column}`,
    message: `${code}: ${message}. ${hint}`,
  }))
}

export function byPlace(a: Place, b: Place): number {
  return a.file < b.file ? -1 : a.file > b.file ? 1 : a.line - b.line || a.column - b.column
}
