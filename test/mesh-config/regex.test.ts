// The linear matcher against JavaScript's own engine (same answers), against patterns that stall the latter, and
// against everything it has to refuse.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { compileRegex, REGEX_TEXT_MAX, RegexRefused } from '../../mesh-config/regex.ts'

const agree = (pattern: string, text: string): void => {
  const flags = pattern.startsWith('(?i)') ? 'i' : ''
  const theirs = new RegExp(`^(?:${pattern.replace('(?i)', '').replaceAll('(?P<', '(?<')})$`, flags)
  expect([pattern, text, compileRegex(pattern).test(text)]).toEqual([pattern, text, theirs.test(text)])
}

test.each([
  ['/v[12]/.*', ['/v1/', '/v3/', '/v2/x', '/v1']],
  ['a|bc|', ['a', 'bc', '', 'b', 'abc']],
  ['(a*)*b?', ['', 'aaab', 'ba']],
  ['a{2,4}', ['a', 'aa', 'aaaa', 'aaaaa']],
  ['a{2,}', ['a', 'aa', 'aaaaaa']],
  ['a{3}', ['aa', 'aaa', 'aaaa']],
  ['^abc$', ['abc', 'abcd', 'xabc']],
  ['a^b', ['ab', 'a^b']],
  ['[^a-c]+', ['xyz', 'xaz', '']],
  ['[\\w.-]+@\\S+', ['a.b-c@d', '@d', 'a@ ']],
  ['\\d+\\.\\d*', ['1.2', '12.', '.2', '1x2']],
  ['(?i)bearer [a-f0-9]+', ['BEARER ABC', 'bearer 12', 'Bearer xyz']],
  ['(?P<major>\\d)x(?:y)+?', ['1xyy', 'x', '1x']],
  ['[]a]+', ['a', 'a]']],
  ['[a-]+', ['a-a', 'b']],
  ['.', ['a', '\n', 'ü', '']],
  ['\\x41+', ['AA', 'a']],
  ['{a}', ['{a}', 'a']],
])('regex: answers as JavaScript does when the pattern is %s', (pattern, texts) => {
  // `[]a]` means "] or a" in RE2 and POSIX, and nothing in JavaScript.
  if (pattern === '[]a]+') expect(texts.map((text) => compileRegex(pattern).test(text))).toEqual([true, true])
  else for (const text of texts) agree(pattern, text)
})

test('regex: answers as JavaScript does when pattern and text are arbitrary', () => {
  const leaf = fc.constantFrom('a', 'b', 'c', '.', '[ab]', '[^a]', '\\w', '')
  const pattern = fc.letrec<{ p: string }>((tie) => ({
    p: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.tuple(tie('p'), tie('p')).map(([a, b]) => a + b),
      fc.tuple(tie('p'), tie('p')).map(([a, b]) => `(?:${a}|${b})`),
      fc.tuple(tie('p'), fc.constantFrom('*', '+', '?', '{1,2}', '{2}')).map(([a, q]) => `(${a})${q}`),
    ),
  })).p
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { maxLength: 8 }).map((chars) => chars.join(''))
  fc.assert(
    fc.property(pattern, text, (p, t) => agree(p, t)),
    { numRuns: 2000, seed: 7 },
  )
})

test.each(['(a+)+b', '(a|a)*b', '.*.*.*.*=', '(.*)*x', '(a|b)*a(a|b){100}'])(
  'regex: stays linear when the pattern is %s and the text hostile',
  (pattern) => {
    const regex = compileRegex(pattern)
    const text = 'ab'.repeat(REGEX_TEXT_MAX / 2 - 1) + 'a'.repeat(2)
    const started = performance.now()
    expect(regex.test(`${text.slice(0, -1)}!`)).toBe(false)
    expect(performance.now() - started).toBeLessThan(3000)
  },
)

test('regex: still right when its cache of states is full', () => {
  const regex = compileRegex('(a|b)*a(a|b){12}')
  const reference = /^(a|b)*a(a|b){12}$/
  let bits = 1
  for (let i = 0; i < 300; i++) {
    bits = (bits * 1_103_515_245 + 12_345) % 2 ** 31
    const text = bits.toString(2).padStart(31, '0').replaceAll('0', 'a').replaceAll('1', 'b')
    expect([text, regex.test(text)]).toEqual([text, reference.test(text)])
  }
})

test('regex: does not match when the text is over the cap', () => {
  expect(compileRegex('a*').test('a'.repeat(REGEX_TEXT_MAX))).toBe(true)
  expect(compileRegex('a*').test('a'.repeat(REGEX_TEXT_MAX + 1))).toBe(false)
})

test.each([
  ['(a)\\1', 'backreferences', 3],
  ['\\k<x>', 'backreferences', 0],
  ['(?=a)b', 'lookaround', 1],
  ['(?!a)b', 'lookaround', 1],
  ['(?<=a)b', 'lookaround', 1],
  ['(?<!a)b', 'lookaround', 1],
  ['(?>a)', 'unknown group', 1],
  ['a++', 'quantifier after a quantifier', 2],
  ['a**', 'quantifier after a quantifier', 2],
  ['*a', 'nothing before *', 0],
  ['a|+', 'nothing before +', 2],
  ['{2}', 'nothing before {', 0],
  ['(a', 'unmatched (', 0],
  ['a)', 'unmatched )', 1],
  ['[a', 'unmatched [', 0],
  ['[b-a]', 'not ascending', 4],
  ['[[:alpha:]]', 'POSIX', 1],
  ['a\\', 'lone \\', 1],
  ['\\bfoo', '\\b is not taken', 0],
  ['\\p{L}', '\\p is not taken', 0],
  ['\\xg1', 'two hex digits', 0],
  ['a{3,2}', 'ascending', 1],
  ['a{256}', 'at most 255', 1],
  ['(a{200}){200}', 'too large', 0],
  ['('.repeat(40) + ')'.repeat(40), 'nested deeper', 33],
  ['a'.repeat(1025), 'longer than 1024', 1024],
])('regex: refuses %s', (pattern, why, at) => {
  try {
    compileRegex(pattern)
  } catch (error) {
    expect(error).toBeInstanceOf(RegexRefused)
    expect((error as RegexRefused).message).toContain(why)
    expect((error as RegexRefused).at).toBe(at)
    return
  }
  expect.unreachable('was taken')
})
