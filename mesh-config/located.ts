// located.ts — resources of a valid config → the YAML that they were written in, for findings and origins with a place.

import { DEFAULT_NAMESPACE } from '../kernel/authority.ts'
import type { KindName } from './kinds/kinds.ts'
import type { ConfigCode, ConfigProblem, Place } from './problem.ts'
import { type Aim, type ConfigFile, type Path, readDocuments, type SourceDocument } from './source.ts'

interface Named {
  readonly name: string
  readonly namespace: string
}

/** Reads the files a second time: typed config keeps no places, and only people's questions need them. */
export class Located {
  private readonly documents = new Map<string, SourceDocument>()

  constructor(files: readonly ConfigFile[]) {
    for (const file of files) {
      for (const document of readDocuments(file).documents) {
        const { kind, metadata } = document.value as { kind: string; metadata?: Partial<Named> }
        this.documents.set(keyOf(kind, metadata?.name ?? '', metadata?.namespace ?? DEFAULT_NAMESPACE), document)
      }
    }
  }

  place(kind: KindName, { name, namespace }: Named, path: Path, aim: Aim = 'value'): Place | undefined {
    return this.documents.get(keyOf(kind, name, namespace))?.place(path, aim)
  }

  /** Undefined when nothing stands at the path: the value comes from elsewhere. */
  written(kind: KindName, of: Named, path: Path): Place | undefined {
    const document = this.documents.get(keyOf(kind, of.name, of.namespace))
    let at: unknown = document?.value
    for (const part of path) at = (at as Record<PropertyKey, unknown> | undefined | null)?.[part]
    return at === undefined || at === null ? undefined : document!.place(path)
  }

  finding(kind: KindName, of: Named, path: Path, aim: Aim, say: Say): ConfigProblem {
    const document = this.documents.get(keyOf(kind, of.name, of.namespace))
    if (!document) throw new Error(`assertion failed: ${kind} ${of.namespace}/${of.name} has a document`)
    return { ...document.problem(path, aim, say.code, say.message, say.hint), severity: 'warning' }
  }
}

export interface Say {
  readonly code: ConfigCode
  readonly message: string
  /** Left out: the code's own. */
  readonly hint?: string
}

/** There is one Mesh document at most, whatever its name. */
const keyOf = (kind: string, name: string, namespace: string): string =>
  kind === 'Mesh' ? 'Mesh' : `${kind} ${namespace}/${name}`
