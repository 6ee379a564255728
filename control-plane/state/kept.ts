// kept.ts — what must survive a restart besides certificates and config: the last instance set and the known sidecars.

import type { DatabaseSync } from 'node:sqlite'
import type { WallMs } from '../../kernel/clock.ts'
import { z } from '../../kernel/parse.ts'
import type { Instance } from '../contract.ts'
import { transact } from './database.ts'

export interface KnownSidecar {
  readonly instance: string
  readonly service: string
  readonly namespace: string
  readonly version: string
  /** Snapshot version acked last; '' = none. */
  readonly acked: string
  readonly leafNotAfter: WallMs
}

const Instances = z.array(
  z.strictObject({
    instance: z.string(),
    service: z.string(),
    namespace: z.string(),
    version: z.string(),
    region: z.string(),
    address: z.string(),
    port: z.int(),
    passing: z.boolean(),
  }),
)

export class Kept {
  readonly #sql: DatabaseSync

  constructor(sql: DatabaseSync) {
    this.#sql = sql
  }

  instances(): Instance[] {
    const row = this.#sql.prepare("SELECT value FROM kept WHERE name = 'instances'").get()
    return row ? Instances.parse(JSON.parse(String(row['value']))) : []
  }

  saveInstances(instances: readonly Instance[]): void {
    const upsert =
      "INSERT INTO kept (name, value) VALUES ('instances', ?) ON CONFLICT DO UPDATE SET value = excluded.value"
    this.#sql.prepare(upsert).run(JSON.stringify(instances))
  }

  sidecars(): KnownSidecar[] {
    const select = 'SELECT instance, service, namespace, version, acked, leaf_not_after FROM sidecar'
    return this.#sql
      .prepare(select)
      .all()
      .map((row) => ({
        instance: String(row['instance']),
        service: String(row['service']),
        namespace: String(row['namespace']),
        version: String(row['version']),
        acked: String(row['acked']),
        leafNotAfter: Number(row['leaf_not_after']) as WallMs,
      }))
  }

  /** One commit for all: a push to a thousand sidecars brings a thousand acks. */
  saveSidecars(sidecars: readonly KnownSidecar[]): void {
    const insert = this.#sql.prepare('INSERT OR REPLACE INTO sidecar VALUES (?, ?, ?, ?, ?, ?)')
    transact(this.#sql, () => {
      for (const { instance, service, namespace, version, acked, leafNotAfter } of sidecars) {
        insert.run(instance, service, namespace, version, acked, leafNotAfter)
      }
    })
  }

  forgetSidecar(instance: string): void {
    this.#sql.prepare('DELETE FROM sidecar WHERE instance = ?').run(instance)
  }
}
