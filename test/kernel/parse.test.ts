import { expect, test } from 'vitest'
import { FairleadError } from '../../kernel/errors.ts'
import { jsonPath, parseJson, parseWith, z } from '../../kernel/parse.ts'

test('parseWith: names every problem with its path when several fields are wrong', () => {
  const schema = z.strictObject({ jobs: z.array(z.strictObject({ type: z.string() })) })
  const error = catchError(() => parseWith(schema, { jobs: [{ type: 1, extra: true }, {}] }, 'batch'))
  expect(error.code).toBe('INVALID_INPUT')
  expect(error.problems.map((problem) => problem.path).sort()).toEqual([
    '$.jobs[0].extra',
    '$.jobs[0].type',
    '$.jobs[1].type',
  ])
})

test('jsonPath: quotes keys that are not identifiers', () => {
  expect(jsonPath(['labels', 'a b', 0])).toBe('$.labels["a b"][0]')
})

test('parseJson: says what is wrong when the text is not JSON', () => {
  expect(catchError(() => parseJson('{"a":', 'body')).code).toBe('INVALID_JSON')
})

test('parseJson: refuses a text that is longer than its limit, naming the limit', () => {
  const error = catchError(() => parseJson('"123456789"', 'body', 10))
  expect(error.code).toBe('PAYLOAD_TOO_LARGE')
  expect(error.message).toContain('10')
})

function catchError(run: () => unknown): FairleadError {
  try {
    run()
  } catch (error) {
    if (error instanceof FairleadError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
