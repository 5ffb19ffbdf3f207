/** A stand-in for nmcli: an executable of that name, and behind it a simulated NetworkManager with its faults as switches. */
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Door, type Request } from './simulator/door.ts'
import { NetworkManagerSimulator, type Times, USUAL_TIMES } from './simulator/network-manager.ts'
import { type Answer, answer } from './simulator/nmcli.ts'
import { type Faults, mall, type Scene } from './simulator/scene.ts'

export { hex, mall, type Scene } from './simulator/scene.ts'

/** How often a scene changed by hand is looked for, besides at every call. */
const LOOK_MS = 500

export class NmcliSimulator {
  readonly dir: string
  readonly manager: NetworkManagerSimulator
  /** Arguments of every call, Latin-1. */
  readonly calls: string[][] = []
  /** The answer is made, and is given when this has settled. */
  onCall: (args: string[], done: Answer) => unknown = () => {}
  readonly #door: Door
  #kept = ''
  #looking: NodeJS.Timeout | undefined

  constructor(dir: string, scene: Scene = mall(), times: Partial<Times> = {}) {
    this.dir = resolve(dir)
    this.manager = new NetworkManagerSimulator(scene, { ...USUAL_TIMES, ...times })
    this.manager.onChange = () => this.#keep()
    this.#door = new Door(this.dir, (request) => this.#answer(request))
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

  start(): void {
    this.#door.open()
    this.manager.settle()
    this.#looking = setInterval(() => this.#reread(), LOOK_MS)
    this.#looking.unref()
  }

  stop(): void {
    clearInterval(this.#looking)
    this.#door.close()
    this.manager.stop()
  }

  async #answer({ args, secret }: Request): Promise<Answer | undefined> {
    this.#reread()
    this.calls.push(args)
    const { hang, slowMs, garbage } = this.scene.faults
    if (hang) return undefined
    if (slowMs > 0) await sleep(slowMs)
    const done = garbage
      ? { out: '<html>\u0000\u001b[31m\n::::\\\n'.repeat(40), err: '', code: 0 }
      : await answer(this.manager, args, secret)
    await this.onCall(args, done)
    return done
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
  simulator.start()
  out(`nmcli stand-in in ${simulator.dir}: run the gateway with PATH=${simulator.dir}:$PATH`)
  await new Promise<void>((done) => signal.addEventListener('abort', () => done(), { once: true }))
  simulator.stop()
  return 0
}
