// print-cli.ts — prints docs/cli.md from the commands and schemas themselves: `node docs/print-cli.ts > docs/cli.md`.

import type { Command } from 'commander'
import {
  AuditPayloadSchema,
  AuditResultSchema,
  CheckSchema,
  DbCopySchema,
  DbMigrateSchema,
  DbStatusSchema,
  ReportSchema,
  ScheduleNextSchema,
  StatusSchema,
} from '../cli/contract.ts'
import { EXIT } from '../cli/exit.ts'
import { buildProgram } from '../cli/program.ts'
import { WELL_KNOWN } from '../cli/up/ports.ts'
import {
  CaSchema,
  CertificatesSchema,
  ConfigAppliedSchema,
  ConfigDiffSchema,
  ConfigHistorySchema,
  RevocationsSchema,
  RevokeAnswerSchema,
} from '../control-plane/contract.ts'
import { z } from '../kernel/parse.ts'
import { BatchAnswerSchema, JobListSchema, JobSchema, SubmitAnswerSchema } from '../scheduler/contract.ts'

const EXITS: Record<keyof typeof EXIT, string> = {
  ok: 'done; for a question: yes',
  negative: 'the answer is no, or it failed: a job that did not succeed, a chain that is refused, an error',
  usage: 'the command line is wrong, or names something that cannot be read',
  unreachable: 'nothing runs there, or it does not answer',
  configInvalid: 'the configuration has problems; all of them are printed',
  interrupted: 'Ctrl-C; `up` leaves in order first. SIGTERM to a serving `up`: 0',
}

const OUTPUTS: [string, string, z.ZodType][] = [
  [
    'up --demo --report FILE',
    'The audit report; also what `up --demo --exit --json` prints. `attempts` are those that ran: refused ones and those that never arrived are left out.',
    ReportSchema,
  ],
  ['status --json', 'Processes of the data directory. `pid` is 0 while one waits for its restart.', StatusSchema],
  ['check --json', 'Every check with its stable code.', CheckSchema],
  ['config history --json', 'Newest first; the newest one runs.', ConfigHistorySchema],
  [
    'config diff --json',
    'Sidecars that notice the same stand together; `changes` is bounded, `count` is not.',
    ConfigDiffSchema,
  ],
  ['config rollback --json', 'Also the answer of `PUT /api/v1/config`.', ConfigAppliedSchema],
  ['ca show --json', 'Certificates, never keys.', CaSchema],
  ['ca certificates --json', 'Those that have not ended, newest first.', CertificatesSchema],
  ['ca revoke --json', '`changed` is false when it was revoked before.', RevokeAnswerSchema],
  ['ca revocations --json', 'Who revoked what, and why.', RevocationsSchema],
  ['job submit --json', 'Answer of `POST /api/v1/jobs`.', SubmitAnswerSchema],
  ['job get|watch|cancel|retry --json', 'One job. Lists leave payload, result and attempts out.', JobSchema],
  ['job list --json', 'A page; `cursor` leads to the next one.', JobListSchema],
  ['schedule next --json', 'When an expression fires (docs/time.md).', ScheduleNextSchema],
  ['POST /api/v1/jobs/batch', 'Answer to a batch, as the audit sends it.', BatchAnswerSchema],
  ['db migrate --json', 'What was applied, and the schema that the database has now.', DbMigrateSchema],
  ['db status --json', '`pending`: migrations to apply. `jobsAbout` is a statistic, not a count.', DbStatusSchema],
  ['db copy --json', 'Rows of each table, and the sum of their SHA-256, equal on both sides.', DbCopySchema],
  ['package.audit (payload)', 'What a job of the audit is told.', AuditPayloadSchema],
  ['package.audit (result)', 'What its handlers answer; v1 and v2 find the same facts.', AuditResultSchema],
]

export function cliPage(): string {
  return `# Command line

\`fairlead …\`, or in the repository \`npm run -s fairlead -- …\`. \`npm start\` is \`fairlead up --demo\`. Every command takes
\`--json\`, \`--data-dir DIR\`, \`--debug\` and \`--no-color\` (also \`NO_COLOR\`, \`TERM=dumb\`); data goes to stdout, messages to
stderr. This page is printed from the commands and schemas by \`node docs/print-cli.ts\`; a test holds them equal.

## Exit codes
| Code | Means |
|---|---|
${(Object.keys(EXITS) as (keyof typeof EXIT)[]).map((name) => `| ${EXIT[name]} | ${EXITS[name]} |`).join('\n')}

## Commands
${commandsOf(buildProgram(() => async () => undefined)).join('\n\n')}

## What \`up\` runs
Control plane with the built-in registry, scheduler and its sidecar; with \`--demo\` also \`worker-v1-1\`, \`worker-v1-2\` and
\`worker-v2-1\`, each with its sidecar. Each is a process of its own, started by path, in its own process group, its output
in \`DATA/logs/NAME.log\` (cut at 32 MiB). One that ends is started again after 0.5 s, doubling to 10 s. The first Ctrl-C or
SIGTERM lets them leave in order (workers, scheduler, sidecars, control plane; each step bounded), a second one kills.
\`up\` ignores \`DATABASE_URL\` and \`CONSUL_HTTP_ADDR\` unless asked.

| Port | Number, or the next free one |
|---|---|
${Object.entries(WELL_KNOWN)
  .map(([name, port]) => `| ${name} | ${port} |`)
  .join('\n')}
| others | from 15010 on |

The data directory (\`.fairlead\`, mode 0700) holds \`api-key\` (0600), \`up.json\` (what runs), \`up.lock\`, \`control-plane/\`,
\`scheduler/\`, \`sidecars/NAME/\`, \`logs/\` and \`executions.ndjson\`: one line \`{run, job, attempt, token, version, pid, at}\`
per execution, appended by the handlers themselves.

## The audit's digest
A package is each directory whose \`package.json\` has a \`name\` and a \`version\`, at any depth; a directory counts once,
whatever links lead to it. Its files are the regular files below it, without nested \`node_modules\` and without links.
\`sha256\` is over, for each file in order of its relative path (\`/\` between parts, by code unit): path, NUL, size in
decimal digits, NUL, content.

## JSON
${OUTPUTS.map(([title, text, schema]) => `### \`${title}\`\n${text}\n\n\`\`\`text\n${schemaText(schema)}\n\`\`\``).join('\n\n')}
`
}

type Shape = Record<string, unknown>

/** A field a line, types as in JSON Schema: short enough to read, exact enough to be held by a test. */
function schemaText(schema: z.ZodType): string {
  return shapeText(z.toJSONSchema(schema, { unrepresentable: 'any' }) as Shape, '')
}

function shapeText(shape: Shape, indent: string): string {
  if (shape['const'] !== undefined) return JSON.stringify(shape['const'])
  if (Array.isArray(shape['enum'])) return shape['enum'].map((word) => JSON.stringify(word)).join(' | ')
  const choices = (shape['anyOf'] ?? shape['oneOf']) as Shape[] | undefined
  if (choices) return choices.map((choice) => shapeText(choice, indent)).join(' | ')
  if (shape['type'] === 'array') return `[${shapeText(shape['items'] as Shape, indent)}, …]`
  if (shape['type'] === 'object') return objectText(shape, indent)
  return typeof shape['type'] === 'string' ? shape['type'] : 'any'
}

function objectText(shape: Shape, indent: string): string {
  const inner = `${indent}  `
  const required = new Set(shape['required'] as string[] | undefined)
  const fields = Object.entries((shape['properties'] ?? {}) as Record<string, Shape>).map(
    ([name, field]) => `${inner}${name}${required.has(name) ? '' : '?'}: ${shapeText(field, inner)}`,
  )
  if (fields.length > 0) return `{\n${fields.join('\n')}\n${indent}}`
  return `{ KEY: ${shapeText((shape['additionalProperties'] ?? {}) as Shape, inner)}, … }`
}

function commandsOf(parent: Command, prefix = 'fairlead'): string[] {
  return parent.commands.flatMap((command) => {
    const name = `${prefix} ${command.name()}`
    if (command.commands.length > 0) return commandsOf(command, name)
    const args = command.registeredArguments.map((arg) => ` ${arg.required ? `<${arg.name()}>` : `[${arg.name()}]`}`)
    const options = command.options.map((option) => `- \`${option.flags}\` ${option.description}`)
    return [[`**\`${name}${args.join('')}\`** ${command.description()}`, ...options].join('\n')]
  })
}

if (import.meta.main) process.stdout.write(cliPage())
