// text.ts — free text on its way into PostgreSQL and back. PostgreSQL has no U+0000 and no lone surrogates: one job
// with such a label would fail the whole group commit.
//
// `escapeText` is one-to-one (U+0000 → U+0001 '0', U+0001 → U+0001 '1'); a lone surrogate becomes U+FFFD.

const ODD = /[\u0000\u0001]/g

export function escapeText(text: string): string {
  const whole = text.isWellFormed() ? text : text.toWellFormed()
  return whole.includes('\u0000') || whole.includes('\u0001')
    ? whole.replace(ODD, (c) => (c === '\u0000' ? '\u00010' : '\u00011'))
    : whole
}

export function unescapeText(text: string): string {
  return text.includes('\u0001')
    ? text.replace(/\u0001([01])/g, (_, c: string) => (c === '0' ? '\u0000' : '\u0001'))
    : text
}
