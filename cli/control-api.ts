// control-api.ts — the operator API of the control plane that runs in the data directory.

import { type ApiClient, openClient } from './client.ts'
import type { Context } from './context.ts'
import { findRunning } from './running.ts'

/** @throws UNREACHABLE when nothing runs there. */
export async function withControl<T>(context: Context, use: (api: ApiClient) => Promise<T>): Promise<T> {
  const { state, apiKey } = findRunning(context)
  const api = openClient(state.addresses.controlApi, apiKey)
  try {
    return await use(api)
  } finally {
    await api.close()
  }
}
