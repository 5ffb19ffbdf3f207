/**
 * The portal beside openNDS 9.10, each in the same namespaces: page requests a second, from the click to online, 200 joins at once, memory.
 * `tsx bench/portal.bench.ts [shopwire|opennds]`. Needs root, wrk and, for the comparison, opennds. Run it on an otherwise idle machine.
 */
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Crowd } from '../plugins/portal/network/testing/crowd.ts'
import { GuestNet, INTERNET } from '../plugins/portal/network/testing/guest-net.ts'
import { pssMb } from './parts.ts'
import { OpenNds } from './portal-opennds.ts'
import type { PhoneResult } from './portal-phones.ts'
import { ShopwirePortal } from './portal-shopwire.ts'

const SINGLE = 30
const BURST = 200
const WRK_SECONDS = 5

interface Contender {
  name: string
  start(): Promise<void>
  pids(): Promise<number[]>
  helpers?(): Promise<number[]>
  arrivals?: number[]
  stop(): Promise<void>
}

const percentile = (values: readonly number[], share: number): number =>
  [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN
const round = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1))
const memory = (pids: number[]): number => pids.reduce((sum, pid) => sum + pssMb(pid), 0)

interface Timed extends PhoneResult {
  /** When it was said to be online, by this process's clock. */
  at: number
}

async function phones(crowd: Crowd, ips: string[], atOnce: number, deadlineMs: number): Promise<Timed[]> {
  const file = fileURLToPath(new URL('./portal-phones.ts', import.meta.url))
  const child = crowd.spawn(process.execPath, [
    '--import=tsx',
    file,
    JSON.stringify({ ips, atOnce, deadlineMs, internet: INTERNET.address }),
  ])
  const results: Timed[] = []
  if (child.stdout)
    createInterface(child.stdout).on('line', (line) => results.push({ ...(JSON.parse(line) as PhoneResult), at: performance.now() }))
  await new Promise((resolve) => child.once('close', resolve))
  if (results.length < ips.length) console.log(`  ${ips.length - results.length} phones said nothing: ${child.output.slice(-500)}`)
  return results
}

function report(what: string, results: readonly Timed[]): void {
  const good = results.filter(({ ok }) => ok)
  const clicks = good.map(({ clickMs }) => clickMs)
  const joins = good.map(({ joinMs }) => joinMs)
  console.log(
    `  ${what}: ${good.length} of ${results.length} online; click to online p50 ${round(percentile(clicks, 0.5))} ms, p99 ${round(percentile(clicks, 0.99))} ms; probe to online p50 ${round(percentile(joins, 0.5))} ms, p99 ${round(percentile(joins, 0.99))} ms`,
  )
  const failed = results.filter(({ ok }) => !ok)
  for (const error of new Set(failed.map((one) => one.error)))
    console.log(`    failed: ${error} (${failed.filter((one) => one.error === error).length})`)
}

async function pageRate(crowd: Crowd, connections: number): Promise<void> {
  const [reader] = crowd.members
  if (!reader) return
  const page = await crowd.namespace.run('curl', [
    '-s',
    '-L',
    '-o',
    '/dev/null',
    '-A',
    'Mozilla/5.0',
    '--max-time',
    '30',
    '--interface',
    reader.ip,
    '-w',
    '%{http_code} %{size_download} %{url_effective}',
    `http://${INTERNET.address}/generate_204`,
  ])
  const [status, size, url = ''] = page.stdout.split(' ')
  const { stdout } = await crowd.namespace.run(
    'wrk',
    ['-t1', `-c${connections}`, `-d${WRK_SECONDS}s`, '--timeout', '10s', '--latency', '-H', 'User-Agent: Mozilla/5.0', url],
    '',
    60_000,
  )
  const field = (pattern: RegExp): string => pattern.exec(stdout)?.[1] ?? '?'
  console.log(
    `  page (${status}, ${size} B), ${connections} at once: ${field(/Requests\/sec:\s+(\S+)/)}/s, p50 ${field(/50%\s+(\S+)/)}, p99 ${field(/99%\s+(\S+)/)}${/Non-2xx.*|Socket errors.*/.exec(stdout)?.[0] ?? ''}`,
  )
}

async function measure(make: (net: GuestNet, crowd: Crowd) => Contender): Promise<void> {
  const net = await GuestNet.create({ phones: 0, guestAddress: '10.66.0.1/22' })
  const crowd = await net.addCrowd(1 + SINGLE + BURST)
  const [reader, ...rest] = crowd.members
  // wrk cannot choose its address: it is the first member's.
  await crowd.namespace.ip([`route add default via 10.66.0.1 dev mv0 onlink src ${reader?.ip}`])
  const contender = make(net, crowd)
  console.log(contender.name)
  try {
    const began = performance.now()
    await contender.start()
    console.log(`  ready after ${round(performance.now() - began)} ms; ${round(memory(await contender.pids()))} MB PSS`)
    const singles = await phones(
      crowd,
      rest.slice(0, SINGLE).map(({ ip }) => ip),
      1,
      60_000,
    )
    report(`one after the other`, singles)
    if (contender.arrivals) {
      // One at a time, so they come in the order of the taps.
      await new Promise((wake) => setTimeout(wake, 2000))
      const taps = singles.filter(({ ok }) => ok).map(({ at, clickMs }) => at - clickMs)
      const late = contender.arrivals.slice(0, taps.length).map((at, index) => at - (taps[index] ?? at))
      console.log(
        `  arrival at HQ after the tap: ${late.length} of ${taps.length}, p50 ${round(percentile(late, 0.5))} ms, p99 ${round(percentile(late, 0.99))} ms`,
      )
    }
    await pageRate(crowd, 1)
    await pageRate(crowd, 50)
    report(
      `${BURST} at once`,
      await phones(
        crowd,
        rest.slice(SINGLE).map(({ ip }) => ip),
        BURST,
        60_000,
      ),
    )
    const helpers = contender.helpers ? `, helpers ${round(memory(await contender.helpers()))} MB` : ''
    console.log(`  afterwards ${round(memory(await contender.pids()))} MB PSS${helpers}`)
  } catch (error) {
    console.log(`  ended early: ${String(error).slice(0, 500)}`)
  } finally {
    await contender.stop()
    await net.end()
  }
}

const skip = GuestNet.unavailable('wrk')
if (skip !== false) {
  console.log(`portal bench skipped: ${skip}`)
  process.exit(0)
}
const only = process.argv[2]
if (only !== 'opennds') await measure((net) => new ShopwirePortal(net))
if (only !== 'shopwire') {
  const missing = GuestNet.unavailable('opennds')
  if (missing === false) await measure((net, crowd) => new OpenNds(net, crowd))
  else console.log(`openNDS: ${missing}`)
}
