// listening.ts — waits until a server listens; a port that is taken becomes a word that the user can act on.

import type { Server } from 'node:net'
import { FairleadError } from '../kernel/errors.ts'
import type { Listen } from './loopback.ts'

/** @throws FairleadError PORT_IN_USE, INVALID_INPUT */
export function listening(server: Server, listen: Listen): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => reject(listenError(error, listen))
    server.once('error', onError)
    server.listen(listen.port, listen.host, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

export function listenError(cause: unknown, { host, port }: Listen): unknown {
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined
  if (code === 'EADDRINUSE') return new FairleadError('PORT_IN_USE', `${host}:${port} is in use.`, { cause })
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES') {
    return new FairleadError('INVALID_INPUT', `Cannot listen on ${host}:${port}: ${code}.`, { cause })
  }
  return cause
}
