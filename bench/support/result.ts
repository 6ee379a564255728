// result.ts — what a bench returns, medians and spreads, and how it is printed.

import { arch, cpus, release, totalmem } from 'node:os'

export interface BenchOptions {
  /** Only this case. */
  readonly only?: string
  /** Length of one round. */
  readonly seconds?: number
  readonly rounds?: number
  /** Progress, on stderr. */
  readonly note: (text: string) => void
}

export interface BenchCase {
  readonly name: string
  readonly unit: string
  /** Median. */
  readonly ours: number
  /** Medians. */
  readonly peers: Readonly<Record<string, number>>
  /** ours / peer. */
  readonly ratio: Readonly<Record<string, number>>
  /** Lowest and highest round of each side. */
  readonly spread: Readonly<Record<string, readonly [number, number]>>
}

export interface BenchResult {
  readonly bench: string
  readonly machine?: Readonly<Record<string, string | number>>
  readonly cases: readonly BenchCase[]
}

/** `rounds`: side → one figure per round; `ours` is the side of that name. */
export function benchCase(name: string, unit: string, rounds: Readonly<Record<string, readonly number[]>>): BenchCase {
  const medians = Object.entries(rounds).map(([side, figures]) => [side, round(median(figures))] as const)
  const ours = medians.find(([side]) => side === 'ours')?.[1] ?? 0
  const peers = Object.fromEntries(medians.filter(([side]) => side !== 'ours'))
  return {
    name,
    unit,
    ours,
    peers,
    ratio: Object.fromEntries(Object.entries(peers).map(([side, value]) => [side, round(ours / value)])),
    spread: Object.fromEntries(
      Object.entries(rounds).map(([side, figures]) => [
        side,
        [round(Math.min(...figures)), round(Math.max(...figures))] as const,
      ]),
    ),
  }
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function machine(): Record<string, string | number> {
  const [cpu] = cpus()
  return {
    cpu: cpu?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    arch: arch(),
    kernel: release(),
    node: process.version,
  }
}

export function printTable(result: BenchResult): string {
  const rows = result.cases.map((one) => {
    const range = ([low, high]: readonly [number, number]): string => `${low}…${high}`
    const peers = Object.entries(one.peers).map(
      ([side, value]) => `${side} ${value} (${range(one.spread[side]!)}), ratio ${one.ratio[side]}`,
    )
    return `${one.name.padEnd(14)} ${one.unit.padEnd(14)} ours ${one.ours} (${range(one.spread['ours']!)})  ${peers.join('  ')}`
  })
  return `${result.bench}\n${rows.map((row) => `  ${row}`).join('\n')}\n`
}

const round = (value: number): number => Math.round(value * 100) / 100
