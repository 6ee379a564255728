// Supervision, with real processes: ready line, restarts with back-off, stopping in order, nothing left behind.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { lastComplaint, parseReady } from '../../../cli/up/child.ts'
import { Fleet } from '../../../cli/up/fleet.ts'
import { backoffMs, type ProcessSpec, Supervised } from '../../../cli/up/supervised.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { until } from '../../support/fairlead.ts'

const READY = `console.log(JSON.stringify({ message: 'ready', ports: { app: 1234 } }))`
const STAY = `${READY}; setInterval(() => {}, 1000)`
const LEAVE_ON_TERM = `process.on('SIGTERM', () => process.exit(0)); ${STAY}`
const LEAVE_ON_DISCONNECT = `process.on('disconnect', () => process.exit(0)); ${STAY}`

function setup() {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-sup-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const events: string[] = []
  const script = (name: string, source: string): ProcessSpec => {
    writeFileSync(join(dir, `${name}.cjs`), source)
    return { name, role: 'worker', version: 'v1', script: join(dir, `${name}.cjs`), args: [], env: process.env }
  }
  const supervise = (spec: ProcessSpec): Supervised => {
    const supervised = new Supervised(spec, {
      logs: dir,
      clock: systemClock,
      onChange: () => undefined,
      onEvent: (message) => events.push(message),
    })
    onTestFinished(async () => {
      supervised.kill()
      await supervised.stop(1_000)
    })
    return supervised
  }
  return { dir, events, script, supervise }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('supervised process', () => {
  test('start: resolves with its ports when the ready line came', async () => {
    const { script, supervise } = setup()
    const one = supervise(script('one', STAY))
    await one.start()
    expect(one.mode).toBe('ready')
    expect(one.status()).toMatchObject({ name: 'one', version: 'v1', ports: { app: 1234 }, restarts: 0 })
    expect(isAlive(one.status().pid!)).toBe(true)
  })

  test('restart: follows a death, is counted, and keeps the name', async () => {
    const { script, supervise, events } = setup()
    const one = supervise(script('one', STAY))
    await one.start()
    const first = one.status().pid!
    process.kill(first, 'SIGKILL')
    await until('it runs again', () => one.mode === 'ready' && one.status().pid !== first)
    expect(one.status().restarts).toBe(1)
    expect(events).toEqual(['one ended (SIGKILL)'])
  })

  test('restart: runs what comes before each start, and starts although that failed', async () => {
    const { script, supervise, events } = setup()
    let calls = 0
    const one = supervise({
      ...script('one', STAY),
      beforeStart: async () => {
        calls++
        throw new Error('no control plane')
      },
    })
    await one.start()
    process.kill(one.status().pid!, 'SIGKILL')
    await until('it runs again', () => one.status().restarts === 1 && one.mode === 'ready')
    expect(calls).toBe(2)
    expect(events.filter((event) => event.includes('no control plane')).length).toBe(2)
  })

  test('start: fails with its last words when it never becomes ready', async () => {
    const { script, supervise } = setup()
    const source = `console.log(JSON.stringify({ level: 'fatal', message: 'start failed', error: { message: 'port taken' } })); process.exit(1)`
    await expect(supervise(script('bad', source)).start()).rejects.toMatchObject({
      code: 'START_FAILED',
      message: expect.stringContaining('bad does not start: start failed: port taken'),
    })
  })

  test('stop: lets it leave by itself', async () => {
    const { script, supervise, events } = setup()
    const one = supervise(script('one', LEAVE_ON_TERM))
    await one.start()
    const pid = one.status().pid!
    await one.stop(10_000)
    expect(isAlive(pid)).toBe(false)
    expect(one.mode).toBe('gone')
    expect(events).toEqual([])
  })

  test('stop: kills what does not leave in time', async () => {
    const { script, supervise, events } = setup()
    const one = supervise(script('one', `process.on('SIGTERM', () => {}); ${STAY}`))
    await one.start()
    const pid = one.status().pid!
    await one.stop(100)
    expect(isAlive(pid)).toBe(false)
    expect(events.at(-1)).toContain('was killed')
  })

  test('stop: ends the wait for a restart', async () => {
    const { script, supervise } = setup()
    const one = supervise(script('one', `${READY}; setTimeout(() => process.exit(1), 20)`))
    await one.start()
    await until('it waits', () => one.mode === 'waiting')
    await one.stop(10_000)
    expect(one.mode).toBe('gone')
  })

  test('channel: tells the process when its supervisor was killed', async () => {
    const { dir, script } = setup()
    const spec = script('orphan', LEAVE_ON_DISCONNECT)
    const root = join(import.meta.dirname, '../../..')
    const source = `
      import { startChild } from ${JSON.stringify(join(root, 'cli/up/child.ts'))}
      import { systemClock } from ${JSON.stringify(join(root, 'kernel/clock.ts'))}
      const child = startChild({ script: ${JSON.stringify(spec.script)}, args: [], env: process.env, logFile: ${JSON.stringify(join(dir, 'orphan.log'))} }, systemClock)
      await child.ready
      console.log(child.pid)
      setInterval(() => {}, 1000)`
    const supervisor = spawn(process.execPath, ['--input-type=module', '-e', source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    onTestFinished(() => void supervisor.kill('SIGKILL'))
    const pid = await new Promise<number>((resolve) =>
      supervisor.stdout!.once('data', (data: Buffer) => resolve(Number(data))),
    )
    expect(isAlive(pid)).toBe(true)
    supervisor.kill('SIGKILL')
    await until('the orphan left', () => !isAlive(pid), 5_000)
  })

  test.each([
    [0, 500],
    [1, 1_000],
    [3, 4_000],
    [5, 10_000],
    [5_000, 10_000],
  ])('backoff: after %d restarts in a row is %d ms', (n, ms) => {
    expect(backoffMs(n)).toBe(ms)
  })
})

describe('fleet', () => {
  test('close: lets workers leave before schedulers, sidecars and control planes', async () => {
    const { dir, script } = setup()
    const fleet = new Fleet({ logs: dir, clock: systemClock, onChange: () => undefined, onEvent: () => undefined })
    const note = join(dir, 'order')
    const leaving = (name: string) =>
      `process.on('SIGTERM', () => { require('node:fs').appendFileSync(${JSON.stringify(note)}, ${JSON.stringify(`${name} `)}); process.exit(0) }); ${STAY}`
    const roles = ['control-plane', 'proxy', 'worker', 'scheduler'] as const
    await Promise.all(roles.map((role) => fleet.start({ ...script(role, leaving(role)), role })))
    expect(fleet.status().map((process) => process.name)).toEqual([...roles])
    await Promise.all([fleet.close(), fleet.close()])
    expect(readFileSync(note, 'utf8').trim().split(' ')).toEqual(['worker', 'scheduler', 'proxy', 'control-plane'])
  })

  test('kill: ends everything at once, also in the middle of close', async () => {
    const { dir, script } = setup()
    const fleet = new Fleet({ logs: dir, clock: systemClock, onChange: () => undefined, onEvent: () => undefined })
    await fleet.start(script('deaf', `process.on('SIGTERM', () => {}); ${STAY}`))
    const pid = fleet.status()[0]!.pid!
    const closed = fleet.close()
    fleet.kill()
    await closed
    expect(isAlive(pid)).toBe(false)
  })
})

describe('ready line', () => {
  test('line: gives the ports', () => {
    expect(parseReady('{"level":"info","message":"ready","ports":{"api":1,"stream":2}}')).toEqual({ api: 1, stream: 2 })
  })
  test.each([
    'ready',
    '{"message":"ready"}',
    '{"message":"ready","ports":7}',
    '{"message":"already","ports":{}}',
    '{"message":"ready"',
    '[]',
  ])('line: is not one when it is %s', (line) => {
    expect(parseReady(line)).toBeUndefined()
  })

  test('complaint: is the last line of weight', () => {
    const { dir } = setup()
    const file = join(dir, 'x.log')
    writeFileSync(
      file,
      '{"level":"error","message":"one"}\n{"level":"fatal","message":"two","error":{"message":"why"}}\n{"level":"info","message":"bye"}\n',
    )
    expect(lastComplaint(file)).toBe('two: why')
    expect(existsSync(file)).toBe(true)
  })
})
