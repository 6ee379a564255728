// proxy.ts — CPU per proxied request, ours beside nginx and HAProxy (bench/parity.md says how they are made alike).
//
// Cases: `one-hop-32` (plain in → mTLS out, 32 connections), `two-hop-4/32/128` (app → proxy ═mTLS═ proxy → app).
// Each round drives every side once, in turn, so that a busy machine hurts all of them; the median of the rounds counts.

import { createServer } from 'node:http'
import { fairleadSide } from './support/fairlead.ts'
import { haproxySide, hasHaproxy } from './support/haproxy.ts'
import { load } from './support/load.ts'
import { type MeshFiles, meshFiles } from './support/mesh-files.ts'
import { hasNginx, nginxSide, nginxUpstream } from './support/nginx.ts'
import { nodeUpstream } from './support/node-upstream.ts'
import { cpuMicros } from './support/processes.ts'
import { type BenchCase, type BenchOptions, type BenchResult, benchCase } from './support/result.ts'
import type { Scene, Side } from './support/sides.ts'

const CASES = [
  { name: 'one-hop-32', hops: 'one', connections: 32 },
  { name: 'two-hop-4', hops: 'two', connections: 4 },
  { name: 'two-hop-32', hops: 'two', connections: 32 },
  { name: 'two-hop-128', hops: 'two', connections: 128 },
] as const

const ROUNDS = 5
const SECONDS = 3
/** Our side compiles its hot path while it warms up; on a busy machine that takes seconds. */
const WARM_UP_SECONDS = 5

export async function run(options: BenchOptions): Promise<BenchResult> {
  const wanted = CASES.filter(({ name }) => options.only === undefined || name === options.only)
  if (wanted.length === 0)
    throw new Error(`no case ${options.only}; there are ${CASES.map(({ name }) => name).join(', ')}`)
  const files = await meshFiles()
  const stops: (() => unknown)[] = [() => files.remove()]
  try {
    const collector = await startCollector(stops)
    const upstream = hasNginx ? await nginxUpstream(files) : await nodeUpstream(files)
    stops.push(() => upstream.running.stop())
    const cases: BenchCase[] = []
    for (const hops of ['one', 'two'] as const) {
      const some = wanted.filter((one) => one.hops === hops)
      if (some.length === 0) continue
      const scene: Scene = { hops, plainUpstream: upstream.plain, tlsUpstream: upstream.tls }
      const sides = await startSides(files, scene, collector, stops)
      for (const { name, connections } of some) cases.push(await measure(name, connections, sides, options))
    }
    return { bench: 'proxy', cases }
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

async function startSides(
  files: MeshFiles,
  scene: Scene,
  collector: string,
  stops: (() => unknown)[],
): Promise<Side[]> {
  const sides: Side[] = []
  const add = (side: Side): void => {
    sides.push(side)
    stops.push(() => side.stop())
  }
  add(await fairleadSide(files, scene, collector))
  if (hasNginx) add(await nginxSide(files, scene))
  if (hasHaproxy) add(await haproxySide(files, scene))
  return sides
}

async function measure(name: string, connections: number, sides: Side[], options: BenchOptions): Promise<BenchCase> {
  const seconds = options.seconds ?? SECONDS
  const figures: Record<string, number[]> = {}
  for (const side of sides) await load({ port: side.port, host: 'app.mesh', connections, seconds: WARM_UP_SECONDS })
  for (let round = 0; round < Math.max(1, options.rounds ?? ROUNDS); round++) {
    for (const side of sides) {
      const before = side.pids.reduce((sum, pid) => sum + cpuMicros(pid), 0)
      const requests = await load({ port: side.port, host: 'app.mesh', connections, seconds })
      const used = side.pids.reduce((sum, pid) => sum + cpuMicros(pid), 0) - before
      figures[side.name] ??= []
      figures[side.name]!.push(used / requests)
      options.note(
        `${name} round ${round + 1} ${side.name}: ${(used / requests).toFixed(2)} µs, ${Math.round(requests / seconds)} requests/s`,
      )
    }
  }
  return benchCase(name, 'CPU µs/request', figures)
}

/** Takes spans and throws them away. */
async function startCollector(stops: (() => unknown)[]): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    request.on('end', () => response.end('{}'))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  stops.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const address = server.address()
  return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`
}
