// support.ts — YAML snippets for the tests of the config language.

import type { Instance, Self } from '../../mesh-config/compile.ts'
import { type MeshConfig, type ParsedConfig, parseConfig } from '../../mesh-config/config.ts'
import { renderProblem } from '../../mesh-config/problem.ts'

export const parse = (...texts: string[]): ParsedConfig =>
  parseConfig(texts.map((text, index) => ({ name: texts.length === 1 ? 'a.yaml' : `${index + 1}.yaml`, text })))

/** For config that must be valid. */
export function valid(...texts: string[]): MeshConfig {
  const parsed = parse(...texts)
  if ('problems' in parsed) throw new Error(parsed.problems.map((problem) => renderProblem(problem)).join('\n\n'))
  return parsed.config
}

export const service = (name: string, spec = '{}', namespace = 'default'): string =>
  `---\napiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`

/** `rules`: flow YAML of the list. */
export const route = (
  name: string,
  parent: string,
  rules: string,
  { namespace = 'default', parentNamespace = 'default' }: { namespace?: string; parentNamespace?: string } = {},
): string => `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  parentRefs: [{group: "", kind: Service, name: ${parent}, namespace: ${parentNamespace}}]
  rules: ${rules}
`

export const ours = (kind: string, name: string, spec: string, namespace = 'default'): string =>
  `---\napiVersion: fairlead.dev/v1\nkind: ${kind}\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`

export const instance = (id: string, part: Partial<Instance> = {}): Instance => ({
  instance: id,
  service: 'worker',
  namespace: 'default',
  version: 'v1',
  region: '',
  address: '127.0.0.1',
  port: 7000,
  passing: true,
  ...part,
})

export const CALLER: Self = { service: 'scheduler', namespace: 'default', version: 'v1', instance: 'scheduler-1' }
