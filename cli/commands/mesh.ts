// commands/mesh.ts — configuration, routes and certificates.

import type { Command } from 'commander'
import type { Act } from '../context.ts'
import { addCaCommands } from './ca.ts'
import { addConfigQuestions } from './config.ts'

interface ExplainFlags {
  config: string[]
  method: string
  header: string[]
}
interface VerifyFlags {
  bundle: string
  chain: string
  id?: string
  hostname?: string
  at?: string
}

export function addMeshCommands(program: Command, act: Act): void {
  addConfig(program, act)
  addRoute(program, act)
  addCert(program, act)
  addCaCommands(program, act)
  program
    .command('apply')
    .description('validate YAML and make it the configuration of the running mesh')
    .argument('<path...>', 'files or folders; together they are the whole configuration')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead apply mesh-config/demo\n  $ fairlead apply route.yaml policy.yaml --json',
    )
    .action(
      act(async (context, paths: string[]) => {
        const { apply } = await import('../apply.ts')
        return await apply(context, paths)
      }),
    )
}

function addConfig(program: Command, act: Act): void {
  const config = program.command('config').description('the configuration language')
  config
    .command('validate')
    .description('tell every problem with file, line and column (exit 4 when there is one)')
    .argument('<path...>', 'files or folders')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead config validate mesh-config/demo\n  $ fairlead config validate a.yaml b.yaml --json',
    )
    .action(
      act(async ({ json }, paths: string[]) => {
        const { configValidate } = await import('../config.ts')
        return await configValidate(paths, { json })
      }),
    )
  addConfigQuestions(config, act)
}

function addRoute(program: Command, act: Act): void {
  const route = program.command('route').description('what happens to a request')
  route
    .command('explain')
    .description('which rule takes a request, and why the others do not')
    .requiredOption('--config <path>', 'file or folder (may be repeated)', collect, [])
    .option('--method <method>', 'request method', 'GET')
    .option('--header <header>', "request header 'name: value' (may be repeated)", collect, [])
    .argument('<url>', 'for example http://worker.mesh/path?query')
    .addHelpText(
      'after',
      "\nExamples:\n  $ fairlead route explain --config mesh-config/demo http://worker.mesh/\n  $ fairlead route explain --config mesh --method POST --header 'x-beta: 1' http://shop.mesh/cart --json",
    )
    .action(
      act(async ({ json }, url: string, flags: ExplainFlags) => {
        const { routeExplain } = await import('../route.ts')
        return await routeExplain({ config: flags.config, method: flags.method, headers: flags.header, json, url })
      }),
    )
}

function addCert(program: Command, act: Act): void {
  const cert = program.command('cert').description('certificates and identities')
  cert
    .command('inspect')
    .description('what a certificate says, and what X509-SVID says about it')
    .argument('<file>', 'PEM')
    .action(
      act(async ({ json }, file: string) => {
        const { certInspect } = await import('../cert.ts')
        return await certInspect(file, { json })
      }),
    )
  cert
    .command('verify')
    .description('is this chain an identity that the bundle vouches for? (exit 0 or 1)')
    .requiredOption('--bundle <file>', 'trusted roots, PEM')
    .requiredOption('--chain <file>', 'leaf first, PEM')
    .option('--id <spiffe>', 'SPIFFE ID that it must prove')
    .option('--hostname <name>', 'DNS name that it must carry')
    .option('--at <time>', 'as of this time (RFC 3339) instead of now')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead cert verify --bundle CA.pem --chain CHAIN.pem --id spiffe://fairlead.local/ns/default/sa/worker',
    )
    .action(
      act(async ({ json }, flags: VerifyFlags) => {
        const { certVerify } = await import('../cert.ts')
        return await certVerify({ ...flags, json })
      }),
    )
}

const collect = (value: string, before: string[]): string[] => [...before, value]
