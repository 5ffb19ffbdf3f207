/** A program of the tests as one file that plain node runs: a start costs a fifth of the CPU time that it costs through tsx. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'

/** `name`: a file of this folder. */
export function program(name: string, dir: string): string {
  const outfile = join(dir, name.replace(/\.ts$/, '.mjs'))
  if (!existsSync(outfile))
    buildSync({
      entryPoints: [join(import.meta.dirname, name)],
      outfile,
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
      logLevel: 'error',
    })
  return outfile
}
