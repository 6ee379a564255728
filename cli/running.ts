// running.ts — finds the Fairlead that runs in a data directory, and opens clients to its APIs.

import { resolve } from 'node:path'
import { type ApiClient, openClient } from './client.ts'
import type { Context } from './context.ts'
import { DATA_DIR_DEFAULT, type Paths, pathsOf, readApiKey } from './up/data-dir.ts'
import { readState, type UpState } from './up/state-file.ts'

export interface Running {
  readonly state: UpState
  readonly paths: Paths
  readonly apiKey: string
}

/** @throws UNREACHABLE when nothing runs there. */
export function findRunning(context: Pick<Context, 'dataDir'>): Running {
  const paths = pathsOf(resolve(context.dataDir ?? DATA_DIR_DEFAULT))
  const state = readState(paths.state)
  return { state, paths, apiKey: readApiKey(paths.apiKey) }
}

export interface ApiFlags {
  readonly url?: string
  readonly apiKeyFile?: string
}

/** The job API: of `--url` with `--api-key-file`, or of what runs in the data directory. */
export async function withJobs<T>(context: Context, flags: ApiFlags, use: (api: ApiClient) => Promise<T>): Promise<T> {
  const api = jobsClient(context, flags)
  try {
    return await use(api)
  } finally {
    await api.close()
  }
}

function jobsClient(context: Context, flags: ApiFlags): ApiClient {
  const url = flags.url ?? context.env['FAIRLEAD_URL']
  const keyFile = flags.apiKeyFile ?? context.env['FAIRLEAD_API_KEY_FILE']
  if (url === undefined) {
    const { state, apiKey } = findRunning(context)
    return openClient(state.addresses.jobs, keyFile === undefined ? apiKey : readApiKey(keyFile))
  }
  const paths = pathsOf(resolve(context.dataDir ?? DATA_DIR_DEFAULT))
  return openClient(url.replace(/\/+$/, ''), readApiKey(keyFile ?? paths.apiKey))
}
