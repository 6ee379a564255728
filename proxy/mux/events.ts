// events.ts — what a mux refuses, as a line in the log and a count.

import type { Log } from '../../kernel/log.ts'
import type { Observer } from '../exchange.ts'
import type { MuxEvents } from './connection.ts'

export function muxEvents(direction: 'outbound' | 'inbound', log: Log, observer: Observer): MuxEvents {
  return {
    muxRefused(code, why) {
      observer.muxRefused?.(direction, code)
      log[code === 'DRAINING' ? 'debug' : 'warn']({ direction, code, why }, 'mux refused')
    },
  }
}
