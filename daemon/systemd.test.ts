/** A real datagram socket in systemd's place, and the real `systemd-notify`. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { systemClock } from './clock.ts'
import { createLog } from './log.ts'
import { createSystemd, type SystemdOptions } from './systemd.ts'
import { until } from './testing/until.ts'

const missing = spawnSync('systemd-notify', ['--version']).error === undefined ? false : 'systemd-notify (package systemd) is not installed'

/** Takes messages and lets go of the descriptors that come with them, as a manager does: systemd-notify waits for that. */
const MANAGER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', chr(0), 1) if sys.argv[1].startswith('@') else sys.argv[1])
print('listening', flush=True)
while True:
    print(s.recv(65536).decode(), flush=True)
`

/** The manager's end: what it has heard so far. */
async function listen(t: Test, { abstract = false } = {}): Promise<{ address: string; heard: () => string }> {
  const folder = await mkdtemp(join(tmpdir(), 'notify-'))
  const address = abstract ? `@shopwire-${process.pid}-${folder.slice(-6)}` : join(folder, 'notify')
  const manager = spawn('python3', ['-c', MANAGER, address], { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  manager.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  t.teardown(async () => {
    manager.kill()
    if (manager.exitCode === null && manager.signalCode === null) await once(manager, 'exit')
    await rm(folder, { recursive: true, force: true })
  })
  await until(() => text.includes('listening'), 'the manager')
  return { address, heard: () => text }
}

function open(t: Test, env: NodeJS.ProcessEnv, progressing: SystemdOptions['progressing'] = () => true) {
  const lines: string[] = []
  const log = createLog({ level: 'debug', clock: systemClock, write: (line) => lines.push(line) })
  const systemd = createSystemd({
    env: { PATH: process.env.PATH, ...env },
    pid: process.pid,
    clock: systemClock,
    log,
    progressing,
    // A slow machine is no reason to leave a message unsaid here.
    notifyTimeoutMs: 200_000,
  })
  t.teardown(() => systemd.stop())
  return { systemd, lines }
}

for (const abstract of [false, true])
  t.test(`systemd hears the start, the status and the stop${abstract ? ' on an abstract socket' : ''}`, { skip: missing }, async (t) => {
    const manager = await listen(t, { abstract })
    const { systemd, lines } = open(t, { NOTIFY_SOCKET: manager.address })
    await systemd.ready('2 plugins')
    await until(() => manager.heard().includes('STATUS=2 plugins'), 'the status')
    t.match(manager.heard(), /^READY=1$/m)
    await systemd.status('out of paper\nREADY=1')
    await systemd.stopping()
    await until(() => manager.heard().includes('STOPPING=1'), 'the stop')
    t.match(manager.heard(), /^STATUS=out of paper READY=1$/m, 'a line break in a status does not become a message')
    t.same(lines, [])
  })

t.test('the watchdog is fed while there is progress, and not while there is none', { skip: missing }, async (t) => {
  const manager = await listen(t)
  let alive = true
  const { systemd, lines } = open(
    t,
    { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '100000', WATCHDOG_PID: String(process.pid) },
    () => alive,
  )
  const fed = () => manager.heard().split('WATCHDOG=1').length - 1
  systemd.start()
  await until(() => fed() >= 3, 'three feeds')

  alive = false
  await until(() => lines.length > 0, 'the end of them in the log')
  t.match(lines[0], /the watchdog is not fed/)
  // The manager has then heard whatever was on its way.
  await systemd.status('so far')
  await until(() => manager.heard().includes('STATUS=so far'), 'the first mark')
  const before = fed()
  let looks = 0
  const counted = open(t, { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '100000' }, async () => {
    looks += 1
    throw new Error('the journal hangs')
  })
  counted.systemd.start()
  await until(() => looks >= 3, 'three looks')
  await systemd.status('and since')
  await until(() => manager.heard().includes('STATUS=and since'), 'the second mark')
  t.equal(fed(), before, 'an error is no progress either')
  t.equal(counted.lines.length, 1, 'said once, not at each look')

  alive = true
  await until(() => fed() > before, 'the next feed')
  t.ok(true, 'fed again once there is progress')
})

t.test('a look that never ends feeds nothing', { skip: missing }, async (t) => {
  const manager = await listen(t)
  let looks = 0
  const { systemd } = open(t, { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '40000' }, () => {
    looks += 1
    return new Promise<boolean>(() => {})
  })
  systemd.start()
  await until(() => looks === 1, 'the look')
  await systemd.status('marker')
  await until(() => manager.heard().includes('marker'), 'the mark')
  t.notMatch(manager.heard(), /WATCHDOG/)
  t.equal(looks, 1)
})

t.test('outside systemd, or where the watchdog is another process’s, nothing is spawned', async (t) => {
  const { systemd, lines } = open(t, { WATCHDOG_USEC: '20000', WATCHDOG_PID: '1', PATH: '/nonexistent' }, () => {
    t.fail('nobody asks')
    return true
  })
  systemd.start()
  await systemd.ready()
  await systemd.stopping()
  t.same(lines, [])
})

t.test('without systemd-notify the daemon runs on, and the log says once what is missing', async (t) => {
  const { systemd, lines } = open(t, { NOTIFY_SOCKET: '/nonexistent/notify', PATH: '/nonexistent' })
  await systemd.ready()
  await systemd.stopping()
  t.equal(lines.length, 1)
  t.match(lines[0], /systemd-notify/)
})
