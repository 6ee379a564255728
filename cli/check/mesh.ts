// mesh.ts — what the running processes say about themselves → results. Pure.

import type { MeshStatus } from '../../control-plane/contract.ts'
import { analyzeConfig } from '../../mesh-config/analysis/analyze.ts'
import { parseConfig } from '../../mesh-config/config.ts'
import type { ConfigFile } from '../../mesh-config/source.ts'
import type { Status } from '../contract.ts'
import { bad, type CheckResult, each, ok } from './result.ts'

export function processChecks(
  processes: Status['processes'],
  alive: (pid: number) => boolean,
  dir: string,
): readonly CheckResult[] {
  const gone = processes.filter(({ pid }) => pid === null || !alive(pid))
  const restarted = processes.filter(({ restarts }) => restarts > 0)
  return [
    ...each(
      'PROCESSES_ALIVE',
      gone.map(({ name }) => bad('PROCESSES_ALIVE', 'failed', name, `${name} does not run`, dir)),
    ),
    ...each(
      'PROCESSES_STABLE',
      restarted.map(({ name, restarts }) =>
        bad('PROCESSES_STABLE', 'warning', name, `${name} was restarted (${restarts}×)`, dir),
      ),
    ),
  ]
}

export interface MeshFacts {
  readonly mesh: MeshStatus
  readonly files: readonly ConfigFile[]
  /** SPIFFE IDs that are revoked as a whole. */
  readonly revokedIds: readonly string[]
}

export function meshChecks({ mesh, files, revokedIds }: MeshFacts, dir: string): readonly CheckResult[] {
  return [
    ...configChecks(mesh, files, dir),
    ...sidecarChecks(mesh, dir),
    ...instanceChecks(mesh, files, dir),
    ...each(
      'IDENTITIES_COUNT',
      [...new Set(mesh.sidecars.map((one) => idOf(mesh.trustDomain, one)))]
        .filter((id) => revokedIds.includes(id))
        .map((id) => bad('IDENTITIES_COUNT', 'failed', id, `${id} is revoked and has sidecars`, dir)),
    ),
  ]
}

const idOf = (trustDomain: string, { namespace, service }: { namespace: string; service: string }): string =>
  `spiffe://${trustDomain}/ns/${namespace}/sa/${service}`

function configChecks(mesh: MeshStatus, files: readonly ConfigFile[], dir: string): CheckResult[] {
  const { version } = mesh.config
  if (version === '') return [bad('CONFIG_APPLIED', 'warning', '', 'no configuration was applied', dir)]
  const analysis = analyzeConfig(files)
  const findings = 'findings' in analysis ? analysis.findings : analysis.problems
  const clean = findings.map(({ code, file, line, column, message }) =>
    bad('CONFIG_CLEAN', 'warning', '', `${code} at ${file}:${line}:${column}: ${message}`, dir),
  )
  return [ok('CONFIG_APPLIED', `configuration ${version}`), ...each('CONFIG_CLEAN', clean)]
}

function sidecarChecks({ sidecars, accepted }: MeshStatus, dir: string): CheckResult[] {
  const away = sidecars.filter((one) => !one.connected)
  const behind = sidecars.filter((one) => one.connected && accepted.missing.includes(one.instance))
  return [
    ...each(
      'SIDECARS_CONNECTED',
      away.map(({ instance }) => bad('SIDECARS_CONNECTED', 'failed', instance, `${instance} is not connected`, dir)),
    ),
    ...each(
      'SIDECARS_ACCEPTED',
      behind.map(({ instance, nack }) => {
        const why = nack[0]
          ? `${instance} refused it: ${nack[0].path}: ${nack[0].message}`
          : `${instance} has not taken it`
        return bad('SIDECARS_ACCEPTED', 'failed', instance, why, dir)
      }),
    ),
  ]
}

function instanceChecks({ instances }: MeshStatus, files: readonly ConfigFile[], dir: string): CheckResult[] {
  const sick = instances.filter((one) => !one.passing)
  return [
    ...each(
      'INSTANCES_HEALTHY',
      sick.map(({ instance }) => bad('INSTANCES_HEALTHY', 'failed', instance, `${instance} does not pass`, dir)),
    ),
    ...each('SERVICES_SERVED', emptyServices(instances, files, dir)),
  ]
}

/** Services of the config, without static endpoints, that no passing instance stands behind. */
function emptyServices(instances: MeshStatus['instances'], files: readonly ConfigFile[], dir: string): CheckResult[] {
  const parsed = parseConfig(files)
  if (!('config' in parsed)) return []
  return parsed.config.services
    .filter(({ name, namespace, spec }) => {
      if (spec.endpoints) return false
      const { service = name, version } = spec.selector ?? {}
      const fits = (one: MeshStatus['instances'][number]): boolean =>
        one.passing &&
        one.service === service &&
        one.namespace === namespace &&
        (version === undefined || one.version === version)
      return !instances.some(fits)
    })
    .map(({ name }) => bad('SERVICES_SERVED', 'warning', name, `the Service ${name} has no healthy instance`, dir))
}
