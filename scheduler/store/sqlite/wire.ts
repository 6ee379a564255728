// wire.ts — the messages between the store and its threads.

import type { ErrorCode } from '../../../kernel/errors.ts'

export interface ThreadData {
  readonly role: 'write' | 'read'
  readonly file: string
  readonly logBytesMax: number
}

export interface Call {
  readonly id: number
  readonly op: string
  readonly args: readonly unknown[]
}

export interface Failure {
  readonly code: ErrorCode
  readonly message: string
  /** A COMMIT failed half way: whether it stands is not known. */
  readonly unknown: boolean
}

export type Answer =
  | { readonly id: number; readonly value: unknown; readonly failure?: undefined }
  | { readonly id: number; readonly failure: Failure }
