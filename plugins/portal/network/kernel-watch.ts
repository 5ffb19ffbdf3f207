/** What the kernel tells: neighbours, routes, links, and rules that somebody removed. Two helper programs, silent while nothing happens. */
import { existsSync } from 'node:fs'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import type { Mac } from './api.ts'
import { parseKernelEvent } from './kernel-events.ts'
import { run } from './programs.ts'
import { Supervised } from './supervised.ts'

export interface KernelListener {
  /** `isFresh`: it has just answered. */
  neighbour(ip: string, mac: Mac, isFresh: boolean): void
  failed(ip: string): void
  port(mac: Mac, port: string): void
  /** A route, link or address changed. */
  changed(): void
  /** Rules were removed or added, ours or others'. */
  rules(): void
}

export class KernelWatch {
  readonly #guests: string
  readonly #clock: Clock
  readonly #log: Logger
  #helpers: Supervised[] = []

  constructor(guests: string, parts: { clock: Clock; log: Logger }) {
    this.#guests = guests
    this.#clock = parts.clock
    this.#log = parts.log
  }

  start(listener: KernelListener): void {
    const helper = (name: string, command: string, args: string[], line: (line: string) => void, up: () => void): Supervised =>
      new Supervised({ name, command, args, clock: this.#clock, log: this.#log, line, up })
    this.#helpers = [
      helper(
        'ip monitor',
        'ip',
        ['-o', 'monitor', 'label', 'neigh', 'route', 'link', 'address'],
        (line) => this.#ip(line, listener),
        () => {
          // What happened while nobody listened.
          this.#present(listener).catch(() => {})
          listener.changed()
        },
      ),
      // Rules only: elements change with every grant, by our own hand.
      helper(
        'nft monitor',
        'nft',
        ['monitor', 'rules'],
        (line) => {
          if (/^(add|delete|destroy|flush|insert|replace) /.test(line)) listener.rules()
        },
        () => listener.rules(),
      ),
    ]
    for (const one of this.#helpers) one.start()
  }

  /** Has the kernel ask whether they are still there: unicast ARP, then broadcast; it gives up after some 5 s. */
  async probe(stations: readonly { mac: Mac; ip: string }[]): Promise<void> {
    const lines = stations.map(({ mac, ip }) => `neigh replace ${ip} lladdr ${mac} dev ${this.#guests} nud probe`)
    await run('ip', ['-force', '-batch', '-'], `${lines.join('\n')}\n`)
  }

  async stop(): Promise<void> {
    await Promise.all(this.#helpers.map((one) => one.stop()))
  }

  #ip(line: string, listener: KernelListener): void {
    const event = parseKernelEvent(line)
    switch (event?.kind) {
      case 'neighbour':
        if (event.device === this.#guests) listener.neighbour(event.ip, event.mac, event.state === 'REACHABLE')
        return
      case 'failed':
        if (event.device === this.#guests) listener.failed(event.ip)
        return
      case 'port':
        if (!event.gone && existsSync(`/sys/class/net/${this.#guests}/brif/${event.port}`)) listener.port(event.mac, event.port)
        return
      case 'route':
      case 'link':
      case 'address':
        listener.changed()
    }
  }

  async #present(listener: KernelListener): Promise<void> {
    const { stdout } = await run('ip', ['-o', '-4', 'neigh', 'show', 'dev', this.#guests])
    for (const line of stdout.split('\n')) {
      const [, ip, mac, state] = /^(\S+) .*?lladdr (\S+) .*?([A-Z]+)\s*$/.exec(line) ?? []
      if (ip !== undefined && mac !== undefined) listener.neighbour(ip, mac, state === 'REACHABLE')
    }
  }
}
