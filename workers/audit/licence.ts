// licence.ts — what a package says about its licence, and what is odd about it. Pure.
//
// Says: package.json's `license` (SPDX text), or the forms of before 2014: `license: {type}` and `licenses: [{type}]`.

import type { AuditResult } from '../../cli/contract.ts'
import { licencesOf } from './spdx.ts'

export interface DeclaredLicence {
  /** SPDX expression as found, `UNLICENSED`, or `NONE`. */
  readonly licence: string
  /** Written in a form that npm gave up, so that tools disagree about it. */
  readonly legacy: boolean
}

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly license?: unknown
  readonly licenses?: unknown
  readonly scripts?: unknown
}

const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'] as const
const NONE: DeclaredLicence = { licence: 'NONE', legacy: false }

export function declaredLicence(manifest: Manifest): DeclaredLicence {
  const { license, licenses } = manifest
  if (typeof license === 'string') return license.trim() === '' ? NONE : { licence: license.trim(), legacy: false }
  const names = [license, licenses].flat().flatMap(legacyName)
  if (names.length === 0) return NONE
  return { licence: names.length === 1 ? names[0]! : `(${names.join(' OR ')})`, legacy: true }
}

/** `missing`: says nothing; `odd`: no SPDX expression, or an old form; `differs`: the file's text is another licence. */
export function licenceNote(declared: DeclaredLicence, text: string | null): AuditResult['licenceNote'] {
  if (declared.licence === 'NONE') return 'missing'
  if (declared.licence === 'UNLICENSED') return text === null ? 'ok' : 'differs'
  const named = licencesOf(declared.licence)
  if (declared.legacy || named === undefined) return 'odd'
  return text === null || named.some((id) => family(id) === family(text)) ? 'ok' : 'differs'
}

/** Names of scripts that npm runs on the installing machine. */
export function installScripts(manifest: Manifest): string[] {
  const { scripts } = manifest
  if (typeof scripts !== 'object' || scripts === null) return []
  const table = scripts as Record<string, unknown>
  return INSTALL_SCRIPTS.filter((name) => typeof table[name] === 'string' && table[name] !== '')
}

function legacyName(entry: unknown): string[] {
  if (typeof entry === 'string') return entry.trim() === '' ? [] : [entry.trim()]
  if (typeof entry !== 'object' || entry === null || !('type' in entry)) return []
  return typeof entry.type === 'string' && entry.type.trim() !== '' ? [entry.type.trim()] : []
}

/** `GPL-3.0-or-later`, `GPL-3.0-only`, `GPL-3.0+` carry the same text. */
function family(id: string): string {
  return id.replace(/(?:-only|-or-later|\+)$/, '')
}
