/** A small shop for tests: the real server, shop, dispatch and sockets; memory in place of the journal and of plugin processes. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../clock.ts'
import type { Command } from '../../contract/command.ts'
import { Failure } from '../../contract/errors.ts'
import type { Json, JsonObject } from '../../contract/json.ts'
import type { Clock, CommandSpec, Manifest } from '../../contract/plugin.ts'
import type { Found } from '../../discovery/api.ts'
import { createDispatch, type RunningDispatch } from '../../dispatch/dispatch.ts'
import { statsOf } from '../../ledger/stats.ts'
import { createLog } from '../../log.ts'
import type { Plugins } from '../../plugins/api.ts'
import { Shop } from '../../shop.ts'
import { MemoryJournal } from '../../testing/memory-journal.ts'
import type { Health, HttpOptions, HttpServer } from '../api.ts'
import { createHttp } from '../server.ts'

export const SCALE: Manifest = {
  name: 'scale',
  version: '1.2.0',
  api: '1',
  entry: 'plugin.js',
  events: {
    weighed: { type: 'object', title: 'Weighings', 'x-title': { zh: '称重' }, 'x-headline': 1 },
    tared: { type: 'object' },
    device: { type: 'object' },
  },
  commands: {
    tare: { args: { type: 'object', additionalProperties: false, properties: { grams: { type: 'integer' } } } },
    label: { args: { type: 'object', properties: { text: { type: 'string' } } }, repeatable: true },
    weigh: { repeatable: true },
  },
}

export interface Fixture {
  http: HttpServer
  journal: MemoryJournal
  shop: Shop
  dispatch: RunningDispatch
  plugins: Plugins
  dir: string
  socketFile: string
  logs: string[]
  /** Commands that reached the plugin. */
  ran: Command[]
  /** Calls of load, unload and reload. */
  control: string[]
  found: Found[]
  setFound(found: Found[]): void
  health: Health
  /** What the plugin does with a command. */
  handle: (command: Command) => Promise<Json>
  weigh(grams: number, device?: string): Promise<number>
  stop(): Promise<void>
}

export interface FixtureOptions {
  config?: Partial<HttpOptions['config']>
  dashboardDir?: string
  docsDir?: string
  clock?: Clock
  limits?: HttpOptions['limits']
  metrics?: () => Record<string, number>
  ledger?: Partial<HttpOptions['ledger']>
  gateway?: Partial<ReturnType<HttpOptions['gateway']>>
  /** Prepares the journal before the server starts. */
  before?: (journal: MemoryJournal) => Promise<void>
}

/** A shop in which nothing was sold yet. */
export function emptyLedger(clock: Clock): HttpOptions['ledger'] {
  const none = async () => ({ rows: [] })
  const at = () => new Date(Math.floor(clock.wall() / 300_000) * 300_000)
  return {
    visits: none,
    payments: none,
    stats: async () => ({ timeZone: 'UTC', from: '', to: '', days: [], total: statsOf([]) }),
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    trade: () => ({
      day: at().toISOString().slice(0, 10),
      arrivals: 0,
      payments: { count: 0, linked: 0, sums: [] },
      slot: { at: at().toISOString(), arrivals: 0, payments: 0 },
    }),
    chart: () => ({
      from: new Date(at().getTime() - 287 * 300_000).toISOString(),
      stepSeconds: 300,
      arrivals: Array<null>(288).fill(null),
      payments: Array<null>(288).fill(null),
    }),
  }
}

export async function startFixture(options: FixtureOptions = {}): Promise<Fixture> {
  const dir = await mkdtemp(join(tmpdir(), 'sw-http-'))
  const clock = options.clock ?? systemClock
  const logs: string[] = []
  const log = createLog({ level: 'info', clock, write: (line) => logs.push(line) })
  const journal = new MemoryJournal()
  await options.before?.(journal)
  const shop = new Shop()
  const listeners = new Set<() => void>()
  const ran: Command[] = []
  const control: string[] = []
  const target = {
    describe: (plugin: string, device: string, command: string) => {
      if (plugin !== 'scale') return { code: 'plugin-not-found' as const, message: `no plugin "${plugin}"` }
      if (!shop.device(plugin, device)) return { code: 'device-unknown' as const, message: `no device "${device}"` }
      const spec: CommandSpec | undefined = SCALE.commands?.[command]
      return spec ?? { code: 'command-unknown' as const, message: `no command "${command}"` }
    },
    run: async (_plugin: string, command: Command): Promise<Json> => {
      ran.push(command)
      return fixture.handle(command)
    },
  }
  const note = (what: string) => async (name: string) => {
    control.push(`${what} ${name}`)
    if (name === 'gone') throw new Failure('plugin-not-found', 'no plugin "gone" is loaded')
  }
  const plugins: Plugins = {
    ...target,
    start: async () => {},
    manifests: () => [SCALE],
    check: () => [],
    configure: async () => ({ errors: [] }),
    load: note('load'),
    unload: note('unload'),
    reload: note('reload'),
    progressing: () => true,
    stop: async () => {},
  }
  const dispatch = await createDispatch({ journal, target, clock, clockState: () => 'synced', log })
  const socketFile = join(dir, 'shopwire.sock')
  const fixture: Fixture = {
    http: createHttp({
      config: { listen: '127.0.0.1:0', ...options.config },
      gateway: () => ({ id: 'shop-001', store: '0001', version: '0.1.0', demo: false, ...options.gateway }),
      socketFile,
      journal,
      dispatch,
      plugins,
      shop,
      discovery: {
        found: () => fixture.found,
        follow: (listener) => {
          listeners.add(listener)
          return () => listeners.delete(listener)
        },
      },
      ledger: { ...emptyLedger(clock), ...options.ledger },
      health: () => fixture.health,
      ...(options.metrics ? { metrics: options.metrics } : {}),
      dashboardDir: options.dashboardDir ?? join(dir, 'none'),
      ...(options.docsDir === undefined ? {} : { docsDir: options.docsDir }),
      clock,
      log,
      ...(options.limits ? { limits: options.limits } : {}),
    }),
    journal,
    shop,
    dispatch,
    plugins,
    dir,
    socketFile,
    logs,
    ran,
    control,
    found: [],
    setFound(found) {
      fixture.found = found
      for (const listener of listeners) listener()
    },
    health: { ok: true, problems: [], checks: { journal: true, plugins: true } },
    handle: async (command) => ({ did: command.command }),
    async weigh(grams, device = 'counter') {
      const [sequence = 0] = await journal.commit({ events: [{ plugin: 'scale', device, event: 'weighed', data: { grams } }] })
      shop.touchDevice('scale', device, new Date(clock.wall()).toISOString())
      return sequence
    },
    async stop() {
      try {
        await fixture.http.stop()
        await dispatch.stop()
        await journal.close()
      } finally {
        await rm(dir, { recursive: true, force: true })
      }
    },
  }
  const since = new Date(clock.wall()).toISOString()
  shop.setPlugin({ name: 'scale', version: '1.2.0', status: 'running', since, restarts: 0 })
  shop.setDevice('scale', 'counter', { state: 'online' }, since)
  shop.setLink({ name: 'lan', state: 'online', since, detail: 'mqtt://127.0.0.1:1883' })
  shop.setLink({ name: 'hq', state: 'online', since, detail: 'mqtts://hq.example:8883', backlog: 0 })
  await fixture.http.start().catch(async (error: unknown) => {
    await fixture.stop()
    throw error
  })
  return fixture
}

export interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
  json: JsonObject
}

export interface Ask {
  method?: string
  headers?: Record<string, string>
  body?: Json | string
}

/** One HTTP request over TCP (a port) or the unix socket (a path). */
export async function ask(where: number | string, path: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
  const call = request({
    ...(typeof where === 'number' ? { host: '127.0.0.1', port: where } : { socketPath: where }),
    method,
    path,
    agent: false,
    headers: {
      ...(text === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(text)) }),
      ...headers,
    },
  })
  call.end(text)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const answer = Buffer.concat(chunks).toString('utf8')
  const isJson = (response.headers['content-type'] ?? '').startsWith('application/json')
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    text: answer,
    json: isJson ? (JSON.parse(answer) as JsonObject) : {},
  }
}
