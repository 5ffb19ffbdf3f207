import { spawnSync } from 'node:child_process'
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import type { CloudEvent } from './contract/event.ts'
import { freePort } from './testing/free-port.ts'
import { type GatewayProcess, Shopfloor } from './testing/processes.ts'
import { until } from './testing/until.ts'

t.setTimeout(600_000)

/** More than fits into what is kept for the day the disk is full. */
const SCANS = 20_000

const floor = new Shopfloor()
t.teardown(() => floor.end())
const disk = join(floor.dir, 'disk')
mkdirSync(disk)
const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=48m', 'tmpfs', disk]).status === 0

const story = 'the card fills up while the shop scans: refused cleanly, nothing lost, few log lines, and all is well once there is room'
t.test(story, { skip: mounted ? false : 'a small disk cannot be mounted here' }, async (t) => {
  let gateway: GatewayProcess | undefined
  t.teardown(async () => {
    await gateway?.kill()
    spawnSync('umount', ['-l', disk])
  })
  const port = await freePort()
  let line: Socket | undefined
  await floor.serialServer(port, (socket) => {
    line = socket
  })
  gateway = await floor.gateway({
    config: {
      dataDir: join(disk, 'data'),
      // HQ is away: what it has not acknowledged may not go to make room.
      hq: { url: 'mqtt://127.0.0.1:1' },
      plugins: { scanner: { devices: { 'till-1': { port: `tcp://127.0.0.1:${port}`, repeatMs: 0 } } } },
    },
  })
  await gateway.start()
  await until(() => line !== undefined, 'the scanner plugin to connect')
  const codes = Array.from({ length: SCANS }, (_one, at) => `SKU-${String(at).padStart(6, '0')}`)
  const send = (from: number, to: number) =>
    line?.write(
      codes
        .slice(from, to)
        .map((code) => `${code}\r\n`)
        .join(''),
    )
  const status = () =>
    (gateway as GatewayProcess).client.get<{ journal: { head: number; fault?: string }; health: { ok: boolean } }>('/api/v1/status')

  send(0, 500)
  await until(async () => (await status()).journal.head >= 500, 'the first scans')
  fill(join(disk, 'holiday-photos'))
  send(500, SCANS)
  await until(() => /scans cannot be stored/.test(gateway?.child?.output ?? ''), 'the scanner to be refused')
  t.ok((gateway.child?.output ?? '').split('\n').length < 60, 'no flood in the log')
  t.match(await status(), { journal: { head: Number } }, 'the API still answers')

  rmSync(join(disk, 'holiday-photos'))
  const stored = async () => {
    const found = new Set<string>()
    for (let since = 0; ; ) {
      const page = await (gateway as GatewayProcess).client.get<{ events: CloudEvent[]; next?: number }>(
        `/api/v1/events?since=${since}&limit=500&type=shopwire.scanner.scan`,
      )
      for (const event of page.events) found.add(String(event.data.code))
      if (page.next === undefined || page.next <= since) return found
      since = page.next
    }
  }
  await until(async () => (await status()).journal.head >= SCANS, 'as many events as scans', 300_000)
  await until(async () => (await stored()).size === SCANS, 'every scan to be stored', 300_000)
  await until(async () => (await status()).health.ok, 'health')
})

/** Until the disk takes no more. */
function fill(file: string): void {
  const handle = openSync(file, 'w')
  try {
    for (const size of [1 << 20, 1 << 12, 1]) for (let full = false; !full; ) full = !grows(handle, size)
  } finally {
    closeSync(handle)
  }
}

function grows(handle: number, size: number): boolean {
  try {
    return writeSync(handle, Buffer.alloc(size)) === size
  } catch {
    return false
  }
}
