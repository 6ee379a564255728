import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { generateKey, keyToPem, loadKey, parseKey, samePublicKey, saveKey } from '../../certs/keys.ts'
import { writePrivateFile } from '../../certs/private-file.ts'
import { createSealer, loadSealed, saveSealed } from '../../certs/seal.ts'
import { systemRandom } from '../../kernel/random.ts'

const dir = mkdtempSync(join(tmpdir(), 'fairlead-seal-'))
afterAll(() => rmSync(dir, { recursive: true }))
const sealer = createSealer(Buffer.from('correct horse battery staple'), systemRandom)
const secret = Buffer.from('-----BEGIN PRIVATE KEY-----')
const invalid = { code: 'KEY_SEAL_INVALID' }
const modeOf = (path: string): number => statSync(path).mode & 0o777

test('seal: opens to the same bytes; each sealing looks different', async () => {
  const [one, two] = [await sealer.seal(secret, 'root'), await sealer.seal(secret, 'root')]
  expect(Buffer.from(await sealer.open(one, 'root'))).toEqual(secret)
  expect(Buffer.from(one)).not.toEqual(Buffer.from(two))
  expect(Buffer.from(one).toString()).toMatch(/^fairlead-seal-1\n[\w-]{22}\n[\w-]{16}\n[\w-]+\n$/)
  expect(Buffer.from(one).includes('PRIVATE')).toBe(false)
})

test('seal: does not open with another secret or as something else', async () => {
  const sealed = await sealer.seal(secret, 'root')
  const other = createSealer(Buffer.from('incorrect horse battery staple'), systemRandom)
  await expect(other.open(sealed, 'root')).rejects.toMatchObject(invalid)
  await expect(sealer.open(sealed, 'intermediate')).rejects.toMatchObject(invalid)
})

test('seal: does not open when a byte of any line was changed', async () => {
  const text = Buffer.from(await sealer.seal(secret, 'root')).toString()
  const [version, salt, nonce, box] = text.split('\n') as [string, string, string, string]
  const flip = (line: string): string => (line.startsWith('A') ? 'B' : 'A') + line.slice(1)
  const cases = [
    [flip(version), salt, nonce, box, ''],
    ['fairlead-seal-2', salt, nonce, box, ''],
    [version, flip(salt), nonce, box, ''],
    [version, salt, flip(nonce), box, ''],
    [version, salt, nonce, flip(box), ''],
    [version, salt, nonce, box.slice(0, -4), ''],
    [version, salt, nonce, box.slice(0, 20), ''],
    [version, salt, nonce, box, 'more'],
    [version, salt, nonce, box],
    [version, salt, nonce, `${box}=`, ''],
    [version, salt, ` ${nonce}`, box, ''],
    [version, salt, nonce],
    [''],
  ]
  for (const lines of cases) {
    const changed = Buffer.from(lines.join('\n'))
    await expect(sealer.open(changed, 'root'), lines.join(' ')).rejects.toMatchObject(invalid)
  }
  await expect(sealer.open(new Uint8Array(65 * 1024), 'root')).rejects.toMatchObject(invalid)
})

test('seal: refuses a short secret', () => {
  expect(() => createSealer(Buffer.from('short'), systemRandom)).toThrow(expect.objectContaining(invalid))
})

test('sealed file: only its owner may read it', async () => {
  const path = join(dir, 'root.sealed')
  await saveSealed(path, sealer, secret, 'root')
  expect(modeOf(path)).toBe(0o600)
  expect(Buffer.from(await loadSealed(path, sealer, 'root'))).toEqual(secret)
  await expect(loadSealed(join(dir, 'none'), sealer, 'root')).rejects.toMatchObject(invalid)
})

test('private file: replaces a readable one whole and leaves no temporary file', async () => {
  const path = join(dir, 'private')
  writeFileSync(path, 'old', { mode: 0o644 })
  await writePrivateFile(path, 'new')
  expect([readFileSync(path, 'utf8'), modeOf(path)]).toEqual(['new', 0o600])
  expect(readdirSync(dir).filter((name) => name.endsWith('.new'))).toEqual([])
})

test('private file: does not follow a link left at its temporary name', async () => {
  const path = join(dir, 'linked')
  const victim = join(dir, 'victim')
  writeFileSync(victim, 'untouched')
  symlinkSync(victim, `${path}.${process.pid}.new`)
  await writePrivateFile(path, 'secret')
  expect([readFileSync(victim, 'utf8'), readFileSync(path, 'utf8')]).toEqual(['untouched', 'secret'])
})

test('key: saved for its owner only, and read back', async () => {
  const path = join(dir, 'key.pem')
  const key = await generateKey()
  await saveKey(path, key)
  expect(modeOf(path)).toBe(0o600)
  expect(samePublicKey(await loadKey(path), key)).toBe(true)
})

test('key: refused without its content in the message when it is unusable', async () => {
  const { generateKeyPairSync } = await import('node:crypto')
  const pkcs8 = { type: 'pkcs8', format: 'pem' } as const
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export(pkcs8).toString()
  const p384 = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey.export(pkcs8).toString()
  const locked = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const encrypted = locked.export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'x' }).toString()
  const broken = keyToPem(await generateKey()).replace(/\n.{10}/, '\nAAAAAAAAAA')
  for (const pem of [rsa, p384, encrypted, broken, '', 'hunter2']) {
    try {
      parseKey(pem)
      expect.unreachable(`accepted ${pem.slice(0, 30)}`)
    } catch (error) {
      expect(error).toMatchObject({ code: 'KEY_INVALID' })
      const body = pem.split('\n')[1]
      if (body) expect(String(error)).not.toContain(body)
    }
  }
  await expect(loadKey(join(dir, 'none.pem'))).rejects.toMatchObject({ code: 'KEY_INVALID' })
})
