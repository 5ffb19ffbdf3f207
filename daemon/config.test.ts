import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { buildConfig, findConfig, isLoopback, loadConfig } from './config.ts'
import { Failure } from './contract/errors.ts'
import type { JsonObject } from './contract/json.ts'
import { testFolder } from './testing/folder.ts'

const base = (extra: JsonObject = {}): JsonObject => ({ gateway: { id: 'shop-001' }, ...extra })

function problemsOf(source: JsonObject): string[] {
  try {
    buildConfig(source)
    return []
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return error.problems.map((one) => `${one.path}: ${one.message}`)
  }
}

t.test('a shop that only says who it is gets every default', async (t) => {
  const config = buildConfig(base())
  t.match(config, {
    gateway: { id: 'shop-001', store: '', tags: [] },
    dataDir: './data',
    http: { listen: '127.0.0.1:8080' },
    lan: { listen: '127.0.0.1:1883' },
    journal: { maxAgeMs: 180 * 86_400_000, maxBytes: 2 * 2 ** 30 },
    discovery: { auto: false, announce: true },
  })
  t.equal(config.hq, undefined, 'stand-alone')
  t.throws(() => {
    config.gateway.store = 'x'
  }, 'frozen')
})

t.test('each wrong value is one line: its path, what is wrong, what is allowed', async (t) => {
  t.same(problemsOf({ gateway: {} }), ['gateway.id: is missing; lower-case letters, digits and "-", 3 to 48 of them'])
  const lines = problemsOf(base({ log: { level: 'loud' }, hpp: {}, journal: { maxSize: 'lots' }, pluginDirs: 'plugins' }))
  t.equal(lines.length, 4)
  t.match(
    lines.find((line) => line.startsWith('log.level')),
    /must be one of "debug", "info", "warn", "error"/,
  )
  t.match(
    lines.find((line) => line.startsWith('hpp')),
    /is not known here; known are gateway, dataDir/,
  )
  t.match(
    lines.find((line) => line.startsWith('journal.maxSize')),
    /500MB, 2GB/,
  )
  t.match(
    lines.find((line) => line.startsWith('pluginDirs')),
    /must be array/,
  )
})

t.test('what is reachable from the shop floor needs users and a password', async (t) => {
  t.match(problemsOf(base({ lan: { listen: '0.0.0.0:1883' } })), [/^lan\.users: is required because/])
  t.match(problemsOf(base({ http: { listen: '0.0.0.0:8080' } })), [/^http\.tokenFile: or http\.passwordHash is required/])
  t.same(problemsOf(base({ http: { listen: '[::1]:8080' } })), [])
  t.ok(isLoopback('127.0.0.1:80'))
  t.notOk(isLoopback('192.168.1.2:80'))
})

t.test('secrets come from the environment or from files, never in the broker url', async (t) => {
  const dir = testFolder(t, {
    'shopwire.yaml': 'gateway: { id: "${SHOP}" }\nhq: { url: "mqtts://hq.example:8883", password: "${PASS}" }\n',
  })
  const file = join(dir, 'shopwire.yaml')
  t.match(loadConfig(file, { SHOP: 'shop-007', PASS: 'x' }).config, { gateway: { id: 'shop-007' }, hq: { password: 'x', ack: 'hq' } })
  t.throws(() => loadConfig(file, { SHOP: 'shop-007' }), { code: 'config-invalid', message: /hq\.password: names \$\{PASS\}/ })
  t.match(problemsOf(base({ hq: { url: 'mqtts://user:pass@hq.example' } })), [/^hq\.url: must match .*without credentials/])
})

t.test('a file that is not YAML is told with its line', async (t) => {
  const file = join(testFolder(t), 'bad.yaml')
  writeFileSync(file, 'gateway: { id: shop-001\nlan: [')
  t.throws(() => loadConfig(file, {}), { code: 'config-unreadable', message: /line \d/ })
  t.throws(() => loadConfig(join(file, 'nothing'), {}), { code: 'config-unreadable' })
})

t.test('without any file the gateway is named after its host', async (t) => {
  t.equal(findConfig('a.yaml', {}), 'a.yaml')
  t.equal(findConfig(undefined, { SHOPWIRE_CONFIG: 'b.yaml' }), 'b.yaml')
  t.match(loadConfig(undefined, {}).config.gateway.id, /^[a-z0-9][a-z0-9-]{2,47}$/)
})
