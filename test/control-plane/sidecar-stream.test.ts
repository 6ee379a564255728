import { expect, test } from 'vitest'
import { STREAM_SILENCE_MS } from '../../control-plane/contract.ts'
import { Debounce } from '../../control-plane/debounce.ts'
import { LineReader } from '../../control-plane/stream/lines.ts'
import { type Reply, SidecarStream } from '../../control-plane/stream/sidecar-stream.ts'
import { type WallMs, wallPlus } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import type { Snapshot } from '../../mesh-config/snapshot.ts'
import { ManualClock } from '../support/clock.ts'

const HELLO = {
  t: 'hello',
  protocol: 1,
  instance: 'w1',
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  sidecarVersion: 'test',
  have: '',
} as const

const snapshot = (version: string): Snapshot => ({ version }) as unknown as Snapshot

function setup(leafMs = 10 * 3_600_000) {
  const clock = new ManualClock()
  const written: { t: string; snapshot?: { version: string } }[] = []
  const seen = { takes: true, ended: false, destroyed: false, closed: 0, replies: [] as Reply[] }
  const stream = new SidecarStream({
    hello: HELLO,
    spiffeId: 'spiffe://x/ns/default/sa/worker',
    serial: '01',
    leafNotAfter: wallPlus(clock.wall() as WallMs, leafMs),
    wire: {
      write: (text) => {
        written.push(JSON.parse(text) as { t: string })
        return seen.takes
      },
      end: () => {
        seen.ended = true
      },
      destroy: () => {
        seen.destroyed = true
      },
    },
    clock,
    log: silentLog,
    onReply: (reply) => seen.replies.push(reply),
    onClosed: () => seen.closed++,
  })
  const versions = (): (string | undefined)[] =>
    written.filter((line) => line.t === 'snapshot').map((line) => line.snapshot?.version)
  return { clock, stream, written, versions, seen }
}

test('slow reader: gets only the newest snapshot when it reads again', () => {
  const { stream, versions, seen } = setup()
  seen.takes = false
  stream.publish(snapshot('1')) // fills the socket
  for (let i = 2; i <= 1_000; i++) stream.publish(snapshot(String(i)))
  expect(versions()).toEqual(['1'])
  seen.takes = true
  stream.onDrain()
  expect(versions()).toEqual(['1', '1000'])
})

test('slow reader: is closed when it neither reads nor speaks', async () => {
  const { clock, stream, seen } = setup()
  seen.takes = false
  stream.publish(snapshot('1'))
  await clock.advance(STREAM_SILENCE_MS)
  expect(seen).toMatchObject({ ended: true, closed: 1 })
  await clock.advance(5_000)
  expect(seen.destroyed).toBe(true) // its goodbye never left
})

test('silence: pings at a third of it, and closes with goaway when no answer comes', async () => {
  const { clock, written, seen } = setup()
  await clock.advance(STREAM_SILENCE_MS - 1)
  expect(written.map((line) => line.t)).toEqual(['ping', 'ping'])
  expect(seen.closed).toBe(0)
  await clock.advance(1)
  expect(written.at(-1)).toEqual({ t: 'goaway' })
  expect(seen.closed).toBe(1)
})

test('silence: never comes when the sidecar answers its pings', async () => {
  const { clock, stream, seen } = setup()
  for (let i = 0; i < 20; i++) {
    await clock.advance(STREAM_SILENCE_MS / 2)
    stream.onData(Buffer.from('{"t":"pong"}\n'))
  }
  expect(seen.closed).toBe(0)
})

test('stream: reads replies whatever way their bytes are cut', () => {
  const { stream, seen } = setup()
  const text = '{"t":"ack","version":"ü1"}\n\n{"t":"nack","version":"2","problems":[]}\n'
  for (const byte of Buffer.from(text)) stream.onData(Buffer.from([byte]))
  expect(seen.replies).toEqual([
    { t: 'ack', version: 'ü1' },
    { t: 'nack', version: '2', problems: [] },
  ])
})

test('stream: ends when the certificate that opened it ends, and only once', async () => {
  const { clock, stream, written, seen } = setup(5_000)
  await clock.advance(5_000)
  expect(written).toEqual([{ t: 'goaway' }])
  stream.close()
  stream.goaway('again')
  stream.publish(snapshot('late'))
  stream.onData(Buffer.from('{"t":"ack","version":"late"}\n'))
  expect(written).toHaveLength(1)
  expect(seen).toMatchObject({ closed: 1, replies: [] })
})

test('lines: hold no more than their bound, also when it is spread over many chunks', () => {
  const reader = new LineReader(10)
  expect(reader.push(Buffer.from('0123456789\n0123'))).toEqual(['0123456789'])
  expect(() => reader.push(Buffer.from('4567890'))).toThrow(/more than 10 bytes/)
})

test('debounce: runs once after a burst, and in the middle of one that does not end', async () => {
  const clock = new ManualClock()
  const runs: number[] = []
  const debounce = new Debounce({ clock, quietMs: 50, maxMs: 500, run: (since) => runs.push(clock.now() - since) })
  for (let i = 0; i < 5; i++) {
    debounce.poke()
    await clock.advance(40)
  }
  await clock.advance(10)
  expect(runs).toEqual([210])
  for (let i = 0; i < 15; i++) {
    debounce.poke()
    await clock.advance(40)
  }
  expect(runs).toEqual([210, 500])
})
