import { expect, test } from 'vitest'
import { parseSnapshot } from '../../mesh-config/snapshot.ts'
import { until } from '../support/until.ts'
import { endpointsOf, type Plane, sharedPlane, startPlane } from './plane.ts'

const shared = sharedPlane()

let count = 0
/** A service of its own for each test: tests share a control plane. */
const fresh = (name: string): string => `${name}-${++count}`

const sidecarOf = async (plane: Plane, instance: string) =>
  (await plane.mesh()).sidecars.find((sidecar) => sidecar.instance === instance)

test('stream: brings a snapshot that the proxy accepts when a sidecar says hello', async () => {
  const plane = shared()
  const [service, instance] = [fresh('worker'), fresh('w')]
  const stream = plane.stream(await plane.join(service), { service, instance })
  const snapshot = parseSnapshot(await stream.snapshot())
  expect(snapshot.self).toEqual({ service, namespace: 'default', version: 'v1', instance })
  expect(snapshot.trustBundle.join('')).toBe(plane.bundle)
  stream.send({ t: 'ack', version: snapshot.version })
  await until(async () => (await sidecarOf(plane, instance))?.acked === snapshot.version)
  const { accepted } = await plane.mesh()
  expect(accepted.missing).not.toContain(instance)
})

test('stream: brings the endpoint within a second when an instance registers, and takes it when it fails', async () => {
  const plane = shared()
  const [service, instance] = [fresh('worker'), fresh('w')]
  const stream = plane.stream(await plane.join(service), { service, instance })
  await stream.snapshot()
  const started = performance.now()
  await plane.register({ instance, service, port: 21_001 })
  await stream.snapshotWith((snapshot) => endpointsOf(snapshot, service).includes(instance))
  expect(performance.now() - started).toBeLessThan(1_000)
  const before = stream.snapshots.length
  await plane.consul(`agent/check/fail/fairlead:${instance}?note=draining`)
  await until(() =>
    stream.snapshots.slice(before).some((snapshot) => !endpointsOf(snapshot, service).includes(instance)),
  )
})

test('stream: sends nothing when nothing changed', async () => {
  const plane = await startPlane()
  const [service, instance] = [fresh('worker'), fresh('w')]
  const identity = await plane.join(service)
  const first = plane.stream(identity, { service, instance })
  const { version } = await first.snapshot()
  first.send({ t: 'ack', version })
  await until(async () => (await sidecarOf(plane, instance))?.acked === version)
  // Comes back with the snapshot that it serves already: counted as accepted, not sent again.
  const second = plane.stream(identity, { service, instance, have: version })
  await until(() => first.ended)
  await until(async () => (await sidecarOf(plane, instance))?.current === version)
  expect((await plane.mesh()).accepted).toEqual({ n: 1, m: 1, missing: [] })
  expect(second.snapshots).toEqual([])
})

test('nack: is shown with its problems, counts as not accepted, and is forgotten after the next ack', async () => {
  const plane = shared()
  const [service, instance] = [fresh('worker'), fresh('w')]
  const stream = plane.stream(await plane.join(service), { service, instance })
  const { version } = await stream.snapshot()
  stream.send({ t: 'nack', version, problems: [{ path: '$.backends[0]', message: 'no such thing' }] })
  await until(async () => (await sidecarOf(plane, instance))?.nack.length === 1)
  expect((await sidecarOf(plane, instance))?.nack).toEqual([{ path: '$.backends[0]', message: 'no such thing' }])
  expect((await plane.mesh()).accepted.missing).toContain(instance)
  const metrics = await plane.api('GET', '/metrics')
  expect(metrics.text).toMatch(/fairlead_snapshots_rejected_total\{[^}]*\} [1-9]/)
  await plane.register({ instance, service })
  const next = await stream.snapshot(2)
  stream.send({ t: 'ack', version: next.version })
  await until(async () => !(await plane.mesh()).accepted.missing.includes(instance))
})

test('stream: is refused when the certificate is of another service than hello', async () => {
  const plane = shared()
  const stream = plane.stream(await plane.join(fresh('billing')), { service: 'worker' })
  expect(await stream.refusal()).toMatchObject({ code: 'PEER_IDENTITY_INVALID' })
  expect(stream.status).toBe(403)
  const other = plane.stream(await plane.join('worker'), { service: 'worker', namespace: 'prod' })
  expect(await other.refusal()).toMatchObject({ code: 'PEER_IDENTITY_INVALID' })
})

test('stream: is refused when no certificate or one of another mesh is shown', async () => {
  const [plane, foreign] = [shared(), await startPlane()]
  expect(await plane.stream(undefined, {}).refusal()).toMatchObject({ code: 'PEER_IDENTITY_INVALID' })
  const stranger = plane.stream(await foreign.join('worker'), {})
  expect(await stranger.refusal()).toMatchObject({
    code: 'PEER_IDENTITY_INVALID',
    detail: expect.stringContaining('UNTRUSTED_ROOT'),
  })
})

test('stream: is refused when hello speaks another protocol', async () => {
  const plane = shared()
  const stream = plane.stream(await plane.join('worker'), { protocol: 99 })
  expect(await stream.refusal()).toMatchObject({ code: 'UNSUPPORTED' })
})

test('stream: is refused when an instance of another service lives under that name', async () => {
  const plane = shared()
  const [one, two, instance] = [fresh('one'), fresh('two'), fresh('same')]
  await plane.stream(await plane.join(one), { service: one, instance }).snapshot()
  const thief = plane.stream(await plane.join(two), { service: two, instance })
  expect(await thief.refusal()).toMatchObject({ code: 'PEER_IDENTITY_INVALID' })
})

test.each([
  ['no JSON', '{nonsense'],
  ['an unknown kind', '{"t":"snapshot"}'],
  ['a second hello', undefined],
  ['a line without end', 'x'.repeat(2 * 1024 * 1024)],
])('stream: is closed and the others live on when a sidecar sends %s', async (_what, line) => {
  const plane = shared()
  const [service, bad, good] = [fresh('worker'), fresh('bad'), fresh('good')]
  const identity = await plane.join(service)
  const other = plane.stream(identity, { service, instance: good })
  const stream = plane.stream(identity, { service, instance: bad })
  await Promise.all([stream.snapshot(), other.snapshot()])
  const hello = { t: 'hello', protocol: 1, instance: bad, service, namespace: 'default', version: 'v1', have: '' }
  stream.send(line ?? JSON.stringify({ ...hello, sidecarVersion: 'x' }))
  await until(() => stream.ended)
  await until(async () => (await sidecarOf(plane, bad))?.connected !== true)
  expect((await sidecarOf(plane, good))?.connected).toBe(true)
})

test('stream: ends with goaway when the certificate behind it ends', async () => {
  const plane = await startPlane(['--danger-short-ttl-ms', '1500'])
  const stream = plane.stream(await plane.join('worker'), {})
  await stream.snapshot()
  await until(() => stream.ended)
  expect(stream.lines.at(-1)).toEqual({ t: 'goaway' })
})

test('stream: ends with goaway when the control plane closes', async () => {
  const plane = await startPlane()
  const stream = plane.stream(await plane.join('worker'), {})
  await stream.snapshot()
  await plane.life!.close()
  await until(() => stream.ended)
  expect(stream.lines.at(-1)).toEqual({ t: 'goaway' })
})

test('absent sidecar: counts as missing while it is registered, and is forgotten when it deregistered first', async () => {
  const plane = shared()
  const service = fresh('worker')
  const [crashed, drained] = [fresh('crashed'), fresh('drained')]
  const identity = await plane.join(service)
  const streams = [crashed, drained].map((instance) => plane.stream(identity, { service, instance }))
  for (const instance of [crashed, drained]) await plane.register({ instance, service })
  for (const stream of streams) {
    await stream.snapshotWith((snapshot) => endpointsOf(snapshot, service).length === 2)
    stream.send({ t: 'ack', version: stream.snapshots.at(-1)!.version })
  }
  await plane.deregister(drained)
  for (const stream of streams) stream.close()
  await until(async () => (await sidecarOf(plane, drained)) === undefined)
  await until(async () => (await sidecarOf(plane, crashed))?.connected === false)
  // A change that it has not seen: named as missing.
  await plane.register({ instance: fresh('newcomer'), service })
  await until(async () => (await plane.mesh()).accepted.missing.includes(crashed))
})

test('stream: brings an older version again when it is due again before the newer one was acked', async () => {
  const plane = shared()
  const [service, instance] = [fresh('worker'), fresh('w')]
  const stream = plane.stream(await plane.join(service), { service, instance })
  await plane.register({ instance, service, port: 21_002 })
  await stream.snapshotWith((snapshot) => endpointsOf(snapshot, service).includes(instance))
  const first = stream.snapshots.at(-1)!
  stream.send({ t: 'ack', version: first.version })
  await until(async () => (await sidecarOf(plane, instance))?.acked === first.version)
  await plane.consul(`agent/check/fail/fairlead:${instance}?note=draining`)
  await stream.snapshotWith((snapshot) => !endpointsOf(snapshot, service).includes(instance)) // never acked
  const before = stream.snapshots.length
  await plane.consul(`agent/check/pass/fairlead:${instance}`)
  await until(() => stream.snapshots.slice(before).some((snapshot) => snapshot.version === first.version))
})
