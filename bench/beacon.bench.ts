/**
 * From HCI bytes to a decision, beside noble alone: `npx tsx bench/beacon.bench.ts`. Each contender runs in a process of its own, is fed
 * the same bytes from memory, and hands them to the same noble. Noble alone ends in an empty `discover` listener; ours in entered, left,
 * health and a counted crowd. Runs alternate, and the ratio is taken from CPU time, which a busy machine disturbs least.
 */

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { performance } from 'node:perf_hooks'
import { HandClock } from '../daemon/testing/hand-clock.ts'
import { HciSocket } from '../plugins/beacon/adapter/hci-socket.ts'
import type { OpenLink } from '../plugins/beacon/adapter/link.ts'
import { NobleSession } from '../plugins/beacon/adapter/session.ts'
import { type BeaconConfig, registered } from '../plugins/beacon/config.ts'
import { ibeaconPayload } from '../plugins/beacon/frames/payload.ts'
import { Hearing } from '../plugins/beacon/hearing.ts'
import { Crowd } from '../plugins/beacon/presence/crowd.ts'
import { report, SimulatedController } from '../plugins/beacon/simulator/controller.ts'
import { Random } from '../plugins/beacon/simulator/random.ts'
import { DEFAULTS, UUID } from '../plugins/beacon/testing.ts'

type Contender = 'noble' | 'shopwire'
type Load = 'beacons' | 'shop' | 'phones' | 'rotating' | 'strangers'

interface Result {
  perSecond: number
  cpuUs: number
  /** Growth, MB, between the first tenth and the end, after a full collection each. */
  heapMb: number
  rssMb: number
  decisions: number
}

const BEACONS = 50
const WARM_UP = 100_000
const REPORTS = 400_000
const ROUNDS = 3

/** Puts one report a call onto the wire. */
type Feed = (index: number) => Buffer

/** 50 beacons at 15 levels each; `shop`: nine reports of phones for each of a beacon, as a mall has it. */
function feeds(load: Load): Feed {
  const random = new Random(1)
  const address = (index: number): string =>
    `c0:ff:${[24, 16, 8, 0].map((bits) => ((index >>> bits) & 255).toString(16).padStart(2, '0')).join(':')}`
  const payload = (minor: number) => ibeaconPayload({ uuid: UUID, major: 1, minor: minor & 0xffff, power: -59, intervalMs: 100 })
  const beacons = Array.from({ length: 15 * BEACONS }, (_, at) =>
    report({ address: address(at % BEACONS), payload: payload(at % BEACONS), rssi: -60 + random.normal() * 6 }),
  )
  const phone = report({ address: address(0), payload: Buffer.from('02011a0aff4c001005031c5a8d21', 'hex'), rssi: -70, connectable: true })
  const distinct = (from: Buffer, index: number): Buffer => {
    const packet = Buffer.from(from)
    packet.writeUInt32LE(index >>> 0, 7)
    return packet
  }
  switch (load) {
    case 'beacons':
      return (index) => beacons[index % beacons.length] as Buffer
    case 'shop':
      return (index) => (index % 10 === 0 ? (beacons[(index / 10) % beacons.length] as Buffer) : distinct(phone, index % 3_000))
    case 'phones':
      return (index) => distinct(phone, index)
    case 'rotating':
      // Beacons that change their address each time.
      return (index) => distinct(beacons[index % beacons.length] as Buffer, index)
    case 'strangers':
      return (index) => report({ address: address(index), payload: payload(index), rssi: -60 })
  }
}

/** Noble alone sees the bytes as the kernel would hand them over. */
async function nobleAlone(): Promise<{ receive: (packet: Buffer) => void; decisions: () => number }> {
  const { EventEmitter } = await import('node:events')
  const require = createRequire(import.meta.url)
  const controller = new SimulatedController()
  const socket = Object.assign(new EventEmitter(), {
    bindRaw: () => {},
    setFilter: () => {},
    start: () => {},
    stop: () => {},
    isDevUp: () => true,
    write: (packet: Buffer) => queueMicrotask(() => controller.receive(packet)),
  })
  controller.attach((packet) => socket.emit('data', packet))
  const standIn = require.resolve('../plugins/beacon/replaces/@abandonware/bluetooth-hci-socket.cjs')
  const { hand } = require(standIn) as { hand(socket: object): void }
  require.cache[require.resolve('@abandonware/bluetooth-hci-socket')] = require.cache[standIn]
  hand(socket)
  const Bindings = require('@abandonware/noble/lib/hci-socket/bindings.js') as new (options: object) => object
  const noble = (require('@abandonware/noble/with-bindings.js') as (bindings: object) => NobleAlone)(new Bindings({}))
  let seen = 0
  noble.on('discover', () => {
    seen += 1
  })
  await new Promise<void>((resolve) => noble.on('stateChange', () => resolve()))
  noble.startScanning([], true)
  await new Promise((resolve) => setTimeout(resolve, 50))
  return { receive: (packet) => socket.emit('data', packet), decisions: () => seen }
}

interface NobleAlone {
  on(event: string, on: () => void): void
  startScanning(services: string[], allowDuplicates: boolean): void
}

async function shopwire(): Promise<{ receive: (packet: Buffer) => void; decisions: () => number }> {
  const controller = new SimulatedController()
  const clock = new HandClock()
  const config: BeaconConfig = {
    ...DEFAULTS,
    beacons: Object.fromEntries(
      Array.from({ length: BEACONS }, (_, minor) => [
        `tag-${minor}`,
        { kind: minor % 2 === 0 ? ('fixed' as const) : ('tag' as const), uuid: UUID, major: 1, minor },
      ]),
    ),
    unknown: 'report',
    zones: [
      { name: 'near', within: 3 },
      { name: 'far', within: 50 },
    ],
  }
  let decisions = 0
  const hearing = new Hearing(config, registered(config), performance.now(), {
    presence: () => {
      decisions += 1
    },
    health: () => {
      decisions += 1
    },
  })
  const crowd = new Crowd(Uint32Array.of(1, 2), 0)
  let reportAt = 0
  const link: OpenLink = {
    isUp: () => true,
    setFilter: () => {},
    write: (packet) => queueMicrotask(() => controller.receive(packet)),
    close: () => {},
  }
  const socket = new HciSocket(link, clock, {
    // As the radio does it: the watchdog takes the time of each report.
    report: () => {
      reportAt = performance.now()
    },
    other: (packet, at) => crowd.add(packet, at),
    malformed: () => {},
    scanning: () => {},
    disturbed: () => {},
    unsupported: () => {},
  })
  controller.attach((packet) => socket.receive(packet))
  const session = await new Promise<NobleSession>((resolve) => {
    const opening = NobleSession.open(socket, {
      discover: (peripheral) => hearing.discover(peripheral, reportAt),
      state: () => void opening.then(resolve),
    })
  })
  session.scan()
  await new Promise((resolve) => setTimeout(resolve, 50))
  let count = 0
  return {
    receive: (packet) => {
      socket.receive(packet)
      if (++count % 1_000 === 0) hearing.tick(reportAt)
    },
    decisions: () => decisions + hearing.counters.sightings,
  }
}

async function work(contender: Contender, load: Load, reports: number): Promise<Result> {
  const { receive, decisions } = contender === 'noble' ? await nobleAlone() : await shopwire()
  const feed = feeds(load)
  const memory = load === 'beacons' || load === 'shop' ? undefined : reports / 10
  let at = 0
  const turns = async (until: number): Promise<void> => {
    for (; at < until; at++) {
      receive(feed(at))
      if (at % 10_000 === 0) await new Promise(setImmediate)
    }
  }
  await turns(memory ?? WARM_UP)
  globalThis.gc?.()
  const before = process.memoryUsage()
  const cpu = process.cpuUsage()
  const began = performance.now()
  const from = at
  await turns(memory === undefined ? from + reports : reports)
  const seconds = (performance.now() - began) / 1_000
  const used = process.cpuUsage(cpu)
  globalThis.gc?.()
  const after = process.memoryUsage()
  return {
    perSecond: (at - from) / seconds,
    cpuUs: (used.user + used.system) / (at - from),
    heapMb: (after.heapUsed - before.heapUsed) / 1_048_576,
    rssMb: (after.rss - before.rss) / 1_048_576,
    decisions: decisions(),
  }
}

async function run(contender: Contender, load: Load, reports = REPORTS): Promise<Result> {
  // Memory is looked at with what a plugin's process is given (daemon/gateway.ts); speed with room, for both alike.
  const youngMb = load === 'beacons' || load === 'shop' ? 32 : 1
  const child = fork(import.meta.filename, ['worker', contender, load, String(reports)], {
    execArgv: ['--import=tsx', '--expose-gc', `--max-semi-space-size=${youngMb}`, '--v8-pool-size=1'],
  })
  const [result] = (await once(child, 'message')) as [Result]
  await once(child, 'exit')
  return result
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
const row = (...cells: (string | number)[]): void =>
  console.log(cells.map((cell, at) => (at === 0 ? String(cell).padEnd(34) : String(cell).padStart(14))).join(''))

async function compare(load: Load, name: string): Promise<void> {
  const results: Record<Contender, Result[]> = { noble: [], shopwire: [] }
  for (let round = 0; round < ROUNDS; round++)
    for (const contender of round % 2 === 0 ? (['noble', 'shopwire'] as const) : (['shopwire', 'noble'] as const))
      results[contender].push(await run(contender, load))
  const cpu = { noble: 0, shopwire: 0 }
  for (const contender of ['noble', 'shopwire'] as const) {
    const all = results[contender]
    cpu[contender] = median(all.map((one) => one.cpuUs))
    row(`${name}: ${contender}`, Math.round(median(all.map((one) => one.perSecond))), cpu[contender].toFixed(2), all[0]?.decisions ?? 0)
  }
  row(`${name}: share of noble’s rate`, `${Math.round((cpu.noble / cpu.shopwire) * 100)} %`)
}

if (process.argv[2] === 'worker') {
  const [, , , contender, load, reports] = process.argv
  process.send?.(await work(contender as Contender, load as Load, Number(reports)))
  process.exit(0)
}

row('load', 'reports/s', 'CPU us/report', 'told')
await compare('beacons', `${BEACONS} beacons`)
await compare('shop', `${BEACONS} beacons, 3,000 phones`)
console.log('')
row('distinct addresses', 'count', 'heap +MB', 'RSS +MB')
for (const [contender, load, count, name] of [
  ['shopwire', 'phones', 1_000_000, 'phones'],
  ['shopwire', 'rotating', 1_000_000, 'beacons, new address each time'],
  ['shopwire', 'strangers', 1_000_000, 'unknown beacons, all different'],
  // Its memory would not suffice for more.
  ['noble', 'phones', 100_000, 'phones'],
] as const) {
  const result = await run(contender, load, count)
  row(`${contender}: ${name}`, count, result.heapMb.toFixed(1), result.rssMb.toFixed(1))
}
