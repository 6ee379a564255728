// Where the scheduler keeps its jobs: --database, DATABASE_URL, or the embedded store.

import { expect, test } from 'vitest'
import { parseDatabase, parseOptions } from '../../scheduler/options.ts'

const URL_A = 'postgresql://user:secret@db.internal/jobs'
const URL_B = 'postgres:///jobs?host=/run/postgresql'

test.each([
  ['embedded when nothing is said', undefined, {}, undefined],
  ['embedded when the environment is empty text', undefined, { DATABASE_URL: '' }, undefined],
  ['the environment when nothing else is said', undefined, { DATABASE_URL: URL_A }, URL_A],
  ['the environment when asked', 'env', { DATABASE_URL: URL_B }, URL_B],
  ['the flag over the environment', URL_B, { DATABASE_URL: URL_A }, URL_B],
  ['embedded over the environment', 'embedded', { DATABASE_URL: URL_A }, undefined],
])('--database: %s', (_name, flag, env, expected) => {
  expect(parseDatabase(flag, env)).toBe(expected)
})

test.each([
  ['env without DATABASE_URL', 'env', {}],
  ['env with an empty DATABASE_URL', 'env', { DATABASE_URL: '' }],
  ['no URL', 'jobs', {}],
  ['nothing', '', {}],
  ['another scheme', 'mysql://u:secret@h/d', {}],
  ['a file', 'file:///jobs.db', {}],
  ['something else in the environment', undefined, { DATABASE_URL: 'sqlite://secret' }],
])('--database: refused without repeating it when there is %s', (_name, flag, env) => {
  const refuse = (): unknown => parseDatabase(flag, env)
  expect(refuse).toThrow(expect.objectContaining({ code: 'INVALID_INPUT' }))
  expect(refuse).not.toThrow('secret')
})

test('options: carry the database', () => {
  const flags = ['--state', 's', '--listen', '127.0.0.1:0', '--sidecar', 'http://127.0.0.1:1', '--api-key-file', 'k']
  expect(parseOptions([...flags, '--database', URL_A]).database).toBe(URL_A)
  expect(parseOptions(flags, { DATABASE_URL: URL_B }).database).toBe(URL_B)
  expect(parseOptions(flags).database).toBeUndefined()
})
