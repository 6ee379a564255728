import { expect, onTestFinished, test } from 'vitest'
import { parseCertificates } from '../../../certs/pem.ts'
import type { FromSidecar } from '../../../control-plane/contract.ts'
import { STREAM_SILENCE_MS } from '../../../control-plane/contract.ts'
import { type Clock, systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { parseSnapshot } from '../../../mesh-config/snapshot.ts'
import { ControlStream } from '../../../proxy/control/stream.ts'
import type { Identity } from '../../../proxy/exchange.ts'
import { foreignPki, type TestPki, testPki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'
import { snapshot } from '../policy/fixtures.ts'
import { type Plane, startPlane } from './plane.ts'

async function identityOf(pki: TestPki): Promise<Identity> {
  const { spiffeId, keyPem, chainPem } = await pki.issue('web')
  const bundleDer = parseCertificates(pki.bundlePem, 'bundle')
  return { spiffeId, trustDomain: pki.trustDomain, keyPem, chainPem, bundleDer }
}

async function setup(options: { planes?: readonly Plane[]; clock?: Clock; pki?: TestPki } = {}) {
  const planes = options.planes ?? [await startPlane()]
  let current: Identity | undefined = await identityOf(options.pki ?? planes[0]!.pki)
  const listeners = new Set<() => void>()
  const applied: string[] = []
  let have = ''
  let refused = 0
  const stream = new ControlStream({
    clock: options.clock ?? systemClock,
    random: seededRandom(3),
    log: silentLog,
    controlPlanes: planes.map((plane) => plane.url),
    identity: {
      current: () => current,
      onChange(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    hello: { instance: 'web-1', service: 'web', namespace: 'default', version: 'v1', sidecarVersion: '0' },
    have: () => have,
    async apply(value) {
      have = parseSnapshot(value).version
      applied.push(have)
    },
    onRefused: () => refused++,
  })
  onTestFinished(() => stream.close())
  const become = (identity: Identity | undefined): void => {
    current = identity
    for (const listener of listeners) listener()
  }
  return {
    plane: planes[0]!,
    stream,
    applied,
    refused: () => refused,
    become,
    has: (version: string) => (have = version),
  }
}

const last = (plane: Plane) => plane.streams.at(-1)!
const kinds = (said: readonly FromSidecar[]): string[] => said.map((message) => message.t)

test('control stream: says hello over mTLS, acks a snapshot and answers pings', async () => {
  const { plane, stream, applied, has } = await setup()
  has('s0')
  stream.start()
  await until(() => last(plane).said.length === 1)
  expect(last(plane).peer).toBe('spiffe://fairlead.local/ns/default/sa/web')
  expect(last(plane).said[0]).toMatchObject({ t: 'hello', protocol: 1, instance: 'web-1', have: 's0' })
  last(plane).send({ t: 'snapshot', snapshot: snapshot({ version: 's1' }) })
  await until(() => last(plane).said.length === 2)
  last(plane).send({ t: 'ping' })
  await until(() => last(plane).said.length === 3)
  expect(last(plane).said.slice(1)).toEqual([{ t: 'ack', version: 's1' }, { t: 'pong' }])
  expect(applied).toEqual(['s1'])
  expect(stream.connected).toBe(true)
})

test('control stream: nacks a bad snapshot with every problem and takes the next good one', async () => {
  const { plane, stream, applied } = await setup()
  stream.start()
  await until(() => plane.streams.length === 1)
  last(plane).send({ t: 'snapshot', snapshot: { ...snapshot(), version: 'bad', inbound: {}, extra: 1 } })
  await until(() => last(plane).said.length === 2)
  const nack = last(plane).said[1] as Extract<FromSidecar, { t: 'nack' }>
  expect(nack).toMatchObject({ t: 'nack', version: 'bad' })
  expect(nack.problems.map((problem) => problem.path)).toEqual(
    expect.arrayContaining(['$.inbound.protocol', '$.inbound.rules', '$.extra']),
  )
  last(plane).send({ t: 'snapshot', snapshot: snapshot({ version: 's2' }) })
  await until(() => applied.length === 1)
  expect(kinds(last(plane).said)).toEqual(['hello', 'nack', 'ack'])
})

test.each([
  ['no snapshot at all', undefined],
  ['a text', 'snapshot'],
  ['null', null],
])('control stream: nacks %s', async (_what, value) => {
  const { plane, stream } = await setup()
  stream.start()
  await until(() => plane.streams.length === 1)
  last(plane).send({ t: 'snapshot', snapshot: value })
  await until(() => kinds(last(plane).said).includes('nack'))
})

test('control stream: passes over messages of a newer control plane', async () => {
  const { plane, stream, applied } = await setup()
  stream.start()
  await until(() => plane.streams.length === 1)
  last(plane).raw('{"t":"fashion","more":1}\n\n')
  last(plane).send({ t: 'snapshot', snapshot: snapshot({ version: 's1' }) })
  await until(() => applied.length === 1)
  expect(plane.streams).toHaveLength(1)
})

test.each([
  ['is cut', (plane: Plane) => last(plane).destroy()],
  ['is ended', (plane: Plane) => last(plane).end()],
  ['says goaway', (plane: Plane) => last(plane).send({ t: 'goaway' })],
  ['says what is not JSON', (plane: Plane) => last(plane).raw('{"t":\n')],
  ['says what has no kind', (plane: Plane) => last(plane).raw('{"a":1}\n')],
])('control stream: comes back when it %s', async (_what, end) => {
  const { plane, stream } = await setup()
  stream.start()
  await until(() => plane.streams.length === 1 && last(plane).said.length === 1)
  end(plane)
  await until(() => plane.streams.length === 2 && last(plane).said.length === 1)
  expect(plane.streams[0]!.closed()).toBe(true)
})

test('control stream: goes to the next address when one is gone', async () => {
  const pki = await testPki()
  const [first, second] = await Promise.all([startPlane({ pki }), startPlane({ pki })])
  const { stream } = await setup({ planes: [first!, second!] })
  stream.start()
  await until(() => first!.streams.length === 1)
  await first!.close()
  await until(() => second!.streams.length === 1)
})

test('control stream: breaks one that is silent for 30 s', async () => {
  // Time runs 100 times as fast for the stream.
  const clock: Clock = { ...systemClock, after: (ms, run, background) => systemClock.after(ms / 100, run, background) }
  const { plane, stream } = await setup({ clock })
  stream.start()
  await until(() => plane.streams.length === 1)
  const began = performance.now()
  await until(() => plane.streams.length === 2)
  expect(performance.now() - began).toBeGreaterThan(STREAM_SILENCE_MS / 100 - 20)
})

test('control stream: waits for an identity, and opens another stream for a renewed one', async () => {
  const { plane, stream, become } = await setup()
  become(undefined)
  stream.start()
  await new Promise((done) => setTimeout(done, 50))
  expect(plane.streams).toHaveLength(0)
  become(await identityOf(plane.pki))
  await until(() => plane.streams.length === 1 && stream.connected)
  become(await identityOf(plane.pki))
  await until(() => plane.streams.length === 2)
  await until(() => plane.streams[0]!.closed())
})

test('control stream: tells that its certificate is not accepted', async () => {
  const { plane, stream, refused } = await setup()
  plane.onStream = () => 403
  stream.start()
  await until(() => refused() > 0)
})

test('control stream: never speaks to a peer that is not the control plane', async () => {
  const pki = await testPki()
  const impostor = await startPlane({ pki, identity: 'web', namespace: 'default' })
  const foreign = await startPlane({ pki: await foreignPki() })
  const good = await startPlane({ pki })
  const { stream } = await setup({ planes: [impostor, foreign, good], pki })
  stream.start()
  await until(() => good.streams.length === 1)
  expect([impostor.streams.length, foreign.streams.length]).toEqual([0, 0])
})

test('control stream: stays closed once it is closed, also while it connects', async () => {
  const { plane, stream } = await setup()
  stream.start()
  await stream.close()
  await stream.close()
  await new Promise((done) => setTimeout(done, 100))
  expect(plane.streams.filter((one) => !one.closed())).toHaveLength(0)
})
