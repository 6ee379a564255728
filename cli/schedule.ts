// schedule.ts — `fairlead schedule next EXPR`: when would this fire? Needs no server: the rules are kernel/cron/.

import { isoTime } from '../kernel/clock.ts'
import { parseInstant } from '../kernel/cron/instant.ts'
import { formatLocal, formatOffset } from '../kernel/cron/local-time.ts'
import { DST_GAPS, DST_OVERLAPS, explainWhy, type Fire } from '../kernel/cron/next.ts'
import { parseExpression, renderProblem } from '../kernel/cron/parse.ts'
import { compileSchedule, upcoming } from '../kernel/cron/schedule.ts'
import { tzdataVersion } from '../kernel/cron/zone.ts'
import { FairleadError } from '../kernel/errors.ts'
import type { Context } from './context.ts'
import type { ScheduleNext } from './contract.ts'
import { EXIT } from './exit.ts'
import { columnsOf } from './terminal.ts'

export interface ScheduleNextFlags {
  readonly tz: string
  readonly from?: string
  readonly count: string
  readonly dstGap: string
  readonly dstOverlap: string
  readonly dayMatch: string
  readonly name?: string
}

const COUNT_MAX = 1000
const DAY_MATCHES = ['or', 'and'] as const

export async function scheduleNext(
  { terminal, json, clock }: Pick<Context, 'terminal' | 'json' | 'clock'>,
  expression: string,
  flags: ScheduleNextFlags,
): Promise<number> {
  try {
    const dayMatch = oneOf(DAY_MATCHES, flags.dayMatch, '--day-match')
    const dstGap = oneOf(DST_GAPS, flags.dstGap, '--dst-gap')
    const dstOverlap = oneOf(DST_OVERLAPS, flags.dstOverlap, '--dst-overlap')
    const count = countOf(flags.count)
    const from = flags.from === undefined ? clock.wall() : parseInstant(flags.from, '--from')
    const parsed = parseExpression(expression, { name: flags.name, dayMatch })
    if ('problems' in parsed) {
      terminal.note(`${terminal.red('error')} this is no schedule`)
      for (const problem of parsed.problems) terminal.note(renderProblem(expression, problem))
      return EXIT.usage
    }
    const schedule = compileSchedule({ spec: parsed.spec, zone: flags.tz, dst: { dstGap, dstOverlap }, anchor: from })
    const answer = answerOf([...upcoming(schedule, from, count)], flags.tz)
    if (json) terminal.json(answer)
    else for (const line of linesOf(answer)) terminal.say(line)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof FairleadError)) throw error
    terminal.note(`${terminal.red('error')} ${error.message}`)
    return EXIT.usage
  }
}

function answerOf(fires: readonly Fire[], zone: string): ScheduleNext {
  return {
    zone,
    tzdata: tzdataVersion(),
    fires: fires.map((fire) => ({
      at: isoTime(fire.at),
      local: formatLocal(fire.local),
      offset: formatOffset(fire.offsetMs),
      why: explainWhy(fire),
    })),
  }
}

function linesOf({ fires, zone }: ScheduleNext): string[] {
  if (fires.length === 0) return ['no fire within 60 years']
  const rows = fires.map(({ at, local, offset, why }) => [at, `${local.replace('T', ' ')} ${offset}`, why])
  return columnsOf([['UTC', zone, 'WHY'], ...rows])
}

function oneOf<T extends string>(allowed: readonly T[], given: string, flag: string): T {
  const found = allowed.find((value) => value === given)
  if (found !== undefined) return found
  throw new FairleadError('INVALID_INPUT', `${flag} ${given} is none of ${allowed.join(', ')}`)
}

function countOf(given: string): number {
  const count = /^\d{1,4}$/.test(given) ? Number(given) : 0
  if (count >= 1 && count <= COUNT_MAX) return count
  throw new FairleadError('INVALID_INPUT', `--count ${given} is no number from 1 to ${COUNT_MAX}`)
}
