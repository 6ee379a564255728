// run/run.ts — `fairlead run --service NAME -- command`: a sidecar beside any command.
//
// The command starts only when the sidecar serves, is told of it by http_proxy, and decides the end: signals go to it,
// its exit code is ours, and the sidecar drains after it. If the sidecar ends, it is started again (supervised.ts).

import { spawn } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { isServiceName } from '../../kernel/authority.ts'
import { FairleadError } from '../../kernel/errors.ts'
import { openClient } from '../client.ts'
import type { RunFlags } from '../commands/processes.ts'
import type { Context } from '../context.ts'
import { findRunning, type Running } from '../running.ts'
import { writeJoinToken } from '../up/control.ts'
import { ROOT } from '../up/plan.ts'
import { type ProcessSpec, Supervised } from '../up/supervised.ts'

const SIDECAR_GRACE_MS = 13_000
const NOT_FOUND = 127

export async function runBeside(context: Context, command: readonly string[], flags: RunFlags): Promise<number> {
  const running = findRunning(context)
  if (!isServiceName(flags.service))
    throw new FairleadError('INVALID_INPUT', `--service ${flags.service} is not a name.`)
  const control = openClient(running.state.addresses.controlApi, running.apiKey)
  const instance = flags.instance ?? `${flags.service}-${process.pid}`
  const state = running.paths.sidecar(instance)
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const joinTokenFile = join(state, 'join-token')
  const spec = sidecarSpec(running, flags, { instance, state, joinTokenFile })
  const sidecar = new Supervised(
    { ...spec, beforeStart: () => writeJoinToken(control, { ...flags, joinTokenFile }) },
    {
      logs: running.paths.logs,
      clock: context.clock,
      onChange: () => undefined,
      onEvent: (message) => context.terminal.note(message),
    },
  )
  try {
    await sidecar.start()
    return await runCommand(command, sidecar.ports['outbound'] ?? 0, context)
  } finally {
    await sidecar.stop(SIDECAR_GRACE_MS)
    await control.close()
    // An instance that nobody named comes back under another id: its keys are of no use any more.
    if (flags.instance === undefined) rmSync(state, { recursive: true, force: true })
  }
}

function sidecarSpec(
  { state, paths }: Running,
  flags: RunFlags,
  own: { instance: string; state: string; joinTokenFile: string },
): ProcessSpec {
  const portOf = (port: string): number => {
    const found = state.processes.find((process) => process.role === 'control-plane')?.ports[port]
    if (found === undefined) throw new FairleadError('UNREACHABLE', `The control plane here has no ${port} port.`)
    return found
  }
  return {
    name: `${own.instance}-sidecar`,
    role: 'proxy',
    version: flags.appVersion,
    script: join(ROOT, 'proxy', 'main.ts'),
    env: process.env,
    args: [
      ...['--service', flags.service, '--namespace', flags.namespace],
      ...['--version', flags.appVersion, '--instance', own.instance],
      ...['--app', appAddress(flags.app), '--health-path', flags.healthPath],
      ...['--outbound', '127.0.0.1:0', '--inbound', '127.0.0.1:0', '--admin', '127.0.0.1:0'],
      ...['--control-plane', `https://127.0.0.1:${portOf('stream')}`, '--trust-bundle', paths.trustBundle],
      ...['--join-token-file', own.joinTokenFile, '--consul', `http://127.0.0.1:${portOf('registry')}`],
      ...['--state', own.state],
    ],
  }
}

/** Port 9 (discard): a command that serves nothing is an instance that is never healthy, so nobody is sent to it. */
const appAddress = (app: string | undefined): string => {
  if (app === undefined) return '127.0.0.1:9'
  return app.includes(':') ? app : `127.0.0.1:${app}`
}

function runCommand([file, ...args]: readonly string[], outbound: number, context: Context): Promise<number> {
  const proxy = `http://127.0.0.1:${outbound}`
  const env = { ...process.env, http_proxy: proxy, no_proxy: 'localhost,127.0.0.1,::1', FAIRLEAD_PROXY: proxy }
  const child = spawn(file!, args, { stdio: 'inherit', env })
  const pass = (signal: NodeJS.Signals): void => void child.kill(signal)
  // Ctrl-C reaches the command through the terminal; we wait for what it makes of it.
  const wait = (): void => undefined
  process.on('SIGTERM', pass).on('SIGHUP', pass).on('SIGINT', wait)
  return new Promise((resolve) => {
    child.once('error', (error) => {
      context.terminal.note(`cannot run ${file}: ${error.message}`)
      resolve(NOT_FOUND)
    })
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 1)))
  }).then((code) => {
    process.off('SIGTERM', pass).off('SIGHUP', pass).off('SIGINT', wait)
    return code as number
  })
}
