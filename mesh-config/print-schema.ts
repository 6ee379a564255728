// print-schema.ts — writes the JSON Schema to stdout: `node mesh-config/print-schema.ts > mesh-config/schema/fairlead.schema.json`

import { configJsonSchema } from './json-schema.ts'

process.stdout.write(`${JSON.stringify(configJsonSchema(), null, 2)}\n`)
