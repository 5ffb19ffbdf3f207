/** Programs that a test starts again and again, built once: without a loader they begin in a fraction of the time. */
import { buildSync } from 'esbuild'

/** `outfile` (.mjs) stands where its packages are found: see `programFolder`. */
export function bundleScript(entry: string, outfile: string): string {
  buildSync({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
  })
  return outfile
}
