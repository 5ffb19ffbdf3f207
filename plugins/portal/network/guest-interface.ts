/** The guest interface and forwarding: set as needed, noted on disk, and given back as they were, also after a crash. */
import { readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '../../../daemon/contract/plugin.ts'
import type { NetworkConfig } from './api.ts'
import { complaint, run } from './programs.ts'

/** What was there before us, of which network. */
interface Before {
  held?: Held
  address?: { device: string; address: string }
  /** Device -> what its `forwarding` was. */
  forwarding: Record<string, string>
  /** Bridge ports that guests could reach each other through. */
  ports: string[]
}

/** Notes about another boot or network namespace are about nothing that is there now. */
interface Held {
  boot: string
  namespace: string
  interface: string
  address: string
  /** Where the file lies that a dnsmasq of others was given. */
  joinDir?: string
}

const NOTES = 'before.json'

type GuestInterfaceConfig = Pick<NetworkConfig, 'interface' | 'address' | 'isolate'> & {
  dhcp: Pick<NetworkConfig['dhcp'], 'mode' | 'joinDir'>
}

export class GuestInterface {
  readonly #config: GuestInterfaceConfig
  readonly #log: Logger
  readonly #file: string
  #before: Before = { forwarding: {}, ports: [] }

  constructor(config: GuestInterfaceConfig, dir: string, log: Logger) {
    this.#config = config
    this.#log = log
    this.#file = join(dir, NOTES)
  }

  /** What a predecessor that did not give things back has held, if there was one. */
  static leftIn(folder: string): Held | undefined {
    return readNotes(join(folder, NOTES))?.held
  }

  /** Whether what a predecessor left is ours to go on with: the same interface, address and dnsmasq. */
  goesOnWith(left: Held): boolean {
    return isDeepStrictEqual(left, heldBy(this.#config))
  }

  /** Takes over the notes of a predecessor, and notes what is held from now on. */
  load(): void {
    this.#before = readNotes(this.#file) ?? { forwarding: {}, ports: [] }
    this.#note((before) => {
      before.held = heldBy(this.#config)
    })
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

function heldBy({ interface: device, address, dhcp }: GuestInterfaceConfig): Held {
  return { ...here(), interface: device, address, ...(dhcp.mode === 'join' ? { joinDir: dhcp.joinDir } : {}) }
}

/** random(4), "boot_id"; namespaces(7): `net:[4026531840]`. */
const here = () => ({
  boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  namespace: readlinkSync('/proc/self/ns/net'),
})

function readNotes(file: string): Before | undefined {
  try {
    const before = JSON.parse(readFileSync(file, 'utf8')) as Before
    const { boot, namespace } = here()
    return before.held?.boot === boot && before.held.namespace === namespace ? before : undefined
  } catch {
    // None, or cut off by a power loss: things are as they are now.
    return undefined
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
