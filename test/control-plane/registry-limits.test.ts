// What the built-in registry promises beyond the conformance suite: time (by hand) and bounds.

import { request } from 'node:http'
import { expect, onTestFinished, test } from 'vitest'
import { Catalog } from '../../control-plane/registry/catalog.ts'
import { Changes, WAITERS_MAX } from '../../control-plane/registry/changes.ts'
import { parseDuration } from '../../control-plane/registry/duration.ts'
import { KEYS_MAX, KeyValues, VALUE_BYTES_MAX } from '../../control-plane/registry/kv.ts'
import { parseRegistration } from '../../control-plane/registry/registration.ts'
import { startRegistry } from '../../control-plane/registry/server.ts'
import { Sessions } from '../../control-plane/registry/sessions.ts'
import { silentLog } from '../../kernel/log.ts'
import { seededRandom } from '../../kernel/random.ts'
import { ManualClock } from '../support/clock.ts'

function setup() {
  const clock = new ManualClock()
  const changes = new Changes(clock)
  const sessions = new Sessions(clock, seededRandom(1), changes)
  return { clock, changes, sessions, catalog: new Catalog(clock, changes), kv: new KeyValues(clock, changes, sessions) }
}

const service = (check: Record<string, unknown>) =>
  parseRegistration({ ID: 'w1', Name: 'w', Check: { CheckID: 'c', TTL: '10s', ...check } })
const value = Buffer.from('x')

test('check: turns critical exactly when its TTL is over, counted from the last heartbeat', async () => {
  const { clock, catalog } = setup()
  catalog.register(service({ Status: 'passing' }))
  await clock.advance(9_000)
  catalog.updateCheck('c', 'passing', '')
  await clock.advance(9_999)
  expect(catalog.get('w1')?.checks.get('c')?.status).toBe('passing')
  await clock.advance(1)
  expect(catalog.get('w1')?.checks.get('c')).toMatchObject({ status: 'critical', output: 'TTL expired' })
})

test('service: leaves when it was critical for as long as it asked, and not when it came back in between', async () => {
  const { clock, catalog } = setup()
  catalog.register(service({ Status: 'critical', DeregisterCriticalServiceAfter: '2m' }))
  await clock.advance(119_000)
  catalog.updateCheck('c', 'passing', '')
  await clock.advance(1_000)
  expect(catalog.get('w1')).toBeDefined()
  await clock.advance(9_000 + 119_999) // TTL runs out, and almost two minutes more
  expect(catalog.get('w1')).toBeDefined()
  await clock.advance(1)
  expect(catalog.get('w1')).toBeUndefined()
})

test('service: stays at least a minute when it asks to leave earlier', async () => {
  const { clock, catalog } = setup()
  catalog.register(service({ DeregisterCriticalServiceAfter: '1s' }))
  await clock.advance(59_999)
  expect(catalog.get('w1')).toBeDefined()
  await clock.advance(1)
  expect(catalog.get('w1')).toBeUndefined()
})

test('session: dies at twice its TTL unless renewed, and frees its locks', async () => {
  const { clock, sessions, kv } = setup()
  const { id } = sessions.create({ TTL: '10s', LockDelay: '0s' })
  expect(kv.put('lock', { value, flags: 0, acquire: id })).toBe(true)
  await clock.advance(19_000)
  sessions.renew(id)
  await clock.advance(19_999)
  expect(kv.get('lock')?.session).toBe(id)
  await clock.advance(1)
  expect(kv.get('lock')?.session).toBeUndefined()
  expect(() => sessions.renew(id)).toThrow(/not found/)
})

test('lock: may be taken again when its delay is over', async () => {
  const { clock, sessions, kv } = setup()
  const holder = sessions.create({ LockDelay: '5s' })
  const other = sessions.create({})
  kv.put('lock', { value, flags: 0, acquire: holder.id })
  sessions.destroy(holder.id)
  await clock.advance(4_999)
  expect(kv.put('lock', { value, flags: 0, acquire: other.id })).toBe(false)
  await clock.advance(1)
  expect(kv.put('lock', { value, flags: 0, acquire: other.id })).toBe(true)
})

test('kv: refuses more keys and larger values than it holds, and takes a key again when one left', () => {
  const { kv } = setup()
  for (let i = 0; i < KEYS_MAX; i++) kv.put(`k${i}`, { value: Buffer.alloc(0), flags: 0 })
  expect(() => kv.put('one-more', { value, flags: 0 })).toThrow(/too many keys/)
  kv.delete('k0')
  expect(kv.put('one-more', { value, flags: 0 })).toBe(true)
  expect(() => kv.put('k1', { value: Buffer.alloc(VALUE_BYTES_MAX + 1), flags: 0 })).toThrow(/limit/)
})

test('blocking queries: are refused past their bound, and leave no timer behind when aborted', async () => {
  const { clock, changes } = setup()
  const stop = new AbortController()
  const waiting = Array.from({ length: WAITERS_MAX }, () =>
    changes.wait(changes.index, () => changes.index, 60_000, stop.signal),
  )
  expect(await changes.wait(changes.index, () => changes.index, 60_000, stop.signal)).toBe(false)
  stop.abort()
  await Promise.all(waiting)
  expect(changes.waiting).toBe(0)
  expect(clock.pending).toBe(0)
})

test('index: does not run backwards when the registry restarts', async () => {
  const clock = new ManualClock()
  const before = new Changes(clock)
  for (let i = 0; i < 500; i++) before.next()
  await clock.advance(1_000)
  expect(new Changes(clock).index).toBeGreaterThan(before.index)
})

test('registry: refuses browsers and rebound host names', async () => {
  const clock = new ManualClock()
  const listen = { host: '127.0.0.1', port: 0 }
  const registry = await startRegistry({ listen, clock, random: seededRandom(1), log: silentLog })
  onTestFinished(() => registry.close())
  const status = (headers: Record<string, string>): Promise<number> =>
    new Promise((resolve, reject) => {
      const path = '/v1/agent/self'
      request({ host: '127.0.0.1', port: registry.port, path, headers }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
        .on('error', reject)
        .end()
    })
  expect(await status({})).toBe(200)
  expect(await status({ origin: `http://127.0.0.1:${registry.port}` })).toBe(403)
  expect(await status({ host: 'evil.example' })).toBe(403)
})

test.each([
  [{ Name: 'x', Check: { HTTP: 'http://10.0.0.1/', Interval: '1s' } }],
  [{ Name: 'x', Check: { TTL: '0s' } }],
  [{ Name: 'x', Check: { TTL: '-1s' } }],
  [{ Name: 'x', Kind: 'mesh-gateway' }],
  [{ Name: 'x', Port: 65_536 }],
  [{ Name: 'x', Meta: { a: 1 } }],
  [{ Name: 'x', Meta: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ''])) }],
  [{ Name: 'x', Checks: Array.from({ length: 9 }, () => ({ TTL: '1s' })) }],
  [{ Name: 'x'.repeat(513) }],
  [[]],
  [null],
  [undefined],
])('registration: is refused when it is %j', (body) => {
  expect(() => parseRegistration(body)).toThrow()
})

test('duration: is read as Go reads it', () => {
  const good: [string, number][] = [
    ['10s', 10_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1_500],
    ['250ms', 250],
    ['0', 0],
    ['0s', 0],
    ['-1s', -1_000],
  ]
  for (const [text, ms] of good) expect(parseDuration(text), text).toBe(ms)
  for (const text of ['', '10', 's', '10 s', '1d', '1s ', 'soon', '1e3s', '1s2', '--1s', `${'1h'.repeat(40)}`]) {
    expect(parseDuration(text), text).toBeUndefined()
  }
})
