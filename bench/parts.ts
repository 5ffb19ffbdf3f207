/** What the benchmarks share: processes, their cost, brokers, percentiles. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join, resolve } from 'node:path'
import { gunzipSync } from 'node:zlib'
import mqtt, { type MqttClient } from 'mqtt'

export const root = resolve(import.meta.dirname, '..')
export const shopwire = join(root, 'dist', 'shopwire.cjs')

/** The flags the systemd unit gives the daemon. */
export const NODE_FLAGS = ['--max-semi-space-size=32', '--v8-pool-size=1']
export const MALLOC = { MALLOC_ARENA_MAX: '1', MALLOC_TRIM_THRESHOLD_: '65536', MALLOC_MMAP_THRESHOLD_: '65536' }

export async function until(done: () => boolean | Promise<boolean>, what: string, ms = 60_000, every = 20): Promise<void> {
  const end = performance.now() + ms
  while (!(await done())) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${what}`)
    await new Promise((wake) => setTimeout(wake, every))
  }
}

export function run(command: string, args: string[], options: { env?: NodeJS.ProcessEnv; cwd?: string; log?: string } = {}): ChildProcess {
  const child = spawn(command, args, { env: { ...process.env, ...options.env }, cwd: options.cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const collect = (chunk: Buffer) => {
    if (options.log) writeFileSync(options.log, chunk, { flag: 'a' })
  }
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  return child
}

export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

/** User + system CPU seconds of a process (proc(5): fields 14 and 15, in clock ticks of 10 ms). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Proportional set size in MB: shared pages are split among those who share them. */
export function pssMb(pid: number): number {
  return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0) / 1024
}

/** A process and its descendants. */
export function family(pid: number): number[] {
  const parents = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name) || !existsSync(`/proc/${name}/stat`)) continue
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      parents.set(parent, [...(parents.get(parent) ?? []), Number(name)])
    } catch {
      // It ended meanwhile.
    }
  }
  const all = [pid]
  for (let at = 0; at < all.length; at++) all.push(...(parents.get(all[at] ?? 0) ?? []))
  return all
}

export async function mosquitto(dir: string, name: string, port: number, extra: string[] = []): Promise<ChildProcess> {
  const file = join(dir, `${name}.conf`)
  writeFileSync(
    file,
    [
      `listener ${port} 127.0.0.1`,
      'allow_anonymous true',
      'max_queued_messages 0',
      'max_inflight_messages 0',
      'log_type error',
      ...extra,
      '',
    ].join('\n'),
  )
  const child = run('/usr/sbin/mosquitto', ['-c', file])
  await untilPort(port)
  return child
}

async function untilPort(port: number): Promise<void> {
  await until(
    () =>
      new Promise<boolean>((done) => {
        const socket = connectTcp(port, '127.0.0.1', () => {
          socket.destroy()
          done(true)
        })
        socket.once('error', () => done(false))
      }),
    `a broker on ${port}`,
  )
}

export async function connect(port: number): Promise<MqttClient> {
  return mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
}

/** The text of an `up/events` payload, unpacked. */
export function unpack(payload: Buffer): string {
  return (payload[0] === 0x1f && payload[1] === 0x8b ? gunzipSync(payload) : payload).toString('utf8')
}

export function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * p) / 100))] ?? Number.NaN
}

export const median = (values: readonly number[]): number =>
  percentile(
    [...values].sort((a, b) => a - b),
    50,
  )
