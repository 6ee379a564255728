// json-schema.ts — the shape of all kinds as one JSON Schema, for editors (completion, hover, red lines while typing).
//
// Made from the schemas that parse the config, so it cannot say something else; what only the rules of a kind know
// (references, exclusions) stays with `fairlead config validate`.

import { z } from '../kernel/parse.ts'
import { KINDS, OTHER_KINDS } from './kinds/kinds.ts'
import { OUR_API } from './kinds/mesh.ts'

export const SCHEMA_FILE = 'mesh-config/schema/fairlead.schema.json'

export function configJsonSchema(): unknown {
  const kinds = Object.values(KINDS).map((kind) => kind.schema)
  const others = z.looseObject({ apiVersion: z.literal(OUR_API), kind: z.enum([...OTHER_KINDS.keys()]) })
  const schema = z.toJSONSchema(z.union([...kinds, others]), { target: 'draft-7' })
  return { $schema: schema.$schema, title: 'Fairlead configuration', anyOf: schema.anyOf }
}
