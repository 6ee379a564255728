// print-errors.ts — prints docs/errors.md from the table in kernel/errors.ts: `node docs/print-errors.ts > docs/errors.md`.

import { ERRORS, type ErrorSpec } from '../kernel/errors.ts'

export function errorsPage(): string {
  const rows = Object.entries(ERRORS as Record<string, ErrorSpec>).map(
    ([code, spec]) => `| \`${code}\` | ${spec.status} | ${spec.retry ? 'yes' : 'no'} | ${spec.hint} |`,
  )
  return `# Error codes

Every answer that Fairlead makes itself and that is not a success is \`application/problem+json\` (RFC 9457):
\`{code, title, detail, hint, retryable, problems: [{path, message}], requestId}\`. When a sidecar made the answer, and not
the app behind it, the header \`fairlead-error\` carries the code too. A code is never renamed or reused. *May be repeated*
says whether the same request, unchanged, can succeed later.

This page is printed from \`kernel/errors.ts\` by \`node docs/print-errors.ts\`; a test holds the two equal.

| Code | Status | May be repeated | What to do |
|---|---|---|---|
${rows.join('\n')}
`
}

if (import.meta.main) process.stdout.write(errorsPage())
