// issued.ts — every certificate that was signed and every join token that was used.

import { createHash } from 'node:crypto'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock, WallMs } from '../../kernel/clock.ts'

/** Rows are kept this long after their end: late questions ("who was serial X?") and clocks that run behind. */
const KEPT_AFTER_END_MS = 7 * 86_400_000

export interface IssuedCertificate {
  readonly serial: string
  readonly spiffeId: string
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly keyHash: string
  readonly proof: 'join-token' | 'svid' | 'self'
  readonly notAfter: WallMs
}

export class Issued {
  readonly #sql: DatabaseSync
  readonly #clock: Clock

  constructor(sql: DatabaseSync, clock: Clock) {
    this.#sql = sql
    this.#clock = clock
  }

  /**
   * Marks a token as used; false when it was used before. The insert itself decides, so two requests with one token
   * cannot both win. Only the hash is kept.
   */
  consumeToken(jti: string, spiffeId: string, expiresAt: WallMs): boolean {
    const insert =
      'INSERT OR IGNORE INTO consumed_token (jti_hash, spiffe_id, consumed_at, expires_at) VALUES (?, ?, ?, ?)'
    const { changes } = this.#sql.prepare(insert).run(sha256(jti), spiffeId, this.#clock.wall(), expiresAt)
    return Number(changes) === 1
  }

  /** Another identity that the same key was signed for, if any. */
  otherOwnerOf(keyHash: string, spiffeId: string): string | undefined {
    const select = 'SELECT spiffe_id FROM certificate WHERE key_hash = ? AND spiffe_id <> ? LIMIT 1'
    const row = this.#sql.prepare(select).get(keyHash, spiffeId)
    return row && String(row['spiffe_id'])
  }

  record(certificate: IssuedCertificate): void {
    const { serial, spiffeId, keyHash, proof, notAfter } = certificate
    const insert =
      'INSERT INTO certificate (serial, spiffe_id, key_hash, proof, issued_at, not_after) VALUES (?,?,?,?,?,?)'
    this.#sql.prepare(insert).run(serial, spiffeId, keyHash, proof, this.#clock.wall(), notAfter)
  }

  /** By serial, in one spelling (certs/revoked.ts). */
  find(serial: string): IssuedCertificate | undefined {
    const select = 'SELECT serial, spiffe_id, key_hash, proof, not_after FROM certificate WHERE ltrim(serial, ?) = ?'
    const row = this.#sql.prepare(select).get('0', serial)
    return row && issuedCertificate(row)
  }

  /** Newest first; those of one identity when it is given. */
  recent(limit: number, spiffeId?: string): IssuedCertificate[] {
    const select = `SELECT serial, spiffe_id, key_hash, proof, not_after FROM certificate
      WHERE not_after > ? AND (? = '' OR spiffe_id = ?) ORDER BY issued_at DESC, serial LIMIT ?`
    const rows = this.#sql.prepare(select).all(this.#clock.wall(), spiffeId ?? '', spiffeId ?? '', limit)
    return rows.map(issuedCertificate)
  }

  /** Certificates that have not ended. */
  count(): number {
    const row = this.#sql.prepare('SELECT count(*) AS n FROM certificate WHERE not_after > ?').get(this.#clock.wall())
    return Number(row?.['n'] ?? 0)
  }

  /** Forgets what ended long ago. */
  prune(): void {
    const before = this.#clock.wall() - KEPT_AFTER_END_MS
    this.#sql.prepare('DELETE FROM certificate WHERE not_after < ?').run(before)
    this.#sql.prepare('DELETE FROM consumed_token WHERE expires_at < ?').run(before)
  }
}

function issuedCertificate(row: Record<string, unknown>): IssuedCertificate {
  return {
    serial: String(row['serial']),
    spiffeId: String(row['spiffe_id']),
    keyHash: String(row['key_hash']),
    proof: String(row['proof']) as IssuedCertificate['proof'],
    notAfter: Number(row['not_after']) as WallMs,
  }
}

export const sha256 = (data: string | Uint8Array): string => createHash('sha256').update(data).digest('hex')
