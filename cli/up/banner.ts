// banner.ts — what stands on the screen while Fairlead runs: five aligned lines and three things to try.

import { relative } from 'node:path'
import type { Terminal } from '../terminal.ts'
import type { Plan } from './plan.ts'

export interface BannerInput {
  readonly addresses: Plan['addresses']
  readonly dataDir: string
  readonly ephemeral: boolean
  readonly demo: boolean
}

export function showBanner(input: BannerInput, terminal: Terminal): void {
  const { addresses, dataDir } = input
  const rows: [string, string, string][] = [
    ['API', addresses.jobs, 'jobs; the key is in the data directory (api-key)'],
    ['Proxy', addresses.proxy, 'http_proxy for http://<service>.mesh/'],
    ['Metrics', `${addresses.jobs}/metrics`, `sidecar: ${addresses.admin}/metrics`],
    ['Data', here(dataDir), input.ephemeral ? 'goes when Fairlead stops' : 'kept for the next start'],
    ['Stop', 'Ctrl-C', 'finishes what runs; a second Ctrl-C ends at once'],
  ]
  const widths = [0, 1].map((i) => Math.max(...rows.map((row) => row[i]!.length)))
  terminal.say('')
  for (const [label, value, more] of rows) {
    terminal.say(`  ${terminal.bold(label.padEnd(widths[0]!))}  ${value.padEnd(widths[1]!)}  ${terminal.dim(more)}`)
  }
  terminal.say('\nTry next:')
  for (const command of commands(input)) terminal.say(`  ${command}`)
}

function commands({ dataDir, demo }: BannerInput): string[] {
  const where = here(dataDir) === '.fairlead' ? '' : ` --data-dir ${here(dataDir)}`
  const run = 'npm run -s fairlead --'
  return [
    `${run} status${where}`,
    `${run} job list --limit 5${where}`,
    demo
      ? `${run} route explain --config mesh-config/demo http://worker.mesh/`
      : `${run} config validate mesh-config/demo`,
  ]
}

function here(path: string): string {
  const short = relative(process.cwd(), path)
  return short === '' || short.startsWith('..') ? path : short
}
