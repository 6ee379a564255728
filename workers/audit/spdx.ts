// spdx.ts — is this text a licence expression (SPDX 2.3, annex D), and which licences does it name?
//
// Knows the identifiers that npm packages use in practice, not all 600; an identifier outside the list makes an
// expression odd, never wrong. `SEE LICENSE IN file` and `UNLICENSED` are npm's own words, not SPDX.

const KNOWN = new Set(
  `0BSD AFL-2.1 AFL-3.0 AGPL-1.0-only AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-1.1 Apache-2.0 APSL-2.0
  Artistic-1.0 Artistic-2.0 BlueOak-1.0.0 BSD-1-Clause BSD-2-Clause BSD-2-Clause-Patent BSD-3-Clause
  BSD-3-Clause-Clear BSD-4-Clause BSD-Source-Code BSL-1.0 BUSL-1.1 CAL-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-NC-4.0
  CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 CDDL-1.0 CDDL-1.1 CECILL-2.1 CPL-1.0 ECL-2.0 EPL-1.0 EPL-2.0 EUPL-1.1 EUPL-1.2
  FSFAP FTL GPL-1.0-or-later GPL-2.0 GPL-2.0+ GPL-2.0-only GPL-2.0-or-later GPL-3.0 GPL-3.0+ GPL-3.0-only
  GPL-3.0-or-later HPND ICU IJG IPL-1.0 ISC JSON LGPL-2.0 LGPL-2.0-only LGPL-2.0-or-later LGPL-2.1 LGPL-2.1+
  LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0 LGPL-3.0+ LGPL-3.0-only LGPL-3.0-or-later LPL-1.02 MIT MIT-0 MIT-CMU
  MIT-Modern-Variant MPL-1.0 MPL-1.1 MPL-2.0 MPL-2.0-no-copyleft-exception MS-PL MS-RL MulanPSL-2.0 NCSA NTP ODbL-1.0
  OFL-1.0 OFL-1.1 OpenSSL OSL-3.0 PDDL-1.0 PHP-3.01 PolyForm-Noncommercial-1.0.0 PostgreSQL PSF-2.0 Python-2.0
  Python-2.0.1 QPL-1.0 Ruby Sleepycat SSPL-1.0 TCL Unicode-3.0 Unicode-DFS-2016 Unlicense UPL-1.0 Vim W3C
  W3C-19980720 W3C-20150513 WTFPL X11 XFree86-1.1 Xnet Zend-2.0 Zlib zlib-acknowledgement ZPL-2.0 ZPL-2.1`.split(/\s+/),
)
const EXPRESSION_LENGTH_MAX = 512

/** Identifiers that the expression names, or undefined when it is none (or names one that we do not know). */
export function licencesOf(expression: string): string[] | undefined {
  if (expression.length > EXPRESSION_LENGTH_MAX) return undefined
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? []
  const found: string[] = []
  const end = anyOf(tokens, 0, found)
  return end === tokens.length && found.length > 0 ? found : undefined
}

/** term ((AND|OR) term)* from `at`; the index after it, or -1. */
function anyOf(tokens: readonly string[], at: number, found: string[]): number {
  let next = term(tokens, at, found)
  while (next >= 0 && (tokens[next] === 'OR' || tokens[next] === 'AND')) next = term(tokens, next + 1, found)
  return next
}

/** `( expression )` or `identifier[+] [WITH exception]`. */
function term(tokens: readonly string[], at: number, found: string[]): number {
  const token = tokens[at]
  if (token === undefined) return -1
  if (token === '(') {
    const close = anyOf(tokens, at + 1, found)
    return close >= 0 && tokens[close] === ')' ? close + 1 : -1
  }
  if (!isIdentifier(token)) return -1
  found.push(token)
  if (tokens[at + 1] !== 'WITH') return at + 1
  return /^[A-Za-z][A-Za-z0-9.-]*$/.test(tokens[at + 2] ?? '') ? at + 3 : -1
}

function isIdentifier(token: string): boolean {
  if (KNOWN.has(token) || /^LicenseRef-[A-Za-z0-9.-]+$/.test(token)) return true
  return token.endsWith('+') && KNOWN.has(token.slice(0, -1))
}
