import { describe, test } from 'vitest'
import { startRegistry } from '../../control-plane/registry/server.ts'
import { systemClock } from '../../kernel/clock.ts'
import { silentLog } from '../../kernel/log.ts'
import { systemRandom } from '../../kernel/random.ts'
import { findConsul, startConsul } from '../support/consul.ts'
import { registryConformance } from './registry-conformance.ts'

registryConformance('built-in registry', () =>
  startRegistry({ listen: { host: '127.0.0.1', port: 0 }, clock: systemClock, random: systemRandom, log: silentLog }),
)

const found = findConsul()
if ('path' in found) registryConformance('real Consul', () => startConsul(found.path))
else describe.skip(`real Consul (skipped: ${found.reason})`, () => void test('conformance', () => undefined))
