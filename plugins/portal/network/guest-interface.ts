/** The guest interface and forwarding: set as needed, noted on disk, and given back as they were, also after a crash. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../../../daemon/contract/plugin.ts'
import type { NetworkConfig } from './api.ts'
import { complaint, run } from './programs.ts'

/** What was there before us. */
interface Before {
  address?: { device: string; address: string }
  /** Device -> what its `forwarding` was. */
  forwarding: Record<string, string>
  /** Bridge ports that guests could reach each other through. */
  ports: string[]
}

export class GuestInterface {
  readonly #config: NetworkConfig
  readonly #log: Logger
  readonly #file: string
  #before: Before = { forwarding: {}, ports: [] }

  constructor(config: NetworkConfig, dir: string, log: Logger) {
    this.#config = config
    this.#log = log
    this.#file = join(dir, 'before.json')
  }

  /** Takes over the notes of a predecessor that could not give things back. */
  load(): void {
    try {
      this.#before = JSON.parse(readFileSync(this.#file, 'utf8')) as Before
    } catch {
      // None, or cut off by a power loss: things are as they are now.
    }
  }

  get isThere(): boolean {
    return exists(this.#config.interface)
  }

  /** Address, link, isolation. Undefined when all is well, else what is not. */
  async prepare(): Promise<string | undefined> {
    const { interface: device, address } = this.#config
    if (!(await this.hasAddress())) {
      this.#note((before) => {
        before.address = { device, address }
      })
      const added = await run('ip', ['address', 'replace', address, 'dev', device])
      if (added.code !== 0) return `${device} does not take ${address}: ${complaint(added)}`
    }
    const up = await run('ip', ['link', 'set', device, 'up'])
    if (up.code !== 0) return `${device} cannot be switched on: ${complaint(up)}`
    await this.isolatePorts()
    return this.forward(device)
  }

  async hasAddress(): Promise<boolean> {
    const { interface: device, address } = this.#config
    const { stdout } = await run('ip', ['-o', '-4', 'address', 'show', 'dev', device])
    return stdout.includes(` ${address} `)
  }

  /** By device, not for the whole box: it must not begin to route for others. */
  forward(device: string): string | undefined {
    const file = `/proc/sys/net/ipv4/conf/${device}/forwarding`
    try {
      const was = readFileSync(file, 'utf8').trim()
      if (was === '1') return undefined
      this.#note((before) => {
        before.forwarding[device] ??= was
      })
      writeFileSync(file, '1')
      return undefined
    } catch (error) {
      return `${file} cannot be set to 1 (${error instanceof Error ? error.message : String(error)}); with ProtectKernelTunables= in the unit, set net.ipv4.ip_forward=1 in /etc/sysctl.d`
    }
  }

  /** Ports of a bridge reach the bridge and not each other. Behind one port an access point must do it itself. */
  async isolatePorts(): Promise<void> {
    if (!this.#config.isolate) return
    const folder = `/sys/class/net/${this.#config.interface}/brif`
    for (const port of list(folder)) {
      try {
        const file = join(folder, port, 'isolated')
        if (readFileSync(file, 'utf8').trim() === '1') continue
        this.#note((before) => {
          if (!before.ports.includes(port)) before.ports.push(port)
        })
        // /sys belongs to root; netlink asks for the capability only.
        const done = await run('bridge', ['link', 'set', 'dev', port, 'isolated', 'on'])
        if (done.code !== 0) this.#log.warn({ port, reason: complaint(done) }, 'guests behind this bridge port can reach others')
        else if (exists(`${port}/phy80211`))
          this.#log.info({ port }, 'guests of one access point are kept apart by the access point alone: hostapd needs ap_isolate=1')
      } catch {
        // The port has gone while we looked.
      }
    }
  }

  async restore(): Promise<void> {
    const { address, forwarding, ports } = this.#before
    for (const port of ports) if (exists(port)) await run('bridge', ['link', 'set', 'dev', port, 'isolated', 'off'])
    for (const [device, value] of Object.entries(forwarding)) {
      try {
        writeFileSync(`/proc/sys/net/ipv4/conf/${device}/forwarding`, value)
      } catch {
        // The device has gone, and its setting with it.
      }
    }
    if (address && exists(address.device)) await run('ip', ['address', 'del', address.address, 'dev', address.device])
    this.#before = { forwarding: {}, ports: [] }
    rmSync(this.#file, { force: true })
  }

  /** Before it is done: a crash between the two gives back what was never taken, which does no harm. */
  #note(change: (before: Before) => void): void {
    change(this.#before)
    writeFileSync(this.#file, JSON.stringify(this.#before), { mode: 0o600 })
  }
}

const exists = (device: string): boolean => {
  try {
    readdirSync(`/sys/class/net/${device}`)
    return true
  } catch {
    return false
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
