// refusal.ts — how the codec says no: BAD_REQUEST or HEADERS_TOO_LARGE, with the offence and never the bytes.

import { FairleadError } from '../../kernel/errors.ts'

/** Request or response head, trailers included. */
export const HEAD_BYTES_MAX = 32 * 1024
export const FIELDS_MAX = 100

export function refuse(offence: string): never {
  throw new FairleadError('BAD_REQUEST', `Not a valid HTTP/1.1 message: ${offence}.`)
}

export function refuseLarge(): never {
  throw new FairleadError(
    'HEADERS_TOO_LARGE',
    `The head has more than ${HEAD_BYTES_MAX} bytes or ${FIELDS_MAX} fields.`,
  )
}
