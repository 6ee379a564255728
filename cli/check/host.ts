// host.ts — what can be looked at without asking any process: Node, the data directory, the disk, the root certificate.

import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statfsSync, statSync } from 'node:fs'
import type { Clock } from '../../kernel/clock.ts'
import type { Paths } from '../up/data-dir.ts'
import { bad, type CheckResult, ok, skipped } from './result.ts'

const NODE_MIN = [24, 12] as const
const FREE_BYTES_MIN = 512 * 1024 * 1024
const ROOT_LEFT_MS_MIN = 30 * 86_400_000
const DAY_MS = 86_400_000

export function hostChecks(paths: Paths, clock: Clock, nodeVersion: string): CheckResult[] {
  return [nodeCheck(nodeVersion, paths.dir), ...directoryChecks(paths), rootCheck(paths, clock)]
}

export function nodeCheck(version: string, dir: string): CheckResult {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number)
  const enough = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1])
  return enough
    ? ok('NODE_VERSION', `Node ${version}`)
    : bad('NODE_VERSION', 'failed', '', `this is Node ${version}`, dir)
}

function directoryChecks({ dir, apiKey }: Paths): CheckResult[] {
  if (!existsSync(dir)) {
    const why = `there is no ${dir} yet`
    return [skipped('DATA_DIR_PRIVATE', why), skipped('DISK_SPACE', why)]
  }
  const open = process.platform === 'win32' ? [] : [dir, apiKey].filter((path) => isOpenToOthers(path))
  const disk = statfsSync(dir)
  const free = disk.bavail * disk.bsize
  const room = `${Math.floor(free / 1024 / 1024)} MiB free`
  return [
    open.length === 0
      ? ok('DATA_DIR_PRIVATE')
      : bad('DATA_DIR_PRIVATE', 'failed', '', `others may open ${open.join(' and ')}`, dir),
    free >= FREE_BYTES_MIN ? ok('DISK_SPACE', room) : bad('DISK_SPACE', 'failed', '', `only ${room}`, dir),
  ]
}

const isOpenToOthers = (path: string): boolean => existsSync(path) && (statSync(path).mode & 0o077) !== 0

function rootCheck({ dir, trustBundle }: Paths, clock: Clock): CheckResult {
  if (!existsSync(trustBundle)) return skipped('ROOT_VALID', 'there is no trust bundle yet')
  try {
    const endsAt = new X509Certificate(readFileSync(trustBundle)).validToDate.getTime()
    const left = endsAt - clock.wall()
    const days = `${Math.floor(left / DAY_MS)} days left`
    if (left <= 0) return bad('ROOT_VALID', 'failed', '', 'the root certificate has ended', dir)
    return left < ROOT_LEFT_MS_MIN ? bad('ROOT_VALID', 'warning', '', days, dir) : ok('ROOT_VALID', days)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return bad('ROOT_VALID', 'failed', '', `${trustBundle} is no certificate: ${why}`, dir)
  }
}
