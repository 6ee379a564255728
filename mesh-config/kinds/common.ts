// common.ts — the words that every kind uses: metadata, names, durations, references.
//
// Schemas stay pure shape (no transforms, no defaults): the same objects become the JSON Schema for editors, and
// compile.ts resolves what was left out (defaults.ts).

import { z } from '../../kernel/parse.ts'
import { DURATION } from '../duration.ts'
import type { ConfigCode, Place } from '../problem.ts'
import type { Aim, Path } from '../source.ts'

/** DNS label: what may stand in a mesh authority. */
export const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
/** DNS subdomain: names of routes and policies. */
export const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/
export const HOSTNAME = /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/
/** RFC 9110 token, as the Gateway API bounds it. */
export const FIELD_NAME = /^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$/
/** No control characters; what a field value may hold. */
export const FIELD_VALUE = /^[^\x00-\x08\x0a-\x1f\x7f]*$/
export const METHOD_TOKEN = /^[A-Z][A-Z-]{0,31}$/

/** Format of a string → the code of the problem when it is not met. */
export const FORMAT_CODES: ReadonlyMap<string, ConfigCode> = new Map([
  [LABEL.toString(), 'BAD_NAME'],
  [SUBDOMAIN.toString(), 'BAD_NAME'],
  [HOSTNAME.toString(), 'BAD_HOSTNAME'],
  [FIELD_NAME.toString(), 'BAD_HEADER'],
  [FIELD_VALUE.toString(), 'BAD_HEADER'],
  [DURATION.toString(), 'BAD_DURATION'],
])

export const Label = z.string().max(63).regex(LABEL)
export const Duration = z.string().regex(DURATION)
export const Namespace = Label

/** What Kubernetes adds on export is taken and means nothing here. */
const metadata = <T extends z.ZodType<string>>(name: T) =>
  z.strictObject({
    name,
    namespace: Namespace.optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
    creationTimestamp: z.string().nullable().optional(),
    generation: z.int().optional(),
    resourceVersion: z.string().optional(),
    uid: z.string().optional(),
  })
export const ServiceMetadata = metadata(Label)
export const Metadata = metadata(z.string().max(253).regex(SUBDOMAIN))

/** Groups that a Service may be named with: Kubernetes' core group and ours. */
export const SERVICE_GROUPS = ['', 'fairlead.dev'] as const
export const ServiceTarget = z.strictObject({
  group: z.enum(SERVICE_GROUPS).optional(),
  kind: z.literal('Service'),
  name: Label,
})

export interface Report {
  error(path: Path, aim: Aim, code: ConfigCode, message: string, hint?: string): void
  warn(path: Path, aim: Aim, code: ConfigCode, message: string, hint?: string): void
}

/** A resource that its schema has let through, with its place. */
export interface Resource<Spec> {
  readonly name: string
  readonly namespace: string
  readonly place: Place
  readonly spec: Spec
}
