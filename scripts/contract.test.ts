import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv, type ValidateFunction } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import { systemClock } from '../daemon/clock.ts'
import { CLOUD_EVENT, CORE_EVENTS, DOWN_ENVELOPES, SHOP_ENVELOPES, UP_ENVELOPES } from '../daemon/contract/envelope-schemas.ts'
import type { Json, JsonObject, JsonSchema } from '../daemon/contract/json.ts'
import type {
  DownAck,
  DownCommand,
  DownDesired,
  UpEvents,
  UpHealth,
  UpInfo,
  UpLog,
  UpReported,
  UpState,
  UpSync,
} from '../daemon/contract/uplink.ts'
import { createDesired } from '../daemon/desired/desired.ts'
import { createDispatch } from '../daemon/dispatch/dispatch.ts'
import type { LanBroker, LanHandlers } from '../daemon/links/lan-api.ts'
import { createLanLink } from '../daemon/links/lan-link.ts'
import { createLog } from '../daemon/log.ts'
import { Shop } from '../daemon/shop.ts'
import { MemoryJournal } from '../daemon/testing/memory-journal.ts'
import { contractFiles } from './contract/files.ts'

const ROOT = join(import.meta.dirname, '..')
const DIR = join(ROOT, 'docs', 'contract')
const ajv = new Ajv({ strict: false, allErrors: true, formats: { 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) } })
const compiled = new Map<JsonSchema, ValidateFunction>()
const log = createLog({ level: 'error', clock: systemClock, write: () => {} })

function fits(t: { ok(value: unknown, message: string): boolean }, schema: JsonSchema, value: unknown, what: string): void {
  const validate = compiled.get(schema) ?? ajv.compile(schema)
  compiled.set(schema, validate)
  t.ok(validate(value), `${what}: ${ajv.errorsText(validate.errors)}`)
}

t.test('what is published is what the code says', async (t) => {
  const files = contractFiles(ROOT)
  t.same(readdirSync(DIR).sort(), [...files.keys()].sort())
  for (const [name, content] of files)
    t.ok(readFileSync(join(DIR, name), 'utf8') === content, `docs/contract/${name} is current (else: npx tsx scripts/contract.ts)`)
})

t.test('the schema files are JSON Schemas', async (t) => {
  for (const [name, content] of contractFiles(ROOT)) {
    if (!name.endsWith('.schema.json')) continue
    const schema = JSON.parse(content) as JsonSchema
    t.ok(ajv.validateSchema(schema), `${name}: ${ajv.errorsText(ajv.errors)}`)
    for (const one of Object.values((schema.definitions ?? { itself: schema }) as Record<string, JsonSchema>)) ajv.compile(one)
  }
})

t.test('the AsyncAPI document hangs together', async (t) => {
  interface Document {
    asyncapi: string
    info: { title: string; version: string }
    servers: Record<string, { host: string; protocol: string }>
    channels: Record<
      string,
      { address: string; parameters?: JsonObject; messages: Record<string, { $ref: string }>; servers: { $ref: string }[] }
    >
    operations: Record<string, { action: string; channel: { $ref: string }; messages: { $ref: string }[] }>
    components: { messages: Record<string, { name: string; payload: JsonSchema }> }
  }
  const text = contractFiles(ROOT).get('asyncapi.yaml') ?? ''
  const document = parse(text) as Document
  t.equal(document.asyncapi, '3.0.0')
  t.match(document.info, { title: 'shopwire', version: /^\d+\.\d+\.\d+$/ })
  const resolve = (ref: string): unknown =>
    ref
      .replace(/^#\//, '')
      .split('/')
      .reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], document)
  const refs = [...text.matchAll(/\$ref: "?(#[^"\n]+)"?/g)].map(([, ref]) => ref ?? '')
  t.ok(refs.length > 50)
  for (const ref of new Set(refs)) t.ok(resolve(ref) !== undefined, `${ref} is there`)
  const addresses = Object.values(document.channels).map((channel) => channel.address)
  t.equal(new Set(addresses).size, addresses.length, 'every address once')
  for (const [name, channel] of Object.entries(document.channels)) {
    t.match(name, /^[A-Za-z0-9_-]+$/)
    const named = [...channel.address.matchAll(/\{(\w+)\}/g)].map(([, one]) => one ?? '')
    t.same(Object.keys(channel.parameters ?? {}), named, `${name} explains its parameters`)
  }
  for (const [name, operation] of Object.entries(document.operations)) {
    t.ok(['send', 'receive'].includes(operation.action), name)
    for (const { $ref } of operation.messages)
      t.ok($ref.startsWith(`${operation.channel.$ref}/messages/`), `${name} uses messages of its channel`)
  }
  for (const [name, message] of Object.entries(document.components.messages)) {
    t.equal(message.name, name)
    ajv.compile(message.payload)
  }
})

t.test('what the code really sends fits what is published: LAN, dispatch, desired', async (t) => {
  const journal = new MemoryJournal()
  const shop = new Shop()
  const dispatch = await createDispatch({
    journal,
    clock: systemClock,
    clockState: () => 'synced',
    log,
    target: {
      describe: (plugin) => (plugin === 'printer' ? { args: { type: 'object' } } : { code: 'plugin-not-found', message: 'no such plugin' }),
      run: async (_plugin, command) => (command.command === 'print' ? { jobId: '1' } : Promise.reject(new Error('jam'))),
    },
  })
  const sent: { topic: string; payload: string }[] = []
  let handlers: LanHandlers | undefined
  const broker: LanBroker = {
    start: async (_filters, given) => {
      handlers = given
      given.state({ online: true, detail: '' })
    },
    publish: (topic, payload) => sent.push({ topic, payload: String(payload) }),
    wanted: () => true,
    retained: async () => [],
    port: () => 0,
    stop: async () => {},
  }
  const link = createLanLink({
    config: { users: [] },
    gateway: 'shop-001',
    version: '1.0.0',
    journal,
    submit: dispatch.submit.bind(dispatch),
    shop,
    clock: systemClock,
    log,
    broker,
  })
  await link.start()
  shop.setDevice('printer', 'receipt', { state: 'fault', detail: 'paper-out' }, '2026-11-22T08:00:00.000Z')
  const payloads: [string, Json | string][] = [
    ['print', { id: 'r-1', args: { receipt: '#' }, expiresAt: '2030-01-01T00:00:00Z' }],
    ['print', { args: { receipt: 'x'.repeat(5_000) } }],
    ['jam', { id: 'r-2' }],
    ['print', 'not JSON'],
  ]
  for (const [command, payload] of payloads) {
    if (typeof payload !== 'string') fits(t, SHOP_ENVELOPES.ShopCommand, payload, 'command')
    handlers?.message({
      topic: `shop/printer/receipt/cmd/${command}`,
      payload: Buffer.from(typeof payload === 'string' ? payload : JSON.stringify(payload)),
      retained: false,
    })
  }
  handlers?.message({ topic: 'shop/scale/-/cmd/tare', payload: Buffer.alloc(0), retained: false })
  while (sent.filter((one) => one.topic.endsWith('/result')).length < 5) await new Promise((resolve) => setImmediate(resolve))
  await dispatch.stop()
  await link.stop()

  const seen = new Set<string>()
  for (const { topic, payload } of sent) {
    const value = JSON.parse(payload) as JsonObject
    const [, plugin = '', , kind = ''] = topic.split('/')
    seen.add(kind)
    if (kind === 'state') fits(t, plugin === 'gateway' ? SHOP_ENVELOPES.GatewayState : SHOP_ENVELOPES.DeviceState, value, topic)
    else if (kind === 'result') fits(t, SHOP_ENVELOPES.CommandResult, value, topic)
    else {
      fits(t, CLOUD_EVENT, value, topic)
      fits(t, CORE_EVENTS[plugin]?.[kind] ?? { not: {} }, value.data, `data of ${topic}`)
    }
  }
  t.same([...seen].sort(), ['accepted', 'finished', 'result', 'state'])
  const events: UpEvents = {
    epoch: journal.epoch,
    from: 1,
    to: journal.head,
    events: (await journal.read(0, { events: 100 })).map((one) => JSON.parse(one.text)),
    dropped: [],
  }
  fits(t, UP_ENVELOPES.events, events, 'up/events')

  const desired = createDesired({
    journal,
    source: { gateway: { id: 'shop-001' } },
    check: () => [],
    apply: async () => [],
    manifests: () => [],
    clock: systemClock,
    log,
  })
  await desired.boot()
  const reports: UpReported[] = []
  desired.follow((reported) => reports.push(reported))
  for (const config of [{ lan: null }, { log: { level: 'warn' } }]) {
    const wanted: DownDesired = { version: reports.length + 1, config }
    fits(t, DOWN_ENVELOPES.desired, wanted, 'dn/desired')
    desired.receive(wanted)
    while (reports.length === 0 || reports.at(-1)?.status === 'applying') await new Promise((resolve) => setImmediate(resolve))
  }
  for (const reported of reports) fits(t, UP_ENVELOPES.reported, reported, 'up/reported')
})

t.test('the types and the schemas of the other envelopes agree', async (t) => {
  const state: UpState = { online: true, session: 's', epoch: 'e', version: '1.0.0', since: '2026-11-22T08:00:00.000Z' }
  const info: UpInfo = {
    store: '0001',
    tags: ['north'],
    host: { name: 'pi', platform: 'linux', arch: 'arm64', node: '20', bootid: 'b' },
    versions: { shopwire: '1.0.0', api: '1' },
    plugins: [{ name: 'scanner', version: '1.0.0', state: 'running', devices: [{ name: 'till-1', state: 'fault', detail: 'unplugged' }] }],
  }
  const sync: UpSync = { epoch: 'e', stored: 0, sent: 0, head: 4711, tail: 1, desiredVersion: 0 }
  const health: UpHealth = {
    time: '2026-11-22T08:00:00.000Z',
    clock: 'unsynced',
    uptime: 12.5,
    backlog: { events: 3, oldestSeconds: 1.5, dropped: 0 },
    memory: { rss: 1, free: 2 },
    disk: { journal: 3, free: 4 },
    temperature: 48.2,
    plugins: [{ name: 'scanner', state: 'backoff', restarts: 2 }],
  }
  const line: UpLog = { time: '2026-11-22T08:00:00.000Z', level: 'info', message: 'm', fields: {} }
  const ack: DownAck = { epoch: 'e', sequence: 12, resendFrom: 13 }
  const command: DownCommand = {
    id: 'c-1',
    plugin: 'printer',
    device: 'receipt',
    command: 'print',
    args: {},
    issuedAt: '2026-11-22T08:00:00Z',
  }
  fits(t, UP_ENVELOPES.state, state, 'up/state')
  fits(t, UP_ENVELOPES.info, info, 'up/info')
  fits(t, UP_ENVELOPES.sync, sync, 'up/sync')
  fits(t, UP_ENVELOPES.health, health, 'up/health')
  fits(t, UP_ENVELOPES.log, line, 'up/log')
  fits(t, DOWN_ENVELOPES.ack, ack, 'dn/ack')
  fits(t, DOWN_ENVELOPES.command, command, 'dn/command')
  const wrong = { ...ack, sequence: '12' }
  t.notOk(ajv.validate(DOWN_ENVELOPES.ack, wrong), 'a sequence in an envelope is a number')
})
