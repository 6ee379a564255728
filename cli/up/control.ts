// control.ts — what `up` asks of the control plane: join tokens for sidecars, the configuration, who is ready.

import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { JoinTokenAnswerSchema, type MeshStatus, MeshStatusSchema } from '../../control-plane/contract.ts'
import { parseWith } from '../../kernel/parse.ts'
import type { ConfigFile } from '../../mesh-config/source.ts'
import type { ApiClient } from '../client.ts'
import { writeAtomic } from './data-dir.ts'

/** A sidecar that starts while the control plane is away must not wait long: it has its last good state. */
const TOKEN_TIMEOUT_MS = 2_000

export async function writeJoinToken(
  api: ApiClient,
  who: { service: string; namespace: string; joinTokenFile: string },
): Promise<void> {
  const body = { service: who.service, namespace: who.namespace }
  const raw = await api.call('/api/v1/join-tokens', { method: 'POST', body, timeoutMs: TOKEN_TIMEOUT_MS })
  const { token } = parseWith(JoinTokenAnswerSchema, raw, 'answer of /api/v1/join-tokens')
  mkdirSync(dirname(who.joinTokenFile), { recursive: true, mode: 0o700 })
  writeAtomic(who.joinTokenFile, `${token}\n`)
}

/** Replaces the whole configuration. @throws CONFIG_INVALID with `file:line:column` of every problem. */
export async function putConfig(api: ApiClient, files: readonly ConfigFile[]): Promise<void> {
  await api.call('/api/v1/config', { method: 'PUT', body: { files } })
}

export async function readMesh(api: ApiClient): Promise<MeshStatus> {
  return parseWith(MeshStatusSchema, await api.call('/api/v1/mesh'), 'answer of /api/v1/mesh')
}
