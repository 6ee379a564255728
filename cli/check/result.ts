// result.ts — what `fairlead check` looks at: one stable code each, with what to do and the command that mends it.
//
// A code is never renamed or reused. `{dir}`, `{subject}` in a command are filled in.

export const CHECKS = {
  NODE_VERSION: ['Node 24.12 or newer', 'Start by `npm start`: it brings the right Node.', 'npm start'],
  DATA_DIR_PRIVATE: [
    'keys are for their owner only',
    'Whoever can read the key can change the mesh.',
    'chmod 700 {dir} && chmod 600 {dir}/api-key',
  ],
  DISK_SPACE: ['room on the disk', 'Free some space: jobs and state must be written.', 'df -h {dir}'],
  RUNNING: ['Fairlead runs here', 'Start it, or name its directory with --data-dir.', 'npm start'],
  PROCESSES_ALIVE: [
    'every process runs',
    'See why it ended; `up` starts it again.',
    'tail -n 50 {dir}/logs/{subject}.log',
  ],
  PROCESSES_STABLE: ['no process was restarted', 'See why it ended before.', 'tail -n 50 {dir}/logs/{subject}.log'],
  CONTROL_PLANE_READY: [
    'the control plane is ready',
    'Sidecars serve their last snapshot meanwhile.',
    'tail -n 50 {dir}/logs/control-plane.log',
  ],
  CONFIG_APPLIED: ['a configuration runs', 'Apply one; until then there are no routes.', 'fairlead apply PATH'],
  CONFIG_CLEAN: [
    'the configuration says what was meant',
    'Look at each finding; it stays valid meanwhile.',
    'fairlead config analyze PATH',
  ],
  SIDECARS_CONNECTED: [
    'every sidecar has its stream',
    'It serves its last snapshot; see why it does not come.',
    'tail -n 50 {dir}/logs/*{subject}*.log',
  ],
  SIDECARS_ACCEPTED: [
    'every sidecar runs the newest snapshot',
    'It keeps the one before; see what it refused.',
    'fairlead status',
  ],
  INSTANCES_HEALTHY: [
    'every instance passes its health check',
    'Its app does not answer its health path.',
    'tail -n 50 {dir}/logs/{subject}.log',
  ],
  SERVICES_SERVED: [
    'every Service has an instance',
    'Calls to it are answered 503.',
    'fairlead run --service {subject} --app PORT -- COMMAND',
  ],
  IDENTITIES_COUNT: [
    'no running identity is revoked',
    'Its peers refuse it until the revocation is taken back.',
    'fairlead ca restore --id {subject}',
  ],
  ROOT_VALID: [
    'the root certificate lives on',
    'When it ends, no peer is trusted any more; make a new data directory before.',
    'fairlead cert inspect {dir}/control-plane/trust-bundle.pem',
  ],
  JOBS_ANSWER: ['the job API answers', 'See why.', 'tail -n 50 {dir}/logs/scheduler.log'],
} as const satisfies Record<string, readonly [title: string, hint: string, command: string]>

export type CheckCode = keyof typeof CHECKS

export interface CheckResult {
  readonly code: CheckCode
  /** `skipped`: it could not be asked, and another line says why. */
  readonly status: 'ok' | 'warning' | 'failed' | 'skipped'
  /** Of which process, instance or service; '' = of the whole. */
  readonly subject: string
  readonly message: string
  /** Both '' when there is nothing to do. */
  readonly hint: string
  readonly command: string
}

export const ok = (code: CheckCode, message: string = CHECKS[code][0]): CheckResult => ({
  code,
  status: 'ok',
  subject: '',
  message,
  hint: '',
  command: '',
})

export const skipped = (code: CheckCode, message: string): CheckResult => ({ ...ok(code, message), status: 'skipped' })

export function bad(
  code: CheckCode,
  status: 'warning' | 'failed',
  subject: string,
  message: string,
  dir: string,
): CheckResult {
  const [, hint, command] = CHECKS[code]
  // Names come from the network: only plain ones go into a command that people paste.
  const plain = /^[\w.:/-]*$/.test(subject) ? subject : 'NAME'
  const filled = command.replaceAll('{dir}', () => quoted(dir)).replaceAll('{subject}', plain)
  return { code, status, subject, message, hint, command: filled }
}

/** For a POSIX shell. */
const quoted = (path: string): string => (/^[\w./:-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`)

/** One line for each that is bad, or one that all is well. */
export const each = (code: CheckCode, found: readonly CheckResult[]): readonly CheckResult[] =>
  found.length > 0 ? found : [ok(code)]
