// routes.ts — the operator API's paths: parse the input, ask one part, answer its words.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { isRevoked, type Revoked } from '../../certs/revoked.ts'
import { isoTime } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseWith, z } from '../../kernel/parse.ts'
import type { ConfigStore } from '../config-store.ts'
import {
  type Ca,
  ConfigDiffRequestSchema,
  ConfigPutSchema,
  JoinTokenAnswerSchema,
  JoinTokenRequestSchema,
  type MeshStatus,
  RevokeRequestSchema,
  RollbackRequestSchema,
} from '../contract.ts'
import type { JoinTokens } from '../identity/join-tokens.ts'
import type { Revoker } from '../identity/revoke.ts'
import type { Metrics } from '../metrics.ts'
import { AUDIT_ANSWER_MAX, type Audit } from '../state/audit.ts'
import type { Issued, IssuedCertificate } from '../state/issued.ts'

export interface RouteParts {
  readonly tokens: JoinTokens
  readonly config: ConfigStore
  readonly audit: Audit
  readonly revoker: Revoker
  readonly issued: Issued
  readonly metrics: Metrics
  mesh(): MeshStatus
  ca(): Ca
  /** What is missing; empty = ready. */
  notReady(): readonly string[]
}

const AUTHOR = /^[\w.@+ -]{1,64}$/
const Limit = z.strictObject({
  limit: z.coerce.number().int().min(1).max(AUDIT_ANSWER_MAX).default(100),
  before: z.coerce.number().int().min(1).optional(),
})

const CertificatesQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(AUDIT_ANSWER_MAX).default(100),
  id: z.string().max(2048).optional(),
})

export function addRoutes(app: FastifyInstance, parts: RouteParts): void {
  const { tokens, config, audit, metrics, revoker, issued } = parts

  app.get('/healthz', async () => ({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    const reasons = parts.notReady()
    return reply.code(reasons.length === 0 ? 200 : 503).send({ ready: reasons.length === 0, reasons })
  })
  app.get('/metrics', async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )

  app.post('/api/v1/join-tokens', async (request, reply) => {
    const { service, namespace, ttlMs } = parseWith(JoinTokenRequestSchema, request.body, 'join token request')
    const issued = JoinTokenAnswerSchema.parse(await tokens.issue(service, namespace, ttlMs))
    // The token itself is a secret: it goes into the answer and nowhere else.
    audit.record('join-token.create', authorOf(request), issued.spiffeId, { expiresAt: issued.expiresAt })
    return reply.code(201).send(issued)
  })

  app.get('/api/v1/mesh', async () => parts.mesh())

  app.put('/api/v1/config', async (request) => {
    const { files } = parseWith(ConfigPutSchema, request.body, 'config')
    refuseTwins(files.map((file) => file.name))
    return config.apply(files, authorOf(request))
  })
  app.get('/api/v1/config', async () => {
    const applied = config.applied
    return applied ?? { seq: 0, version: '', appliedAt: '', author: '', files: [] }
  })
  app.get('/api/v1/config/history', async () => ({
    history: config.history().map(({ seq, version, appliedAt, author, files }) => ({
      seq,
      version,
      appliedAt,
      author,
      sources: files.map((file) => file.name),
    })),
  }))

  app.post('/api/v1/config/rollback', async (request) => {
    const { version } = parseWith(RollbackRequestSchema, request.body, 'rollback request')
    return config.rollback(version, authorOf(request))
  })
  app.post('/api/v1/config/diff', async (request) => {
    const asked = parseWith(ConfigDiffRequestSchema, request.body, 'diff request')
    if ('version' in asked) return config.diff(asked.version, authorOf(request))
    refuseTwins(asked.files.map((file) => file.name))
    return config.diff(asked.files, authorOf(request))
  })

  app.get('/api/v1/revocations', async () => ({ revocations: revoker.list() }))
  app.post('/api/v1/revocations', async (request, reply) => {
    const asked = parseWith(RevokeRequestSchema, request.body, 'revocation')
    const answer = revoker.revoke(asked, authorOf(request))
    return reply.code(answer.changed ? 201 : 200).send(answer)
  })
  app.post('/api/v1/revocations/restore', async (request) => {
    const asked = parseWith(RevokeRequestSchema, request.body, 'revocation')
    return { changed: revoker.restore(asked, authorOf(request)) }
  })
  app.get('/api/v1/ca', async () => parts.ca())
  app.get('/api/v1/certificates', async (request) => {
    const { limit, id } = parseWith(CertificatesQuery, request.query, 'query')
    return { certificates: issued.recent(limit, id).map((one) => certificate(one, revoker.current)) }
  })

  app.get('/api/v1/audit', async (request) => {
    const { limit, before } = parseWith(Limit, request.query, 'query')
    return { rows: audit.recent(limit, before) }
  })
}

function certificate({ serial, spiffeId, proof, notAfter }: IssuedCertificate, revoked: Revoked | undefined) {
  return { serial, spiffeId, proof, notAfter: isoTime(notAfter), revoked: isRevoked(revoked, serial, spiffeId) }
}

/** The key says that it is an operator; who of them is their own word. */
function authorOf(request: FastifyRequest): string {
  const author = request.headers['x-fairlead-author']
  if (author === undefined) return 'operator'
  if (typeof author !== 'string' || !AUTHOR.test(author)) {
    throw new FairleadError('INVALID_INPUT', 'X-Fairlead-Author is 1…64 letters, digits and . _ @ + - or space.')
  }
  return author
}

function refuseTwins(names: readonly string[]): void {
  const twin = names.find((name, at) => names.indexOf(name) !== at)
  if (twin === undefined) return
  const problems = [{ path: '$.files', message: `two files are named ${twin}` }]
  throw new FairleadError('INVALID_INPUT', `Two files are named ${twin}.`, { problems })
}
