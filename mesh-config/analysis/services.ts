// services.ts — Services that nothing leads to.
//
// A plain Service is called by its name, by anybody: it is never unused. A part of one (`selector` with a version, or of
// another name) is there to be a backend or the parent of a route.

import type { ServiceResource } from '../config.ts'
import { isServiceParent } from '../kinds/http-route.ts'
import type { ConfigProblem } from '../problem.ts'
import type { Analysed } from './analyze.ts'

export function serviceFindings({ config, located }: Analysed): ConfigProblem[] {
  const used = new Set<string>()
  for (const route of config.routes) {
    for (const ref of route.spec.parentRefs) {
      if (isServiceParent(ref)) used.add(`${ref.namespace ?? route.namespace}/${ref.name}`)
    }
    for (const ref of (route.spec.rules ?? []).flatMap((rule) => rule.backendRefs ?? [])) {
      used.add(`${ref.namespace ?? route.namespace}/${ref.name}`)
    }
  }
  return config.services
    .filter((service) => isPart(service) && !used.has(`${service.namespace}/${service.name}`))
    .map((service) => {
      const { service: of = service.name, version } = service.spec.selector ?? {}
      const message = `no route names ${service.name} (${of}${version === undefined ? '' : ` ${version}`})`
      return located.finding('Service', service, ['metadata', 'name'], 'value', { code: 'SERVICE_UNUSED', message })
    })
}

const isPart = ({ name, spec }: ServiceResource): boolean =>
  spec.selector?.version !== undefined || (spec.selector?.service ?? name) !== name
