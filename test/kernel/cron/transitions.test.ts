// Around changes of the clock: the schedule against an oracle that reads the clock at every minute.
//
// A sample of zones and years here; every zone and every change 2020–2037 in `npm run proof -- cron`.

import { expect, test } from 'vitest'
import { seededRandom } from '../../../kernel/random.ts'
import { differenceAt } from '../../support/cron-check.ts'
import { changesOf } from '../../support/cron-oracle.ts'

const SEED = Number(process.env['FAIRLEAD_SEED'] ?? process.pid)
const ROUNDS = 4
const HARD_ONES: [string, number, number][] = [
  ['America/New_York', 2025, 2],
  ['Europe/Berlin', 2025, 2],
  ['Australia/Lord_Howe', 2025, 2],
  ['Antarctica/Troll', 2025, 2],
  ['Africa/Casablanca', 2025, 2],
  ['Europe/Dublin', 2025, 2],
  ['Africa/Cairo', 2025, 2],
  ['America/St_Johns', 2025, 2],
  ['America/Sao_Paulo', 2018, 2],
  ['Asia/Amman', 2021, 2],
  ['Pacific/Apia', 2011, 3],
  ['Asia/Pyongyang', 2018, 1],
]

test.each(HARD_ONES)('%s %d: agrees with the clock read at every minute around its %d changes', (zone, year, count) => {
  const changes = changesOf(zone, Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1))
  expect(changes.length).toBe(count)
  const random = seededRandom(SEED)
  for (const change of changes) {
    for (let n = 0; n < ROUNDS; n++) expect(differenceAt(zone, change, random), `seed ${SEED}`).toBeUndefined()
  }
})

test('any zone, any change 2020–2037: agrees with the clock read at every minute (sample)', () => {
  console.log(`seed ${SEED} (FAIRLEAD_SEED=${SEED} repeats it)`)
  const random = seededRandom(SEED)
  const zones = Intl.supportedValuesOf('timeZone')
  let checked = 0
  for (let n = 0; checked < 40 && n < 400; n++) {
    const zone = zones[random.int(zones.length)]!
    const year = 2020 + random.int(18)
    const changes = changesOf(zone, Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1))
    for (const change of changes.slice(0, 2)) {
      expect(differenceAt(zone, change, random), `seed ${SEED}`).toBeUndefined()
      checked++
    }
  }
  expect(checked).toBeGreaterThan(20)
})
