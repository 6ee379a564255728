// facts.ts — everything that the audit says about one package directory. Same facts from every handler version.
//
// Never: leaves the audited root by its payload's path, keeps a whole file in memory (package.json and licence files
// are bounded), or runs anything that it finds.

import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { AuditResult } from '../../cli/contract.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { parseJson, parseWith, z } from '../../kernel/parse.ts'
import type { Digest } from './digest.ts'
import { declaredLicence, installScripts, licenceNote, type Manifest } from './licence.ts'
import { recogniseLicence } from './licence-text.ts'
import { listFiles } from './tree.ts'

export const MANIFEST_BYTES_MAX = 4 * 1024 * 1024
const LICENCE_BYTES_MAX = 256 * 1024
const LICENCE_FILES_MAX = 8
const LICENCE_FILE = /^(?:un)?licen[cs]e(?:[.-].*)?$|^copying(?:[.-].*)?$/i

const ManifestSchema = z.object({
  name: z.string().min(1),
  version: z.string().min(1),
  license: z.unknown().optional(),
  licenses: z.unknown().optional(),
  scripts: z.unknown().optional(),
})

export interface AuditTarget {
  readonly root: string
  /** Relative to `root`, `/` as separator. */
  readonly path: string
}

export interface AuditWork {
  readonly digest: Digest
  readonly signal: AbortSignal
  /** 0 to 100, whole numbers, each at most once. */
  readonly onProgress: (pct: number) => void
}

export async function auditPackage(target: AuditTarget, work: AuditWork): Promise<Omit<AuditResult, 'handlerVersion'>> {
  const directory = directoryOf(target)
  const manifest = await readManifest(directory)
  const declared = declaredLicence(manifest)
  const text = await licenceFileText(directory)
  const files = await listFiles(directory, work.signal)
  const contents = await work.digest({ directory, files, signal: work.signal, onFile: steps(files.length, work) })
  return {
    name: manifest.name,
    version: manifest.version,
    path: target.path,
    licence: declared.licence,
    licenceText: text,
    licenceNote: licenceNote(declared, text),
    ...contents,
    installScripts: installScripts(manifest),
  }
}

/** @throws INVALID_INPUT for a path that leaves the root. */
export function directoryOf({ root, path }: AuditTarget): string {
  const parts = path.split('/')
  const leaves = path.startsWith('/') || path.includes('\\') || path.includes('\0') || parts.includes('..')
  if (leaves) throw new FairleadError('INVALID_INPUT', `Path ${JSON.stringify(path)} leaves the audited directory.`)
  return join(root, ...parts)
}

export async function readManifest(directory: string): Promise<Manifest> {
  const bytes = await readBounded(join(directory, 'package.json'), MANIFEST_BYTES_MAX + 1)
  return parseWith(ManifestSchema, parseJson(withoutMark(bytes), 'package.json', MANIFEST_BYTES_MAX), 'package.json')
}

/** The first licence that a licence file of the package holds, by file name. */
async function licenceFileText(directory: string): Promise<string | null> {
  const entries = await readdir(directory, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isFile() && LICENCE_FILE.test(entry.name)).map((entry) => entry.name)
  for (const name of names.sort().slice(0, LICENCE_FILES_MAX)) {
    const found = recogniseLicence((await readBounded(join(directory, name), LICENCE_BYTES_MAX)).toString('utf8'))
    if (found !== null) return found
  }
  return null
}

/** At most `bytesMax` from the beginning. */
async function readBounded(path: string, bytesMax: number): Promise<Buffer> {
  const handle = await open(path, 'r')
  try {
    const size = Math.min((await handle.stat()).size, bytesMax)
    const buffer = Buffer.alloc(size)
    const { bytesRead } = await handle.read(buffer, 0, size, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** npm takes a byte order mark; JSON.parse does not. */
function withoutMark(bytes: Buffer): Buffer {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
}

/** Tenths of the way, so that a package of 10,000 files does not send 10,000 progress lines. */
function steps(files: number, work: AuditWork): (index: number) => void {
  let told = 0
  return (index) => {
    const pct = Math.floor(((index + 1) / files) * 10) * 10
    if (pct > told && pct < 100) work.onProgress(pct)
    told = Math.max(told, pct)
  }
}
