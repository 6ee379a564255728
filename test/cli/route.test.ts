// `fairlead route explain`: the JSON it promises, its exits, and that it agrees with the data path's own matching.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { routeExplain } from '../../cli/route.ts'
import { openTerminal } from '../../cli/terminal.ts'

const CONFIG = `apiVersion: fairlead.dev/v1
kind: Service
metadata: {name: worker}
spec: {}
---
apiVersion: fairlead.dev/v1
kind: Service
metadata: {name: worker-v1}
spec: {selector: {service: worker, version: v1}}
---
apiVersion: fairlead.dev/v1
kind: Service
metadata: {name: outside}
spec: {hostnames: [api.example.com], endpoints: [{address: 10.0.0.1, port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: worker}
spec:
  parentRefs: [{group: "", kind: Service, name: worker}]
  rules:
    - name: split
      matches: [{path: {value: /jobs}}]
      backendRefs: [{name: worker-v1, weight: 3}, {name: worker, weight: 1}]
    - matches:
        - {path: {value: /jobs}, method: POST}
        - {path: {value: /jobs}, headers: [{name: X-Canary, value: "1"}]}
      filters: [{type: URLRewrite, urlRewrite: {hostname: in.example}}]
      backendRefs: [{name: worker}]
    - matches: [{path: {type: Exact, value: /old}}]
      filters: [{type: RequestRedirect, requestRedirect: {hostname: x.example}}]
    - matches: [{path: {type: Exact, value: /none}}]
      backendRefs: [{name: worker, weight: 0}]
`

async function explain(
  url: string,
  options: { method?: string; headers?: string[]; json?: boolean; config?: string } = {},
) {
  const dir = await mkdtemp(join(tmpdir(), 'fairlead-route-'))
  onTestFinished(() => rm(dir, { recursive: true }))
  const file = join(dir, 'mesh.yaml')
  await writeFile(file, options.config ?? CONFIG)
  let out = ''
  let err = ''
  const terminal = openTerminal({
    out: { write: (text) => (out += text) },
    err: { write: (text) => (err += text) },
    env: {},
  })
  const { method = 'GET', headers = [], json = true } = options
  const code = await routeExplain({ config: file, method, headers, json, url }, terminal)
  return { code, file, out, err, answer: json && out !== '' ? (JSON.parse(out) as unknown) : undefined }
}

test('route explain: prints exactly what it promises', async () => {
  const { code, answer, file } = await explain('http://worker.mesh/jobs/1?x=1')
  const name = (index: number, line: number, given: string | null = null) => ({
    route: 'default/worker',
    index,
    name: given,
    file,
    line,
  })
  expect(code).toBe(0)
  expect(answer).toEqual({
    service: 'worker',
    rule: name(0, 22, 'split'),
    lost: [
      { rule: name(2, 30), why: 'path /jobs/1 is not exactly /old' },
      { rule: name(3, 32), why: 'path /jobs/1 is not exactly /none' },
      {
        rule: name(1, 25),
        why: 'match 1: method is GET, the rule wants POST — match 2: header x-canary is absent, the rule wants "1"',
      },
    ],
    filters: {},
    backends: [
      { name: 'worker-v1', weight: 3, share: 0.75 },
      { name: 'worker', weight: 1, share: 0.25 },
    ],
  })
})

test.each([
  ['http://worker.mesh/jobs', { method: 'post' }, 1],
  ['http://worker.mesh/jobs', { headers: ['X-CANARY:1'] }, 1],
  ['http://worker.mesh/jobs', { headers: ['x-canary: 2', 'x-canary: 1'] }, 0],
  ['http://WORKER.default.MESH.:8080/jobs/', {}, 0],
  ['worker.mesh/jobs', {}, 0],
  ['http://worker.mesh//a/../jobs/%6aobs', {}, 0],
  ['http://worker.mesh/old', {}, 2],
])('route explain: %s with %j is taken by rule %d', async (url, options, index) => {
  const { code, answer } = await explain(url, options)
  expect(code).toBe(0)
  expect(answer).toMatchObject({ rule: { index } })
})

test('route explain: says why a rule that fits as well lost', async () => {
  const { answer } = await explain('http://worker.mesh/jobs', { method: 'POST' })
  expect(answer).toMatchObject({
    filters: { rewrite: { hostname: 'in.example' } },
    lost: [{}, {}, { rule: { name: 'split' }, why: 'fits too, but a match with a method goes first' }],
  })
})

test('route explain: a redirect has no backends', async () => {
  const { answer } = await explain('http://worker.mesh/old')
  expect(answer).toMatchObject({ filters: { redirect: { hostname: 'x.example', statusCode: 302 } }, backends: [] })
})

test('route explain: shows the default rule of a service without routes, at its Service', async () => {
  const { answer, file } = await explain('http://worker-v1.mesh/')
  expect(answer).toEqual({
    service: 'worker-v1',
    rule: { route: 'default/worker-v1', index: 0, name: 'default', file, line: 8 },
    lost: [],
    filters: {},
    backends: [{ name: 'worker-v1', weight: 1, share: 1 }],
  })
})

test.each(['http://api.example.com/', 'http://api.example.com:80/x'])(
  'route explain: finds the Service that names the outside host in %s',
  async (url) => {
    expect((await explain(url)).answer).toMatchObject({ service: 'outside', backends: [{ name: 'outside', share: 1 }] })
  },
)

test.each([
  ['http://worker.mesh/other', { status: 404 }],
  ['http://nobody.mesh/', { status: 404 }],
  ['http://worker.team.mesh/jobs', { status: 404 }],
  ['http://example.com/', { status: 403 }],
])('route explain: exits 1 when nothing takes %s', async (url, expected) => {
  const { code, answer } = await explain(url)
  expect([code, answer]).toEqual([1, expected])
})

test.each([
  ['http://', {}],
  ['http://user@worker.mesh/', {}],
  ['http://a.b.c.mesh/', {}],
  ['http://worker.mesh/', { headers: ['no colon'] }],
  ['http://worker.mesh/', { headers: [': empty'] }],
])('route explain: exits 2 when asked %s with %j', async (url, options) => {
  const { code, out, err } = await explain(url, options)
  expect([code, out]).toEqual([2, ''])
  expect(err).toMatch(/^error /)
})

test('route explain: exits 4 and tells the problems when the config is invalid', async () => {
  const { code, out, err } = await explain('http://worker.mesh/', { config: CONFIG.replace('weight: 3', 'weight: -3') })
  expect([code, out]).toEqual([4, ''])
  expect(err).toContain('error[BAD_WEIGHT]')
})

test('route explain: is readable by people', async () => {
  const { out, file } = await explain('http://worker.mesh/jobs?a=b', { method: 'POST', json: false })
  expect(out).toBe(
    [
      'POST /jobs?a=b  to the service worker',
      '',
      `  taken by  default/worker rule 2  ${file}:25`,
      '  filter    host rewritten to in.example',
      '  sent to   worker  weight 1  100.0 %',
      '',
      'Other rules of this service, in order of precedence:',
      `  default/worker rule 3  ${file}:30`,
      '      path /jobs is not exactly /old',
      `  default/worker rule 4  ${file}:32`,
      '      path /jobs is not exactly /none',
      `  default/worker rule 1 (split)  ${file}:22`,
      '      fits too, but a match with a method goes first',
      '',
    ].join('\n'),
  )
})

test('route explain: says 404 and why not, for people, when no rule fits', async () => {
  const { out } = await explain('http://worker.mesh/other', { json: false })
  expect(out).toContain('GET /other  404  no rule fits (worker)')
  expect(out).toContain('path /other is not under the prefix /jobs')
})

test('route explain: says 500 where all weights are 0', async () => {
  const { out } = await explain('http://worker.mesh/none', { json: false })
  expect(out).toContain('500  no backend has a weight above 0')
})
