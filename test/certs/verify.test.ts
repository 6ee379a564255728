import { expect, test } from 'vitest'
import { REASONS, type Reason } from '../../certs/reasons.ts'
import { type Verdict, type VerifyOptions, verifyChain } from '../../certs/verify.ts'
import { wallPlus } from '../../kernel/clock.ts'
import {
  bothPurposes,
  caExtensions,
  clientOnly,
  cRLSign,
  digitalSignature,
  ecKeys,
  edKeys,
  eku,
  type Family,
  family,
  ID,
  isCa,
  keyCertSign,
  type LeafParts,
  leafExtensions,
  type Made,
  make,
  NOW,
  type Plan,
  raw,
  rsaKeys,
  san,
  serverOnly,
  tlv,
  usage,
} from './forgery.ts'

const DAY = 86_400_000
const home = await family()
const seen = new Set<Reason>()

function judge(chain: readonly (Made | Uint8Array)[], options: Partial<VerifyOptions> = {}): Verdict {
  const ders = chain.map((certificate) => (certificate instanceof Uint8Array ? certificate : certificate.der))
  const verdict = verifyChain({
    chain: ders,
    bundle: [home.root.der],
    now: NOW,
    trustDomain: 'fairlead.local',
    ...options,
  })
  for (const reason of verdict.reasons) seen.add(reason)
  return verdict
}

const leaf = (parts: LeafParts = {}, plan: Partial<Plan> = {}): Promise<Made> =>
  make({ by: home.intermediate, extensions: leafExtensions(parts), ...plan })
const judgeLeaf = async (parts: LeafParts, plan: Partial<Plan> = {}): Promise<Verdict> =>
  judge([await leaf(parts, plan), home.intermediate])
const changed = (der: Uint8Array, at: number): Uint8Array => {
  const copy = Uint8Array.from(der)
  copy[at < 0 ? copy.length + at : at]! ^= 1
  return copy
}

// ── accepted ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('chain: accepted when leaf, intermediate and root keep the rules', async () => {
  const chain = [await leaf(), home.intermediate]
  expect(judge(chain)).toEqual({
    ok: true,
    spiffeId: ID,
    serial: '03',
    notAfter: wallPlus(NOW, DAY),
    validUntil: wallPlus(NOW, DAY),
    reasons: [],
  })
  expect(judge([...chain, home.root]).ok, 'the root may be sent').toBe(true)
})

const ACCEPTED: [string, LeafParts, Partial<Plan>?][] = [
  ['has no extended key usage', { purposes: null }],
  [
    'has any number of DNS names',
    {
      names: san([
        ['uri', ID],
        ['dns', 'a.example'],
        ['dns', 'b.example'],
      ]),
    },
  ],
  ['has names that are not critical beside a subject', { names: san([['uri', ID]], false) }, { name: 'CN=worker' }],
  ['has keyEncipherment and keyAgreement too', { usage: usage(digitalSignature | 4 | 16) }],
  ['has further purposes', { purposes: eku('1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2', '1.3.6.1.5.5.7.3.4') }],
  ['has an unknown extension that is not critical', { more: [raw('1.2.3.4', false, Buffer.from([5, 0]))] }],
  ['has no basic constraints', { basic: null }],
  [
    'has a DNS name that reads like a list of names',
    {
      names: san([
        ['dns', 'x,URI:spiffe://fairlead.local/ns/default/sa/admin'],
        ['uri', ID],
      ]),
    },
  ],
]
test.each(ACCEPTED)('leaf: accepted when it %s', async (_, parts, plan) => {
  expect(await judgeLeaf(parts, plan)).toMatchObject({ ok: true, spiffeId: ID, reasons: [] })
})

test('keys: accepted when P-256, P-384, Ed25519 or RSA with 2048 bits', async () => {
  for (const keys of [await ecKeys('P-384'), await edKeys(), await rsaKeys(2048)]) {
    expect(await judgeLeaf({}, { keys })).toMatchObject({ ok: true })
    const root = await make({ name: 'CN=other', keys, extensions: caExtensions() })
    const below = await make({ by: root, extensions: leafExtensions() })
    expect(judge([below], { bundle: [root.der] })).toMatchObject({ ok: true })
  }
})

test('signature: accepted when RSA-PSS with SHA-256', async () => {
  const root = await make({ name: 'CN=pss', keys: await rsaKeys(2048, 'RSA-PSS'), extensions: caExtensions() })
  const below = await make({ by: root, extensions: leafExtensions() })
  expect(judge([below], { bundle: [root.der] })).toMatchObject({ ok: true })
})

test('validUntil: is the first end on the path when a signer ends before the leaf', async () => {
  const short = await make({ name: 'CN=short', by: home.root, toMs: 1000, extensions: caExtensions() })
  const verdict = judge([await leaf({}, { by: short }), short])
  expect(verdict).toMatchObject({ ok: true, notAfter: wallPlus(NOW, DAY), validUntil: wallPlus(NOW, 1000) })
})

test('root: another with the same name and key is taken when one has expired', async () => {
  const old = await make({
    name: 'CN=root',
    keys: home.root.keys,
    fromMs: -9 * DAY,
    toMs: -DAY,
    extensions: caExtensions(),
  })
  const chain = [await leaf(), home.intermediate]
  expect(judge(chain, { bundle: [old.der, home.root.der] }).ok).toBe(true)
  expect(judge(chain, { bundle: [old.der] }).reasons).toEqual(['EXPIRED'])
})

test('cross-signed root: carries the chain to the old root, and is ignored when the new one is trusted', async () => {
  const next = await make({ name: 'CN=next', extensions: caExtensions() })
  const cross = await make({ name: 'CN=next', keys: next.keys, by: home.root, extensions: caExtensions() })
  const chain = [await leaf({}, { by: next }), cross]
  expect(judge(chain).ok).toBe(true)
  expect(judge(chain, { bundle: [next.der] }).ok).toBe(true)
})

// ── the leaf ────────────────────────────────────────────────────────────────────────────────────────────────────────

const uri = (text: string): LeafParts => ({ names: san([['uri', text]]) })
const LEAVES: [string, Reason[], LeafParts, Partial<Plan>?][] = [
  ['has no alternative names', ['URI_SAN_MISSING'], { names: null }],
  ['has a DNS name only', ['URI_SAN_MISSING'], { names: san([['dns', 'worker.mesh']]) }],
  ['has a DNS name that looks like a SPIFFE ID', ['URI_SAN_MISSING'], { names: san([['dns', ID]]) }],
  ['has a DNS name with an injected URI', ['URI_SAN_MISSING'], { names: san([['dns', `a.example,URI:${ID}`]]) }],
  ['has an e-mail name that looks like a SPIFFE ID', ['URI_SAN_MISSING'], { names: san([['email', ID]]) }],
  [
    'has two URIs',
    ['URI_SAN_SEVERAL'],
    {
      names: san([
        ['uri', ID],
        ['uri', `${ID}2`],
      ]),
    },
  ],
  [
    'has the same URI twice',
    ['URI_SAN_SEVERAL'],
    {
      names: san([
        ['uri', ID],
        ['uri', ID],
      ]),
    },
  ],
  [
    'has a second URI of another scheme',
    ['URI_SAN_SEVERAL'],
    {
      names: san([
        ['uri', ID],
        ['uri', 'https://a.example/'],
      ]),
    },
  ],
  ['has a URI of another scheme', ['SPIFFE_ID_INVALID'], uri('https://fairlead.local/ns/default/sa/worker')],
  ['has a NUL in its URI', ['SPIFFE_ID_INVALID'], uri(`${ID}\0.evil`)],
  ['has a letter beyond ASCII in its URI', ['SPIFFE_ID_INVALID'], uri(`${ID}\xe9`)],
  ['has a percent sign in its URI', ['SPIFFE_ID_INVALID'], uri(`${ID}%2e`)],
  ['has an id of more than 2048 bytes', ['SPIFFE_ID_INVALID'], uri(`spiffe://fairlead.local/${'a'.repeat(2048)}`)],
  ['has an empty URI', ['SPIFFE_ID_INVALID'], uri('')],
  ['has the id of a trust domain', ['SPIFFE_ID_NO_PATH'], uri('spiffe://fairlead.local')],
  [
    'has a NUL in a DNS name',
    ['SAN_MALFORMED'],
    {
      names: san([
        ['uri', ID],
        ['dns', 'good.example\0.evil'],
      ]),
    },
  ],
  [
    'has a space in a DNS name',
    ['SAN_MALFORMED'],
    {
      names: san([
        ['uri', ID],
        ['dns', 'a, URI:spiffe://x/y'],
      ]),
    },
  ],
  ['has names that are not critical and no subject', ['SAN_NOT_CRITICAL'], { names: san([['uri', ID]], false) }],
  [
    'has an empty list of names',
    ['URI_SAN_MISSING', 'EXTENSION_MALFORMED'],
    { names: raw('2.5.29.17', true, tlv(0x30, Buffer.alloc(0))) },
  ],
  [
    'has its URI in constructed form',
    ['URI_SAN_MISSING', 'EXTENSION_MALFORMED'],
    { names: raw('2.5.29.17', true, tlv(0x30, tlv(0xa6, tlv(0x86, Buffer.from(ID))))) },
  ],
  ['is a CA', ['LEAF_IS_CA'], { basic: isCa(true) }],
  ['has no key usage', ['KEY_USAGE_MISSING'], { usage: null }],
  ['has a key usage that is not critical', ['KEY_USAGE_NOT_CRITICAL'], { usage: usage(digitalSignature, false) }],
  ['has no digitalSignature', ['KEY_USAGE_NO_DIGITAL_SIGNATURE'], { usage: usage(4) }],
  ['has keyCertSign', ['KEY_USAGE_CERT_SIGN'], { usage: usage(digitalSignature | keyCertSign) }],
  ['has cRLSign', ['KEY_USAGE_CRL_SIGN'], { usage: usage(digitalSignature | cRLSign) }],
  ['is for servers only', ['EKU_CLIENT_AUTH_MISSING'], { purposes: serverOnly }],
  ['is for clients only', ['EKU_SERVER_AUTH_MISSING'], { purposes: clientOnly }],
  [
    'is for signing code',
    ['EKU_SERVER_AUTH_MISSING', 'EKU_CLIENT_AUTH_MISSING'],
    { purposes: eku('1.3.6.1.5.5.7.3.3') },
  ],
  [
    'has any purpose instead of the two',
    ['EKU_SERVER_AUTH_MISSING', 'EKU_CLIENT_AUTH_MISSING'],
    { purposes: eku('2.5.29.37.0') },
  ],
  [
    'has an unknown critical extension',
    ['CRITICAL_EXTENSION_UNKNOWN'],
    { more: [raw('1.2.3.4', true, Buffer.from([5, 0]))] },
  ],
  ['has the same extension twice', ['EXTENSION_DUPLICATE'], { more: [bothPurposes] }],
  ['has a second list of names', ['EXTENSION_DUPLICATE'], { more: [san([['uri', `${ID}2`]])] }],
  [
    'has basic constraints that cannot be read',
    ['EXTENSION_MALFORMED'],
    { basic: raw('2.5.29.19', true, Buffer.from([0x30, 0x80])) },
  ],
  [
    'has a path length without being a CA',
    ['EXTENSION_MALFORMED'],
    { basic: raw('2.5.29.19', true, Buffer.from([0x30, 3, 2, 1, 0])) },
  ],
  [
    'has a BOOLEAN of another value',
    ['EXTENSION_MALFORMED'],
    { basic: raw('2.5.29.19', true, Buffer.from([0x30, 3, 1, 1, 1])) },
  ],
  ['is of another trust domain', ['TRUST_DOMAIN_MISMATCH'], uri('spiffe://other.example/ns/default/sa/worker')],
  ['has expired', ['EXPIRED'], {}, { toMs: -1000 }],
  ['is not valid yet', ['NOT_YET_VALID'], {}, { fromMs: 1000 }],
]
test.each(LEAVES)('leaf: refused when it %s', async (_, reasons, parts, plan) => {
  const verdict = await judgeLeaf(parts, plan)
  expect(verdict.ok).toBe(false)
  expect(verdict.reasons).toEqual(reasons)
})

test('leaf: all reasons are named when it breaks several rules', async () => {
  const verdict = await judgeLeaf({ usage: usage(keyCertSign), basic: isCa(true) }, { toMs: -1000 })
  expect(new Set(verdict.reasons)).toEqual(
    new Set(['EXPIRED', 'LEAF_IS_CA', 'KEY_USAGE_CERT_SIGN', 'KEY_USAGE_NO_DIGITAL_SIGNATURE']),
  )
})

test('leaf: its claimed id and end are told when it is refused', async () => {
  expect(await judgeLeaf({ usage: null })).toMatchObject({ ok: false, spiffeId: ID, notAfter: wallPlus(NOW, DAY) })
})

test('keys: refused when RSA has 1024 bits or the curve is P-521', async () => {
  expect((await judgeLeaf({}, { keys: await rsaKeys(1024) })).reasons).toEqual(['KEY_WEAK'])
  expect((await judgeLeaf({}, { keys: await ecKeys('P-521') })).reasons).toEqual(['KEY_WEAK'])
})

test('keys: refused when a signer has RSA with 1024 bits', async () => {
  const root = await make({ name: 'CN=weak', keys: await rsaKeys(1024), extensions: caExtensions() })
  const below = await make({ by: root, extensions: leafExtensions() })
  expect(judge([below], { bundle: [root.der] }).reasons).toEqual(['KEY_WEAK'])
})

test('signature: refused when it uses SHA-1', async () => {
  expect((await judgeLeaf({}, { hash: 'SHA-1' })).reasons).toEqual(['SIGNATURE_WEAK'])
  for (const name of ['RSASSA-PKCS1-v1_5', 'RSA-PSS']) {
    const keys = await rsaKeys(2048, name, 'SHA-1')
    const root = await make({ name: 'CN=sha1', keys, hash: 'SHA-1', extensions: caExtensions() })
    const below = await make({ by: root, hash: 'SHA-1', extensions: leafExtensions() })
    expect(judge([below], { bundle: [root.der] }).reasons, name).toEqual(['SIGNATURE_WEAK'])
  }
})

// ── the path ────────────────────────────────────────────────────────────────────────────────────────────────────────

const foreign = async (): Promise<Family> => await family()

test('root: refused when a foreign CA carries the same names', async () => {
  const { intermediate, root } = await foreign()
  const below = await leaf({}, { by: intermediate })
  // Same subject as ours and no key identifiers: what we see is a signature that our root did not make.
  expect(judge([below, intermediate]).reasons).toEqual(['BAD_SIGNATURE'])
  expect(judge([below, intermediate, root]).reasons).toEqual(['BAD_SIGNATURE'])
})

test('root: refused when it is foreign', async () => {
  const root = await make({ name: 'CN=foreign', extensions: caExtensions() })
  const below = await leaf({}, { by: root })
  expect(judge([below]).reasons).toEqual(['UNTRUSTED_ROOT'])
  expect(judge([below, root]).reasons).toEqual(['UNTRUSTED_ROOT'])
  expect(judge([below, root], { bundle: [] }).reasons).toEqual(['UNTRUSTED_ROOT'])
})

test('leaf: refused when it signed itself', async () => {
  const alone = await make({ name: 'CN=worker', extensions: leafExtensions() })
  expect(judge([alone]).reasons).toEqual(['UNTRUSTED_ROOT'])
})

test('leaf: refused when it signed itself and somebody put it into the bundle', async () => {
  const alone = await make({ name: 'CN=worker', extensions: leafExtensions() })
  expect(judge([alone], { bundle: [alone.der] }).reasons).toEqual([
    'SIGNER_NOT_CA',
    'SIGNER_KEY_USAGE',
    'SIGNER_ID_HAS_PATH',
  ])
})

test('signing certificate: refused when it authenticates itself', async () => {
  const id = san([['uri', 'spiffe://fairlead.local']], false)
  const authority = await make({ name: 'CN=ca', by: home.root, extensions: caExtensions(0, id) })
  expect(judge([authority]).reasons).toEqual([
    'SPIFFE_ID_NO_PATH',
    'LEAF_IS_CA',
    'KEY_USAGE_NO_DIGITAL_SIGNATURE',
    'KEY_USAGE_CERT_SIGN',
    'KEY_USAGE_CRL_SIGN',
  ])
})

test('chain: refused when the intermediate is missing', async () => {
  expect(judge([await leaf()]).reasons).toEqual(['UNTRUSTED_ROOT'])
})

test('chain: refused when it does not follow from issuer to issuer', async () => {
  const other = await make({ name: 'CN=unrelated', by: home.root, extensions: caExtensions() })
  expect(judge([await leaf(), other, home.intermediate]).reasons).toEqual(['NAME_CHAINING', 'UNTRUSTED_ROOT'])
})

test('chain: refused when an ordinary leaf signed the leaf', async () => {
  const victim = await make({ name: 'CN=worker', by: home.intermediate, extensions: leafExtensions() })
  const forged = await make({ by: victim, extensions: leafExtensions({ names: san([['uri', `${ID}-admin`]]) }) })
  expect(new Set(judge([forged, victim, home.intermediate]).reasons)).toEqual(
    new Set(['SIGNER_NOT_CA', 'SIGNER_KEY_USAGE', 'SIGNER_ID_HAS_PATH', 'PATH_LENGTH']),
  )
})

test('signature: refused when leaf, intermediate or their signatures were changed', async () => {
  const good = await leaf()
  expect(judge([changed(good.der, -1), home.intermediate]).reasons).toEqual(['BAD_SIGNATURE'])
  expect(judge([good, changed(home.intermediate.der, -1)]).reasons).toEqual(['BAD_SIGNATURE'])
  const at = Buffer.from(good.der).indexOf('/sa/worker') + 4
  const renamed = judge([changed(good.der, at), home.intermediate])
  expect(renamed).toMatchObject({ ok: false, spiffeId: ID.replace('worker', 'vorker'), reasons: ['BAD_SIGNATURE'] })
})

test('signature: refused when the key of another CA with the same name made it', async () => {
  const twin = (await foreign()).intermediate
  expect(judge([await leaf({}, { by: twin }), home.intermediate]).reasons).toEqual(['BAD_SIGNATURE'])
})

test('key identifiers: tell a foreign root from a changed certificate when both have our name', async () => {
  const keyId = (byte: number) => raw('2.5.29.14', false, tlv(4, Buffer.from([byte])))
  const authorityId = (byte: number) => raw('2.5.29.35', false, tlv(0x30, tlv(0x80, Buffer.from([byte]))))
  const root = await make({ name: 'CN=r', extensions: caExtensions(undefined, keyId(1)) })
  const twin = await make({ name: 'CN=r', extensions: caExtensions(undefined, keyId(2)) })
  const of = (byte: number) => make({ by: twin, extensions: leafExtensions({ more: [authorityId(byte)] }) })
  expect(judge([await of(2)], { bundle: [root.der] }).reasons).toEqual(['UNTRUSTED_ROOT'])
  expect(judge([await of(1)], { bundle: [root.der] }).reasons).toEqual(['BAD_SIGNATURE'])
})

type SignerCase = [string, Reason[], Plan['extensions'], Partial<Plan>?]
const trustDomain = (text: string) => san([['uri', text]], false)
const SIGNERS: SignerCase[] = [
  ['is no CA', ['SIGNER_NOT_CA'], [isCa(false), usage(keyCertSign)]],
  ['has no basic constraints', ['SIGNER_NOT_CA'], [usage(keyCertSign)]],
  ['lacks keyCertSign', ['SIGNER_KEY_USAGE'], [isCa(true), usage(cRLSign)]],
  ['has no key usage', ['SIGNER_KEY_USAGE'], [isCa(true)]],
  ['is for servers only', ['SIGNER_EKU'], caExtensions(0, serverOnly)],
  ['has a SPIFFE ID with a path', ['SIGNER_ID_HAS_PATH'], caExtensions(0, trustDomain('spiffe://fairlead.local/ca'))],
  ['has a malformed SPIFFE ID', ['SIGNER_ID_INVALID'], caExtensions(0, trustDomain('SPIFFE://fairlead.local'))],
  [
    'has two SPIFFE IDs',
    ['SIGNER_ID_INVALID'],
    caExtensions(
      0,
      san(
        [
          ['uri', 'spiffe://fairlead.local'],
          ['uri', 'spiffe://b'],
        ],
        false,
      ),
    ),
  ],
  ['is of another trust domain', ['SIGNER_OTHER_DOMAIN'], caExtensions(0, trustDomain('spiffe://other.example'))],
  ['has expired', ['EXPIRED'], caExtensions(0), { toMs: -1000 }],
  ['is not valid yet', ['NOT_YET_VALID'], caExtensions(0), { fromMs: 1000 }],
  [
    'has an unknown critical extension',
    ['CRITICAL_EXTENSION_UNKNOWN'],
    caExtensions(0, raw('1.2.3', true, Buffer.from([5, 0]))),
  ],
  ['has the same extension twice', ['EXTENSION_DUPLICATE'], caExtensions(0, isCa(true, 0))],
]
test.each(SIGNERS)('intermediate: refused when it %s', async (_, reasons, extensions, plan) => {
  const signer = await make({ name: 'CN=signer', by: home.root, extensions, ...plan })
  expect(judge([await leaf({}, { by: signer }), signer]).reasons).toEqual(reasons)
})
test.each(SIGNERS)('root: refused when it %s', async (_, reasons, extensions, plan) => {
  const signer = await make({ name: 'CN=signer', extensions, ...plan })
  expect(judge([await leaf({}, { by: signer })], { bundle: [signer.der] }).reasons).toEqual(reasons)
})

test('root of another domain: refused when it vouches for an id of ours', async () => {
  const other = await make({ name: 'CN=b', extensions: caExtensions(undefined, trustDomain('spiffe://b.example')) })
  const below = await leaf({}, { by: other })
  expect(judge([below], { bundle: [other.der] }).reasons).toEqual(['SIGNER_OTHER_DOMAIN'])
  const unnamed = verifyChain({ chain: [below.der], bundle: [other.der], now: NOW })
  expect(unnamed.reasons, 'also when nobody says which domain the bundle is of').toEqual(['SIGNER_OTHER_DOMAIN'])
})

test('path length: refused when an intermediate stands below a CA that allows none', async () => {
  const second = await make({ name: 'CN=second', by: home.intermediate, extensions: caExtensions() })
  expect(judge([await leaf({}, { by: second }), second, home.intermediate]).reasons).toEqual(['PATH_LENGTH'])
})

test('chain: accepted with 5 certificates, refused when it has more', async () => {
  const chain: Made[] = []
  let signer = home.root
  for (let depth = 0; depth < 5; depth++) {
    signer = await make({ name: `CN=depth ${depth}`, by: signer, extensions: caExtensions() })
    chain.unshift(signer)
  }
  const fourth = chain.slice(1)
  expect(judge([await leaf({}, { by: fourth[0]! }), ...fourth]).ok).toBe(true)
  expect(judge([await leaf({}, { by: signer }), ...chain]).reasons).toEqual(['CHAIN_TOO_LONG'])
})

test('chain: refused when it is larger than 16 KiB', async () => {
  const padding = raw('1.2.3.4', false, Buffer.alloc(17_000))
  expect((await judgeLeaf({ more: [padding] })).reasons).toEqual(['CHAIN_TOO_LARGE'])
})

test('chain: refused when it is empty or not X.509', async () => {
  expect(judge([]).reasons).toEqual(['CHAIN_EMPTY'])
  const good = (await leaf()).der
  const cases = [Buffer.from('hello'), new Uint8Array(), good.subarray(0, -1), Buffer.concat([good, Buffer.from([0])])]
  for (const der of cases) expect(judge([new Uint8Array(der), home.intermediate]).reasons).toEqual(['MALFORMED'])
  expect(judge([good, new Uint8Array([0x30, 0])]).reasons).toEqual(['MALFORMED'])
})

test('bundle: a root that cannot be read vouches for nobody', async () => {
  expect(judge([await leaf(), home.intermediate], { bundle: [new Uint8Array([1])] }).reasons).toEqual([
    'UNTRUSTED_ROOT',
  ])
})

// ── expectations ────────────────────────────────────────────────────────────────────────────────────────────────────

test('expected id: refused when it is another, whatever the DNS names say', async () => {
  const other = 'spiffe://fairlead.local/ns/default/sa/admin'
  const chain = [
    await leaf({
      names: san([
        ['uri', ID],
        ['dns', `x,URI:${other}`],
      ]),
    }),
    home.intermediate,
  ]
  expect(judge(chain, { expectId: ID }).ok).toBe(true)
  expect(judge(chain, { expectId: other }).reasons).toEqual(['ID_MISMATCH'])
  expect(judge(chain, { expectId: ID.replace('worker', 'Worker') }).reasons).toEqual(['ID_MISMATCH'])
})

test('expected id: throws when it is none itself', async () => {
  expect(() => judge([home.intermediate], { expectId: 'worker' })).toThrow(/SPIFFE ID/)
})

test('conditions: all must hold when id and host name are both given', async () => {
  const chain = [
    await leaf({
      names: san([
        ['uri', ID],
        ['dns', 'worker.mesh'],
      ]),
    }),
    home.intermediate,
  ]
  expect(judge(chain, { expectId: ID, expectHostname: 'worker.mesh' }).ok).toBe(true)
  expect(judge(chain, { expectId: ID, expectHostname: 'other.mesh' }).reasons).toEqual(['HOSTNAME_MISMATCH'])
  expect(judge(chain, { expectId: `${ID}2`, expectHostname: 'worker.mesh' }).reasons).toEqual(['ID_MISMATCH'])
  expect(judge(chain, { expectId: `${ID}2`, expectHostname: 'b' }).reasons).toEqual([
    'ID_MISMATCH',
    'HOSTNAME_MISMATCH',
  ])
})

test('life: accepted through its last second, refused before its first and after its last', async () => {
  const root = await make({ name: 'CN=long', fromMs: -9 * DAY, toMs: 9 * DAY, extensions: caExtensions() })
  const chain = [await leaf({}, { by: root })]
  const at = (ms: number): readonly Reason[] => judge(chain, { bundle: [root.der], now: wallPlus(NOW, ms) }).reasons
  expect([at(-DAY), at(DAY)]).toEqual([[], []])
  expect([at(-DAY - 1), at(DAY + 1)]).toEqual([['NOT_YET_VALID'], ['EXPIRED']])
})

const constrained = async (kind: number, base: string | Uint8Array, excluded = false): Promise<Made> => {
  const subtree = tlv(0x30, tlv(kind, typeof base === 'string' ? Buffer.from(base) : base))
  const value = tlv(0x30, tlv(excluded ? 0xa1 : 0xa0, subtree))
  return await make({ name: 'CN=c', by: home.root, extensions: caExtensions(0, raw('2.5.29.30', true, value)) })
}
const CONSTRAINTS: [string, Reason[], number, string | Uint8Array, boolean, Parameters<typeof san>[0]][] = [
  ['the trust domain is permitted', [], 0x86, 'fairlead.local', false, []],
  ['another domain is permitted', ['NAME_CONSTRAINTS'], 0x86, 'other.example', false, []],
  ['only hosts below the domain are permitted', ['NAME_CONSTRAINTS'], 0x86, '.fairlead.local', false, []],
  ['the trust domain is excluded', ['NAME_CONSTRAINTS'], 0x86, 'fairlead.local', true, []],
  ['another domain is excluded', [], 0x86, 'other.example', true, []],
  ['the DNS name is below the permitted one', [], 0x82, 'example', false, [['dns', 'A.Example']]],
  [
    'the DNS name only ends like the permitted one',
    ['NAME_CONSTRAINTS'],
    0x82,
    'example',
    false,
    [['dns', 'badexample']],
  ],
  ['the DNS name is excluded', ['NAME_CONSTRAINTS'], 0x82, 'example', true, [['dns', 'a.example']]],
  ['DNS names are constrained and there are none', [], 0x82, 'example', false, []],
  [
    'addresses are constrained and there is one',
    ['NAME_CONSTRAINTS'],
    0x87,
    Buffer.alloc(8),
    false,
    [['ip', Buffer.from([127, 0, 0, 1])]],
  ],
]
test.each(CONSTRAINTS)('name constraints: are applied when %s', async (_, reasons, kind, base, excluded, names) => {
  const signer = await constrained(kind, base, excluded)
  const below = await leaf({ names: san([['uri', ID], ...names]) }, { by: signer })
  expect(judge([below, signer]).reasons).toEqual(reasons)
})

test('revocation: is a reason of its own when the leaf or its identity is on the list', async () => {
  const chain = [await leaf(), home.intermediate]
  const taken = judge(chain)
  const serial = taken.ok ? taken.serial : ''
  expect(judge(chain, { revoked: { serials: [serial.replace(/^0+/, '')], ids: [] } }).reasons).toEqual(['REVOKED'])
  expect(judge(chain, { revoked: { serials: [], ids: [ID] } }).reasons).toEqual(['REVOKED'])
  expect(judge(chain, { revoked: { serials: [`${serial}1`, '0'], ids: [`${ID}2`] } }).reasons).toEqual([])
})

test('reasons: each code of the table was provoked by a test above', () => {
  expect(Object.keys(REASONS).filter((reason) => !seen.has(reason as Reason))).toEqual([])
})
