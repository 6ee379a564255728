// node-upstream.ts — the upstream where nginx is missing: a child process that answers 36 bytes, plain and mutual TLS.

import { join } from 'node:path'
import type { MeshFiles } from './mesh-files.ts'
import { freePort, type Running, start, waitForPort } from './processes.ts'

export async function nodeUpstream(files: MeshFiles): Promise<{ plain: number; tls: number; running: Running }> {
  const [plain, tls] = [await freePort(), await freePort()]
  const script = join(import.meta.dirname, 'node-upstream-main.ts')
  const { cert, key } = files.app
  const running = start(process.execPath, [script, String(plain), String(tls), cert, key, files.bundle])
  await waitForPort(tls, running)
  return { plain, tls, running }
}
