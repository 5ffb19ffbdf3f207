/** A stand-in for nmcli: an executable of that name, and behind it a simulated NetworkManager with its faults as switches. */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { NetworkManagerSimulator, type Times, USUAL_TIMES } from './simulator/network-manager.ts'
import { type Answer, answer } from './simulator/nmcli.ts'
import { type Faults, mall, type Scene } from './simulator/scene.ts'

export { hex, mall, type Scene } from './simulator/scene.ts'

interface Asked {
  /** Base64, since an argument is bytes. */
  args: string[]
  passwd?: string
}

/** How often a scene changed by hand is looked for, besides at every call. */
const LOOK_MS = 500

export class NmcliSimulator {
  readonly dir: string
  readonly manager: NetworkManagerSimulator
  /** Arguments of every call, Latin-1. */
  readonly calls: string[][] = []
  onCall: (args: string[], done: Answer) => void = () => {}
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #kept = ''
  #looking: NodeJS.Timeout | undefined

  constructor(dir: string, scene: Scene = mall(), times: Partial<Times> = {}) {
    this.dir = resolve(dir)
    this.manager = new NetworkManagerSimulator(scene, { ...USUAL_TIMES, ...times })
    this.manager.onChange = () => this.#keep()
  }

  get scene(): Scene {
    return this.manager.scene
  }

  /** Changes the scene: faults, access points, radios. */
  change(how: (scene: Scene) => void): void {
    how(this.scene)
    this.manager.settle()
  }

  /** Where the scene lies; changed there, it changes here. */
  get file(): string {
    return join(this.dir, 'scene.json')
  }

  async start(): Promise<void> {
    mkdirSync(this.dir, { recursive: true })
    const path = join(this.dir, 'nmcli.sock')
    rmSync(path, { force: true })
    const server = createServer((socket) => this.#serve(socket))
    await new Promise<void>((done, failed) => server.once('error', failed).listen(path, done))
    this.#server = server
    writeFileSync(join(this.dir, 'nmcli'), executable(path))
    chmodSync(join(this.dir, 'nmcli'), 0o755)
    this.manager.settle()
    this.#looking = setInterval(() => this.#reread(), LOOK_MS)
    this.#looking.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#looking)
    this.manager.stop()
    for (const socket of this.#sockets) socket.destroy()
    await new Promise<void>((done) => (this.#server ? this.#server.close(() => done()) : done()))
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
      const end = text.indexOf('\n')
      if (end < 0) return
      void this.#answer(JSON.parse(text.slice(0, end)) as Asked, socket)
      text = ''
    })
  }

  async #answer({ args, passwd }: Asked, socket: Socket): Promise<void> {
    this.#reread()
    const words = args.map((one) => Buffer.from(one, 'base64').toString('latin1'))
    this.calls.push(words)
    const { hang, slowMs, garbage } = this.scene.faults
    if (hang) return
    if (slowMs > 0) await sleep(slowMs)
    const said = passwd === undefined ? undefined : Buffer.from(passwd, 'base64').toString('latin1')
    const done = garbage
      ? { out: '<html>\u0000\u001b[31m\n::::\\\n'.repeat(40), err: '', code: 0 }
      : await answer(this.manager, words, said)
    this.onCall(words, done)
    socket.end(JSON.stringify(done))
  }

  #keep(): void {
    const text = `${JSON.stringify(this.scene, undefined, 2)}\n`
    if (text === this.#kept) return
    this.#kept = text
    writeFileSync(`${this.file}.new`, text)
    renameSync(`${this.file}.new`, this.file)
  }

  #reread(): void {
    try {
      const text = readFileSync(this.file, 'utf8')
      if (text === this.#kept) return
      this.manager.scene = JSON.parse(text) as Scene
      this.#kept = text
      this.manager.settle()
    } catch {
      // Half written, or not there: the next look will do.
    }
  }
}

/** A few lines of plain JavaScript, so that a call starts fast. Without its NetworkManager it says what nmcli says without a D-Bus. */
function executable(socket: string): string {
  return `#!${process.execPath}
'use strict'
const { readFileSync } = require('node:fs')
const args = readFileSync('/proc/self/cmdline').toString('latin1').split('\\0').slice(0, -1)
const mine = args.slice(args.length - (process.argv.length - 2)).map((one) => Buffer.from(one, 'latin1').toString('base64'))
const at = process.argv.indexOf('passwd-file')
const asked = { args: mine }
if (at > 0) asked.passwd = readFileSync(process.argv[at + 1]).toString('base64')
const line = require('node:net').connect(${JSON.stringify(socket)})
let text = ''
line.on('error', () => {
  process.stderr.write('Error: Could not create NMClient object: Could not connect: No such file or directory.\\n')
  process.exitCode = 1
})
line.on('connect', () => line.write(JSON.stringify(asked) + '\\n'))
line.setEncoding('utf8')
line.on('data', (chunk) => (text += chunk))
line.on('end', () => {
  if (text === '') return (process.exitCode = 1)
  const { out, err, code } = JSON.parse(text)
  process.stdout.write(out)
  process.stderr.write(err)
  process.exitCode = code
})
`
}

const USAGE = `usage: sim wifi --dir DIR [--scene FILE] [--fault NAME]… [--slow MS]
  writes DIR/nmcli, to be put first in PATH, and DIR/scene.json, which may be changed at any time
  faults: not-running, no-radio, radio-off, unmanaged, not-authorized, hang, garbage, no-autoconnect; also: wired`

const FAULTS: Readonly<Record<string, (scene: Scene) => void>> = {
  'not-running': fault('notRunning'),
  'not-authorized': fault('notAuthorized'),
  hang: fault('hang'),
  garbage: fault('garbage'),
  'no-autoconnect': fault('noAutoconnect'),
  'no-radio': (scene) => {
    scene.radios = []
  },
  'radio-off': (scene) => {
    for (const radio of scene.radios) radio.on = false
  },
  unmanaged: (scene) => {
    for (const radio of scene.radios) radio.managed = false
  },
  wired: (scene) => {
    scene.wired = true
  },
}

function fault(name: Exclude<keyof Faults, 'slowMs'>): (scene: Scene) => void {
  return (scene) => {
    scene.faults[name] = true
  }
}

/** `shopwire sim wifi …`. Runs until `signal` aborts; 2 for wrong usage. */
export default async function simulate(args: string[], out: (line: string) => void, signal: AbortSignal): Promise<number> {
  let dir: string | undefined
  let scene = mall()
  const changes: ((scene: Scene) => void)[] = []
  const rest = [...args]
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const value = rest.shift()
    const wrong = value === undefined || (name === '--fault' && !FAULTS[value]) || (name === '--slow' && !(Number(value) >= 0))
    if (wrong || !['--dir', '--scene', '--fault', '--slow'].includes(name)) {
      out(USAGE)
      return 2
    }
    if (name === '--dir') dir = value
    if (name === '--slow') changes.push((one) => Object.assign(one.faults, { slowMs: Number(value) }))
    if (name === '--fault') changes.push(FAULTS[value] ?? (() => {}))
    if (name === '--scene') {
      if (!statSync(value, { throwIfNoEntry: false })?.isFile()) {
        out(`${value}: there is no such scene`)
        return 2
      }
      scene = JSON.parse(readFileSync(value, 'utf8')) as Scene
    }
  }
  if (dir === undefined) {
    out(USAGE)
    return 2
  }
  for (const change of changes) change(scene)
  const simulator = new NmcliSimulator(dir, scene)
  simulator.onCall = (words, { code }) => out(`nmcli ${words.join(' ')} -> ${code}`)
  await simulator.start()
  out(`nmcli stand-in in ${simulator.dir}: run the gateway with PATH=${simulator.dir}:$PATH`)
  await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }))
  await simulator.stop()
  return 0
}
