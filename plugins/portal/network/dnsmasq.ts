/** Addresses and names for guests: a dnsmasq of the portal's own, or files for the one that is there. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { type DnsmasqConfig, joinConfig, ownConfig } from './dnsmasq-config.ts'
import { complaint, loggable, run } from './programs.ts'
import { Supervised } from './supervised.ts'

const JOIN_FILE = 'shopwire-portal.conf'
const START_MS = 5_000

export class Dnsmasq {
  readonly #config: DnsmasqConfig
  readonly #dir: string
  readonly #clock: Clock
  readonly #log: Logger
  #process: Supervised | undefined

  constructor(config: DnsmasqConfig, dir: string, parts: { clock: Clock; log: Logger }) {
    this.#config = config
    this.#dir = dir
    this.#clock = parts.clock
    this.#log = parts.log
  }

  /** Resolves when it answers, or after 5 s, whichever is first: `health` says which, then and later. */
  async start(health: (reason: string | undefined) => void): Promise<void> {
    if (this.#config.network.dhcp.mode === 'join') return this.#join(health)
    const file = join(this.#dir, 'dnsmasq.conf')
    const pid = join(this.#dir, 'dnsmasq.pid')
    await writeFile(file, ownConfig(this.#config, { leases: join(this.#dir, 'leases'), pid }), { mode: 0o600 })
    let answered = (): void => {}
    const answers = new Promise<void>((resolve) => {
      answered = resolve
    })
    this.#process = new Supervised({
      name: 'dnsmasq',
      command: 'dnsmasq',
      args: ['--keep-in-foreground', `--conf-file=${file}`],
      clock: this.#clock,
      log: this.#log,
      pid: { file: pid, mark: file },
      line: (line) => {
        this.#log.debug({ program: 'dnsmasq', line: loggable(line) }, 'dnsmasq says')
        // It says this once it has bound its ports (dnsmasq.c: "started, version").
        if (!line.includes(': started, version')) return
        health(undefined)
        answered()
      },
      down: (reason) => health(reason),
    })
    this.#process.start()
    const cancel = this.#clock.timer(START_MS, answered)
    await answers
    cancel()
  }

  /** Names are looked up anew: what the walled garden held is gone. */
  forgetNames(): void {
    // dnsmasq(8), NOTES: SIGHUP clears its cache.
    this.#process?.signal('SIGHUP')
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
    if (this.#config.network.dhcp.mode !== 'join') return
    await rm(join(this.#config.network.dhcp.joinDir, JOIN_FILE), { force: true })
    await this.#reload()
  }

  async #join(health: (reason: string | undefined) => void): Promise<void> {
    const { joinDir } = this.#config.network.dhcp
    const file = join(joinDir, JOIN_FILE)
    const text = joinConfig(this.#config)
    const before = await readFile(file, 'utf8').catch(() => '')
    try {
      if (!existsSync(joinDir)) await mkdir(joinDir, { recursive: true })
      if (before !== text) {
        await writeFile(`${file}.new`, text)
        await rename(`${file}.new`, file)
      }
    } catch (error) {
      return health(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`)
    }
    const problem = before === text ? undefined : await this.#reload()
    if (problem !== undefined)
      this.#log.warn({ file, reason: problem }, 'dnsmasq must be started again to read the file: systemctl restart dnsmasq')
    health(undefined)
  }

  /** A conf-dir is read at the start only; SIGHUP does not do it (dnsmasq(8), NOTES). */
  async #reload(): Promise<string | undefined> {
    const done = await run('systemctl', ['try-restart', 'dnsmasq.service'])
    return done.code === 0 ? undefined : complaint(done)
  }
}
