import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type Clock, systemClock, type WallMs } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { SidecarIdentity } from '../../../proxy/control/identity.ts'
import { foreignPki, testPki } from '../../support/pki.ts'
import { until } from '../../support/until.ts'
import { type Plane, startPlane } from './plane.ts'

interface Options {
  readonly planes?: readonly Plane[]
  readonly stateDir?: string
  readonly clock?: Clock
  readonly token?: string
  readonly bundlePem?: string
}

async function setup(options: Options = {}) {
  const planes = options.planes ?? [await startPlane()]
  const dir = options.stateDir ?? mkdtempSync(join(tmpdir(), 'fairlead-identity-'))
  if (options.stateDir === undefined) onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const joinTokenFile = join(dir, 'token')
  const trustBundleFile = join(dir, 'bundle.pem')
  writeFileSync(joinTokenFile, options.token ?? 'web')
  writeFileSync(trustBundleFile, options.bundlePem ?? planes[0]!.pki.bundlePem)
  const outcomes: string[] = []
  const identity = new SidecarIdentity({
    clock: options.clock ?? systemClock,
    random: seededRandom(1),
    log: silentLog,
    service: 'web',
    namespace: 'default',
    stateDir: dir,
    controlPlanes: planes.map((plane) => plane.url),
    trustBundleFile,
    joinTokenFile,
    onRenewal: (outcome) => outcomes.push(outcome),
  })
  onTestFinished(() => identity.close())
  return { plane: planes[0]!, dir, joinTokenFile, identity, outcomes }
}

const WEB = 'spiffe://fairlead.local/ns/default/sa/web'

/** The real clock, shifted; timers fire `speed` times sooner. */
function shiftedClock(speed: number): Clock {
  const start = systemClock.wall()
  return {
    ...systemClock,
    wall: () => (start + (systemClock.wall() - start) * speed) as WallMs,
    after: (delayMs, run, background) => systemClock.after(delayMs / speed, run, background),
  }
}

test('identity: joins by token, tells it, and keeps it in one private file', async () => {
  const { plane, dir, identity } = await setup()
  let told = 0
  identity.onChange(() => told++)
  await identity.start()
  expect(identity.current()).toBeUndefined()
  await until(() => identity.current())
  expect(identity.current()).toMatchObject({ spiffeId: WEB, trustDomain: 'fairlead.local' })
  expect(told).toBe(1)
  expect(plane.signCalls).toEqual([{ joinToken: 'web', peer: '' }])
  await until(() => existsSync(join(dir, 'identity.json'))) // told first, kept right after
  expect(statSync(join(dir, 'identity.json')).mode & 0o777).toBe(0o600)
  expect(readFileSync(join(dir, 'identity.json'), 'utf8')).toContain('PRIVATE KEY')
})

test('identity: starts from disk without asking anybody', async () => {
  const first = await setup()
  await first.identity.start()
  await until(() => first.identity.current())
  await first.identity.close()
  await first.plane.close()
  const again = await setup({ planes: [first.plane], stateDir: first.dir })
  await again.identity.start()
  expect(again.identity.current()!.chainPem).toBe(first.identity.current()!.chainPem)
  expect(first.plane.signCalls).toHaveLength(1)
})

test.each([
  ['broken', '{'],
  ['of an older shape', '{"a":1}'],
])('identity: joins again when what is on disk is %s', async (_what, text) => {
  const { dir, identity } = await setup()
  writeFileSync(join(dir, 'identity.json'), text)
  await identity.start()
  await until(() => identity.current())
})

test('identity: joins again when what is on disk belongs to another service or has expired', async () => {
  const first = await setup()
  first.plane.ttlMs = 2000
  await first.identity.start()
  await until(() => first.identity.current())
  await first.identity.close()
  const late: Clock = { ...systemClock, wall: () => (systemClock.wall() + 60_000) as WallMs }
  const again = await setup({ planes: [first.plane], stateDir: first.dir, clock: late })
  await again.identity.start()
  expect(again.identity.current()).toBeUndefined()
  await until(() => first.plane.signCalls.length > 1)
  expect(first.plane.signCalls[1]).toEqual({ joinToken: 'web', peer: '' })
})

test('identity: renews by its SVID between 40 and 50 % of its life, with another key', async () => {
  const clock = shiftedClock(20)
  const { plane, identity } = await setup({ clock })
  plane.ttlMs = 60_000
  await identity.start()
  await until(() => identity.current())
  const began = clock.wall()
  const { keyPem } = identity.current()!
  await until(() => plane.signCalls.length > 1)
  const elapsed = clock.wall() - began
  expect(elapsed).toBeGreaterThan(0.35 * 60_000)
  expect(elapsed).toBeLessThan(0.8 * 60_000)
  await until(() => identity.current()!.keyPem !== keyPem)
  expect(plane.signCalls[1]).toEqual({ joinToken: undefined, peer: WEB })
})

test('identity: falls back to the join token, read anew, when its SVID is refused', async () => {
  const { plane, identity, joinTokenFile } = await setup({ clock: shiftedClock(20) })
  plane.ttlMs = 20_000
  plane.onSign = ({ joinToken }, answer) => (joinToken === undefined || joinToken === 'used' ? 403 : answer)
  await identity.start()
  await until(() => identity.current())
  writeFileSync(joinTokenFile, 'used')
  await until(() => plane.signCalls.some((call) => call.joinToken === 'used'))
  const before = plane.signCalls.length
  writeFileSync(joinTokenFile, 'web\n')
  const { keyPem } = identity.current()!
  await until(() => identity.current()!.keyPem !== keyPem)
  expect(plane.signCalls.slice(before).map((call) => call.joinToken)).toContain('web')
})

test('identity: keeps trying, at every control plane, until one answers', async () => {
  const pki = await testPki()
  const [down, broken, good] = await Promise.all([1, 2, 3].map(() => startPlane({ pki })))
  await down!.close()
  broken!.onSign = () => 500
  const { identity, outcomes } = await setup({ planes: [down!, broken!, good!] })
  await identity.start()
  await until(() => identity.current())
  expect(broken!.signCalls.length).toBeGreaterThan(0)
  await until(() => outcomes.at(-1) === 'ok')
})

test('identity: takes the root certificates that a snapshot brings, once, and keeps them', async () => {
  const { plane, dir, identity } = await setup()
  await identity.start()
  await until(() => identity.current())
  const rotated = await foreignPki()
  let told = 0
  identity.onChange(() => told++)
  await identity.updateBundle([plane.pki.bundlePem, rotated.bundlePem])
  await identity.updateBundle([plane.pki.bundlePem, rotated.bundlePem])
  expect(identity.current()!.bundleDer).toHaveLength(2)
  expect(told).toBe(1)
  await identity.close()
  const again = await setup({ planes: [plane], stateDir: dir })
  await again.identity.start()
  expect(again.identity.current()!.bundleDer).toHaveLength(2)
})

test('identity: refuses a certificate of another service', async () => {
  const { identity, outcomes } = await setup({ token: 'other' })
  await identity.start()
  await until(() => outcomes.includes('failed'))
  expect(identity.current()).toBeUndefined()
})

test('identity: refuses an answer that claims another namespace than the certificate', async () => {
  const { plane, identity, outcomes } = await setup()
  plane.onSign = (_call, answer) => ({ ...answer, spiffeId: answer.spiffeId.replace('/default/', '/jobs/') })
  await identity.start()
  await until(() => outcomes.includes('failed'))
  expect(identity.current()).toBeUndefined()
})

test('identity: refuses a certificate for another key, an empty chain, and a chain that the bundle does not vouch for', async () => {
  const { plane, identity, outcomes } = await setup({ clock: shiftedClock(10) })
  const other = await plane.pki.issue('web')
  const foreign = await foreignPki()
  const answers = [
    { certificateChain: other.chainPem },
    { certificateChain: '' },
    { trustBundle: [foreign.bundlePem] },
    { trustBundle: [] },
  ]
  plane.onSign = (_call, answer) => ({ ...answer, ...answers[plane.signCalls.length - 1] })
  await identity.start()
  await until(() => outcomes.includes('ok'), 15_000)
  expect(outcomes.slice(0, 4)).toEqual(['failed', 'failed', 'failed', 'failed'])
  expect(identity.current()!.spiffeId).toBe(WEB)
})

test.each([
  ['another service of the trust domain', { identity: 'web', namespace: 'default' }],
  ['the same name in another namespace', { identity: 'control-plane', namespace: 'default' }],
])('identity: never gives its token to %s', async (_what, who) => {
  const plane = await startPlane(who)
  const { identity, outcomes } = await setup({ planes: [plane] })
  await identity.start()
  await until(() => outcomes.length > 0)
  expect(plane.signCalls).toEqual([])
})

test('identity: never gives its token to a control plane of another CA', async () => {
  const plane = await startPlane()
  const { bundlePem } = await foreignPki()
  const { identity, outcomes } = await setup({ planes: [plane], bundlePem })
  await identity.start()
  await until(() => outcomes.length > 0)
  expect(plane.signCalls).toEqual([])
})

test('identity: is in force although the disk does not take it', async () => {
  const { dir, identity } = await setup()
  mkdirSync(join(dir, 'identity.json', 'in-the-way'), { recursive: true })
  await identity.start()
  await until(() => identity.current())
})

test('identity: needs a trust bundle to start', async () => {
  const plane = await startPlane()
  const { identity } = await setup({ planes: [plane], bundlePem: 'nothing' })
  await expect(identity.start()).rejects.toMatchObject({ code: 'CERT_INVALID' })
})
