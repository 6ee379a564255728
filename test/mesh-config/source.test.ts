// Hostile and broken YAML: bounded before it costs anything, and refused with its place.

import { expect, test } from 'vitest'
import { parseConfig } from '../../mesh-config/config.ts'
import { renderProblem } from '../../mesh-config/problem.ts'
import { ALIASES_MAX, DEPTH_MAX, FILE_BYTES_MAX, readDocuments } from '../../mesh-config/source.ts'

const problemsOf = (text: string): string[] =>
  readDocuments({ name: 'a.yaml', text }).problems.map(({ code, line, column }) => `${code}@${line}:${column}`)
const read = (text: string): unknown => readDocuments({ name: 'a.yaml', text }).documents[0]?.value

test('aliases: are expanded like plain values when they are few', () => {
  expect(read('a: &x {b: 1}\nc: *x\nd: [*x, *x]')).toEqual({ a: { b: 1 }, c: { b: 1 }, d: [{ b: 1 }, { b: 1 }] })
})

test('aliases: are refused as a bomb when they multiply', () => {
  const levels = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']
  const bomb = levels
    .map(
      (name, i) =>
        `${name}: &${name} [${
          i === 0
            ? 'lol'
            : Array(9)
                .fill(`*${levels[i - 1]}`)
                .join(', ')
        }]`,
    )
    .join('\n')
  const started = performance.now()
  expect(problemsOf(bomb)).toEqual([expect.stringMatching(/^ALIAS_BOMB@/)])
  expect(performance.now() - started).toBeLessThan(5000)
})

test('aliases: are refused when one more than allowed is expanded', () => {
  const list = (count: number): string => `a: &x 1\nb: [${Array(count).fill('*x').join(', ')}]`
  expect(problemsOf(list(ALIASES_MAX))).toEqual([])
  expect(problemsOf(list(ALIASES_MAX + 1))).toEqual([`ALIAS_BOMB@2:${5 + ALIASES_MAX * 4}`])
})

test('aliases: are refused when few of them repeat something huge', () => {
  const text = `a: &x [${Array(5000).fill('1').join(', ')}]\nb: [${Array(30).fill('*x').join(', ')}]`
  expect(problemsOf(text)).toEqual([expect.stringMatching(/^ALIAS_BOMB@/)])
})

test.each([
  ['a: *nowhere', 'UNKNOWN_ALIAS@1:4'],
  ['a: *later\nb: &later 1', 'UNKNOWN_ALIAS@1:4'],
])('aliases: are refused when they lead nowhere: %j', (text, place) => {
  expect(problemsOf(text)).toEqual([place])
})

test('aliases: end when one leads to itself', () => {
  expect(problemsOf('a: &x [*x]').length).toBe(1)
})

test.each([
  ['flow lists', (depth: number) => '['.repeat(depth) + ']'.repeat(depth)],
  ['flow mappings', (depth: number) => '{a: '.repeat(depth) + '}'.repeat(depth)],
  ['block lists', (depth: number) => `${'- '.repeat(depth)}a`],
  ['block mappings', (depth: number) => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
])('depth: is bounded in %s', (_, nested) => {
  expect(problemsOf(nested(DEPTH_MAX))).toEqual([])
  expect(problemsOf(nested(DEPTH_MAX + 1))).toEqual([expect.stringMatching(/^YAML_TOO_DEEP@/)])
})

test('depth: a megabyte of brackets is refused at once, not on the stack', () => {
  const started = performance.now()
  expect(problemsOf('['.repeat(FILE_BYTES_MAX))).toEqual([expect.stringMatching(/^YAML_TOO_DEEP@1:/)])
  expect(performance.now() - started).toBeLessThan(5000)
})

test('size: a file over 1 MiB is not read', () => {
  expect(problemsOf('#'.repeat(FILE_BYTES_MAX))).toEqual([])
  expect(problemsOf('#'.repeat(FILE_BYTES_MAX + 1))).toEqual(['FILE_TOO_LARGE@1:1'])
  expect(problemsOf('ü'.repeat(FILE_BYTES_MAX / 2 + 1))).toEqual(['FILE_TOO_LARGE@1:1'])
})

test.each([
  ['__proto__: {polluted: 1}', 'FORBIDDEN_KEY@1:1'],
  ['a:\n  constructor: 1', 'FORBIDDEN_KEY@2:3'],
  ['a: [{"prototype": 1}]', 'FORBIDDEN_KEY@1:6'],
  ['1: a', 'BAD_KEY@1:1'],
  ['null: a', 'BAD_KEY@1:1'],
  ['? [a, b]\n: c', 'BAD_KEY@1:3'],
  ['a: 1\nb: 2\na: 3', 'DUPLICATE_KEY@3:1'],
  ['a: {b: 1, "b": 2}', 'DUPLICATE_KEY@1:11'],
  ['a: !custom b', 'YAML_TAG@1:4'],
  ['a: !!binary aGk=', 'YAML_TAG@1:4'],
  ['a: !!set {b}', 'YAML_TAG@1:4'],
  ['%YAML 1.1\n---\na: yes', 'YAML_DIRECTIVE@1:1'],
  ['a: "open', 'YAML_SYNTAX@1:9'],
  ['a: b: c', 'YAML_SYNTAX@1:4'],
  ['a:\n\t- b', 'YAML_SYNTAX@2:1'],
  ['a: [1, 2', 'YAML_SYNTAX@1:9'],
  ['a: @b', 'YAML_SYNTAX@1:4'],
])('yaml: refuses %j with %s', (text, place) => {
  expect(problemsOf(text)[0]).toBe(place)
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
})

test('yaml: reads values as YAML 1.2 does, not 1.1', () => {
  expect(read('a: yes\nb: 0o17\nc: 1_000\nd: 12:30\ne: ~\nf: 017')).toEqual({
    a: 'yes',
    b: 15,
    c: '1_000',
    d: '12:30',
    e: null,
    f: 17,
  })
})

test('yaml: takes << as an ordinary, hence unknown, field', () => {
  const text = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: &m {name: a}\nspec: {<<: *m}'
  const parsed = parseConfig([{ name: 'a.yaml', text }])
  expect('problems' in parsed && parsed.problems[0]).toMatchObject({ code: 'UNKNOWN_FIELD', line: 4, column: 8 })
})

test('yaml: goes on with the next document after a broken one', () => {
  const parsed = parseConfig([
    { name: 'a.yaml', text: 'a: "open\n---\nkind: 1\n' },
    { name: 'b.yaml', text: 'apiVersion: fairlead.dev/v1\nkind: Nothing' },
  ])
  const files = 'problems' in parsed ? parsed.problems.map((problem) => problem.file) : []
  expect(new Set(files)).toEqual(new Set(['a.yaml', 'b.yaml']))
})

test('excerpt: stands right in a long line, and lets no control characters through to a terminal', () => {
  const text = `apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {selector: {service: ${' '.repeat(300)}"B\\e[31m\x1b]0;x\x07"}}`
  const parsed = parseConfig([{ name: 'a\x1b.yaml', text }])
  const problem = 'problems' in parsed ? parsed.problems.find(({ code }) => code === 'BAD_NAME') : undefined
  expect(problem).toBeDefined()
  expect(problem!.excerpt.slice(problem!.caret)).toMatch(/^"B/)
  expect(problem!.excerpt.length).toBeLessThanOrEqual(160)
  expect(renderProblem(problem!)).not.toMatch(/[\x00-\x09\x0b-\x1f]/)
})

test('excerpt: looks as in rustc', () => {
  const text = 'apiVersion: fairlead.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {protocl: http}\n'
  const parsed = parseConfig([{ name: 'mesh/a.yaml', text }])
  expect('problems' in parsed && renderProblem(parsed.problems[0]!)).toBe(
    [
      'error[UNKNOWN_FIELD]: unknown field "protocl"',
      ' --> mesh/a.yaml:4:8',
      '  |',
      '4 | spec: {protocl: http}',
      '  |        ^^^^^^^',
      '  = hint: Did you mean "protocol"?',
    ].join('\n'),
  )
})

test('places: are right after CRLF line ends', () => {
  const text = 'apiVersion: fairlead.dev/v1\r\nkind: Service\r\nmetadata: {name: a}\r\nspec: {x: 1}\r\n'
  const parsed = parseConfig([{ name: 'a.yaml', text }])
  expect('problems' in parsed && parsed.problems[0]).toMatchObject({ line: 4, column: 8, excerpt: 'spec: {x: 1}' })
})
