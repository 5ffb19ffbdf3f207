/**
 * The shop's own dnsmasq, which serves guests, too: told by a file in its conf-dir, and asked by DNS whether it has read it. It is others' program:
 * systemd runs it, and nothing but that file is ours.
 */
import { createHash } from 'node:crypto'
import { Resolver } from 'node:dns/promises'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { type DnsmasqConfig, joinConfig } from './dnsmasq-config.ts'
import { complaint, isInstalled, run } from './programs.ts'

const FILE = 'shopwire-portal.conf'
/** A text record of this name holds the hash of the file that dnsmasq has read. Nobody else can own it (RFC 6761, 6.4). */
const PROOF = 'portal.shopwire.invalid'
const UNIT = 'dnsmasq.service'
/** How long a dnsmasq that is started again is waited for. */
const START_MS = 5_000
const SOON_MS = 250
/** It is asked again: while something is wrong, and while all is well. */
const WAITING_MS = 2_000
const WELL_MS = 10_000
/** What kept the file from being written is others' to mend. */
const WRITE_AGAIN_MS = 60_000
const ANSWER = { timeout: 2_000, tries: 2 }

export class JoinedDnsmasq {
  readonly #config: DnsmasqConfig
  readonly #clock: Clock
  readonly #log: Logger
  readonly #resolver = new Resolver(ANSWER)
  readonly #file: string
  readonly #text: string
  readonly #hash: string
  #health: (reason: string | undefined) => void = () => {}
  #told: string | undefined
  #cancel = (): void => {}
  #working: Promise<void> = Promise.resolve()
  #begun = false
  #stopped = false

  constructor(config: DnsmasqConfig, parts: { clock: Clock; log: Logger }) {
    this.#config = config
    this.#clock = parts.clock
    this.#log = parts.log
    this.#file = join(config.network.dhcp.joinDir, FILE)
    const text = joinConfig(config)
    this.#hash = createHash('sha256').update(text).digest('hex').slice(0, 32)
    this.#text = `${text}txt-record=${PROOF},"${this.#hash}"\n`
  }

  /** Resolves when it has read the file, or when it is known that it has not: `health` says which, then and later. */
  async start(health: (reason: string | undefined) => void): Promise<void> {
    this.#begun = true
    this.#health = health
    this.#resolver.setServers([this.#config.subnet.own])
    this.#working = this.#begin()
    await this.#working
  }

  /** Names are looked up anew: what the walled garden held is gone. */
  forgetNames(): void {
    if (!this.#begun || this.#config.network.walledGarden.length === 0) return
    // SIGHUP by its unit: clears its cache (dnsmasq(8), NOTES).
    void systemctl('reload').then((problem) => {
      if (problem !== undefined)
        this.#log.warn({ reason: problem }, 'the walled garden opens within 5 minutes, or at once with: systemctl reload dnsmasq')
    })
  }

  async stop(again: boolean): Promise<void> {
    this.#stopped = true
    this.#cancel()
    this.#resolver.cancel()
    await this.#working
    if (!again) await withdrawJoined(this.#config.network.dhcp.joinDir, this.#log)
  }

  async #begin(): Promise<void> {
    const written = await this.#write()
    if (written.problem !== undefined) {
      this.#tell(written.problem)
      this.#later(WRITE_AGAIN_MS, () => this.#begin())
      return
    }
    const answer = await this.#ask()
    // One that has read it is left in peace, and so is one that does not answer while the guest interface is away.
    if (written.isNew || answer === 'unread') await this.#restart()
    else this.forgetNames()
    await this.#look()
  }

  async #write(): Promise<{ isNew: boolean; problem?: string }> {
    const { joinDir } = this.#config.network.dhcp
    // Hidden, so that a dnsmasq that starts meanwhile does not read it (dnsmasq(8), "--conf-dir").
    const draft = join(joinDir, `.${FILE}`)
    try {
      if ((await readFile(this.#file, 'utf8').catch(() => '')) === this.#text) return { isNew: false }
      await mkdir(joinDir, { recursive: true })
      await writeFile(draft, this.#text)
      const problem = await this.#objection(draft)
      if (problem === undefined) await rename(draft, this.#file)
      else await rm(draft, { force: true })
      return { isNew: true, ...(problem === undefined ? {} : { problem }) }
    } catch (error) {
      return { isNew: true, problem: `${this.#file} cannot be written: ${error instanceof Error ? error.message : String(error)}` }
    }
  }

  /** A file with which the shop's dnsmasq would not start again is not given to it: some words may stand in its configuration only once. */
  async #objection(draft: string): Promise<string | undefined> {
    if (!isInstalled('dnsmasq')) return undefined
    const { joinDir } = this.#config.network.dhcp
    const main = join(dirname(joinDir), 'dnsmasq.conf')
    // A main file that reads the folder by itself would read what is to be replaced.
    const isNew = !existsSync(this.#file) && existsSync(main)
    // What Debian's unit leaves out, and what is to be replaced.
    const theirs = [`--conf-dir=${joinDir},${FILE},.dpkg-dist,.dpkg-old,.dpkg-new`, ...(isNew ? [`--conf-file=${main}`] : [])]
    const tried = await run('dnsmasq', ['--test', ...theirs, `--conf-file=${draft}`])
    if (tried.code === 0 || (await run('dnsmasq', ['--test', ...theirs])).code !== 0) return undefined
    const [, what, line, file] = /dnsmasq: (.*) at line (\d+) of (.*)$/.exec(complaint(tried)) ?? []
    const why = file === draft ? `${what}: ${this.#text.split('\n')[Number(line) - 1]}` : complaint(tried)
    return `the dnsmasq of this box would not start with ${this.#file}, which was not written: ${why}`
  }

  /** A conf-dir is read at the start only; SIGHUP does not do it (dnsmasq(8), NOTES). */
  async #restart(): Promise<void> {
    const problem = await systemctl('try-restart')
    if (problem !== undefined) {
      this.#log.warn({ file: this.#file, reason: problem }, 'dnsmasq must be started again to read the file: systemctl restart dnsmasq')
      return
    }
    const end = this.#clock.mono() + START_MS
    while (!this.#stopped && this.#clock.mono() < end && (await this.#ask()) !== 'read') await this.#clock.sleep(SOON_MS)
  }

  async #look(): Promise<void> {
    const { interface: device } = this.#config.network
    const answer = await this.#ask()
    this.#tell(
      answer === 'read'
        ? undefined
        : answer === 'unread'
          ? `dnsmasq has not read ${this.#file}: systemctl restart dnsmasq`
          : `no dnsmasq answers on ${this.#config.subnet.own}: it must run, and listen on ${device}`,
    )
    this.#later(answer === 'read' ? WELL_MS : WAITING_MS, () => this.#look())
  }

  /** What is the same as before is no news; the first word is. */
  #tell(fault: string | undefined): void {
    if (this.#stopped || (fault !== undefined && fault === this.#told)) return
    this.#told = fault
    this.#health(fault)
  }

  #later(ms: number, act: () => Promise<void>): void {
    if (this.#stopped) return
    this.#cancel = this.#clock.timer(ms, () => {
      this.#working = act()
    })
  }

  async #ask(): Promise<'read' | 'unread' | 'silent'> {
    try {
      const records = await this.#resolver.resolveTxt(PROOF)
      return records.flat().includes(this.#hash) ? 'read' : 'unread'
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      return code === 'ECONNREFUSED' || code === 'ETIMEOUT' ? 'silent' : 'unread'
    }
  }
}

/** Takes the file away again, and has dnsmasq forget it. */
export async function withdrawJoined(joinDir: string, log: Logger): Promise<void> {
  const file = join(joinDir, FILE)
  if (!existsSync(file)) return
  await rm(file, { force: true })
  const problem = await systemctl('try-restart')
  if (problem !== undefined)
    log.warn({ file, reason: problem }, 'dnsmasq must be started again to forget guests: systemctl restart dnsmasq')
}

/** Undefined when it is done. Without systemd, or without the right to, what it complained of. */
async function systemctl(verb: 'try-restart' | 'reload'): Promise<string | undefined> {
  const done = await run('systemctl', [verb, UNIT])
  return done.code === 0 ? undefined : complaint(done)
}
