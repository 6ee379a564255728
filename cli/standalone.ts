// standalone.ts — `fairlead proxy --standalone FILE.yaml`: one sidecar on static endpoints, without control plane.
//
// The proxy cannot read YAML (DESIGN.md §4): we compile it to a snapshot file that the proxy watches, again whenever the
// YAML changes. YAML that is wrong is told with every place and changes nothing; at the start it ends us with exit 4.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { FairleadError } from '../kernel/errors.ts'
import { parseConfig } from '../mesh-config/config.ts'
import { readConfigFiles } from '../mesh-config/files.ts'
import { renderProblem } from '../mesh-config/problem.ts'
import type { ConfigFile } from '../mesh-config/source.ts'
import { compileStandalone } from '../mesh-config/standalone.ts'
import type { Context } from './context.ts'
import { EXIT } from './exit.ts'
import { runInOurPlace } from './in-our-place.ts'
import { writeAtomic } from './up/data-dir.ts'

const ROOT = resolve(import.meta.dirname, '..')
const WATCH_MS = 500
const OUTBOUND_DEFAULT = '127.0.0.1:15001'
const ADMIN_DEFAULT = '127.0.0.1:0'
const PASSED_ON = ['outbound', 'inbound', 'app', 'admin', 'cert', 'key', 'trust-bundle', 'access-log'] as const

export async function runStandalone(args: readonly string[], context: Context): Promise<number> {
  const values = parseFlags(args, context)
  if (values === undefined) return EXIT.usage
  const { standalone: path, service } = values
  const trustBundle = values['trust-bundle']
  const compile = (files: readonly ConfigFile[]): string => compileFiles(files, { service, trustBundle })
  const first = await readConfigFiles(path)
  const text = compile(first)
  const dir = mkdtempSync(join(tmpdir(), 'fairlead-standalone-'))
  const snapshotFile = join(dir, 'snapshot.json')
  writeAtomic(snapshotFile, text)
  const watch = context.clock.every(WATCH_MS, startWatch(path, first, { compile, snapshotFile, context }))
  try {
    const flags = PASSED_ON.flatMap((name) => (values[name] === undefined ? [] : [`--${name}`, values[name]]))
    return await runInOurPlace([join(ROOT, 'proxy', 'main.ts'), '--snapshot', snapshotFile, ...flags])
  } finally {
    watch.cancel()
    rmSync(dir, { recursive: true, force: true })
  }
}

type StandaloneFlags = { standalone: string; service?: string } & Partial<Record<(typeof PASSED_ON)[number], string>>

function parseFlags(args: readonly string[], { terminal }: Context): StandaloneFlags | undefined {
  const text = { type: 'string' } as const
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        standalone: text,
        service: text,
        outbound: { ...text, default: OUTBOUND_DEFAULT },
        inbound: text,
        app: text,
        admin: { ...text, default: ADMIN_DEFAULT },
        cert: text,
        key: text,
        'trust-bundle': text,
        'access-log': text,
        debug: { type: 'boolean' },
      },
    })
    const { debug: _, standalone, ...others } = values
    if (standalone !== undefined) return { standalone, ...others }
    terminal.note('error: --standalone needs a YAML file')
  } catch (error) {
    terminal.note(`error: ${error instanceof Error ? error.message : String(error)}`)
  }
  terminal.note('(see `fairlead proxy --help`)')
  return undefined
}

/** @throws CONFIG_INVALID with every problem. */
function compileFiles(
  files: readonly ConfigFile[],
  own: { service: string | undefined; trustBundle: string | undefined },
): string {
  const parsed = parseConfig(files)
  if ('problems' in parsed) {
    const shown = parsed.problems.map((problem) => renderProblem(problem)).join('\n')
    throw new FairleadError('CONFIG_INVALID', `${parsed.problems.length} problem(s)\n${shown}`)
  }
  const snapshot = compileStandalone(parsed.config, {
    ...(own.service === undefined ? {} : { self: { service: own.service } }),
    mtls: own.trustBundle !== undefined,
    trustBundle: own.trustBundle === undefined ? [] : certificatesIn(own.trustBundle),
  })
  return JSON.stringify(snapshot)
}

const certificatesIn = (file: string): string[] =>
  readFileSync(file, 'utf8').match(/-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g) ?? []

/** Looks at the content, not at events: editors replace files in many ways. */
function startWatch(
  path: string,
  first: readonly ConfigFile[],
  parts: { compile: (files: readonly ConfigFile[]) => string; snapshotFile: string; context: Context },
): () => void {
  const { compile, snapshotFile, context } = parts
  let seen = JSON.stringify(first)
  let busy = false
  const look = async (): Promise<void> => {
    const files = await readConfigFiles(path)
    const text = JSON.stringify(files)
    if (text === seen) return
    seen = text
    writeAtomic(snapshotFile, compile(files))
    context.terminal.note(`${path} changed and is in use`)
  }
  const complain = (error: unknown): void => {
    const why = (error as Error).message
    if (seen !== why) context.terminal.note(`${path} changed, but the last good version stays: ${why}`)
    if ((error as { code?: string }).code === 'INVALID_INPUT') seen = why // unreadable for now: said once
  }
  return () => {
    if (busy) return
    busy = true
    look()
      .catch(complain)
      .finally(() => {
        busy = false
      })
  }
}
