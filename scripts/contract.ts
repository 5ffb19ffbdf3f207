/** Writes `docs/contract/`: run it after changing a schema, a topic, an error code or a built-in plugin's manifest. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { contractFiles } from './contract/files.ts'

const root = join(import.meta.dirname, '..')
const dir = join(root, 'docs', 'contract')
mkdirSync(dir, { recursive: true })
for (const [name, content] of contractFiles(root)) writeFileSync(join(dir, name), content)
