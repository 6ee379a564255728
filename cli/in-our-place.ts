// in-our-place.ts — a Node process that takes our place: same terminal, signals passed on, its exit code is ours.

import { spawn } from 'node:child_process'
import { systemClock } from '../kernel/clock.ts'
import { EXIT } from './exit.ts'
import { OWN_GROUP } from './up/child.ts'
import { watchInterrupts } from './up/interrupts.ts'

/**
 * Runs Node with these arguments on our terminal; resolves with its exit code. Its own group: a Ctrl-C reaches us
 * alone, the first one asks it to drain, the second one ends it.
 */
export async function runInOurPlace(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], detached: OWN_GROUP })
  const interrupts = watchInterrupts(process, systemClock, () => void child.kill('SIGKILL'))
  void interrupts.first.then(() => child.kill('SIGTERM'))
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code) => resolve(code ?? (interrupts.signal.aborted ? EXIT.interrupted : EXIT.negative)))
    })
  } finally {
    interrupts.close()
  }
}
