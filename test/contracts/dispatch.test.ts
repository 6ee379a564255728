// Golden lines of the dispatch protocol: what is written today must be read for ever by version 1.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FairleadError } from '../../kernel/errors.ts'
import { formatLine, parseDispatchJob, parseWorkerEvent } from '../../workers/contract.ts'

const golden = (name: string): string[] =>
  readFileSync(join(import.meta.dirname, 'golden', name), 'utf8')
    .trim()
    .split('\n')

describe('dispatch lines', () => {
  test.each(golden('dispatch-jobs.ndjson'))('dispatch job: round-trips when it is %s', (text) => {
    const job = parseDispatchJob(text)
    expect(parseDispatchJob(formatLine(job))).toEqual(job)
  })

  test.each(golden('worker-events.ndjson'))('worker event: round-trips when it is %s', (text) => {
    expect(formatLine(parseWorkerEvent(text)).trim()).toBe(text)
  })

  test('worker event: ignores a field that a newer minor version added', () => {
    expect(parseWorkerEvent('{"t":"beat","freeSlots":3,"novel":1}')).toEqual({ t: 'beat', freeSlots: 3 })
  })

  test.each([
    '',
    '{}',
    '[]',
    'null',
    '{"t":"result"}',
    '{"t":"nonsense","job":"a","token":"1"}',
    '{"t":"accepted","job":"a","token":1}',
    '{"t":"accepted","job":"a","token":"01"}',
    '{"t":"accepted","job":"a","token":"-1"}',
    '{"t":"accepted","job":"a","token":"123456789012345678901"}',
    '{"t":"refused","job":"a","token":"1","reason":"mood"}',
    '{"t":"progress","job":"a","token":"1","pct":101}',
    '{"t":"beat","freeSlots":-1}',
    '{"t":"result","job":"a","token":"1","outcome":"refused"}',
    '{"t":"result","job":"a","token":"1","outcome":"failed","error":{"code":"X","class":"odd","message":""}}',
  ])('worker event: is refused when it is %j', (text) => {
    expect(() => parseWorkerEvent(text)).toThrow(FairleadError)
  })

  test('dispatch job: is refused when it has payload and payloadBase64', () => {
    const base = JSON.parse(golden('dispatch-jobs.ndjson')[0]!) as object
    expect(() => parseDispatchJob(JSON.stringify({ ...base, payload: 1, payloadBase64: 'AA==' }))).toThrow(
      /one of them/,
    )
  })
})
