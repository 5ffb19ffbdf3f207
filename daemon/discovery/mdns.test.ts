/** Real packets, over multicast on the loopback interface, on a port of each test's own. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import Bonjour from 'bonjour-service'
import t, { type Test } from 'tap'
import { systemClock } from '../clock.ts'
import type { Manifest, MonoMs } from '../contract/plugin.ts'
import { createLog } from '../log.ts'
import { until as waitFor } from '../testing/until.ts'
import type { Discovery, Found, MdnsOptions } from './api.ts'
import { createDiscovery } from './discovery.ts'
import { createMdnsCache, type DnsRecord } from './mdns-cache.ts'
import { MulticastSocket } from './multicast.ts'

const PRINTER: Manifest = {
  name: 'printer',
  version: '1.0.0',
  api: '1',
  entry: 'plugin.js',
  match: [{ mdns: '_pdl-datastream._tcp', name: 'network printer', confidence: 80, config: { port: '{port}' } }],
}

/** `multicast-dns` as it lies inside bonjour-service: the LAN's other end. */
interface Peer {
  on(event: 'query', listener: (packet: { questions: { name: string; type: string }[] }) => void): void
  on(event: 'response', listener: (packet: { answers: DnsRecord[] }) => void): void
  respond(packet: { answers: unknown[]; additionals?: unknown[] }): void
  query(name: string, type: string): void
}

async function loopback(): Promise<MdnsOptions> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(() => resolve()))
  return { interface: '127.0.0.1', port }
}

async function possible(): Promise<boolean> {
  try {
    const options = await loopback()
    const [one, two] = await Promise.all([MulticastSocket.open(['127.0.0.1'], options), MulticastSocket.open(['127.0.0.1'], options)])
    let heard = false
    one.on('message', () => {
      heard = true
    })
    two.send(Buffer.from('x'), 0, 1, options.port ?? 0, '224.0.0.251')
    await waitFor(() => heard, 'a packet', 60_000).catch(() => {})
    one.close()
    two.close()
    return heard
  } catch {
    return false
  }
}

async function openPeer(t: Test, options: MdnsOptions): Promise<{ bonjour: Bonjour; peer: Peer }> {
  const socket = await MulticastSocket.open(['127.0.0.1'], options)
  const bonjour = new Bonjour({ socket, bind: false, multicast: false, port: options.port ?? 0 } as ConstructorParameters<
    typeof Bonjour
  >[0])
  t.teardown(() => bonjour.destroy())
  return { bonjour, peer: (bonjour as unknown as { server: { mdns: Peer } }).server.mdns }
}

function openDiscovery(t: Test, mdns: MdnsOptions, { announce = false } = {}) {
  const lines: string[] = []
  const discovery = createDiscovery({
    manifests: () => [PRINTER],
    configured: () => ({}),
    auto: () => false,
    announce,
    gateway: 'shop-001',
    services: () => [
      { type: '_mqtt._tcp', port: 1883 },
      { type: '_http._tcp', port: 8080 },
    ],
    add: async () => {},
    roots: { dev: '/nonexistent/dev', sys: '/nonexistent/sys' },
    mdns,
    clock: systemClock,
    log: createLog({ level: 'debug', clock: systemClock, write: (line) => lines.push(line) }),
  })
  t.teardown(() => discovery.stop())
  return { discovery, lines }
}

function until(discovery: Discovery, wish: (found: Found[]) => boolean): Promise<Found[]> {
  return new Promise((resolve) => {
    const check = () => {
      if (!wish(discovery.found())) return
      unfollow()
      resolve(discovery.found())
    }
    const unfollow = discovery.follow(check)
    check()
  })
}

const here = await possible()
const skip = here ? false : 'multicast on the loopback interface does not work here'

t.test('a network printer is found when it is switched on and gone when it says goodbye', { skip }, async (t) => {
  const lan = await loopback()
  const { bonjour, peer } = await openPeer(t, lan)
  const { discovery } = openDiscovery(t, lan)
  await discovery.start()

  bonjour.publish({ name: 'EPSON TM-m30', type: 'pdl-datastream', port: 9100, host: 'epson-1234.local', probe: false })
  peer.respond({ answers: [{ name: 'epson-1234.local', type: 'A', ttl: 120, data: '192.0.2.50' }] })
  const [found] = await until(
    discovery,
    (list) => list[0]?.port === 'tcp://192.0.2.50:9100' || list[0]?.port === 'tcp://epson-1234.local:9100',
  )
  t.match(found, { kind: 'network', plugin: 'printer', confidence: 80 })

  bonjour.unpublishAll()
  await until(discovery, (list) => list.length === 0)
})

t.test('a printer that answers with a bare pointer is asked for its port and its address', { skip }, async (t) => {
  const lan = await loopback()
  const { peer } = await openPeer(t, lan)
  const name = 'Receipt v1.2._pdl-datastream._tcp.local'
  const records: DnsRecord[] = [
    { name: '_pdl-datastream._tcp.local', type: 'PTR', ttl: 4500, data: name },
    { name, type: 'SRV', ttl: 120, data: { port: 9100, target: 'receipt.local' } },
    { name: 'receipt.local', type: 'A', ttl: 120, data: '192.0.2.51' },
  ]
  peer.on('query', ({ questions }) => {
    const answers = records.filter((record) =>
      questions.some((question) => question.name.toLowerCase() === record.name.toLowerCase() && question.type === record.type),
    )
    if (answers.length > 0) peer.respond({ answers })
  })
  const { discovery } = openDiscovery(t, lan)
  await discovery.start()
  const [found] = await until(discovery, (list) => list[0]?.port === 'tcp://192.0.2.51:9100')
  t.match(found?.snippet, /tcp:\/\/192\.0\.2\.51:9100/)
  t.match(await discovery.scan(), [{ kind: 'network' }], 'and it is still there when asked again')
})

t.test('the box says its name; a second box in the same shop takes another', { skip }, async (t) => {
  const lan = await loopback()
  const { peer } = await openPeer(t, lan)
  const said: DnsRecord[] = []
  peer.on('response', ({ answers }) => said.push(...answers))
  const servers = () => said.filter((record) => record.type === 'SRV' && record.ttl !== 0)

  const first = openDiscovery(t, lan, { announce: true })
  await first.discovery.start()
  await waitFor(() => new Set(servers().map(({ name }) => name)).size >= 2, 'both services')
  const announcedAs = new Map(servers().map((record) => [record.name, record.data]))
  t.match(announcedAs.get('shop-001._mqtt._tcp.local'), { port: 1883, target: 'shopwire.local' })
  t.match(announcedAs.get('shop-001._http._tcp.local'), { port: 8080, target: 'shopwire.local' })

  // A till that somebody named like the gateway.
  peer.on('query', ({ questions }) => {
    for (const { name } of questions)
      if (name === 'shop-001-2._mqtt._tcp.local')
        peer.respond({ answers: [{ name, type: 'SRV', ttl: 120, data: { port: 1, target: 'till.local' } }] })
  })
  said.length = 0
  peer.on('query', ({ questions }) => {
    for (const { name } of questions)
      if (name === 'shopwire.local') peer.respond({ answers: [{ name, type: 'A', ttl: 120, data: '192.0.2.99' }] })
  })
  const second = openDiscovery(t, lan, { announce: true })
  await second.discovery.start()
  await waitFor(() => second.lines.some((line) => line.includes('announced by mDNS')), 'the announcement')
  const announced = JSON.parse(second.lines.find((line) => line.includes('announced by mDNS')) ?? '{}')
  t.match(announced, { name: 'shop-001-3', host: 'shop-001.local' })
  t.notOk(
    said.some((record) => record.ttl === 0 && /^shop-001\./.test(record.name)),
    'nobody said goodbye in the first box’s name',
  )

  said.length = 0
  await second.discovery.stop()
  await waitFor(() => said.some((record) => record.ttl === 0 && record.name === 'shop-001-3._mqtt._tcp.local'), 'the goodbye')
  t.ok(true, 'it says goodbye when it stops')
})

t.test('no network and a port that is taken are one line in the log each, and no crash', { skip }, async (t) => {
  const blocker = createSocket('udp4').bind(0, '0.0.0.0')
  await once(blocker, 'listening')
  t.teardown(() => blocker.close())
  const { discovery, lines } = openDiscovery(t, { interface: '127.0.0.1', port: blocker.address().port }, { announce: true })
  await discovery.start()
  t.equal(lines.length, 1)
  t.match(lines[0], /no mDNS: .*EADDRINUSE|EADDRINUSE.*no mDNS/)
  t.same(await discovery.scan(), [])

  const nowhere = openDiscovery(t, { interface: '203.0.113.1', port: 5999 }, { announce: true })
  await nowhere.discovery.start()
  t.equal(nowhere.lines.length, 1)
})

t.test('garbage on the multicast group disturbs nothing', { skip }, async (t) => {
  const lan = await loopback()
  const { peer } = await openPeer(t, lan)
  const { discovery } = openDiscovery(t, lan)
  await discovery.start()
  const noise = await MulticastSocket.open(['127.0.0.1'], lan)
  t.teardown(() => noise.close())
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.alloc(1),
    Buffer.alloc(12, 0xff),
    Buffer.from('c00cc00cc00cc00cc00cc00cc00c', 'hex'),
    Buffer.alloc(9_000, 0x41),
  ])
    noise.send(bytes, 0, bytes.length, lan.port ?? 0, '224.0.0.251')
  peer.respond({
    answers: [
      { name: '_pdl-datastream._tcp.local', type: 'PTR', ttl: 4500, data: 'x._pdl-datastream._tcp.local' },
      { name: 'x._pdl-datastream._tcp.local', type: 'SRV', ttl: 120, data: { port: 9100, target: 'x.local' } },
      { name: 'x.local', type: 'A', ttl: 120, data: '192.0.2.52' },
    ],
  })
  t.match(await until(discovery, (list) => list.length === 1), [{ port: 'tcp://192.0.2.52:9100' }])
})

t.test('the cache: expiry, hostile names, and a flood', async (t) => {
  const type = '_pdl-datastream._tcp'
  const at = (seconds: number) => (seconds * 1_000) as MonoMs
  const pointer = (name: string, ttl = 120): DnsRecord => ({ name: `${type}.local`, type: 'PTR', ttl, data: `${name}.${type}.local` })
  const server = (name: string, target: string, port = 9100): DnsRecord => ({
    name: `${name}.${type}.local`,
    type: 'SRV',
    ttl: 120,
    data: { port, target },
  })

  const cache = createMdnsCache(() => [type])
  t.ok(cache.take({ answers: [server('a', 'a.local')], additionals: [pointer('a')] }, at(0)), 'in whatever order a packet has them')
  t.same(cache.missing(), [{ name: 'a.local', type: 'A' }])
  t.notOk(cache.take({ answers: [pointer('a'), server('a', 'A.local.')] }, at(60)), 'the same again is no news')
  t.notOk(cache.expire(at(179)), 'each pointer renews it')
  t.ok(cache.expire(at(180)))
  t.same(cache.services(), [])

  cache.take({ answers: [pointer('b'), server('b', '$(reboot)')] }, at(0))
  cache.take({ answers: [pointer('c'), server('c', 'c.local', 0)] }, at(0))
  cache.take(
    {
      answers: [
        { name: `${type}.local`, type: 'PTR', ttl: 120, data: 7 },
        { name: 'other._tcp.local', type: 'PTR', ttl: 120, data: 'x' },
      ],
    },
    at(0),
  )
  t.same(cache.services(), [], 'a host or port that cannot be is none')

  for (let index = 0; index < 5_000; index += 1)
    cache.take({ answers: [pointer(`p${index}`), server(`p${index}`, `h${index}.local`)] }, at(1))
  t.ok(cache.services().length <= 256, 'what the LAN says does not fill the memory')
})
