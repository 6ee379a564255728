// control.ts — what `up` asks of the control plane: join tokens for sidecars, the configuration, who is ready.

import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { JoinTokenAnswerSchema, type MeshStatus, MeshStatusSchema } from '../../control-plane/contract.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseWith } from '../../kernel/parse.ts'
import type { ApiClient } from '../client.ts'
import { writeAtomic } from './data-dir.ts'

/** A sidecar that starts while the control plane is away must not wait long: it has its last good state. */
const TOKEN_TIMEOUT_MS = 2_000

export interface ConfigFile {
  readonly name: string
  readonly text: string
}

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

/** YAML files named, or those directly inside the folders named, in order of their names. */
export function readConfigFiles(paths: readonly string[]): ConfigFile[] {
  const files = paths.flatMap((path) => (isFolder(path) ? yamlFilesIn(path) : [path]))
  if (files.length === 0) throw new FairleadError('CONFIG_INVALID', `No YAML files in ${paths.join(', ')}.`)
  return files.map((file) => ({ name: basename(file), text: readFileSync(file, 'utf8') }))
}

function isFolder(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) throw new FairleadError('CONFIG_INVALID', `There is no ${path}.`)
  return found.isDirectory()
}

function yamlFilesIn(folder: string): string[] {
  const names = readdirSync(folder).filter((name) => /\.ya?ml$/.test(name))
  return names.sort().map((name) => join(folder, name))
}
