// loopback.ts — which Host headers name this machine: the defence against DNS rebinding.
//
// A page of another origin can make a browser send requests to 127.0.0.1, but not with one of these names in Host.

import { FairleadError } from '../kernel/errors.ts'

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/

/** `Host` header, with or without port. Absent (HTTP/1.0) is foreign. */
export function isLoopbackHost(host: string | undefined): boolean {
  return host !== undefined && LOOPBACK.test(host.toLowerCase().replace(/:\d{1,5}$/, ''))
}

export interface Listen {
  readonly host: string
  readonly port: number
}

/** `HOST:PORT` of a listener that must stay on this machine. @throws FairleadError INVALID_INPUT */
export function parseLoopbackListen(text: string, flag: string): Listen {
  const listen = parseListen(text, flag)
  if (!isLoopbackHost(listen.host.includes(':') ? `[${listen.host}]` : listen.host)) {
    throw new FairleadError('INVALID_INPUT', `${flag} ${text}: only loopback addresses are served here.`)
  }
  return listen
}

/** `HOST:PORT`, IPv6 in brackets; port 0 = any free one. @throws FairleadError INVALID_INPUT */
export function parseListen(text: string, flag: string): Listen {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) throw new FairleadError('INVALID_INPUT', `${flag} ${text}: expected HOST:PORT.`)
  return { host: match[1] ?? match[2]!, port }
}
