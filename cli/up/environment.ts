// environment.ts — what of the shell's environment the children get.
//
// A demo must not write to production: databases and catalogues of the shell stay out unless asked for (DESIGN.md §2).
// npm's own variables and proxy switches would change how children behave, so they stay out too.

const STAYS_OUT = [
  /^npm_/i,
  /^INIT_CWD$/,
  /^DATABASE_URL$/,
  /^PG[A-Z]+$/,
  /^CONSUL_/,
  /^NODE_USE_ENV_PROXY$/,
  /^NODE_OPTIONS$/,
  /^NODE_CHANNEL_/,
]

export interface EnvironmentOptions {
  readonly consulAsked: boolean
  /** Where V8 keeps compiled code between starts. */
  readonly compileCache: string
}

export function childEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  { consulAsked, compileCache }: EnvironmentOptions,
): Record<string, string | undefined> {
  const kept = Object.entries(env).filter(([name]) => {
    if (consulAsked && /^CONSUL_/.test(name)) return true
    return !STAYS_OUT.some((pattern) => pattern.test(name))
  })
  return { NODE_COMPILE_CACHE: compileCache, ...Object.fromEntries(kept) }
}
