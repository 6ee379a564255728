// config-store.ts — the config that runs: parsed, recorded, and never replaced by an invalid one.

import { assert, FairleadError, type Problem } from '../kernel/errors.ts'
import type { Log } from '../kernel/log.ts'
import { type MeshConfig, parseConfig } from '../mesh-config/config.ts'
import { DEFAULT_TRUST_DOMAIN } from '../mesh-config/defaults.ts'
import { toProblems } from '../mesh-config/problem.ts'
import type { ConfigDiff } from './contract.ts'
import { compileProblems, configDiff, type World } from './dry-compile.ts'
import type { Audit } from './state/audit.ts'
import { type AppliedConfig, type ConfigHistory, type ConfigText, configVersion } from './state/config-history.ts'

export interface ConfigStoreOptions {
  readonly history: ConfigHistory
  readonly audit: Audit
  readonly trustDomain: string
  readonly log: Log
  /** What a candidate is compiled for before it is taken. */
  world(): World
  onChange(): void
}

type Action = 'config.apply' | 'config.rollback'

export interface Applied {
  readonly version: string
  /** Version that ran before; '' = none. */
  readonly before: string
  readonly changed: boolean
  readonly warnings: readonly Problem[]
}

export class ConfigStore {
  readonly #options: ConfigStoreOptions
  #config: MeshConfig
  #applied: AppliedConfig | undefined

  /** Loads the config that ran last; none = the empty one. */
  constructor(options: ConfigStoreOptions) {
    this.#options = options
    this.#applied = options.history.current()
    this.#config = this.#load(this.#applied?.files ?? [])
  }

  get config(): MeshConfig {
    return this.#config
  }

  get applied(): AppliedConfig | undefined {
    return this.#applied
  }

  history(): AppliedConfig[] {
    return this.#options.history.list()
  }

  /**
   * All of it or nothing. The same files again change nothing and leave no row.
   * @throws FairleadError CONFIG_INVALID with every problem; the running config stays.
   */
  apply(files: readonly ConfigText[], author: string, action: Action = 'config.apply'): Applied {
    const { audit, history, log, onChange } = this.#options
    const { config, warnings } = this.#parse(files, author)
    const version = configVersion(files)
    const before = this.#applied?.version ?? ''
    if (before === version) return { version, before, changed: false, warnings }
    this.#compileDry(config, version, author)
    this.#applied = history.record(files, author)
    this.#config = config
    audit.record(action, author, version, { files: files.map((file) => file.name), before, after: version })
    log.info({ version, before, author, action, files: files.length, warnings: warnings.length }, 'config applied')
    onChange()
    return { version, before, changed: true, warnings }
  }

  /** The files of a kept version, applied as a new row. @throws FairleadError CONFIG_VERSION_UNKNOWN, CONFIG_INVALID */
  rollback(version: string, author: string): Applied {
    return this.apply(this.#kept(version).files, author, 'config.rollback')
  }

  /** What every known sidecar would notice. Changes nothing. @throws FairleadError as `apply` and `rollback` do */
  diff(candidate: readonly ConfigText[] | string, author: string): ConfigDiff {
    const files = typeof candidate === 'string' ? this.#kept(candidate).files : candidate
    const { config, warnings } = this.#parse(files, author, 'dry')
    const sidecars = configDiff(this.#config, config, this.#options.world())
    return { version: configVersion(files), current: this.#applied?.version ?? '', warnings, sidecars }
  }

  #kept(version: string): AppliedConfig {
    const found = this.history().filter((one) => one.version.startsWith(version))
    if (new Set(found.map((one) => one.version)).size > 1) {
      throw new FairleadError('CONFIG_VERSION_UNKNOWN', `${version} begins more than one version; give more digits.`)
    }
    if (found[0]) return found[0]
    throw new FairleadError('CONFIG_VERSION_UNKNOWN', `No version ${version} in the history.`)
  }

  #compileDry(config: MeshConfig, version: string, author: string): void {
    const problems = compileProblems(config, this.#options.world())
    if (problems.length > 0) this.#refuse(problems, version, author)
  }

  #parse(
    files: readonly ConfigText[],
    author: string,
    mode: 'dry' | 'apply' = 'apply',
  ): { config: MeshConfig; warnings: Problem[] } {
    const parsed = parseConfig(files)
    const problems = 'problems' in parsed ? toProblems(parsed.problems) : []
    if ('config' in parsed) {
      const { trustDomain } = parsed.config.mesh
      const own = this.#options.trustDomain
      // A Mesh document may leave the trust domain out; it may not name another one than the CA has.
      if (trustDomain === own || trustDomain === DEFAULT_TRUST_DOMAIN) {
        const config = { ...parsed.config, mesh: { ...parsed.config.mesh, trustDomain: own } }
        return { config, warnings: toProblems(parsed.warnings) }
      }
      problems.push({ path: 'Mesh', message: `trustDomain is ${trustDomain}; this control plane signs for ${own}` })
    }
    return this.#refuse(problems, mode === 'dry' ? '' : configVersion(files), author)
  }

  /** `version` '' = only asked about: no row in the audit. */
  #refuse(problems: readonly Problem[], version: string, author: string): never {
    if (version !== '') {
      this.#options.audit.record('config.refuse', author, version, { problems: problems.slice(0, 20) })
    }
    const first = problems[0]
    assert(first, 'a refused config has a problem')
    const text = `The config has ${problems.length} problem(s); first: ${first.path}: ${first.message}`
    throw new FairleadError('CONFIG_INVALID', text, { problems })
  }

  /** A stored config was valid once. If a newer build refuses it, start with none and say so, rather than not at all. */
  #load(files: readonly ConfigText[]): MeshConfig {
    try {
      return this.#parse(files, 'control-plane').config
    } catch (error) {
      this.#options.log.error({ error }, 'the stored config is refused by this build; running without config')
      return this.#parse([], 'control-plane').config
    }
  }
}
