/** The installer as it is, into a folder: what an image builder does, and what an upgrade in a shop does to the files. */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { buildConfig, loadConfig } from '../daemon/config.ts'
import type { Manifest } from '../daemon/contract/plugin.ts'
import { SchemaSet } from '../daemon/schema.ts'
import { testFolder } from '../daemon/testing/folder.ts'

const script = resolve(import.meta.dirname, 'install')
const shippedConfig = resolve(import.meta.dirname, '../config/shopwire.yaml')

function openImage(t: Test, hostname = 'Till-Box_7.example') {
  const folder = testFolder(t, { root: { etc: { hostname: `${hostname}\n` } }, dist: {} })
  const root = join(folder, 'root')
  const dist = join(folder, 'dist')
  const build = (version: string, content: string) => {
    mkdirSync(join(dist, 'config'), { recursive: true })
    mkdirSync(join(dist, 'plugins/scanner'), { recursive: true })
    writeFileSync(join(dist, 'package.json'), JSON.stringify({ name: 'shopwire', version }))
    writeFileSync(join(dist, 'shopwire.cjs'), content)
    writeFileSync(join(dist, 'plugins/scanner/plugin.json'), '{}', { mode: 0o600 })
    cpSync(shippedConfig, join(dist, 'config/shopwire.yaml'))
  }
  const install = (...args: string[]) => {
    const run = spawnSync(script, ['--root', root, '--dist', dist, ...args], { encoding: 'utf8' })
    return { code: run.status, out: run.stdout + run.stderr }
  }
  const read = (path: string) => readFileSync(join(root, path), 'utf8')
  const releases = () => readdirSync(join(root, 'opt/shopwire/releases')).sort()
  const inUse = () => readlinkSync(join(root, 'opt/shopwire/current'))
  return { root, build, install, read, releases, inUse }
}

t.test('a first install: everything in its place, named after the machine', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  const { code, out } = image.install()
  t.equal(code, 0, out)

  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'one')
  t.match(image.inUse(), /^releases\/1\.0\.0-[0-9a-f]{12}$/)
  t.match(
    image.read('etc/systemd/system/shopwire.service'),
    /^ExecStart=\/usr\/bin\/node --max-semi-space-size=32 .* \/opt\/shopwire\/current\/shopwire\.cjs run /m,
  )
  t.ok(existsSync(join(image.root, 'etc/systemd/system/multi-user.target.wants/shopwire.service')))
  t.match(image.read('etc/udev/rules.d/70-shopwire.rules'), /usbmisc/)
  t.equal(statSync(join(image.root, 'usr/local/bin/shopwire')).mode & 0o777, 0o755)
  t.equal(
    statSync(join(image.root, 'opt/shopwire/current/plugins/scanner/plugin.json')).mode & 0o777,
    0o644,
    'readable by the service whoever built it',
  )
  t.equal(statSync(join(image.root, 'etc/shopwire/shopwire.yaml')).mode & 0o777, 0o640)

  const { config } = loadConfig(join(image.root, 'etc/shopwire/shopwire.yaml'), {})
  t.match(config, { gateway: { id: 'till-box-7' }, dataDir: '/var/lib/shopwire', pluginDirs: ['/var/lib/shopwire/plugins'] })
})

t.test('running it again changes nothing', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  image.install()
  const files = [
    'etc/shopwire/shopwire.yaml',
    'etc/systemd/system/shopwire.service',
    'usr/local/bin/shopwire',
    'opt/shopwire/current/shopwire.cjs',
  ]
  const inodes = () => files.map((file) => statSync(join(image.root, file)).ino)
  const before = inodes()
  writeFileSync(join(image.root, 'etc/shopwire/shopwire.yaml'), 'gateway: { id: shop-042 }\n')
  const { code, out } = image.install()
  t.equal(code, 0, out)
  t.same(inodes(), before)
  t.equal(image.read('etc/shopwire/shopwire.yaml'), 'gateway: { id: shop-042 }\n', 'the shop’s config is the shop’s')
  t.equal(image.releases().length, 1)
  t.match(out, /is here already/)
})

t.test('upgrades keep the data and the release before; roll back and forth', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  image.install()
  const journal = join(image.root, 'var/lib/shopwire/journal.sqlite')
  writeFileSync(journal, 'events')
  image.build('1.1.0', 'two')
  t.equal(image.install().code, 0)
  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'two')
  t.equal(readFileSync(journal, 'utf8'), 'events')

  t.equal(image.install('--rollback').code, 0)
  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'one')
  t.equal(image.install('--rollback').code, 0)
  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'two')

  for (const number of [2, 3, 4, 5]) {
    image.build(`1.${number}.0`, `build ${number}`)
    t.equal(image.install().code, 0)
  }
  t.equal(image.releases().length, 3, 'old releases do not fill the card')
  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'build 5')
  t.notOk(
    readdirSync(join(image.root, 'opt/shopwire')).some((name) => name.endsWith('.new')),
    'nothing half made lies about',
  )
})

t.test('an install that was cut off half way is finished by the next', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  mkdirSync(join(image.root, 'opt/shopwire/releases/.new.abc'), { recursive: true })
  writeFileSync(join(image.root, 'opt/shopwire/releases/.new.abc/shopwire.cjs'), 'ha')
  t.equal(image.install().code, 0)
  t.equal(image.releases().length, 1)
  t.equal(image.read('opt/shopwire/current/shopwire.cjs'), 'one')
})

t.test('uninstall keeps config and data; only --purge takes them', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  image.install()
  writeFileSync(join(image.root, 'var/lib/shopwire/journal.sqlite'), 'events')
  t.equal(image.install('--uninstall').code, 0)
  t.notOk(existsSync(join(image.root, 'opt/shopwire')))
  t.notOk(existsSync(join(image.root, 'etc/systemd/system/shopwire.service')))
  t.equal(image.read('var/lib/shopwire/journal.sqlite'), 'events')

  t.equal(image.install().code, 0, 'and it can be put back')
  t.equal(image.install('--uninstall', '--purge').code, 0)
  t.notOk(existsSync(join(image.root, 'var/lib/shopwire')))
  t.notOk(existsSync(join(image.root, 'etc/shopwire')))
})

t.test('what cannot be installed is said before anything is changed', async (t) => {
  const image = openImage(t)
  const nothing = image.install()
  t.equal(nothing.code, 1)
  t.match(nothing.out, /holds no build: npm ci && npm run build/)
  t.notOk(existsSync(join(image.root, 'opt')))
  t.equal(image.install('--upgrade').code, 2)
  t.equal(image.install('--rollback').code, 1)

  const short = openImage(t, 'x')
  short.build('1.0.0', 'one')
  short.install()
  t.equal(loadConfig(join(short.root, 'etc/shopwire/shopwire.yaml'), {}).config.gateway.id, 'gateway-x')
})

t.test('the example that ships is valid, and so is all that is commented out in it', async (t) => {
  const text = readFileSync(shippedConfig, 'utf8')
  t.match(buildConfig(parse(text)), { gateway: { id: 'shop-001' }, plugins: {} })

  // "# " begins prose; "#key" and "#  key" are config.
  const everything = text
    .replace('plugins: {}', 'plugins:')
    .replace(/^( *)#(?=\S| {2})/gm, '$1')
    .replaceAll('"scrypt:…"', '"scrypt:x"')
  const config = buildConfig(parse(everything))
  t.match(config, {
    hq: { ack: 'hq' },
    discovery: { announce: true },
    lan: { users: [{ name: 'till-1' }] },
    http: { listen: '0.0.0.0:8080' },
  })
  t.same(Object.keys(config.plugins), ['scanner', 'printer', 'portal', 'beacon', 'wifi', 'payment', 'receipt'])
  for (const [name, section] of Object.entries(config.plugins)) {
    const manifest = JSON.parse(readFileSync(resolve(import.meta.dirname, `../plugins/${name}/plugin.json`), 'utf8')) as Manifest
    t.same(new SchemaSet(manifest).config(structuredClone(section)), [], name)
  }
})

t.test('a shop with guest WiFi: the rights come with --network, stay at an upgrade, and go when told', async (t) => {
  const image = openImage(t)
  image.build('1.0.0', 'one')
  image.install()
  const dropin = join(image.root, 'etc/systemd/system/shopwire.service.d/network.conf')
  const sysctl = join(image.root, 'etc/sysctl.d/60-shopwire.conf')
  const polkit = join(image.root, 'etc/polkit-1/rules.d/50-shopwire.rules')
  t.notOk(existsSync(dropin), 'a shop without it runs without capabilities')

  const { code, out } = image.install('--network')
  t.equal(code, 0, out)
  t.match(readFileSync(dropin, 'utf8'), /^AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE$/m)
  t.match(readFileSync(sysctl, 'utf8'), /^net\.ipv4\.ip_forward = 1$/m)
  t.match(readFileSync(polkit, 'utf8'), /NetworkManager/)
  t.match(out, /nftables, dnsmasq-base/)

  image.build('1.1.0', 'two')
  image.install()
  t.ok(existsSync(dropin), 'kept')
  image.install('--no-network')
  t.notOk([dropin, sysctl, polkit].some((file) => existsSync(file)))
  image.install('--network')
  image.install('--uninstall')
  t.notOk([dropin, sysctl, polkit].some((file) => existsSync(file)))
})
