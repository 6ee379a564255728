// registry-conformance.ts — what the mesh relies on in a Consul agent; built-in and real one must both pass.
//
// Spoken through the `consul` package and, for shapes and status codes, raw HTTP.

import Consul from 'consul' // its kv.set resolves to undefined where Consul answers `false`
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { checkIdOf, type Instance, parseHealthEntry, registrationOf } from '../../control-plane/contract.ts'
import { until } from '../support/until.ts'

export interface Subject {
  readonly url: string
  close(): Promise<void>
}

type Json = Record<string, unknown>
interface Raw {
  readonly status: number
  readonly index: number
  readonly text: string
  readonly json: () => unknown
}

let count = 0
const fresh = (name: string): string => `${name}-${process.pid}-${++count}`

export function registryConformance(name: string, start: () => Promise<Subject>): void {
  describe(name, () => {
    let subject: Subject
    let consul: InstanceType<typeof Consul>
    beforeAll(async () => {
      subject = await start()
      const { hostname, port } = new URL(subject.url)
      consul = new Consul({ host: hostname, port: Number(port) })
    }, 40_000)
    afterAll(async () => {
      consul?.destroy()
      await subject?.close()
    })

    const raw = async (method: string, path: string, body?: unknown): Promise<Raw> => {
      const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
      const answer = await fetch(`${subject.url}/v1/${path}`, text === undefined ? { method } : { method, body: text })
      const read = await answer.text()
      const index = Number(answer.headers.get('x-consul-index') ?? 0)
      return { status: answer.status, index, text: read, json: () => JSON.parse(read) as unknown }
    }
    const health = async (service: string, query = ''): Promise<Raw & { entries: Json[] }> => {
      const answer = await raw('GET', `health/service/${service}${query}`)
      return { ...answer, entries: answer.json() as Json[] }
    }
    const register = async (service: string, extra: Json = {}): Promise<string> => {
      const id = fresh('id')
      const check = { CheckID: `c:${id}`, Name: 'beat', TTL: '30s', Status: 'passing' }
      const body = { ID: id, Name: service, Address: '127.0.0.1', Port: 4000, Check: check, ...extra }
      const answer = await raw('PUT', 'agent/service/register', body)
      expect(answer, answer.text).toMatchObject({ status: 200, text: '' })
      return id
    }
    const seen = async (service: string, amount: number): Promise<void> =>
      until(async () => (await health(service)).entries.length === amount)
    const session = async (options: Json = {}): Promise<string> => {
      const answer = await raw('PUT', 'session/create', { LockDelay: '0s', TTL: '10s', ...options })
      return (answer.json() as { ID: string }).ID
    }

    // ── registration and health ─────────────────────────────────────────────────────────────────────────────────────

    test('registration: is read back as an instance when a sidecar registers by our conventions', async () => {
      const service = fresh('worker')
      const instance: Omit<Instance, 'passing'> = {
        instance: fresh('i'),
        service,
        namespace: 'default',
        version: 'v1',
        region: 'eu',
        address: '127.0.0.1',
        port: 21_000,
      }
      for (const body of registrationOf(instance, 8080)) await raw('PUT', 'agent/service/register', body)
      await seen(`${service}-sidecar-proxy`, 1)
      const [entry] = (await health(`${service}-sidecar-proxy`)).entries
      expect(parseHealthEntry(entry)).toEqual({ ...instance, passing: false })
      await consul.agent.check.pass(checkIdOf(instance.instance))
      await until(async () => (await health(`${service}-sidecar-proxy`, '?passing')).entries.length === 1)
      const [passing] = (await health(`${service}-sidecar-proxy`, '?passing')).entries
      expect(parseHealthEntry(passing)).toEqual({ ...instance, passing: true })
    })

    test('health entry: has the members of Consul when read', async () => {
      const service = fresh('shape')
      const id = await register(service, { Tags: ['a', 'b'], Meta: { version: 'v9' } })
      await seen(service, 1)
      const [entry] = (await health(service)).entries as [Json]
      expect(Object.keys(entry).sort()).toEqual(['Checks', 'Node', 'Service'])
      expect(entry['Service']).toMatchObject({
        ID: id,
        Service: service,
        Tags: ['a', 'b'],
        Address: '127.0.0.1',
        TaggedAddresses: { lan_ipv4: { Address: '127.0.0.1', Port: 4000 } },
        Meta: { version: 'v9' },
        Port: 4000,
        Weights: { Passing: 1, Warning: 1 },
        EnableTagOverride: false,
        Connect: {},
        CreateIndex: expect.any(Number),
        ModifyIndex: expect.any(Number),
      })
      expect(entry['Service']).not.toHaveProperty('Kind')
      expect(entry['Node']).toMatchObject({ ID: expect.any(String), Address: '127.0.0.1', Datacenter: 'dc1' })
      const checks = entry['Checks'] as Json[]
      expect(checks.map((check) => check['CheckID'])).toEqual(['serfHealth', `c:${id}`])
      expect(checks[1]).toMatchObject({
        Name: 'beat',
        Status: 'passing',
        Notes: '',
        Output: '',
        ServiceID: id,
        ServiceName: service,
        ServiceTags: ['a', 'b'],
        Type: 'ttl',
        Definition: {},
      })
    })

    test('registration: keeps its Proxy when the client package loses its Kind', async () => {
      const service = fresh('kindless')
      await consul.agent.service.register({
        name: service,
        proxy: { DestinationServiceName: 'x' },
        kind: 'connect-proxy',
      })
      await seen(service, 1)
      const [entry] = (await health(service)).entries as [Json]
      expect((entry['Service'] as Json)['Proxy']).toMatchObject({ DestinationServiceName: 'x' })
    })

    test.each([
      ['no name', { ID: 'x' }, /Missing service name/],
      ['no destination', { Name: 'x', Kind: 'connect-proxy', Port: 1 }, /DestinationServiceName must be non-empty/],
      ['an unknown field', { Name: 'x', Nonsense: 1 }, /unknown field "Nonsense"/],
      ['a bad duration', { Name: 'x', Check: { TTL: 'soon' } }, /invalid duration "soon"/],
      ['no JSON', '{bad', /Request decode failed/],
    ])('registration: is refused when it has %s', async (_what, body, words) => {
      const answer = await raw('PUT', 'agent/service/register', body)
      expect(answer.status).toBe(400)
      expect(answer.text).toMatch(words)
    })

    test('registration: keeps the status of its check when repeated', async () => {
      const service = fresh('again')
      const id = await register(service)
      await consul.agent.check.warn(`c:${id}`)
      const check = { CheckID: `c:${id}`, Name: 'beat', TTL: '30s', Status: 'critical' }
      await raw('PUT', 'agent/service/register', { ID: id, Name: service, Port: 4001, Check: check })
      await until(async () => portOf((await health(service)).entries[0]) === 4001)
      expect(statusOf((await health(service)).entries[0])).toBe('warning')
    })

    test('check: turns critical with "TTL expired" when its service falls silent', async () => {
      const service = fresh('silent')
      const id = await register(service, { Check: { CheckID: fresh('t'), TTL: '500ms', Status: 'passing' } })
      await seen(service, 1)
      await until(async () => statusOf((await health(service)).entries[0]) === 'critical', 8_000)
      const checks = (await raw('GET', `health/checks/${service}`)).json() as Json[]
      expect(checks).toMatchObject([{ Status: 'critical', Output: 'TTL expired', ServiceID: id }])
      expect((await health(service, '?passing=true')).entries).toEqual([])
    })

    test('check: carries status and output when updated', async () => {
      const service = fresh('update')
      const id = await register(service)
      await seen(service, 1)
      await raw('PUT', `agent/check/update/c:${id}`, { Status: 'warning', Output: 'busy' })
      await until(async () => statusOf((await health(service)).entries[0]) === 'warning')
      expect((await raw('GET', `health/checks/${service}`)).json()).toMatchObject([{ Output: 'busy' }])
      await consul.agent.check.fail({ id: `c:${id}`, note: 'broken' })
      await until(async () => statusOf((await health(service)).entries[0]) === 'critical')
      expect((await raw('GET', `health/checks/${service}`)).json()).toMatchObject([{ Output: 'broken' }])
    })

    test('check: is refused when unknown, so that a sidecar registers again', async () => {
      for (const path of ['pass/nope', 'warn/nope', 'fail/nope']) {
        const answer = await raw('PUT', `agent/check/${path}`)
        expect(answer).toMatchObject({ status: 500, text: expect.stringContaining('does not have associated TTL') })
      }
      const update = await raw('PUT', 'agent/check/update/nope', { Status: 'passing' })
      expect(update.status).toBe(500)
    })

    test('check: is refused when its status is unknown', async () => {
      const id = await register(fresh('bogus'))
      const answer = await raw('PUT', `agent/check/update/c:${id}`, { Status: 'bogus' })
      expect(answer).toMatchObject({ status: 400, text: "Invalid check status: 'bogus'" })
    })

    test('deregistration: takes service and check away when asked, and is idempotent', async () => {
      const service = fresh('leaving')
      const id = await register(service)
      await seen(service, 1)
      await consul.agent.service.deregister(id)
      await seen(service, 0)
      await consul.agent.service.deregister(id)
      expect((await raw('PUT', `agent/check/pass/c:${id}`)).status).toBe(500)
    })

    test('agent: lists its services and itself when asked', async () => {
      const service = fresh('listed')
      const id = await register(service, { Meta: { a: 'b' } })
      const list = await consul.agent.service.list()
      expect(list[id]).toMatchObject({ ID: id, Service: service, Meta: { a: 'b' }, Port: 4000 })
      const self = (await consul.agent.self()) as Json
      expect(self['Config']).toMatchObject({ Datacenter: 'dc1', NodeName: expect.any(String), Server: true })
      expect(self['Member']).toMatchObject({ Addr: '127.0.0.1' })
      expect(await consul.status.leader()).toMatch(/^127\.0\.0\.1:\d+$/)
    })

    test('catalogue: lists names with the tags of all instances when asked', async () => {
      const service = fresh('tagged')
      await register(service, { Tags: ['a', 'x'] })
      await register(service, { Tags: ['b', 'x'] })
      await seen(service, 2)
      const services = (await consul.catalog.service.list()) as Record<string, string[]>
      expect([...services[service]!].sort()).toEqual(['a', 'b', 'x'])
      expect(services['consul']).toEqual([])
      const nodes = (await consul.catalog.service.nodes({ service, tag: 'a' })) as Json[]
      expect(nodes).toMatchObject([{ ServiceName: service, ServiceTags: ['a', 'x'], ServicePort: 4000 }])
      expect((await health(service, '?tag=x&tag=b')).entries).toHaveLength(1)
    })

    // ── blocking queries ────────────────────────────────────────────────────────────────────────────────────────────

    test('blocking query: wakes within a second when an instance comes', async () => {
      const service = fresh('wake')
      await register(service)
      await seen(service, 1)
      const before = await health(service)
      const waiting = health(service, `?index=${before.index}&wait=15s`)
      const started = performance.now()
      await register(service)
      const after = await waiting
      expect(performance.now() - started).toBeLessThan(1_000)
      expect(after.entries).toHaveLength(2)
      expect(after.index).toBeGreaterThan(before.index)
    })

    test('blocking query: wakes when a check turns', async () => {
      const service = fresh('turn')
      const id = await register(service)
      await seen(service, 1)
      const before = await health(service, '?passing')
      const waiting = health(service, `?passing&index=${before.index}&wait=15s`)
      await consul.agent.check.fail(`c:${id}`)
      expect((await waiting).entries).toEqual([])
    })

    test('blocking query: wakes when the last instance goes', async () => {
      const service = fresh('last')
      const id = await register(service)
      await seen(service, 1)
      const before = await health(service)
      const waiting = health(service, `?index=${before.index}&wait=15s`)
      await consul.agent.service.deregister(id)
      const after = await waiting
      expect(after.entries).toEqual([])
      expect(after.index).toBeGreaterThan(before.index)
    })

    test('blocking query: returns the same index when nothing changed in its wait', async () => {
      const service = fresh('still')
      await register(service)
      await seen(service, 1)
      const before = await health(service)
      const started = performance.now()
      const after = await health(service, `?index=${before.index}&wait=300ms`)
      expect(performance.now() - started).toBeGreaterThan(290)
      expect(after.index).toBe(before.index)
    })

    test('blocking query: returns after its wait when the index asked for is in the future', async () => {
      const service = fresh('future')
      await register(service)
      await seen(service, 1)
      const before = await health(service)
      const after = await health(service, `?index=${before.index + 1_000_000}&wait=200ms`)
      expect(after.index).toBe(before.index)
    })

    test('blocking query: is not woken when another service changes', async () => {
      const service = fresh('quiet')
      await register(service)
      await seen(service, 1)
      const before = await health(service)
      const waiting = health(service, `?index=${before.index}&wait=600ms`)
      const started = performance.now()
      await register(fresh('noisy'))
      await waiting
      expect(performance.now() - started).toBeGreaterThan(500)
    })

    test('blocking query: wakes on the catalogue when a new service comes', async () => {
      const before = await raw('GET', 'catalog/services')
      const waiting = raw('GET', `catalog/services?index=${before.index}&wait=15s`)
      const service = fresh('brandnew')
      await register(service)
      expect((await waiting).json()).toHaveProperty(service)
    })

    test('index: is positive and grows when things change', async () => {
      const one = await raw('GET', 'catalog/services')
      await register(fresh('grow'))
      await until(async () => (await raw('GET', 'catalog/services')).index > one.index)
      expect(one.index).toBeGreaterThan(0)
    })

    test.each([
      ['index=abc', 'Invalid index'],
      ['index=-1', 'Invalid index'],
      ['index=1&wait=abc', 'Invalid wait time'],
      ['index=1&wait=5', 'Invalid wait time'],
    ])('blocking query: is refused when its query is %s', async (query, words) => {
      expect(await raw('GET', `health/service/x?${query}`)).toMatchObject({ status: 400, text: words })
    })

    test('path: is refused when unknown or of another method', async () => {
      expect((await raw('GET', 'nope')).status).toBe(404)
      expect((await raw('GET', 'agent/service/deregister/x')).status).toBe(405)
      expect((await raw('POST', 'kv/x')).status).toBe(405)
    })

    // ── kv and sessions ─────────────────────────────────────────────────────────────────────────────────────────────

    test('kv: gives back what was put, with flags and indexes', async () => {
      const key = fresh('dir/k e y')
      expect(await consul.kv.set({ key, value: 'hello', flags: 42 as never })).toBe(true)
      const got = await consul.kv.get(key)
      expect(got).toMatchObject({ Key: key, Value: 'hello', Flags: 42, LockIndex: 0 })
      expect(got?.CreateIndex).toBe(got?.ModifyIndex)
      await consul.kv.set(key, 'again')
      expect((await consul.kv.get(key))!.ModifyIndex).toBeGreaterThan(got!.ModifyIndex)
      expect((await raw('GET', `kv/${encodeURI(key)}?raw`)).text).toBe('again')
    })

    test('kv: answers null for an empty value and nothing for a missing key', async () => {
      const key = fresh('empty')
      await raw('PUT', `kv/${key}`)
      expect((await raw('GET', `kv/${key}`)).json()).toMatchObject([{ Value: null }])
      expect(await consul.kv.get(fresh('missing'))).toBeUndefined()
      expect(await raw('GET', `kv/${fresh('missing')}`)).toMatchObject({ status: 404, text: '' })
    })

    test('kv: creates only once when cas is 0', async () => {
      const key = fresh('once')
      const won = await Promise.all(['a', 'b', 'c'].map((value) => consul.kv.set({ key, value, cas: 0 })))
      expect(won.filter(Boolean)).toHaveLength(1)
    })

    test('kv: refuses a write or delete when its cas is stale', async () => {
      const key = fresh('cas')
      await consul.kv.set(key, 'one')
      const { ModifyIndex } = (await consul.kv.get(key))!
      const put = (cas: number, value: string) => raw('PUT', `kv/${key}?cas=${cas}`, value)
      expect((await put(ModifyIndex - 1, 'no')).json()).toBe(false)
      expect((await put(0, 'no')).json()).toBe(false)
      expect((await put(ModifyIndex, 'two')).json()).toBe(true)
      expect((await raw('DELETE', `kv/${key}?cas=${ModifyIndex}`)).json()).toBe(false)
      expect((await consul.kv.get(key))!.Value).toBe('two')
    })

    test('kv: lists, names and deletes by prefix when asked', async () => {
      const root = fresh('tree')
      for (const name of ['a', 'b/c', 'b/d']) await consul.kv.set(`${root}/${name}`, name)
      const list = (await consul.kv.get({ key: `${root}/`, recurse: true })) as unknown as { Key: string }[]
      expect(list.map((entry) => entry.Key)).toEqual([`${root}/a`, `${root}/b/c`, `${root}/b/d`])
      const keys = await consul.kv.keys({ key: `${root}/`, separator: '/' })
      expect(keys).toEqual([`${root}/a`, `${root}/b/`])
      await consul.kv.del({ key: `${root}/b`, recurse: true })
      expect(await consul.kv.keys(root)).toEqual([`${root}/a`])
      expect((await raw('GET', `kv/${root}/b?recurse`)).status).toBe(404)
      expect(await consul.kv.del(fresh('missing'))).toBe(true)
    })

    test('kv: wakes a reader of a prefix when a key under it is deleted', async () => {
      const root = fresh('gone')
      await consul.kv.set(`${root}/a`, '1')
      await consul.kv.set(`${root}/b`, '2')
      const before = await raw('GET', `kv/${root}?recurse`)
      const waiting = raw('GET', `kv/${root}?recurse&index=${before.index}&wait=15s`)
      await consul.kv.del(`${root}/a`)
      expect((await waiting).json()).toHaveLength(1)
    })

    test('kv: refuses a key without name, flags that conflict and values that are too large', async () => {
      expect((await raw('PUT', 'kv/', 'x')).status).toBe(400)
      expect((await raw('DELETE', 'kv/')).status).toBe(400)
      const id = await session()
      expect(await raw('PUT', `kv/${fresh('x')}?cas=0&acquire=${id}`, 'x')).toMatchObject({
        status: 400,
        text: expect.stringContaining('Conflicting flags'),
      })
      expect((await raw('PUT', `kv/${fresh('big')}`, 'x'.repeat(524_289))).status).toBe(413)
    })

    test('lock: has one holder until it is released', async () => {
      const key = fresh('lock')
      const [one, two] = [await session(), await session()]
      expect(await consul.kv.set({ key, value: 'one', acquire: one })).toBe(true)
      expect(await consul.kv.set({ key, value: 'two', acquire: two })).toBeFalsy()
      expect(await consul.kv.set({ key, value: 'two', release: two })).toBeFalsy()
      expect(await consul.kv.get(key)).toMatchObject({ Session: one, LockIndex: 1, Value: 'one' })
      expect(await consul.kv.set({ key, value: 'one again', acquire: one })).toBe(true)
      expect(await consul.kv.get(key)).toMatchObject({ Session: one, LockIndex: 1 })
      expect(await consul.kv.set({ key, value: 'bye', release: one })).toBe(true)
      expect(await consul.kv.get(key)).not.toHaveProperty('Session')
      expect(await consul.kv.set({ key, value: 'two', acquire: two })).toBe(true)
      expect(await consul.kv.get(key)).toMatchObject({ Session: two, LockIndex: 2 })
    })

    test('lock: is freed or deleted when its session is destroyed, by the behaviour asked for', async () => {
      const [kept, deleted] = [fresh('kept'), fresh('deleted')]
      const [release, remove] = [await session(), await session({ Behavior: 'delete' })]
      await consul.kv.set({ key: kept, value: 'x', acquire: release })
      await consul.kv.set({ key: deleted, value: 'x', acquire: remove })
      await consul.session.destroy(release)
      await consul.session.destroy(remove)
      expect(await consul.kv.get(kept)).not.toHaveProperty('Session')
      expect(await consul.kv.get(deleted)).toBeUndefined()
      expect(await consul.kv.set({ key: kept, value: 'y', acquire: await session() })).toBe(true)
    })

    test('lock: is withheld when its holder had a lock delay', async () => {
      const key = fresh('delayed')
      const holder = await session({ LockDelay: '10s' })
      await consul.kv.set({ key, value: 'x', acquire: holder })
      await consul.session.destroy(holder)
      expect(await consul.kv.set({ key, value: 'y', acquire: await session() })).toBeFalsy()
    })

    test('lock: is refused when the session is unknown', async () => {
      const unknown = '00000000-0000-0000-0000-000000000000'
      const answer = await raw('PUT', `kv/${fresh('l')}?acquire=${unknown}`, 'x')
      expect(answer).toMatchObject({ status: 500, text: `invalid session "${unknown}"` })
      expect((await raw('PUT', `kv/${fresh('l')}?acquire=bad`, 'x')).status).toBe(500)
      expect((await raw('PUT', `kv/${fresh('l')}?release=${unknown}`, 'x')).json()).toBe(false)
    })

    test('session: is described, renewed and destroyed when asked', async () => {
      const id = await session({ Name: 'leader', Behavior: 'delete' })
      const [info] = (await raw('GET', `session/info/${id}`)).json() as [Json]
      expect(info).toMatchObject({ ID: id, Name: 'leader', Behavior: 'delete', TTL: '10s', LockDelay: 0 })
      expect((await raw('PUT', `session/renew/${id}`)).json()).toMatchObject([{ ID: id }])
      expect((await raw('PUT', `session/destroy/${id}`)).json()).toBe(true)
      expect((await raw('GET', `session/info/${id}`)).json()).toEqual([])
      expect((await raw('PUT', `session/renew/${id}`)).status).toBe(404)
    })

    test.each([
      ['TTL below 10 s', { TTL: '1s' }, 500],
      ['TTL above a day', { TTL: '25h' }, 500],
      ['behaviour', { Behavior: 'x' }, 500],
      ['lock delay', { LockDelay: '5' }, 400],
      ['check', { Checks: ['nope'] }, 500],
    ])('session: is refused when its %s is not allowed', async (_what, body, status) => {
      expect((await raw('PUT', 'session/create', body)).status).toBe(status)
    })
  })
}

const portOf = (entry: Json | undefined): unknown => (entry?.['Service'] as Json | undefined)?.['Port']
const statusOf = (entry: Json | undefined): unknown => (entry?.['Checks'] as Json[] | undefined)?.at(-1)?.['Status']
