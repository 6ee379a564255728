// kinds.ts — the table of kinds: what each one's shape is, what else it must obey, and who applies those that we do not.

import type { z } from '../../kernel/parse.ts'
import { AuthorizationPolicySchema, checkAuthorizationPolicy } from './authorization-policy.ts'
import type { Report } from './common.ts'
import { checkHttpRoute, GATEWAY_API, HttpRouteSchema } from './http-route.ts'
import { checkMesh, MeshSchema, OUR_API } from './mesh.ts'
import { checkService, ServiceDocumentSchema } from './service.ts'
import { checkTrafficPolicy, TrafficPolicySchema } from './traffic-policy.ts'

interface Kind<T> {
  readonly apiVersion: string
  readonly schema: z.ZodType<T>
  readonly check: (value: T, report: Report) => void
}
const kind = <T>(apiVersion: string, schema: z.ZodType<T>, check: Kind<T>['check']): Kind<T> => ({
  apiVersion,
  schema,
  check,
})

export const KINDS = {
  HTTPRoute: kind(GATEWAY_API, HttpRouteSchema, checkHttpRoute),
  Mesh: kind(OUR_API, MeshSchema, checkMesh),
  Service: kind(OUR_API, ServiceDocumentSchema, checkService),
  TrafficPolicy: kind(OUR_API, TrafficPolicySchema, checkTrafficPolicy),
  AuthorizationPolicy: kind(OUR_API, AuthorizationPolicySchema, checkAuthorizationPolicy),
} as const

export type KindName = keyof typeof KINDS
export const isKindName = (name: string): name is KindName => Object.hasOwn(KINDS, name)

/** Kinds of fairlead.dev/v1 that this folder knows by name only → who applies them. */
export const OTHER_KINDS: ReadonlyMap<string, string> = new Map([
  ['Queue', 'applied by the scheduler, not by this build'],
  ['Schedule', 'applied by the scheduler, not by this build'],
  ['JobTemplate', 'applied by the scheduler, not by this build'],
  ['Workflow', 'applied by the scheduler, not by this build'],
  ['Rollout', 'applied by the rollout controller, not by this build'],
])
