// revoke.ts — an operator's word that a certificate or an identity counts no more, or counts again.
//
// At once here: no signature, no stream. At the sidecars with the next snapshot, which the change wakes: they refuse new
// connections and cut those that exist. The revoked sidecar itself may join again with a new token, unless its identity
// is barred.

import { type Revoked as List, serialText } from '../../certs/revoked.ts'
import { parseServiceId } from '../../certs/spiffe.ts'
import type { WallMs } from '../../kernel/clock.ts'
import { FairleadError } from '../../kernel/errors.ts'
import type { RevokeRequest } from '../contract.ts'
import type { Audit } from '../state/audit.ts'
import type { Issued } from '../state/issued.ts'
import type { Revocation, Revocations } from '../state/revocations.ts'

/** Namespace of the Fairlead processes: without the control plane's own identity nobody could be told anything. */
const OWN_NAMESPACE = 'fairlead'

export interface RevokerOptions {
  readonly revocations: Revocations
  readonly issued: Issued
  readonly audit: Audit
  readonly trustDomain: string
  /** Pushes, and ends the streams of who is revoked. */
  onChange(): void
}

export interface Revoked {
  readonly changed: boolean
  readonly revocation: Revocation
}

type Target = { kind: 'serial' | 'id'; value: string; spiffeId: string; endsAt: WallMs | undefined }

export class Revoker {
  readonly #options: RevokerOptions

  constructor(options: RevokerOptions) {
    this.#options = options
  }

  /** For lookups. */
  get current(): List | undefined {
    return this.#options.revocations.current
  }

  list(): Revocation[] {
    return this.#options.revocations.list()
  }

  /** @throws FairleadError CERTIFICATE_UNKNOWN, SPIFFE_ID_INVALID, INVALID_INPUT */
  revoke(request: RevokeRequest, author: string): Revoked {
    const { revocations, audit, onChange } = this.#options
    const target = this.#targetOf(request)
    const changed = revocations.add({ ...target, reason: request.reason, author })
    if (changed) {
      const { kind, value, spiffeId } = target
      audit.record('certificate.revoke', author, value, {
        kind,
        spiffeId,
        reason: request.reason,
        before: 'valid',
        after: 'revoked',
      })
      onChange()
    }
    return { changed, revocation: this.#find(target) }
  }

  /** False when nothing of that name is revoked. */
  restore(request: Pick<RevokeRequest, 'serial' | 'id'>, author: string): boolean {
    const { revocations, audit, onChange } = this.#options
    const kind = request.serial === undefined ? 'id' : 'serial'
    const value = request.serial === undefined ? (request.id ?? '') : serialText(request.serial)
    if (!revocations.remove(kind, value)) return false
    audit.record('certificate.restore', author, value, { kind, before: 'revoked', after: 'valid' })
    onChange()
    return true
  }

  #targetOf({ serial, id }: RevokeRequest): Target {
    const { issued, trustDomain } = this.#options
    if (serial !== undefined) {
      const found = issued.find(serialText(serial))
      if (!found)
        throw new FairleadError('CERTIFICATE_UNKNOWN', `No certificate with the serial ${serial} was signed here.`)
      if (found.proof === 'self') throw own(found.spiffeId)
      return { kind: 'serial', value: serialText(serial), spiffeId: found.spiffeId, endsAt: found.notAfter }
    }
    const parsed = parseServiceId(id ?? '')
    if (parsed.trustDomain !== trustDomain) {
      throw new FairleadError('SPIFFE_ID_INVALID', `${id} is not of the trust domain ${trustDomain}.`)
    }
    if (parsed.namespace === OWN_NAMESPACE) throw own(id ?? '')
    return { kind: 'id', value: id ?? '', spiffeId: id ?? '', endsAt: undefined }
  }

  #find({ kind, value }: Target): Revocation {
    return this.list().find((one) => one.kind === kind && one.value === value)!
  }
}

const own = (id: string): FairleadError =>
  new FairleadError('INVALID_INPUT', `${id} is the control plane itself; without it no sidecar could be told.`)
