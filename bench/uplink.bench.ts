/**
 * A shop's events on their way to HQ: shopwire beside mosquitto's bridge and Node-RED, in one run on one machine.
 * `npm run bench`; figures go to docs/performance.md as ratios. Node-RED is installed into `.bench/`, outside the project.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../daemon/testing/free-port.ts'
import { Bridge, type Contender, NodeRed, Shopwire } from './contenders.ts'
import { HqCounter } from './hq-counter.ts'
import { cpuSeconds, family, kill, median, mosquitto, percentile, pssMb, root, until } from './parts.ts'

const EVENTS = Number(process.env.BENCH_EVENTS ?? 100_000)
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3)
const LOST_EVENTS = 20_000

interface Figures {
  eventsPerSecond: number
  cpuUs: number
  familyCpuUs: number
  bytesPerEvent: number
  p50at100: number
  p99at100: number
  p50at1000: number
  p99at1000: number
  idleMb: number
  startMs: number
  handedOver: number
  lost: number
}

installNodeRed()
const dir = mkdtempSync(join(tmpdir(), 'shopwire-bench-'))
const only = process.argv.slice(2)
const contenders: Contender[] = [new Shopwire(dir), new Bridge(dir), new NodeRed(dir)].filter(
  (one) => only.length === 0 || only.some((word) => one.name.includes(word)),
)
const results: Record<string, Figures> = {}
try {
  for (const contender of contenders) {
    process.stdout.write(`\n${contender.name}\n`)
    results[contender.name] = await measure(contender)
    process.stdout.write(`${JSON.stringify(results[contender.name], null, 1)}\n`)
  }
  report()
} finally {
  for (const contender of contenders) await contender.stop().catch(() => {})
  rmSync(dir, { recursive: true, force: true })
}

async function measure(contender: Contender): Promise<Figures> {
  const hqPort = await freePort()
  const hqDir = mkdtempSync(join(dir, 'hq-'))
  const startHq = () => mosquitto(hqDir, 'hq', hqPort)
  let broker = await startHq()
  let counter = await HqCounter.open(hqPort)

  const starts: number[] = []
  for (let i = 0; i < 3; i++) {
    if (i > 0) await contender.kill('SIGTERM')
    starts.push(await contender.start(hqPort))
  }
  await new Promise((settle) => setTimeout(settle, 5_000))
  const idleMb = family(contender.pid()).reduce((sum, pid) => sum + pssMb(pid), 0)

  await contender.arm()
  await burst(contender, counter, 20_000)
  const rounds: Pick<Figures, 'eventsPerSecond' | 'cpuUs' | 'familyCpuUs' | 'bytesPerEvent'>[] = []
  for (let i = 0; i < ROUNDS; i++) rounds.push(await burst(contender, counter, EVENTS))
  const at100 = await latency(contender, counter, 100, 1_000)
  const at1000 = await latency(contender, counter, 1_000, 5_000)

  // HQ goes away, events are handed over, the gateway is killed, everything comes back: what is missing?
  await counter.close()
  await kill(broker, 'SIGKILL')
  // Over some seconds, as a shop's day would be, so that what saves now and then has had its chance.
  let handedOver = 0
  for (let at = 0; at < LOST_EVENTS; at += 1_000) {
    handedOver += await contender.burst(10_000_000 + at, 1_000)
    await new Promise((wake) => setTimeout(wake, 200))
  }
  await contender.kill('SIGKILL')
  broker = await startHq()
  counter = await HqCounter.open(hqPort)
  counter.reset(true)
  await contender.start(hqPort)
  let before = -1
  await until(
    async () => {
      const quiet = counter.numbers.size === before || counter.numbers.size >= handedOver
      before = counter.numbers.size
      return quiet
    },
    'the rest to arrive',
    60_000,
    8_000,
  )
  const lost = handedOver - [...counter.numbers].filter((n) => n >= 10_000_000 && n < 10_000_000 + LOST_EVENTS).length
  await contender.stop()
  await counter.close()
  await kill(broker)

  const mid = (key: 'eventsPerSecond' | 'cpuUs' | 'familyCpuUs' | 'bytesPerEvent') => median(rounds.map((one) => one[key]))
  return {
    eventsPerSecond: mid('eventsPerSecond'),
    cpuUs: mid('cpuUs'),
    familyCpuUs: mid('familyCpuUs'),
    bytesPerEvent: mid('bytesPerEvent'),
    p50at100: at100.p50,
    p99at100: at100.p99,
    p50at1000: at1000.p50,
    p99at1000: at1000.p99,
    idleMb,
    startMs: median(starts),
    handedOver,
    lost: Math.max(0, lost),
  }
}

async function burst(contender: Contender, counter: HqCounter, count: number) {
  counter.reset(false)
  const pids = family(contender.pid())
  const cpu = () => [cpuSeconds(contender.pid()), pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)] as const
  const [own, all] = cpu()
  const began = performance.now()
  const done = contender.burst(0, count)
  await until(() => counter.count >= count, `${count} events at HQ`, 120_000, 2)
  const seconds = (performance.now() - began) / 1000
  await done
  const [ownAfter, allAfter] = cpu()
  return {
    eventsPerSecond: Math.round(count / seconds),
    cpuUs: ((ownAfter - own) * 1e6) / count,
    familyCpuUs: ((allAfter - all) * 1e6) / count,
    bytesPerEvent: Math.round(counter.bytes / count),
  }
}

/** One-way, from the write at the shop to the arrival in HQ's subscriber; both in this process, so one clock. */
async function latency(contender: Contender, counter: HqCounter, perSecond: number, count: number): Promise<{ p50: number; p99: number }> {
  counter.reset(true)
  const sent = new Map<string, number>()
  const began = performance.now()
  while (sent.size < count) {
    while (sent.size < Math.min(count, ((performance.now() - began) * perSecond) / 1000)) {
      const stamp = `S-${String(sent.size).padStart(9, '0')}`
      sent.set(stamp, performance.now())
      contender.one(stamp)
    }
    await new Promise((wake) => setTimeout(wake, 1))
  }
  await until(() => counter.stamps.size >= count, 'the last stamp', 30_000).catch(() =>
    process.stdout.write(`only ${counter.stamps.size} of ${count} arrived\n`),
  )
  const took = [...counter.stamps].map(([stamp, at]) => at - (sent.get(stamp) ?? at)).sort((a, b) => a - b)
  return { p50: percentile(took, 50), p99: percentile(took, 99) }
}

function installNodeRed(): void {
  const where = join(root, '.bench', 'node-red')
  if (existsSync(join(where, 'node_modules', 'node-red'))) return
  mkdirSync(where, { recursive: true })
  writeFileSync(join(where, 'package.json'), '{"private":true}')
  process.stdout.write('installing node-red into .bench/\n')
  execFileSync('npm', ['install', '--no-audit', '--no-fund', 'node-red@4'], { cwd: where, stdio: 'ignore' })
}

function report(): void {
  const rows: [keyof Figures, string, number][] = [
    ['eventsPerSecond', 'events/s to HQ', 0],
    ['cpuUs', 'CPU us/event, gateway process', 1],
    ['familyCpuUs', 'CPU us/event, with its plugins', 1],
    ['bytesPerEvent', 'bytes/event on the wire', 0],
    ['p50at100', 'p50 ms at 100/s', 2],
    ['p99at100', 'p99 ms at 100/s', 2],
    ['p50at1000', 'p50 ms at 1,000/s', 2],
    ['p99at1000', 'p99 ms at 1,000/s', 2],
    ['idleMb', 'idle PSS MB', 1],
    ['startMs', 'start ms', 0],
    ['handedOver', 'handed over, HQ away', 0],
    ['lost', 'lost after kill -9', 0],
  ]
  const names = Object.keys(results)
  process.stdout.write(`\n| | ${names.join(' | ')} |\n|---|${names.map(() => '---|').join('')}\n`)
  for (const [key, label, digits] of rows)
    process.stdout.write(`| ${label} | ${names.map((name) => results[name]?.[key].toFixed(digits)).join(' | ')} |\n`)
}
