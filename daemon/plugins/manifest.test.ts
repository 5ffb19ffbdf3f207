import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { Failure } from '../contract/errors.ts'
import { testFolder } from '../testing/folder.ts'
import { readBundle } from './manifest.ts'

const GOOD = { name: 'scale', version: '1.0.0', api: '1', entry: 'plugin.js' }

t.test('a bad manifest gives one clear error with its code, before any code runs', async (t) => {
  const root = testFolder(t)
  let count = 0

  const refused = (text: string, code: string, says: RegExp, prepare: (dir: string) => void = () => {}): void => {
    const dir = join(root, `p${++count}`)
    mkdirSync(dir)
    writeFileSync(join(dir, 'plugin.json'), text)
    writeFileSync(join(dir, 'plugin.js'), 'throw new Error("must not run")')
    prepare(dir)
    try {
      readBundle(dir)
      t.fail(`${text} was taken`)
    } catch (error) {
      t.ok(error instanceof Failure, String(error))
      if (error instanceof Failure) t.match({ code: error.code, message: error.message }, { code, message: says }, text.slice(0, 100))
    }
  }
  const json = (change: object): string => JSON.stringify({ ...GOOD, ...change })

  refused('{"name":', 'plugin-manifest-invalid', /is not JSON/)
  refused('null', 'plugin-manifest-invalid', /must be object/)
  refused('[]', 'plugin-manifest-invalid', /must be object/)
  refused('{}', 'plugin-manifest-invalid', /name is missing; version is missing; api is missing; entry is missing/)
  refused(json({ surprise: 1 }), 'plugin-manifest-invalid', /surprise is not known here; known are name, version/)
  refused(json({ version: 'one' }), 'plugin-manifest-invalid', /semantic version/)
  refused(json({ name: 'Scale' }), 'plugin-manifest-invalid', /lower-case/)
  for (const name of ['gateway', 'plugin', 'command', 'journal', 'visit'])
    refused(json({ name }), 'plugin-manifest-invalid', /name must not be .* the gateway itself/)
  refused(json({ permissions: ['root'] }), 'plugin-manifest-invalid', /serial, usb/)
  refused(json({ api: '2' }), 'plugin-api-unsupported', /"2".*speaks "1"/)
  refused(json({ api: '2', hooks: {} }), 'plugin-api-unsupported', /speaks "1"/)
  refused(json({ name: '../scanner' }), 'plugin-path-unsafe', /is a path/)
  refused(json({ name: 'a/b' }), 'plugin-path-unsafe', /is a path/)
  refused(json({ name: '..' }), 'plugin-path-unsafe', /is a path/)
  refused(json({ entry: '/etc/passwd.js' }), 'plugin-path-unsafe', /leaves the plugin folder/)
  refused(json({ entry: '../p1/plugin.js' }), 'plugin-path-unsafe', /leaves the plugin folder/)
  refused(json({ entry: 'lib/../../p1/plugin.js' }), 'plugin-path-unsafe', /leaves the plugin folder/)
  refused(json({ entry: 'link.js' }), 'plugin-path-unsafe', /link out of the plugin folder/, (dir) =>
    symlinkSync(join(root, 'p1', 'plugin.js'), join(dir, 'link.js')),
  )
  refused(json({ entry: 'lib/plugin.js' }), 'plugin-path-unsafe', /link out of the plugin folder/, (dir) =>
    symlinkSync(join(root, 'p1'), join(dir, 'lib')),
  )
  refused(json({ entry: 'none.js' }), 'plugin-manifest-invalid', /none\.js is missing/)
  refused(json({ entry: 'dir.js' }), 'plugin-manifest-invalid', /is not a file/, (dir) => mkdirSync(join(dir, 'dir.js')))
  refused(json({ entry: 'half.js' }), 'plugin-manifest-invalid', /anything in it/, (dir) => writeFileSync(join(dir, 'half.js'), ''))
  refused(json({ config: { type: 'nonsense' } }), 'plugin-manifest-invalid', /config is not a JSON Schema/)
  refused(json({ events: { scan: { properties: 7 } } }), 'plugin-manifest-invalid', /events\.scan is not a JSON Schema/)
  refused(json({ events: { scan: { $ref: 'https://elsewhere.example/x.json' } } }), 'plugin-manifest-invalid', /not a JSON Schema/)
  refused(json({ commands: { tare: { args: { pattern: '(' } } } }), 'plugin-manifest-invalid', /commands\.tare\.args is not a JSON Schema/)
  refused(json({ commands: { tare: { args: { $async: true } } } }), 'plugin-manifest-invalid', /\$async/)
  refused(json({ commands: { tare: { timeoutMs: 0 } } }), 'plugin-manifest-invalid', /commands\.tare\.timeoutMs/)
  refused(json({ events: { 'no spaces': {} } }), 'plugin-manifest-invalid', /not an allowed name/)
  refused(`${' '.repeat(1024 * 1024)}${json({})}`, 'plugin-manifest-invalid', /larger than/)
  t.ok(count > 25)
})

t.test('a folder behind a link is a folder; the same manifest keeps its compiled schemas', async (t) => {
  const root = testFolder(t)
  mkdirSync(join(root, 'real'))
  writeFileSync(join(root, 'real', 'plugin.json'), JSON.stringify(GOOD))
  writeFileSync(join(root, 'real', 'plugin.js'), 'export default 1')
  symlinkSync(join(root, 'real'), join(root, 'link'))
  const bundle = readBundle(join(root, 'link'))
  t.equal(bundle.manifest.name, 'scale')
  t.equal(readBundle(join(root, 'link'), { known: bundle }).schemas, bundle.schemas)
})
