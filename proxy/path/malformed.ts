// malformed.ts — the answer to a head that was refused: no route, no upstream, one line in the log.

import type { FairleadError } from '../../kernel/errors.ts'
import type { Channel } from '../listen/channel.ts'
import { answerError } from './answer.ts'
import { flagOf } from './flags.ts'
import { newExchange, type PathParts } from './forwarding.ts'

export function answerMalformed(
  parts: PathParts,
  direction: 'outbound' | 'inbound',
  channel: Channel,
  error: FairleadError,
): void {
  const exchange = newExchange(direction, parts.clock.now(), undefined, channel.peer.spiffeId)
  exchange.status = error.spec.status
  exchange.error = error.code
  exchange.flag = flagOf(error.code)
  channel.closeAfter()
  exchange.bytesOut = answerError(channel, error, '', '')
  parts.observer.done(exchange)
}
