/**
 * Makes what ships, in `dist/`: one CommonJS bundle for the daemon with its CLI, one for the process around a plugin, and
 * one a plugin beside its plugin.json. A Pi then opens a handful of files instead of some 700 (docs/performance.md).
 */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { buildDashboard, buildDocs } from '../daemon/http/dashboard/build.ts'

const root = resolve(import.meta.dirname, '..')
const out = join(root, 'dist')
/** Built aside and swapped in at the end: a running gateway never sees half a build. */
const staging = join(root, `dist.${process.pid}.new`)
/** `linux-arm64` when Dockerfile.arm64 builds on another architecture. */
const target = process.env.SHOPWIRE_TARGET ?? `${process.platform}-${process.arch}`
const version = (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }).version
const natives = new Map<string, string>()

/**
 * Native addons find their `.node` file by searching from their own folder, which a bundle no longer has. Both ways of
 * searching (`bindings`, `node-gyp-build`) become a plain require of the file that lies in `native/`.
 */
const nativeAddons = (bundleDir: string): Plugin => ({
  name: 'native-addons',
  setup(pluginBuild) {
    pluginBuild.onResolve({ filter: /^(bindings|node-gyp-build)$/ }, ({ importer }) => {
      const owner = packageOf(importer)
      natives.set(owner.name, findNative(owner.dir))
      return { path: nativeFile(owner.name), namespace: 'native-addon' }
    })
    // Some addons are required by their path. The compiled file is the one that fits the target.
    pluginBuild.onResolve({ filter: /\.node$/ }, ({ importer }) => {
      const owner = packageOf(importer)
      natives.set(owner.name, findNative(owner.dir))
      return { path: nativeFile(owner.name), namespace: 'native-file' }
    })
    pluginBuild.onLoad({ filter: /.*/, namespace: 'native-file' }, ({ path }) => ({
      contents: `module.exports = ${requireNative(bundleDir, path)}`,
      loader: 'js',
    }))
    pluginBuild.onLoad({ filter: /.*/, namespace: 'native-addon' }, ({ path }) => ({
      contents: `module.exports = () => ${requireNative(bundleDir, path)}`,
      loader: 'js',
    }))
  },
})

function requireNative(bundleDir: string, file: string): string {
  const from = relative(bundleDir, join(staging, 'native', target, file)).replaceAll(sep, '/')
  return `require(require('node:path').join(__dirname, ${JSON.stringify(from)}))`
}

/**
 * `plugins/NAME/replaces/PACKAGE.cjs` stands in for PACKAGE wherever a dependency of that plugin requires it: the lowest seam of
 * a library that opens its hardware by itself. The plugin's own code still gets the package.
 */
const replacedPackages = (folder: string): Plugin => ({
  name: 'replaced-packages',
  setup(pluginBuild) {
    if (!existsSync(folder)) return
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.cjs'))
    const replaced = new Map(files.map((file) => [file.slice(0, -'.cjs'.length).replaceAll(sep, '/'), join(folder, file)]))
    pluginBuild.onResolve({ filter: /^[@a-z]/ }, ({ path, importer }) => {
      const stand = importer.startsWith(join(root, 'plugins')) ? undefined : replaced.get(path)
      return stand === undefined ? undefined : { path: stand }
    })
  },
})

const nativeFile = (name: string) => `${name.replace(/[@/]+/g, '_').replace(/^_/, '')}.node`

function packageOf(file: string): { name: string; dir: string } {
  for (let dir = dirname(file); dir !== dirname(dir); dir = dirname(dir)) {
    const manifest = join(dir, 'package.json')
    if (!existsSync(manifest)) continue
    const { name } = JSON.parse(readFileSync(manifest, 'utf8')) as { name?: string }
    if (name) return { name, dir }
  }
  throw new Error(`no package around ${file}`)
}

/** Compiled here (`build/Release`), else the package's own prebuild for this platform and glibc. */
function findNative(dir: string): string {
  const places = [join(dir, 'build', 'Release'), join(dir, 'prebuilds', target)].filter(existsSync)
  const files = places.flatMap((place) => readdirSync(place).map((file) => join(place, file)))
  const found = files.find((file) => file.endsWith('.node') && !file.includes('musl'))
  if (!found) throw new Error(`${dir} has no native addon for ${target}: run npm ci with its install scripts allowed`)
  return found
}

async function bundle(entry: string, outfile: string, extra: BuildOptions = {}): Promise<void> {
  await build({
    entryPoints: [join(root, entry)],
    outfile: join(staging, outfile),
    bundle: true,
    platform: 'node',
    target: 'node20.12',
    format: 'cjs',
    // Names stay: a stack trace from the field must be readable without source maps.
    minifyWhitespace: true,
    minifySyntax: true,
    keepNames: false,
    legalComments: 'none',
    logLevel: 'warning',
    define: { 'process.env.SHOPWIRE_VERSION': JSON.stringify(version), 'import.meta.url': 'undefined' },
    plugins: [nativeAddons(dirname(join(staging, outfile))), replacedPackages(join(root, dirname(entry), 'replaces'))],
    ...extra,
  })
}

/** plugin.json with its entry pointing at the bundle. */
async function buildPlugin(name: string): Promise<void> {
  const from = join(root, 'plugins', name)
  const to = join('plugins', name)
  const manifest = JSON.parse(readFileSync(join(from, 'plugin.json'), 'utf8')) as { entry: string }
  await bundle(join('plugins', name, manifest.entry), join(to, 'plugin.cjs'))
  if (existsSync(join(from, 'simulator.ts'))) await bundle(join('plugins', name, 'simulator.ts'), join(to, 'simulator.cjs'))
  writeFileSync(join(staging, to, 'plugin.json'), `${JSON.stringify({ ...manifest, entry: 'plugin.cjs' })}\n`)
}

const pluginNames = readdirSync(join(root, 'plugins')).filter((name) => existsSync(join(root, 'plugins', name, 'plugin.json')))

mkdirSync(staging, { recursive: true })
await Promise.all([
  bundle('daemon/main.ts', 'shopwire.cjs', { banner: { js: '#!/usr/bin/env node' } }),
  bundle('daemon/plugins/runner.ts', 'plugin-runner.cjs'),
  ...pluginNames.map(buildPlugin),
  buildDashboard(join(staging, 'dashboard')),
])
for (const [name, file] of natives) {
  mkdirSync(join(staging, 'native', target), { recursive: true })
  cpSync(file, join(staging, 'native', target, nativeFile(name)))
}
const swaggerUi = dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui/package.json'))
await buildDocs(join(swaggerUi, 'static'), join(staging, 'docs'))
for (const name of ['shopwire.yaml', 'demo.yaml', 'demo-scene.yaml']) cpSync(join(root, 'config', name), join(staging, 'config', name))
writeFileSync(join(staging, 'package.json'), `${JSON.stringify({ name: 'shopwire', version, license: 'Apache-2.0', type: 'commonjs' })}\n`)

rmSync(`${out}.old`, { recursive: true, force: true })
if (existsSync(out)) renameSync(out, `${out}.old`)
renameSync(staging, out)
rmSync(`${out}.old`, { recursive: true, force: true })
