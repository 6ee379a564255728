// commands/ca.ts — the certificate authority of the running mesh.

import type { Command } from 'commander'
import type { RevokeFlags } from '../ca.ts'
import type { Act } from '../context.ts'

const SERIAL = 'one certificate, hexadecimal (`fairlead ca certificates`)'
const ID = 'an identity: all certificates that it has and would get'

export function addCaCommands(program: Command, act: Act): void {
  const ca = program.command('ca').description('the certificate authority of the running mesh')
  ca.command('show')
    .description('roots and intermediate: serials, lives, fingerprints')
    .action(
      act(async (context) => {
        const { caShow } = await import('../ca.ts')
        return await caShow(context)
      }),
    )
  ca.command('export')
    .description('the root certificates, PEM: what peers outside the mesh must trust; never keys')
    .option('--out <file>', 'a new file instead of stdout')
    .addHelpText('after', '\nExample:\n  $ fairlead ca export --out mesh-roots.pem && curl --cacert mesh-roots.pem …')
    .action(
      act(async (context, flags: { out?: string }) => {
        const { caExport } = await import('../ca.ts')
        return await caExport(context, flags.out)
      }),
    )
  ca.command('certificates')
    .description('certificates that were signed and have not ended, newest first')
    .option('--id <spiffe>', 'of this identity only')
    .option('--limit <n>', 'at most so many', '100')
    .action(
      act(async (context, flags: { id?: string; limit: string }) => {
        const { caCertificates } = await import('../ca.ts')
        return await caCertificates(context, flags)
      }),
    )
  ca.command('revoke')
    .description('a certificate or an identity counts no more; live connections are cut')
    .option('--serial <hex>', SERIAL)
    .option('--id <spiffe>', ID)
    .option('--reason <text>', 'for the audit')
    .addHelpText(
      'after',
      '\nExamples:\n  $ fairlead ca revoke --serial 5f0c… --reason "laptop lost"\n  $ fairlead ca revoke --id spiffe://fairlead.local/ns/default/sa/worker',
    )
    .action(
      act(async (context, flags: RevokeFlags) => {
        const { caRevoke } = await import('../ca.ts')
        return await caRevoke(context, flags)
      }),
    )
  ca.command('restore')
    .description('takes a revocation back (exit 1 when there was none)')
    .option('--serial <hex>', SERIAL)
    .option('--id <spiffe>', ID)
    .action(
      act(async (context, flags: RevokeFlags) => {
        const { caRestore } = await import('../ca.ts')
        return await caRestore(context, flags)
      }),
    )
  ca.command('revocations')
    .description('what is revoked, by whom and why')
    .action(
      act(async (context) => {
        const { caRevocations } = await import('../ca.ts')
        return await caRevocations(context)
      }),
    )
}
