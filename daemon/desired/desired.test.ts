import t from 'tap'
import { systemClock } from '../clock.ts'
import type { Config } from '../config.ts'
import { canonicalJson } from '../contract/canonical.ts'
import type { Problem } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { UpReported } from '../contract/uplink.ts'
import { createLog } from '../log.ts'
import { MemoryJournal } from '../testing/memory-journal.ts'
import { fc } from '../testing/property.ts'
import { createDesired, type Desired } from './desired.ts'
import { mergePatch } from './merge-patch.ts'

const FILE: JsonObject = {
  gateway: { id: 'shop-001', store: '0001' },
  plugins: { scanner: { devices: { 'till-1': { port: '/dev/ttyUSB0' } } }, printer: { devices: {} } },
}
const OTHER = { plugins: { scanner: { devices: { 'till-2': { port: '/dev/ttyUSB1' } } } } }

class Daemon {
  readonly journal: MemoryJournal
  readonly source: JsonObject
  readonly applied: Config[] = []
  readonly reports: UpReported[] = []
  readonly lines: string[] = []
  desired: Desired
  effective: Config | undefined
  /** What `apply` says of a config, or when. */
  verdict: (config: Config) => Problem[] | Promise<Problem[]> = () => []

  constructor(journal = new MemoryJournal(), source = FILE) {
    this.journal = journal
    this.source = source
    this.desired = createDesired({
      journal,
      source,
      check: (config) =>
        Object.keys(config.plugins)
          .filter((name) => name !== 'scanner' && name !== 'printer')
          .map((name) => ({ path: `plugins.${name}`, message: 'is no plugin here' })),
      apply: async (config) => {
        this.applied.push(config)
        return this.verdict(config)
      },
      manifests: () => [],
      clock: systemClock,
      log: createLog({ level: 'debug', clock: systemClock, write: (line) => this.lines.push(line) }),
    })
    this.desired.follow((reported) => this.reports.push(reported))
  }

  async start(): Promise<this> {
    this.effective = await this.desired.boot()
    return this
  }

  /** Sends, and waits for the verdict. */
  async want(version: number, config: JsonObject, digest?: string): Promise<UpReported | undefined> {
    const before = this.reports.length
    this.desired.receive({ version, config, ...(digest === undefined ? {} : { digest }) })
    await this.settled(before)
    return this.reports.at(-1)
  }

  async settled(before: number): Promise<void> {
    const end = performance.now() + 100_000
    while (this.reports.length === before || this.reports.at(-1)?.status === 'applying') {
      if (performance.now() > end) throw new Error('no verdict')
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** What a power cut leaves: the journal. */
  async crash(): Promise<Daemon> {
    const copy = new MemoryJournal()
    for (const commit of this.journal.commits) await copy.commit(commit)
    return new Daemon(copy, this.source).start()
  }
}

t.test('HQ adds a scanner; the same version again disturbs nothing; it is still there after a power cut', async (t) => {
  const daemon = await new Daemon().start()
  t.equal(daemon.desired.reported(), undefined)
  t.match(await daemon.want(3, OTHER), { version: 3, status: 'applied', errors: [] })
  t.same(
    daemon.reports.map((one) => one.status),
    ['applying', 'applied'],
  )
  t.same(Object.keys((daemon.applied[0]?.plugins.scanner?.devices ?? {}) as object), ['till-1', 'till-2'])
  const commits = daemon.journal.commits.length
  for (const version of [3, 3, 2]) t.match(await daemon.want(version, { plugins: null }), { version: 3, status: 'applied' })
  t.equal(daemon.applied.length, 1, 'nothing applied anew')
  t.equal(daemon.journal.commits.length, commits, 'nothing written')

  const next = await daemon.crash()
  t.same(Object.keys((next.effective?.plugins.scanner?.devices ?? {}) as object), ['till-1', 'till-2'])
  t.equal(next.desired.version, 3)
  t.match(next.desired.reported(), { version: 3, status: 'applied', digest: daemon.reports.at(-1)?.digest })
})

t.test('what HQ may not set, and what does not fit, is rejected whole with paths; it is not tried again', async (t) => {
  const daemon = await new Daemon().start()
  let version = 0
  const cases: [JsonObject, string[]][] = [
    [{ gateway: { id: 'shop-002', store: '7' } }, ['gateway.id']],
    [{ gateway: null }, ['gateway']],
    [{ hq: { url: 'mqtts://evil.example' }, http: { listen: '0.0.0.0:80' } }, ['hq', 'http']],
    [{ lan: null, dataDir: '/tmp', pluginDirs: [] }, ['lan', 'dataDir', 'pluginDirs']],
    [{ log: { level: 'loud' }, journal: { maxSize: 'all' } }, ['log.level', 'journal.maxSize']],
    [{ log: { levle: 'info' } }, ['log.levle']],
    [{ plugins: { scale: {} } }, ['plugins.scale']],
    [{ plugins: 5 }, ['plugins']],
  ]
  for (const [config, paths] of cases) {
    const reported = await daemon.want(++version, config)
    t.match(reported, { version, status: 'rejected' })
    t.same(
      reported?.errors.map((one) => one.path),
      paths,
    )
  }
  let deep: Json = {}
  for (let level = 0; level < 20_000; level++) deep = { a: deep }
  t.match(await daemon.want(++version, { plugins: { scanner: deep } }), { status: 'rejected' })
  t.match(await daemon.want(++version, OTHER, 'a'.repeat(64)), { status: 'rejected', errors: [{ path: 'digest' }] })
  t.equal(daemon.applied.length, 0)
  t.equal(daemon.desired.version, version)
  const commits = daemon.journal.commits.length
  t.match(await daemon.want(version, OTHER), { status: 'rejected' }, 'a rejected version stays rejected')
  t.equal(daemon.journal.commits.length, commits)
  const { createHash } = await import('node:crypto')
  t.match(await daemon.want(++version, OTHER, createHash('sha256').update(canonicalJson(OTHER)).digest('hex')), { status: 'applied' })
  for (const nonsense of [{}, { version: '9', config: {} }, { version: 99 }, { version: -1, config: {} }, { version: 99, config: [] }])
    daemon.desired.receive(nonsense as never)
  t.equal(daemon.desired.version, version)
})

t.test('a config that makes devices fail is taken back, the last good one put in again', async (t) => {
  const daemon = await new Daemon().start()
  await daemon.want(1, { log: { level: 'debug' } })
  daemon.verdict = (config) =>
    config.log.level === 'error' ? [{ path: 'plugins.scanner.devices.till-2', message: 'did not come up' }] : []
  t.match(await daemon.want(2, { log: { level: 'error' } }), {
    version: 2,
    status: 'rolled-back',
    errors: [{ path: 'plugins.scanner.devices.till-2', message: 'did not come up' }],
  })
  t.same(
    daemon.applied.map((one) => one.log.level),
    ['debug', 'error', 'debug'],
  )
  t.match(await daemon.want(2, { log: { level: 'error' } }), { version: 2, status: 'rolled-back' })
  t.equal(daemon.applied.length, 3, 'not tried again')
  daemon.verdict = () => {
    throw new Error('apply itself broke')
  }
  t.match(await daemon.want(3, { log: { level: 'warn' } }), {
    status: 'rolled-back',
    errors: [{ message: 'apply itself broke' }, { message: /after the roll-back/ }],
  })
  const next = await daemon.crash()
  t.equal(next.effective?.log.level, 'debug')
  t.match(next.desired.reported(), { version: 3, status: 'rolled-back' })
})

t.test('a config that takes the daemon down is tried once more, then never again', async (t) => {
  let daemon = await new Daemon().start()
  await daemon.want(1, { log: { level: 'debug' } })
  daemon.verdict = () => new Promise(() => {})
  daemon.desired.receive({ version: 2, config: { log: { level: 'error' } } })
  while (daemon.applied.length < 2) await new Promise((resolve) => setImmediate(resolve))

  daemon = await daemon.crash()
  t.equal(daemon.effective?.log.level, 'debug', 'it starts with the last good one')
  t.equal(daemon.desired.version, 2, 'HQ need not send it again')
  daemon.verdict = () => new Promise(() => {})
  daemon.desired.resume()
  while (daemon.applied.length < 1) await new Promise((resolve) => setImmediate(resolve))
  t.equal(daemon.applied[0]?.log.level, 'error', 'the second try')

  daemon = await daemon.crash()
  const before = daemon.reports.length
  daemon.desired.resume()
  await daemon.settled(before)
  t.match(daemon.reports.at(-1), { version: 2, status: 'rolled-back', errors: [{ message: /went down 2 times/ }] })
  t.equal(daemon.applied.length, 0)
  t.equal(daemon.effective?.log.level, 'debug')

  daemon = await daemon.crash()
  daemon.desired.resume()
  t.match(daemon.reports.at(-1), { version: 2, status: 'rolled-back' })
  t.match(await daemon.want(3, { log: { level: 'warn' } }), { version: 3, status: 'applied' })
})

t.test('somebody in the shop edits the file so that HQ’s config no longer fits: the file wins, and HQ is told', async (t) => {
  const daemon = await new Daemon().start()
  await daemon.want(1, { plugins: { scanner: { devices: { 'till-1': { baudRate: 115200 } } } } })
  const journal = new MemoryJournal()
  for (const commit of daemon.journal.commits) await journal.commit(commit)
  const edited: JsonObject = { ...FILE, plugins: { printer: { devices: {} } } }
  const fits = await new Daemon(journal, edited).start()
  t.same(fits.effective?.plugins.scanner, { devices: { 'till-1': { baudRate: 115200 } } }, 'as a merge patch it still fits')

  const bad = new MemoryJournal()
  await bad.commit({ puts: [{ space: 'desired', key: 'record', value: { good: { version: 4, patch: { log: { level: 'verbose' } } } } }] })
  const next = await new Daemon(bad).start()
  t.equal(next.effective?.log.level, 'info')
  t.match(next.desired.reported(), { version: 4, status: 'rolled-back', errors: [{ path: 'log.level', message: /no longer fits/ }] })
  t.equal(next.desired.version, 4)
  t.match(await next.want(5, { log: { level: 'debug' } }), { version: 5, status: 'applied' })
})

t.test('a full disk: not applied, because the next start would not know it; tried again when HQ says it again', async (t) => {
  const daemon = await new Daemon().start()
  daemon.journal.break('journal-full')
  t.match(await daemon.want(1, OTHER), { version: 1, status: 'rolled-back', errors: [{ message: /could not store/ }] })
  t.equal(daemon.applied.length, 0)
  daemon.journal.mend()
  t.match(await daemon.want(1, OTHER), { version: 1, status: 'applied' })
  daemon.verdict = () => {
    daemon.journal.break('journal-full')
    return []
  }
  t.match(await daemon.want(2, { log: { level: 'error' } }), {
    version: 2,
    status: 'rolled-back',
    errors: [{ message: /could not store/ }],
  })
  t.equal(daemon.applied.at(-1)?.log.level, 'info', 'the last good one is back')
})

t.test('of the versions that arrive while one is being applied, the newest comes next', async (t) => {
  const daemon = await new Daemon().start()
  let release = () => {}
  const held = new Promise<Problem[]>((resolve) => {
    release = () => resolve([])
  })
  daemon.verdict = (config) => (config.gateway.store === '1' ? held : [])
  daemon.desired.receive({ version: 1, config: { gateway: { store: '1' } } })
  for (const version of [2, 4, 3, 4]) daemon.desired.receive({ version, config: { gateway: { store: String(version) } } })
  release()
  while (daemon.reports.at(-1)?.version !== 4 || daemon.reports.at(-1)?.status !== 'applied')
    await new Promise((resolve) => setImmediate(resolve))
  t.same(
    daemon.applied.map((one) => one.gateway.store),
    ['1', '4'],
  )
})

t.test('the digest that is reported is not one of a password', async (t) => {
  const withPassword = (password: string): JsonObject => ({ ...FILE, hq: { url: 'mqtts://hq.example', username: 'shop', password } })
  const digests: (string | undefined)[] = []
  for (const password of ['first password', 'second password']) {
    const daemon = await new Daemon(new MemoryJournal(), withPassword(password)).start()
    digests.push((await daemon.want(1, OTHER))?.digest)
    t.notMatch(JSON.stringify([daemon.reports, daemon.lines]), /password/)
  }
  t.match(digests[0], /^[0-9a-f]{64}$/)
  t.equal(digests[0], digests[1])
})

t.test('merge patch is RFC 7396', async (t) => {
  // The RFC's appendix A.
  const cases: [Json, Json, Json][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ]
  for (const [target, patch, result] of cases) t.same(mergePatch(target, patch), result)
  t.equal(mergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}') as Json) !== null && 'polluted' in {}, false)
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (target, patch) => {
      const once = mergePatch(target as Json, patch as Json)
      t.equal(canonicalJson(mergePatch(once, patch as Json)), canonicalJson(once))
    }),
    { numRuns: 50 },
  )
})
