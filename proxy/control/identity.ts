// identity.ts — who this sidecar is: makes its key, has it signed, renews it early, and keeps it on disk.
//
// Modes: none → valid → valid (renewed) …; valid → expired → none when no control plane answered for half a life.
// A key is made here for each certificate and leaves only into the state directory (0600). The first certificate comes
// by join token (the file is read anew for each try, `up` may have put a fresh one there); later ones by the current
// SVID, and by a token again when that is refused or expired. Renewal is at a random point of 40–50 % of life, so a
// fleet that started together does not come back together; failures are retried with jitter over every control plane.
// The bundle: pinned from the file at first, then what control planes that proved themselves under it send.

import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { generateKey } from '../../certs/keys.ts'
import { certificatesToPem, parseCertificates } from '../../certs/pem.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import { type Clock, isoTime, type Timer, type WallMs } from '../../kernel/clock.ts'
import { asFairleadError, FairleadError } from '../../kernel/errors.ts'
import type { Closable } from '../../kernel/lifetime.ts'
import type { Log } from '../../kernel/log.ts'
import type { Random } from '../../kernel/random.ts'
import type { Identity, IdentitySource } from '../exchange.ts'
import { backoffMs } from './backoff.ts'
import { loadIdentity, type StoredIdentity, saveIdentity } from './identity-store.ts'
import { askForCertificate } from './signing.ts'

export interface IdentityOptions {
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly service: string
  readonly namespace: string
  readonly stateDir: string
  readonly controlPlanes: readonly URL[]
  readonly trustBundleFile: string
  readonly joinTokenFile: string | undefined
  readonly onRenewal?: (outcome: 'ok' | 'failed') => void
}

const RETRY = { leastMs: 200, baseMs: 500, maxMs: 30_000 }
/** Share of life after which it is renewed. */
const RENEW_FROM = 0.4
const RENEW_TO = 0.5

interface Held {
  readonly identity: Identity
  readonly stored: StoredIdentity
  readonly notBefore: WallMs
  readonly notAfter: WallMs
}

export class SidecarIdentity implements IdentitySource, Closable {
  readonly #options: IdentityOptions
  readonly #listeners = new Set<() => void>()
  #held: Held | undefined
  #pinned: readonly Uint8Array[] = []
  #timer: Timer | undefined
  #failures = 0
  #saving: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: IdentityOptions) {
    this.#options = options
  }

  /** Takes up what is on disk and starts renewing. Without a valid identity on disk the first is asked for at once. */
  async start(): Promise<void> {
    const { trustBundleFile, log } = this.#options
    this.#pinned = parseCertificates(await readFile(trustBundleFile, 'utf8'), `Trust bundle ${trustBundleFile}`)
    const stored = await this.#load()
    if (stored) {
      this.#hold(stored)
      log.info({ spiffeId: stored.spiffeId, notAfter: isoTime(this.#held!.notAfter) }, 'identity taken up from disk')
      this.#schedule(this.#renewInMs(this.#held!.notBefore))
    } else this.#schedule(0)
  }

  current(): Identity | undefined {
    return this.#valid()?.identity
  }

  get notAfter(): WallMs | undefined {
    return this.#held?.notAfter
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** The control plane did not accept our SVID: asks for another now instead of at the planned time. */
  renewSoon(): void {
    if (this.#failures === 0) this.#schedule(backoffMs(1, RETRY, this.#options.random))
  }

  /** Roots that a snapshot brought (root rotation); kept with the identity. */
  async updateBundle(roots: readonly string[]): Promise<void> {
    if (roots.length === 0) return
    const bundlePem = certificatesToPem(roots.flatMap((pem) => parseCertificates(pem, 'Trust bundle of the snapshot')))
    const held = this.#held
    if (!held || bundlePem === certificatesToPem(held.identity.bundleDer)) return
    await this.#swap({ ...held.stored, bundlePem })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#saving
  }

  #valid(): Held | undefined {
    return this.#held && this.#held.notAfter > this.#options.clock.wall() ? this.#held : undefined
  }

  async #load(): Promise<StoredIdentity | undefined> {
    const { stateDir, service, namespace, clock, log } = this.#options
    try {
      return await loadIdentity(stateDir, { service, namespace, now: clock.wall() })
    } catch (error) {
      log.warn({ error }, 'the stored identity cannot be used; joining again')
      return undefined
    }
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return
    this.#timer?.cancel()
    this.#timer = this.#options.clock.after(delayMs, () => void this.#renew(), true)
  }

  /** Of the life that is left from `from` on; back-dating must not make a short life look used up. */
  #renewInMs(from: WallMs): number {
    const { notAfter } = this.#held!
    const at = from + (notAfter - from) * this.#options.random.between(RENEW_FROM, RENEW_TO)
    return Math.max(0, at - this.#options.clock.wall())
  }

  async #renew(): Promise<void> {
    const { log, random, onRenewal } = this.#options
    try {
      const stored = await this.#askAll()
      if (this.#closed) return
      await this.#swap(stored)
      this.#failures = 0
      onRenewal?.('ok')
      log.info({ spiffeId: stored.spiffeId, notAfter: isoTime(this.#held!.notAfter) }, 'certificate signed')
      this.#schedule(this.#renewInMs(this.#options.clock.wall()))
    } catch (error) {
      this.#failures++
      onRenewal?.('failed')
      // Told to wait, never sooner; the back-off on top keeps many who were told the same apart.
      const toldMs = (asFairleadError(error).retryAfterS ?? 0) * 1000
      const delayMs = Math.round(toldMs + backoffMs(this.#failures, RETRY, random))
      log.warn({ error, delayMs, valid: this.#valid() !== undefined }, 'no certificate yet; trying again')
      this.#schedule(delayMs)
    }
  }

  /** Every control plane in turn, by SVID and then by token; the last failure is the one that is told. */
  async #askAll(): Promise<StoredIdentity> {
    let failure: unknown = new FairleadError('NOT_READY', 'No control plane is configured.')
    const { controlPlanes } = this.#options
    for (let i = 0; i < controlPlanes.length; i++) {
      const url = controlPlanes[(this.#failures + i) % controlPlanes.length]!
      try {
        return await this.#ask(url)
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  async #ask(url: URL): Promise<StoredIdentity> {
    const held = this.#valid()
    if (!held) return this.#sign(url, undefined, await this.#joinToken())
    try {
      return await this.#sign(url, held, undefined)
    } catch (error) {
      if (asFairleadError(error).code !== 'JOIN_TOKEN_INVALID') throw error
      return this.#sign(url, undefined, await this.#joinToken())
    }
  }

  async #sign(url: URL, svid: Held | undefined, joinToken: string | undefined): Promise<StoredIdentity> {
    const { clock, service, namespace } = this.#options
    const known = this.#held?.identity
    return askForCertificate({
      clock,
      url,
      service,
      namespace,
      key: await generateKey(),
      // The file too: the operator's word, should the roots have changed while we were away.
      bundle: [...(known?.bundleDer ?? []), ...this.#pinned],
      trustDomain: known?.trustDomain,
      svid: svid?.stored,
      joinToken,
    })
  }

  async #joinToken(): Promise<string> {
    const file = this.#options.joinTokenFile
    if (file === undefined) throw new FairleadError('JOIN_TOKEN_INVALID', 'No --join-token-file was given.')
    try {
      return (await readFile(file, 'utf8')).trim()
    } catch (cause) {
      throw new FairleadError('JOIN_TOKEN_INVALID', `Cannot read the join token ${file}.`, { cause })
    }
  }

  /** In force at once; the disk follows, one write after the other, and its failure takes nothing away. */
  #swap(stored: StoredIdentity): Promise<void> {
    this.#hold(stored)
    for (const listener of this.#listeners) listener()
    this.#saving = this.#saving
      .then(() => saveIdentity(this.#options.stateDir, stored))
      .catch((error: unknown) => this.#options.log.error({ error }, 'the identity could not be kept on disk'))
    return this.#saving
  }

  #hold(stored: StoredIdentity): void {
    const leaf = new X509Certificate(stored.chainPem)
    this.#held = {
      stored,
      identity: {
        spiffeId: stored.spiffeId,
        trustDomain: parseServiceId(stored.spiffeId).trustDomain,
        keyPem: stored.keyPem,
        chainPem: stored.chainPem,
        bundleDer: parseCertificates(stored.bundlePem, 'trust bundle'),
      },
      notBefore: leaf.validFromDate.getTime() as WallMs,
      notAfter: leaf.validToDate.getTime() as WallMs,
    }
  }
}
