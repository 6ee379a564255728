// A control plane that is asked too often: the sidecar waits as long as it was told, and asks again.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { generateKey } from '../../../certs/keys.ts'
import { systemClock } from '../../../kernel/clock.ts'
import { silentLog } from '../../../kernel/log.ts'
import { seededRandom } from '../../../kernel/random.ts'
import { SidecarIdentity } from '../../../proxy/control/identity.ts'
import { askForCertificate, SIGN_MS } from '../../../proxy/control/signing.ts'
import { until } from '../../support/until.ts'
import { startPlane } from './plane.ts'

test.each([
  ['3', 3],
  ['0', 0],
  ['999999', 60],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ['-1', undefined],
])('signing: RATE_LIMITED and retryable when refused with 429 and Retry-After %s', async (retryAfter, retryAfterS) => {
  const plane = await startPlane()
  plane.onSign = () => ({ status: 429, retryAfter })
  const asked = askForCertificate({
    clock: systemClock,
    url: plane.url,
    bundle: plane.pki.bundle,
    trustDomain: undefined,
    svid: undefined,
    key: await generateKey(),
    joinToken: 'web',
    service: 'web',
    namespace: 'default',
  })
  await expect(asked).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterS, spec: { retry: true } })
})

test('identity: asks again, and not before the time that it was told', async () => {
  const plane = await startPlane()
  let asked = 0
  plane.onSign = (_call, answer) => (++asked === 1 ? { status: 429, retryAfter: '7' } : answer)
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-identity-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  writeFileSync(join(dir, 'token'), 'web')
  writeFileSync(join(dir, 'bundle.pem'), plane.pki.bundlePem)
  const waits: number[] = []
  const identity = new SidecarIdentity({
    // The wait is recorded and then not waited for.
    clock: {
      ...systemClock,
      after: (delayMs, run, background) => {
        const isWait = asked === 1 && delayMs >= 7_000 && delayMs !== SIGN_MS
        if (isWait) waits.push(delayMs)
        return systemClock.after(isWait ? 0 : delayMs, run, background)
      },
    },
    random: seededRandom(1),
    log: silentLog,
    service: 'web',
    namespace: 'default',
    stateDir: dir,
    controlPlanes: [plane.url],
    trustBundleFile: join(dir, 'bundle.pem'),
    joinTokenFile: join(dir, 'token'),
  })
  onTestFinished(() => identity.close())
  await identity.start()
  await until(() => identity.current() !== undefined)
  expect(asked).toBe(2)
  expect(waits).toHaveLength(1)
  expect(waits[0]).toBeLessThan(20_000)
})
