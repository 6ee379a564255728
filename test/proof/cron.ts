// cron.ts — `npm run proof -- cron`: every IANA zone, every change of its clock 2020–2037, against the oracle that
// reads the clock at every minute (test/support/cron-oracle.ts). `--rounds N`: schedules drawn per change.

import { tzdataVersion } from '../../kernel/cron/zone.ts'
import { seededRandom } from '../../kernel/random.ts'
import { differenceAt } from '../support/cron-check.ts'
import { changesOf } from '../support/cron-oracle.ts'
import type { ProofOptions, ProofResult } from './main.ts'

const ROUNDS_DEFAULT = 3
const DIFFERENCES_MAX = 20

export async function cron({ seed, rounds = ROUNDS_DEFAULT, say }: ProofOptions): Promise<ProofResult> {
  const zones = [...new Set(['UTC', ...Intl.supportedValuesOf('timeZone')])]
  const random = seededRandom(seed)
  const differences: string[] = []
  let changes = 0
  let checked = 0
  for (const [index, zone] of zones.entries()) {
    for (const change of changesOf(zone, Date.UTC(2020, 0, 1), Date.UTC(2038, 0, 1))) {
      changes++
      for (let n = 0; n < rounds; n++) {
        checked++
        const difference = differenceAt(zone, change, random)
        if (difference !== undefined && differences.length < DIFFERENCES_MAX) differences.push(difference)
      }
    }
    if (index % 50 === 49)
      say(`${index + 1} of ${zones.length} zones, ${changes} changes, ${differences.length} differences`)
  }
  return {
    ok: differences.length === 0 && changes > 1000,
    figures: { zones: zones.length, changes, schedules: checked, differences, tzdata: tzdataVersion() },
  }
}
