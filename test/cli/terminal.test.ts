// What commands write, and the exit codes of errors.

import { EventEmitter } from 'node:events'
import { describe, expect, test } from 'vitest'
import { exitCodeOf, showError } from '../../cli/exit.ts'
import { columnsOf, openTerminal } from '../../cli/terminal.ts'
import { childEnvironment } from '../../cli/up/environment.ts'
import { watchInterrupts } from '../../cli/up/interrupts.ts'
import { ERRORS, type ErrorCode, FairleadError } from '../../kernel/errors.ts'
import { ManualClock } from '../support/clock.ts'

function setup(options: { tty?: boolean; env?: Record<string, string>; noColor?: boolean } = {}) {
  const written = { out: '', err: '' }
  const isTTY = options.tty ?? false
  const terminal = openTerminal({
    out: { isTTY, write: (text) => (written.out += text) },
    err: { isTTY, columns: 20, write: (text) => (written.err += text) },
    env: options.env ?? {},
    noColor: options.noColor ?? false,
  })
  return { terminal, written }
}

describe('terminal', () => {
  test('colour: is used on a terminal', () => {
    expect(setup({ tty: true }).terminal.bold('x')).toBe('\x1b[1mx\x1b[0m')
  })
  test.each([
    ['it is no terminal', { tty: false }],
    ['NO_COLOR is set', { tty: true, env: { NO_COLOR: '1' } }],
    ['the terminal is dumb', { tty: true, env: { TERM: 'dumb' } }],
    ['--no-color is given', { tty: true, noColor: true }],
  ])('colour: is not used when %s', (_why, options) => {
    const { terminal } = setup(options)
    expect([terminal.bold('x'), terminal.red('x'), terminal.green('x'), terminal.dim('x')]).toEqual([
      'x',
      'x',
      'x',
      'x',
    ])
  })
  test('live line: is replaced by the next line, and cut to the width', () => {
    const { terminal, written } = setup({ tty: true })
    terminal.redraw('a'.repeat(50))
    terminal.note('done')
    expect(written.err).toBe(`${'a'.repeat(19)}\r\x1b[2Kdone\n`)
  })
  test('live line: is not written when nobody can see it move', () => {
    const { terminal, written } = setup()
    terminal.redraw('a')
    expect(written.err).toBe('')
  })
  test('data: goes to stdout, messages to stderr', () => {
    const { terminal, written } = setup()
    terminal.say('data')
    terminal.note('message')
    terminal.json({ a: 1 })
    expect(written).toEqual({ out: 'data\n{\n  "a": 1\n}\n', err: 'message\n' })
  })
  test('columns: stand under each other, without spaces at the end', () => {
    expect(
      columnsOf([
        ['a', 'bbb', 'c'],
        ['dd', 'e', ''],
      ]),
    ).toEqual(['a   bbb  c', 'dd  e'])
  })
})

describe('errors', () => {
  test('error: is one line, its problems and a hint; the stack only when asked', () => {
    const { terminal, written } = setup()
    const error = new FairleadError('CONFIG_INVALID', 'Bad.', { problems: [{ path: 'a.yaml:1:2', message: 'no' }] })
    expect(showError(error, terminal, false)).toBe(4)
    expect(written.err).toBe(`error CONFIG_INVALID: Bad.\n  a.yaml:1:2: no\nhint  ${ERRORS.CONFIG_INVALID.hint}\n`)
    showError(error, terminal, true)
    expect(written.err).toContain('FairleadError: Bad.\n    at ')
  })
  test('error: that we have no word for says what happened', () => {
    const { terminal, written } = setup()
    expect(showError(new Error('disk on fire'), terminal, false)).toBe(1)
    expect(written.err).toContain('error INTERNAL: disk on fire\n')
    expect(written.err).toContain('--debug')
  })
  test.each([
    ['UNREACHABLE', 3],
    ['CONFIG_INVALID', 4],
    ['JOB_NOT_FOUND', 1],
    ['INVALID_INPUT', 1],
    ['DATA_DIR_IN_USE', 1],
  ] as [ErrorCode, number][])('exit code: of %s is %d', (code, exit) => {
    expect(exitCodeOf(new FairleadError(code, ''))).toBe(exit)
  })
})

describe('interrupts', () => {
  test('interrupts: within half a second are one press; a later one insists', async () => {
    const source = new EventEmitter()
    const clock = new ManualClock()
    let insisted = 0
    const interrupts = watchInterrupts(source, clock, () => insisted++)
    source.emit('SIGINT')
    source.emit('SIGINT')
    await interrupts.first
    expect(interrupts.signal.aborted).toBe(true)
    expect(insisted).toBe(0)
    await clock.advance(600)
    source.emit('SIGINT')
    expect(insisted).toBe(1)
    interrupts.close()
    expect(source.eventNames()).toEqual([])
  })
  test.each(['SIGTERM', 'SIGHUP', 'disconnect'])('interrupts: %s asks to stop', (event) => {
    const source = new EventEmitter()
    const interrupts = watchInterrupts(source, new ManualClock(), () => undefined)
    source.emit(event)
    expect(interrupts.signal.aborted).toBe(true)
  })
})

describe("children's environment", () => {
  const shell = {
    DATABASE_URL: 'postgres://production',
    PGHOST: 'production',
    CONSUL_HTTP_ADDR: 'consul:8500',
    NODE_OPTIONS: '--inspect',
    NODE_USE_ENV_PROXY: '1',
    npm_config_x: '1',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://o',
    HOME: '/h',
  }
  test('environment: is without databases and catalogues of the shell', () => {
    expect(childEnvironment(shell, { consulAsked: false, compileCache: '/c' })).toEqual({
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://o',
      HOME: '/h',
      NODE_COMPILE_CACHE: '/c',
    })
  })
  test('environment: has Consul when it was asked for', () => {
    const env = childEnvironment(shell, { consulAsked: true, compileCache: '/c' })
    expect(env['CONSUL_HTTP_ADDR']).toBe('consul:8500')
    expect(env).not.toHaveProperty('DATABASE_URL')
  })
})
