// sink.ts — the independent count of executions: one line per started handler, appended by the handler itself.
//
// Each line is one write(2) on an O_APPEND descriptor, far below PIPE_BUF's order of size, so lines of several
// processes never mix. Never: read by the product's own store; the report counts its lines.

import { open } from 'node:fs/promises'
import type { Closable } from '../../kernel/lifetime.ts'

export interface Execution {
  readonly run: string
  readonly job: string
  readonly attempt: number
  readonly token: string
  readonly version: string
  readonly pid: number
  /** RFC 3339. */
  readonly at: string
}

export interface Sink extends Closable {
  append(execution: Execution): Promise<void>
}

export async function openSink(file: string): Promise<Sink> {
  const handle = await open(file, 'a', 0o600)
  return {
    append: async (execution) => {
      await handle.write(`${JSON.stringify(execution)}\n`)
    },
    close: () => handle.close(),
  }
}

/** Without `--sink` nobody counts. */
export const noSink: Sink = { append: async () => undefined, close: async () => undefined }
