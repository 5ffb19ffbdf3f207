import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundleScript } from '../../testing/bundle.ts'

/** committer.ts as a program that starts at once, built into a folder of the repository. */
export const bundleCommitter = (dir: string): string =>
  bundleScript(fileURLToPath(new URL('committer.ts', import.meta.url)), join(dir, 'committer.mjs'))
