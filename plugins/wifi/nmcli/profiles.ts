/**
 * NetworkManager's connection profiles for our networks. A network that has not proven itself gets a profile of its own that NetworkManager
 * does not use by itself, so a power cut in the middle of a trial boots into the last one that worked; only what has worked may
 * autoconnect. The password is NetworkManager's to keep: this plugin stores uuids.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Json } from '../../../daemon/contract/json.ts'
import type { KeyValue } from '../../../daemon/contract/plugin.ts'
import type { SsidHex } from '../ssid.ts'
import { NmcliFault } from './fault.ts'
import { nmcli, nmcliWithBytes } from './run.ts'
import { SECRET_PATH, withSecret } from './secret-file.ts'

export interface Access {
  ssid: SsidHex
  hidden: boolean
  security: 'open' | 'wpa-psk' | 'sae'
  password?: string
}

/** What the store keeps of a network. */
type Entry = {
  /** Profile that has worked. */
  proven?: string
  /** Profile on trial. */
  candidate?: string
  /** `proven` was made by this plugin, and may be replaced by it. */
  ours?: boolean
  /** NetworkManager's autoconnect-priority as last set. */
  priority?: number
  /** Interface that `proven` is for. */
  iface?: string
}

const STORE_KEY = 'profiles'
const CALL_MS = 10_000

export class Profiles {
  readonly #store: KeyValue
  readonly #signal: AbortSignal
  #entries: Record<SsidHex, Entry> = {}
  /** Networks whose stored password was refused: the configured one is given next. */
  readonly #stale = new Set<SsidHex>()
  /** What profiles on trial were made of: one that has failed serves again, without a write to the card. */
  readonly #made = new Map<string, string>()

  constructor(store: KeyValue, signal: AbortSignal) {
    this.#store = store
    this.#signal = signal
  }

  async load(): Promise<void> {
    this.#entries = ((await this.#store.get(STORE_KEY)) ?? {}) as Record<SsidHex, Entry>
  }

  /** The profile for a try: the one that works, or a new one where there is none or the password is another. */
  async prepare(access: Access, iface: string): Promise<string> {
    const entry = this.#entries[access.ssid] ?? {}
    const elsewhere = entry.ours === true && entry.iface !== iface
    if (entry.proven !== undefined && !elsewhere && !(await this.#outdated(entry.proven, access))) return entry.proven
    if (entry.candidate !== undefined) {
      if (this.#made.get(entry.candidate) === keyOf(access, iface)) return entry.candidate
      await this.#delete(entry.candidate)
    }
    // Known before it exists, so that a crash in between leaves nothing behind that nobody knows of.
    const uuid = randomUUID()
    await this.#put(access.ssid, { ...entry, candidate: uuid })
    await this.#add(uuid, access, iface)
    this.#made.set(uuid, keyOf(access, iface))
    return uuid
  }

  /** The profile that has worked, as it is. */
  proven(ssid: SsidHex): string | undefined {
    return this.#entries[ssid]?.proven
  }

  /** The radio has another name now: a profile of ours goes with it. */
  async moveTo(ssid: SsidHex, iface: string): Promise<void> {
    const entry = this.#entries[ssid]
    if (!entry?.proven || !entry.ours || entry.iface === undefined || entry.iface === iface) return
    await this.#modify(entry.proven, 'connection.interface-name', iface)
    await this.#put(ssid, { ...entry, iface })
  }

  /** Connects. Rejects with why it did not come up. */
  async up(uuid: string, iface: string, seconds: number, access?: Access): Promise<void> {
    const args = ['--wait', String(seconds), 'connection', 'up', 'uuid', uuid, 'ifname', iface]
    const how = { timeoutMs: seconds * 1_000 + 3_000, signal: this.#signal }
    try {
      if (access?.password === undefined) await nmcli(args, how)
      else await withSecret(access.password, (fd) => nmcli([...args, 'passwd-file', SECRET_PATH], { ...how, fd }))
    } catch (error) {
      if (access && error instanceof NmcliFault && error.kind === 'wrong-password') this.#stale.add(access.ssid)
      throw error
    }
  }

  /** `uuid` has worked: NetworkManager may use it by itself. An older profile of ours for the same network goes. */
  async keep(ssid: SsidHex, uuid: string, iface: string, priority: number): Promise<void> {
    const entry = this.#entries[ssid] ?? {}
    const ours = uuid === entry.candidate || (uuid === entry.proven && entry.ours === true)
    if (uuid === entry.proven && entry.priority === priority && entry.candidate === undefined) return
    if (ours) await this.#modify(uuid, 'connection.autoconnect', 'yes', 'connection.autoconnect-priority', String(priority))
    this.#stale.delete(ssid)
    await this.#put(ssid, { proven: uuid, ours, priority, iface })
    if (entry.proven !== undefined && entry.proven !== uuid && entry.ours) await this.#delete(entry.proven)
    if (entry.candidate !== undefined && entry.candidate !== uuid) await this.#delete(entry.candidate)
  }

  /** Networks whose profile this plugin has made. */
  get ours(): SsidHex[] {
    return Object.keys(this.#entries).filter((ssid) => this.#entries[ssid]?.ours === true || this.#entries[ssid]?.proven === undefined)
  }

  /** Whose profile this is. */
  ssidOf(uuid: string): SsidHex | undefined {
    return Object.keys(this.#entries).find((ssid) => this.#entries[ssid]?.proven === uuid || this.#entries[ssid]?.candidate === uuid)
  }

  /**
   * Takes note of a profile that works: one that somebody else has set up, or one of ours that came up, but could not be kept then.
   */
  async adopt(ssid: SsidHex, uuid: string, iface: string, priority: number): Promise<void> {
    const entry = this.#entries[ssid] ?? {}
    if (entry.proven === uuid) return
    if (entry.candidate === uuid) return this.keep(ssid, uuid, iface, priority)
    await this.#put(ssid, { ...entry, proven: uuid, ours: false })
  }

  /** A trial has failed: its profile goes, the one that worked stays. */
  async drop(ssid: SsidHex): Promise<void> {
    const { candidate, ...rest } = this.#entries[ssid] ?? {}
    if (candidate === undefined) return
    await this.#delete(candidate)
    await this.#put(ssid, rest)
  }

  async forget(ssid: SsidHex): Promise<void> {
    const { candidate, proven } = this.#entries[ssid] ?? {}
    for (const uuid of [candidate, proven]) if (uuid !== undefined) await this.#delete(uuid)
    await this.#put(ssid, undefined)
  }

  /** Sets NetworkManager's own order to ours; touches only what has changed. */
  async arrange(order: readonly SsidHex[]): Promise<void> {
    for (const [index, ssid] of order.entries()) {
      const entry = this.#entries[ssid]
      const priority = priorityOf(index)
      if (!entry?.proven || !entry.ours || entry.priority === priority) continue
      await this.#modify(entry.proven, 'connection.autoconnect-priority', String(priority))
      await this.#put(ssid, { ...entry, priority })
    }
  }

  async #add(uuid: string, access: Access, iface: string): Promise<void> {
    const bytes = Buffer.from(access.ssid, 'hex')
    if (bytes.includes(0)) throw new NmcliFault('refused')
    const text = bytes.toString('utf8')
    const exact = Buffer.from(text, 'utf8').equals(bytes)
    const args = ['connection', 'add', 'type', 'wifi', 'con-name', nameOf(access.ssid), 'ifname', iface]
    args.push('connection.uuid', uuid, 'connection.autoconnect', 'no')
    if (access.hidden) args.push('802-11-wireless.hidden', 'yes')
    if (access.security !== 'open') args.push('802-11-wireless-security.key-mgmt', access.security)
    // Last, and as a property's value: nmcli takes it as it is, "-a" and "--ask" too (tried with 1.42).
    args.push('ssid', exact ? text : '%')
    const how = { timeoutMs: CALL_MS, signal: this.#signal }
    await (exact ? nmcli(args, how) : nmcliWithBytes(args, bytes, how))
  }

  /** Whether the profile holds another password than the configured one. Not known (no right to read it): no, until it is refused. */
  async #outdated(uuid: string, access: Access): Promise<boolean> {
    if (this.#stale.has(access.ssid)) return true
    if (access.password === undefined) return false
    const args = ['--show-secrets', '--escape', 'no', '--get-values', '802-11-wireless-security.psk', 'connection', 'show', 'uuid', uuid]
    try {
      const stored = (await nmcli(args, { timeoutMs: CALL_MS, signal: this.#signal })).replace(/\n$/, '')
      return stored !== '' && stored !== access.password
    } catch (error) {
      if (error instanceof NmcliFault && error.kind === 'not-found') return true
      throw error
    }
  }

  async #modify(uuid: string, ...properties: string[]): Promise<void> {
    await nmcli(['connection', 'modify', 'uuid', uuid, ...properties], { timeoutMs: CALL_MS, signal: this.#signal })
  }

  async #delete(uuid: string): Promise<void> {
    this.#made.delete(uuid)
    try {
      await nmcli(['connection', 'delete', 'uuid', uuid], { timeoutMs: CALL_MS, signal: this.#signal })
    } catch (error) {
      if (!(error instanceof NmcliFault && error.kind === 'not-found')) throw error
    }
  }

  async #put(ssid: SsidHex, entry: Entry | undefined): Promise<void> {
    if (entry === undefined || Object.keys(entry).length === 0) delete this.#entries[ssid]
    else this.#entries[ssid] = entry
    await this.#store.put(STORE_KEY, structuredClone(this.#entries) as Json)
  }
}

/** NetworkManager takes the higher one first; profiles of others have 0. */
export function priorityOf(index: number): number {
  return Math.max(1, 100 - index)
}

/** In memory only: it holds the password. */
function keyOf(access: Access, iface: string): string {
  return JSON.stringify([access, iface])
}

/** A name that needs no quoting whatever the SSID is. */
function nameOf(ssid: SsidHex): string {
  return `shopwire-${createHash('sha256').update(Buffer.from(ssid, 'hex')).digest('hex').slice(0, 12)}`
}
