// parse.ts — unknown in, a type that cannot be wrong out; all problems at once, each with its JSON path.

import { z } from 'zod'
import { type ErrorCode, FairleadError, type Problem } from './errors.ts'

/** `$.jobs[3].type` */
export function jsonPath(path: readonly PropertyKey[]): string {
  let text = '$'
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`
    else if (/^[A-Za-z_$][\w$]*$/.test(String(part))) text += `.${String(part)}`
    else text += `[${JSON.stringify(String(part))}]`
  }
  return text
}

export function problemsOf(error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({ path: jsonPath([...issue.path, key]), message: 'unknown field' }))
      : [{ path: jsonPath(issue.path), message: issue.message }],
  )
}

/**
 * Parses `value` with a zod schema (use z.strictObject: unknown fields are errors).
 * @throws FairleadError(code) with every problem.
 */
export function parseWith<T>(schema: z.ZodType<T>, value: unknown, what: string, code: ErrorCode = 'INVALID_INPUT'): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const problems = problemsOf(result.error)
  const first = problems[0]
  const detail = first ? `${first.path}: ${first.message}` : 'invalid'
  throw new FairleadError(code, `${what} is not valid (${problems.length} problem(s)); ${detail}`, { problems })
}

/** JSON text → unknown. Refuses what is not JSON and what is longer than `bytesMax`. */
export function parseJson(text: string | Uint8Array, what: string, bytesMax = 16 * 1024 * 1024): unknown {
  const length = typeof text === 'string' ? Buffer.byteLength(text) : text.byteLength
  if (length > bytesMax) {
    throw new FairleadError('PAYLOAD_TOO_LARGE', `${what} has ${length} bytes; at most ${bytesMax} are taken.`)
  }
  try {
    return JSON.parse(typeof text === 'string' ? text : Buffer.from(text).toString('utf8')) as unknown
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new FairleadError('INVALID_JSON', `${what} is not JSON: ${why}`, { cause })
  }
}

export { z }
