/** Addresses and names for guests: a dnsmasq of the portal's own, or a file for the one that is there. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { type DnsmasqConfig, ownConfig } from './dnsmasq-config.ts'
import { JoinedDnsmasq } from './joined-dnsmasq.ts'
import { loggable } from './programs.ts'
import { Supervised } from './supervised.ts'

const START_MS = 5_000

export class Dnsmasq {
  readonly #config: DnsmasqConfig
  readonly #dir: string
  readonly #clock: Clock
  readonly #log: Logger
  readonly #joined: JoinedDnsmasq | undefined
  #process: Supervised | undefined

  constructor(config: DnsmasqConfig, dir: string, parts: { clock: Clock; log: Logger }) {
    this.#config = config
    this.#dir = dir
    this.#clock = parts.clock
    this.#log = parts.log
    this.#joined = config.network.dhcp.mode === 'join' ? new JoinedDnsmasq(config, parts) : undefined
  }

  /** Resolves when it answers, or after 5 s, whichever is first: `health` says which, then and later. */
  async start(health: (reason: string | undefined) => void): Promise<void> {
    if (this.#joined) return this.#joined.start(health)
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
    this.#joined?.forgetNames()
  }

  /** `again`: one that was joined keeps what it was told. */
  async stop(again: boolean): Promise<void> {
    await this.#process?.stop()
    await this.#joined?.stop(again)
  }
}
