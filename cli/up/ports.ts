// ports.ts — gives every process its ports, once; they stay the same however often it is restarted.
//
// Well-known ports are tried first; one that is taken is named with its holder and replaced. The others come from
// below the range that the system gives to outgoing connections, so that nothing takes them between two starts.

import { createServer } from 'node:net'
import { FairleadError } from '../../kernel/errors.ts'
import type { Random } from '../../kernel/random.ts'

export const WELL_KNOWN = { controlApi: 7400, controlStream: 7401, registry: 7402, jobs: 7410, proxy: 15_001 } as const
export type WellKnown = keyof typeof WELL_KNOWN

const OTHERS_FROM = 15_010
const OTHERS_TO = 15_999
/** `--port-base 0`: everything from a random place here; for tests that run side by side. */
const RANDOM_FROM = 20_000
const RANDOM_TO = 31_000
const TRIES_MAX = 2_000

export interface Ports {
  /** A port that others know by heart, or another one when it is taken. */
  wellKnown(name: WellKnown): Promise<number>
  other(): Promise<number>
}

export interface PortOptions {
  /** undefined: the well-known ports; 0: a random free range; else `base + n` for the n-th port. */
  readonly base: number | undefined
  readonly random: Random
  /** Tells about a well-known port that was taken. */
  readonly onTaken: (message: string) => void
  /** May this port be had, and is it ours from now on? */
  readonly claim: (port: number) => Promise<boolean>
  /** Who has a port that could not be claimed. */
  readonly holder: (port: number) => string | undefined
}

export function assignPorts(options: PortOptions): Ports {
  const { base, claim } = options
  const span = base === undefined ? OTHERS_TO - OTHERS_FROM : RANDOM_TO - RANDOM_FROM
  const from = base === undefined ? OTHERS_FROM : base === 0 ? RANDOM_FROM + options.random.int(span / 2) : base
  let next = from
  const other = async (): Promise<number> => {
    for (let tries = 0; tries < Math.min(span, TRIES_MAX) && next <= 65_535; tries++) {
      const port = next++
      if (await claim(port)) return port
    }
    throw new FairleadError('PORT_IN_USE', `No free port from ${from} on.`)
  }
  const wellKnown = async (name: WellKnown): Promise<number> => {
    if (base !== undefined) return await other()
    const wanted = WELL_KNOWN[name]
    if (await claim(wanted)) return wanted
    const port = await other()
    options.onTaken(
      `Port ${wanted} is in use by ${options.holder(wanted) ?? 'another process'}; ${name} takes ${port}.`,
    )
    return port
  }
  return { wellKnown, other }
}

export function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => probe.close(() => resolve(true)))
  })
}
