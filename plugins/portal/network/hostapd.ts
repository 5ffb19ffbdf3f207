/**
 * Stations as hostapd tells of them. Its control socket is a unix datagram socket, which Node's core cannot open; hostapd_cli comes with
 * hostapd, attaches to it, and runs a script for each event.
 */
import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import type { Mac } from './api.ts'
import { isInstalled, run } from './programs.ts'
import { Supervised } from './supervised.ts'

const LOOK_EVERY_MS = 5_000

export class Hostapd {
  readonly #paths: readonly string[]
  readonly #script: string
  readonly #dir: string
  readonly #clock: Clock
  readonly #log: Logger
  readonly #listeners = new Map<string, Supervised>()
  #cancel = (): void => {}
  #joined: (mac: Mac) => void = () => {}

  constructor(paths: readonly string[], script: string, dir: string, parts: { clock: Clock; log: Logger }) {
    this.#paths = paths
    this.#script = script
    this.#dir = dir
    this.#clock = parts.clock
    this.#log = parts.log
  }

  /** `joined` is told of those who are there already; the rest comes through the script. */
  start(joined: (mac: Mac) => void): void {
    if (this.#paths.length === 0) return
    if (!isInstalled('hostapd_cli')) {
      this.#log.warn({ program: 'hostapd_cli' }, 'not installed, so joins are seen by DHCP and ARP only: apt-get install hostapd')
      return
    }
    this.#joined = joined
    this.#look()
  }

  async stop(): Promise<void> {
    this.#cancel()
    await Promise.all([...this.#listeners.values()].map((one) => one.stop()))
    this.#listeners.clear()
  }

  #look(): void {
    const sockets = new Set(this.#paths.flatMap(socketsAt))
    for (const socket of sockets) if (!this.#listeners.has(socket)) this.#listen(socket)
    for (const [socket, listener] of this.#listeners)
      if (!sockets.has(socket)) {
        this.#listeners.delete(socket)
        listener.stop().catch(() => {})
      }
    this.#cancel = this.#clock.timer(LOOK_EVERY_MS, () => this.#look())
  }

  #listen(socket: string): void {
    const name = basename(socket)
    const at = ['-p', dirname(socket), '-i', name]
    const listener = new Supervised({
      name: 'hostapd_cli',
      command: 'hostapd_cli',
      args: [...at, '-a', this.#script],
      clock: this.#clock,
      log: this.#log,
      pid: { file: join(this.#dir, `hostapd-${name}.pid`), mark: this.#script },
      up: () => {
        this.#present(at).catch(() => {})
      },
    })
    this.#listeners.set(socket, listener)
    listener.start()
  }

  async #present(at: string[]): Promise<void> {
    const { stdout } = await run('hostapd_cli', [...at, 'list_sta'])
    for (const mac of stdout.toLowerCase().match(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/gm) ?? []) this.#joined(mac)
  }
}

/** The socket itself, or all in a folder. hostapd's `global` one tells of no stations. */
function socketsAt(path: string): string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    return readdirSync(path)
      .map((name) => join(path, name))
      .filter((file) => basename(file) !== 'global' && statSync(file).isSocket())
  } catch {
    return []
  }
}
