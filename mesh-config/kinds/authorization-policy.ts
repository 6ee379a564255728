// authorization-policy.ts — fairlead.dev/v1 AuthorizationPolicy: who may call a Service. DENY over ALLOW.
//
// The first policy on a service makes it default-deny. A rule fits when all that it says fits; a rule that says nothing
// fits every request; a policy without rules fits none (ALLOW without rules = nobody).

import { z } from '../../kernel/parse.ts'
import { pathFault } from '../path.ts'
import type { Path } from '../source.ts'
import { Label, METHOD_TOKEN, Metadata, type Report, ServiceTarget } from './common.ts'
import { OUR_API } from './mesh.ts'
import { principalFault } from './principal.ts'
import { checkTargets } from './traffic-policy.ts'

const List = z.array(z.string().min(1).max(2048)).min(1).max(256)

const PolicyRule = z.strictObject({
  from: z
    .strictObject({ principals: List.optional(), namespaces: z.array(Label).min(1).max(256).optional() })
    .optional(),
  to: z.strictObject({ methods: List.optional(), paths: List.optional() }).optional(),
})

export const AuthorizationPolicySchema = z.strictObject({
  apiVersion: z.literal(OUR_API),
  kind: z.literal('AuthorizationPolicy'),
  metadata: Metadata,
  spec: z.strictObject({
    targetRef: ServiceTarget.optional(),
    targetRefs: z.array(ServiceTarget).min(1).max(16).optional(),
    action: z.enum(['ALLOW', 'DENY']).optional(),
    rules: z.array(PolicyRule).max(64).optional(),
  }),
})
export type AuthorizationPolicyDocument = z.infer<typeof AuthorizationPolicySchema>

export function checkAuthorizationPolicy(policy: AuthorizationPolicyDocument, report: Report): void {
  checkTargets(policy, report)
  for (const [index, rule] of (policy.spec.rules ?? []).entries()) {
    const path = ['spec', 'rules', index]
    each(rule.from?.principals, [...path, 'from', 'principals'], (principal, at) => {
      const fault = principalFault(principal)
      if (fault) report.error(at, 'value', 'BAD_PRINCIPAL', `"${principal}" ${fault}`)
    })
    each(rule.to?.methods, [...path, 'to', 'methods'], (method, at) => {
      if (!METHOD_TOKEN.test(method)) {
        report.error(at, 'value', 'BAD_VALUE', `"${method}" is no method`, 'Methods are upper-case: GET, POST …')
      }
    })
    each(rule.to?.paths, [...path, 'to', 'paths'], (text, at) => checkPath(text, at, report))
  }
}

function checkPath(text: string, at: Path, report: Report): void {
  const stem = text.endsWith('*') ? text.slice(0, -1) : text
  const fault = stem.includes('*') ? 'holds a * before its end' : stem === '' ? undefined : pathFault(stem)
  if (fault) report.error(at, 'value', 'BAD_PATH', `the path "${text}" ${fault}`)
}

function each(list: readonly string[] | undefined, path: Path, check: (item: string, at: Path) => void): void {
  for (const [index, item] of (list ?? []).entries()) check(item, [...path, index])
}
