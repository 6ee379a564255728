// Ports: well-known ones first, the holder named, nothing handed out twice.

import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { listeningInodes, portHolder } from '../../../cli/up/port-holder.ts'
import { assignPorts, canListen, WELL_KNOWN } from '../../../cli/up/ports.ts'
import { openReservations } from '../../../cli/up/reservations.ts'
import { seededRandom } from '../../../kernel/random.ts'

function setup(options: { base?: number; taken?: number[] } = {}) {
  const told: string[] = []
  const taken = new Set(options.taken ?? [])
  const ports = assignPorts({
    base: options.base,
    random: seededRandom(1),
    onTaken: (message) => told.push(message),
    claim: async (port) => !taken.has(port),
    holder: () => 'nginx (process 7)',
  })
  return { ports, told }
}

async function listen(): Promise<number> {
  const server = createServer()
  onTestFinished(() => void server.close())
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

describe('ports', () => {
  test('well-known: is taken when it is free, without a word', async () => {
    const { ports, told } = setup()
    expect(await ports.wellKnown('jobs')).toBe(WELL_KNOWN.jobs)
    expect(told).toEqual([])
  })

  test('well-known: is replaced and said when it is in use', async () => {
    const { ports, told } = setup({ taken: [WELL_KNOWN.jobs, 15_010] })
    expect(await ports.wellKnown('jobs')).toBe(15_011)
    expect(told).toEqual([expect.stringMatching(/^Port 7410 is in use by nginx \(process 7\); jobs takes 15011\.$/)])
  })

  test('others: are never given twice, and skip what is in use', async () => {
    const { ports } = setup({ taken: [15_011] })
    expect([await ports.other(), await ports.other(), await ports.other()]).toEqual([15_010, 15_012, 15_013])
  })

  test('base: gives well-known ports from there as well', async () => {
    const { ports } = setup({ base: 23_000 })
    expect([await ports.wellKnown('proxy'), await ports.wellKnown('jobs'), await ports.other()]).toEqual([
      23_000, 23_001, 23_002,
    ])
  })

  test('base 0: starts somewhere in the range kept for it', async () => {
    const { ports } = setup({ base: 0 })
    const port = await ports.wellKnown('proxy')
    expect(port).toBeGreaterThanOrEqual(20_000)
    expect(port).toBeLessThan(31_000)
  })

  test('others: end with PORT_IN_USE when nothing is free', async () => {
    const ports = assignPorts({
      base: 65_000,
      random: seededRandom(1),
      onTaken: () => undefined,
      claim: async () => false,
      holder: () => undefined,
    })
    await expect(ports.other()).rejects.toMatchObject({ code: 'PORT_IN_USE' })
  })

  test('canListen: is false exactly while somebody listens', async () => {
    expect(await canListen(await listen())).toBe(false)
  })
})

describe('reservations', () => {
  function setup() {
    const dir = mkdtempSync(join(tmpdir(), 'fairlead-ports-'))
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  }
  test('port: is given to one living owner at a time', () => {
    const dir = setup()
    const mine = openReservations(dir, process.pid)
    const other = openReservations(dir, process.ppid)
    expect([mine.take(7410), other.take(7410), other.take(7411), mine.take(7411)]).toEqual([true, false, true, false])
    expect(other.holder(7410)).toContain(String(process.pid))
    mine.close()
    expect(other.take(7410)).toBe(true)
  })
  test('port: is taken over when its owner is gone', () => {
    const dir = setup()
    const gone = spawnSync(process.execPath, ['-e', '']).pid
    openReservations(dir, gone).take(7410)
    expect(openReservations(dir, process.pid).take(7410)).toBe(true)
  })
  test.each(['', 'x', '-1', '0'])('port: is taken over when its file says %j', (text) => {
    const dir = setup()
    writeFileSync(join(dir, '7410'), text)
    expect(openReservations(dir, process.pid).take(7410)).toBe(true)
  })
  test('folder: that others may write to is not trusted, and stops nobody', () => {
    const dir = setup()
    chmodSync(dir, 0o777)
    const mine = openReservations(dir, process.pid)
    expect([mine.take(7410), openReservations(dir, process.ppid).take(7410)]).toEqual([true, true])
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('port holder', () => {
  test.skipIf(process.platform !== 'linux')('holder: is this process when it listens (Linux only)', async () => {
    expect(portHolder(await listen())).toContain(`(process ${process.pid})`)
  })

  test('holder: is unknown when nobody listens or the system has no /proc', async () => {
    expect(portHolder(1, '/nowhere')).toBeUndefined()
  })

  const row = (local: string, state: string) =>
    `   0: 0100007F:${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 4242 1`
  test('table: gives the inodes of listeners on the port', () => {
    expect(listeningInodes(['  sl  local_address rem_address st', row('1CF2', '0A'), ''].join('\n'), 7410)).toEqual([
      '4242',
    ])
  })
  test.each([
    ['another port', row('1CF3', '0A')],
    ['an open connection', row('1CF2', '01')],
    ['a cut-off line', '   0: 0100007F:1CF2 00000000:0000 0A'],
    ['something else', 'hello'],
    ['nothing', ''],
  ])('table: gives nothing for %s', (_what, text) => {
    expect(listeningInodes(text, 7410)).toEqual([])
  })
})
