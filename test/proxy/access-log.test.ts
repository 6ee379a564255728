import { EventEmitter } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { silentLog } from '../../kernel/log.ts'
import { AccessLog, BUFFER_BYTES_MAX } from '../../proxy/access-log.ts'
import { openAccessLog } from '../../proxy/log-target.ts'
import { ManualClock } from '../support/clock.ts'
import { exchange } from './exchange-fixture.ts'

class Sink extends EventEmitter {
  readonly writes: string[] = []
  blocked = false

  write(bytes: Buffer): boolean {
    this.writes.push(bytes.toString('latin1'))
    return !this.blocked
  }

  get lines(): Record<string, unknown>[] {
    return this.writes
      .join('')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }
}

function setup() {
  const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 678))
  const sink = new Sink()
  const log = new AccessLog(clock, sink)
  return { clock, sink, log }
}

test("access log: writes one line with Istio's keys and ours", async () => {
  const { clock, sink, log } = setup()
  log.done(exchange({ startedMs: clock.now() - 12.345, bytesIn: 7, attempts: 2 }))
  await clock.advance(50)
  expect(sink.lines).toEqual([
    {
      start_time: '2026-01-02T03:04:05.665Z',
      method: 'GET',
      path: '/items',
      authority: 'worker.mesh',
      protocol: 'HTTP/1.1',
      response_code: 200,
      response_flags: '-',
      response_code_details: '',
      bytes_received: 7,
      bytes_sent: 36,
      duration: 12.35,
      upstream_service_time: 1.23,
      request_id: 'request-1',
      trace_id: '0af7651916cd43dd8448eb211c80319c',
      span_id: 'b7ad6b7169203331',
      sampled: true,
      attempts: 2,
      direction: 'outbound',
      route_name: 'default/worker',
      upstream_cluster: 'worker-v1',
      upstream_host: '127.0.0.1:1001',
      service: 'worker',
      version: 'v1',
      instance: 'w1a',
      downstream_peer_uri_san: '',
    },
  ])
})

test.each([
  ['path', '/a"b\\c'],
  ['path', '/\u0000\u001f\u007f'],
  ['path', '/line\nbreak","response_code":200,"x":"'],
  ['authority', '"},{"a":"'],
  ['requestId', '\u2028\u2029é'],
  ['method', 'GE"T'],
  ['principal', 'spiffe://x/"'],
  ['instance', 'i"\n'],
] as const)('access log: keeps one line and the exact value when %s is %j', async (field, value) => {
  const { clock, sink, log } = setup()
  log.done(exchange({ [field]: value }))
  await clock.advance(50)
  expect(sink.writes.join('').split('\n')).toHaveLength(2)
  expect(Object.values(sink.lines[0]!)).toContain(value)
  expect(sink.lines[0]!['response_code']).toBe(200)
})

test('access log: writes lines together, at once when there are many', async () => {
  const { clock, sink, log } = setup()
  for (let i = 0; i < 10; i++) log.done(exchange())
  expect(sink.writes).toHaveLength(0)
  await clock.advance(50)
  expect(sink.writes).toHaveLength(1)
  for (let i = 0; i < 200; i++) log.done(exchange())
  expect(sink.writes.length).toBeGreaterThan(1)
  await log.close()
  expect(sink.lines).toHaveLength(210)
  expect(clock.pending).toBe(0)
})

test('access log: drops and counts what a slow sink does not take, and goes on when it drains', async () => {
  const { clock, sink, log } = setup()
  sink.blocked = true
  log.done(exchange())
  await clock.advance(50)
  const line = sink.writes[0]!.length
  for (let i = 0; i < BUFFER_BYTES_MAX / line + 1000; i++) log.done(exchange())
  expect(sink.writes).toHaveLength(1)
  expect(log.dropped).toBeGreaterThan(900)
  sink.blocked = false
  sink.emit('drain')
  expect(sink.writes).toHaveLength(2)
  log.done(exchange({ path: '/after' }))
  await clock.advance(50)
  expect(sink.lines.at(-1)).toMatchObject({ path: '/after' })
})

test('access log: appends to a private file, and needs one that can be written', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-log-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'access.log')
  for (let run = 0; run < 2; run++) {
    const target = (await openAccessLog(file, new ManualClock(), silentLog))!
    target.log.done(exchange())
    await target.close()
  }
  expect(readFileSync(file, 'utf8').split('\n').filter(Boolean)).toHaveLength(2)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  await expect(openAccessLog(join(dir, 'no', 'x'), new ManualClock(), silentLog)).rejects.toMatchObject({
    code: 'INVALID_INPUT',
  })
  expect(await openAccessLog('off', new ManualClock(), silentLog)).toBeUndefined()
})
