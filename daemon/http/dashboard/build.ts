/** Makes the dashboard: hashed, pre-compressed files for the browser, and `page.cjs` that renders the first HTML on the box. */
import { createHash } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { type BuildOptions, build } from 'esbuild'
import { DOCS_FILES } from '../docs-files.ts'
import type { DashboardManifest } from './page-module.ts'

/** Of what a first visit loads beside the HTML. */
const BUDGET_BYTES = 45 * 1_024

const here = import.meta.dirname

const common: BuildOptions = {
  bundle: true,
  minify: true,
  write: false,
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'none',
  logLevel: 'warning',
}

/** Writes `manifest.json`, `page.cjs` and the browser's files into `outDir`. Rejects when they outgrow their budget. */
export async function buildDashboard(outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true })
  const [script, style, page, icon] = await Promise.all([
    output({ ...common, entryPoints: [join(here, 'main.tsx')], format: 'esm', target: ['es2022'] }),
    output({ ...common, entryPoints: [join(here, 'style.css')] }),
    output({ ...common, entryPoints: [join(here, 'page.tsx')], format: 'cjs', platform: 'node', target: 'node20.12' }),
    readFile(join(here, 'icon.svg')),
  ])
  const files: [name: string, content: Uint8Array][] = [
    [hashed('app', 'js', script), script],
    [hashed('style', 'css', style), style],
    [hashed('icon', 'svg', icon), icon],
  ]
  let gzipped = 0
  for (const [name, content] of files) gzipped += await writePacked(outDir, name, content)
  if (gzipped > BUDGET_BYTES) throw new Error(`the dashboard has ${gzipped} bytes gzipped, more than its ${BUDGET_BYTES}`)
  const names = files.map(([name]) => name)
  const manifest: DashboardManifest = { script: names[0] ?? '', style: names[1] ?? '', icon: names[2] ?? '', files: names, gzipped }
  await writeFile(join(outDir, 'page.cjs'), page)
  await writeFile(join(outDir, 'manifest.json'), `${JSON.stringify(manifest)}\n`)
}

/** Copies what `/docs` needs of Swagger UI, pre-compressed: 0.4 MB to send instead of 1.6. `from`: its `static` folder. */
export async function buildDocs(from: string, outDir: string): Promise<void> {
  await mkdir(outDir, { recursive: true })
  for (const name of DOCS_FILES) await writePacked(outDir, name, await readFile(join(from, name)))
}

/** The file and its `.gz` and `.br`. The bytes gzipped. */
async function writePacked(outDir: string, name: string, content: Uint8Array): Promise<number> {
  const gz = gzipSync(content, { level: 9 })
  const br = brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
  await Promise.all([
    writeFile(join(outDir, name), content),
    writeFile(join(outDir, `${name}.gz`), gz),
    writeFile(join(outDir, `${name}.br`), br),
  ])
  return gz.length
}

async function output(options: BuildOptions): Promise<Uint8Array> {
  const { outputFiles } = await build({ ...options, write: false, outdir: 'out' })
  const [file] = outputFiles
  if (!file) throw new Error('nothing was built')
  return file.contents
}

const hashed = (name: string, ending: string, content: Uint8Array): string =>
  `${name}-${createHash('sha256').update(content).digest('hex').slice(0, 10)}.${ending}`
