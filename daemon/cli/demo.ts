/** `shopwire demo`: a whole shop on one machine, each part its own process, wired over real sockets. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse as parseYaml } from 'yaml'
import type { CloudEvent } from '../contract/event.ts'
import type { JsonObject } from '../contract/json.ts'
import { openBroker } from '../links/demo-broker.ts'
import { selfFile, shippedConfig } from '../paths.ts'
import { DaemonClient, SOCKET_NAME } from './client.ts'
import { DemoTill, type TillRule } from './demo-till.ts'
import { type CliCommand, type Io, parse } from './io.ts'

interface Scene {
  simulators: string[][]
  /** Of HQ's desk. */
  book: JsonObject
  till: TillRule[]
}

export const demo: CliCommand = async (args, io) => {
  const { values } = parse({ args, options: { seconds: { type: 'string' }, dir: { type: 'string' } } })
  const dir = values.dir ?? mkdtempSync(join(tmpdir(), 'shopwire-demo-'))
  mkdirSync(join(dir, 'plugins'), { recursive: true })
  const end = new AbortController()
  const stop = () => end.abort()
  io.signal.addEventListener('abort', stop, { once: true })
  const timer = values.seconds === undefined ? undefined : setTimeout(stop, Number(values.seconds) * 1000)

  const ports = await choosePorts()
  const env = {
    ...io.env,
    DEMO_DIR: dir,
    ...Object.fromEntries(Object.entries(ports).map(([name, port]) => [`DEMO_${name}`, String(port)])),
    SHOPWIRE_DEMO: '1',
  }
  const scene = filled('demo-scene.yaml', env) as unknown as Scene
  const configFile = join(dir, 'shopwire.yaml')
  writeFileSync(configFile, JSON.stringify(filled('demo.yaml', env), null, 2))

  const broker = await openBroker(ports.HQ)
  const children: ChildProcess[] = []
  const launch = (name: string, words: string[]) => children.push(start(name, words, env, io, end))
  const client = new DaemonClient(join(dir, 'data', SOCKET_NAME))
  try {
    launch('HQ sink', ['hq', 'sink', '--broker', `mqtt://127.0.0.1:${ports.HQ}`, '--db', join(dir, 'hq.sqlite')])
    writeFileSync(join(dir, 'book.json'), JSON.stringify(scene.book))
    launch('HQ desk', ['hq', 'desk', '--broker', `mqtt://127.0.0.1:${ports.HQ}`, '--book', join(dir, 'book.json')])
    for (const words of scene.simulators) launch(`${words[0]} simulator`, ['sim', ...words])
    launch('gateway', ['run', '--config', configFile])
    await untilUp(client, end.signal)
    banner(io, ports, configFile, dir)
    const till = new DemoTill(scene.till, client)
    await watch(client, till, io, end.signal)
  } finally {
    clearTimeout(timer)
    io.signal.removeEventListener('abort', stop)
    await Promise.all(children.map(ended))
    await broker.close()
    if (values.dir === undefined) rmSync(dir, { recursive: true, force: true })
  }
  return 0
}

/** A shipped template with its `${…}` replaced in the text, before it is read: a port stays a number. */
function filled(name: string, env: Record<string, string | undefined>): JsonObject {
  return parseYaml(readFileSync(shippedConfig(name), 'utf8').replace(/\$\{(\w+)\}/g, (all, key: string) => env[key] ?? all)) as JsonObject
}

type Ports = Record<'HTTP' | 'LAN' | 'HQ' | 'SCANNER' | 'PRINTER' | 'RECEIPT' | 'PORTAL' | 'BEACON', number>

/** The well-known ports where they are free, any other where not. */
async function choosePorts(): Promise<Ports> {
  const wanted: Ports = { HTTP: 8080, LAN: 1883, HQ: 18830, SCANNER: 4001, PRINTER: 9101, RECEIPT: 9100, PORTAL: 8880, BEACON: 4010 }
  const chosen = { ...wanted }
  for (const name of Object.keys(wanted) as (keyof Ports)[]) chosen[name] = (await freePort(wanted[name])) ?? (await freePort(0)) ?? 0
  return chosen
}

function freePort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen(port, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : undefined))
    })
  })
}

function start(name: string, words: string[], env: NodeJS.ProcessEnv, io: Io, end: AbortController): ChildProcess {
  const child = spawn(process.execPath, [selfFile(), ...words], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let last = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (last = (last + chunk.toString()).slice(-2_000)))
  child.once('exit', (code) => {
    if (end.signal.aborted) return
    io.err(`The ${name} ended by itself (exit ${code}). ${last.trim()}`)
    end.abort()
  })
  end.signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true })
  return child
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const force = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.once('exit', () => {
      clearTimeout(force)
      resolve()
    })
    child.kill('SIGTERM')
  })
}

async function untilUp(client: DaemonClient, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await client.get('/healthz')
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

function banner(io: Io, ports: Ports, configFile: string, dir: string): void {
  const self = 'node dist/shopwire.cjs'
  for (const line of [
    '',
    'A whole shop is running: scanner and printer (simulated, over TCP) -> gateway -> LAN broker, HQ broker -> sink.',
    '',
    `  Dashboard        http://127.0.0.1:${ports.HTTP}/        API: http://127.0.0.1:${ports.HTTP}/docs`,
    `  Shop's MQTT      mqtt://127.0.0.1:${ports.LAN}          mosquitto_sub -p ${ports.LAN} -v -t 'shop/#'`,
    `  HQ's MQTT        mqtt://127.0.0.1:${ports.HQ}         mosquitto_sub -p ${ports.HQ} -t 'shopwire/#' -F '%t %l bytes'`,
    `  HQ's database    ${join(dir, 'hq.sqlite')}`,
    '',
    '  Try, in another terminal:',
    `    ${self} status --config ${configFile}`,
    `    ${self} cmd printer receipt print '{"receipt":"# Hello"}' --config ${configFile}`,
    `    ${self} events --follow --config ${configFile}`,
    '',
    'Events as they come (Ctrl-C ends the shop):',
    '',
  ])
    io.out(line)
}

/** Prints events as they come and lets the till answer them, until told to stop. */
async function watch(client: DaemonClient, till: DemoTill, io: Io, signal: AbortSignal): Promise<void> {
  await client
    .stream(
      '/api/v1/stream',
      (name, data) => {
        if (name !== 'event') return
        const event = JSON.parse(data) as CloudEvent
        io.out(
          `${event.time.slice(11, 19)}  #${event.sequence.padEnd(5)} ${event.type.slice('shopwire.'.length).padEnd(18)} ${summary(event.data)}`,
        )
        till.hear(event)
      },
      signal,
    )
    .catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
}

function summary(data: JsonObject): string {
  return Object.entries(data)
    .map(([key, value]) => `${key}=${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
    .join(' ')
    .slice(0, 110)
}
