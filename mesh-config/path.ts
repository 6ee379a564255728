// path.ts — paths as config writes them: what the standard refuses, and the spelling that sidecars compare.
//
// A sidecar brings each request's path to one spelling before it looks at rules and policies (threat T9); the paths of
// the config must be brought to the same one, or a DENY on /%61dmin would never fit anything.

const PATH_CHARS = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|[%][0-9a-fA-F]{2})+$/
const UNRESERVED = /^[A-Za-z0-9._~-]$/

/** Why this path is refused; undefined = it is not. */
export function pathFault(value: string): string | undefined {
  if (!value.startsWith('/')) return 'does not begin with /'
  const spelled = canonicalSpelling(value)
  for (const part of ['//', '/./', '/../', '#']) if (spelled.includes(part)) return `holds ${part}`
  if (/%2f/i.test(value)) return 'holds an escaped slash'
  if (/\/\.{1,2}$/.test(spelled)) return 'ends in a dot segment'
  return PATH_CHARS.test(value) ? undefined : 'holds a character that a path cannot'
}

/** Escapes of unreserved characters decoded, other escapes in upper case (RFC 3986 §6.2.2). */
export function canonicalSpelling(path: string): string {
  return path.replace(/%[0-9a-fA-F]{2}/g, (escaped) => {
    const char = String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    return UNRESERVED.test(char) ? char : escaped.toUpperCase()
  })
}
