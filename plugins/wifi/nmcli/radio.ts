/**
 * What the radio hears. The library is `node-wifi`; where 2.0.16 goes wrong, nmcli is asked beside it:
 * - it splits lines at escaped colons, or takes an SSID that looks like an address for the BSSID, and nmcli itself guesses at SSIDs
 *   that are not UTF-8 and drops their control characters: names come from `SSID-HEX`, the bytes;
 * - a nmcli that hangs would hang its promise for ever: its child is ended at a deadline.
 * Its `connect` and `deleteConnection` are not used: they put the password into argv and into error texts, and name connections by SSID.
 */
import type { ChildProcess } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import wifi, { type WiFiNetwork } from 'node-wifi'
import type { SsidHex } from '../ssid.ts'
import { faultOf, NmcliFault } from './fault.ts'
import { nmcli } from './run.ts'
import { rows } from './terse.ts'

export interface AccessPoint {
  ssid: SsidHex
  /** Lower case, with colons. */
  bssid: string
  channel: number
  /** MHz */
  frequency: number
  /** Percent, as NetworkManager reckons it. */
  quality: number
  /** dBm, reckoned from the quality: nmcli tells no more. */
  signal: number
  /** nmcli's words (`WPA2`, `WPA2 WPA3`, `WPA2 802.1X`, `WEP`), or `none`. */
  security: string
}

/** A scan takes some seconds on each band, and nmcli waits up to 15 s for it (nmcli(1), --rescan). */
const SCAN_MS = 25_000
const LOOK_MS = 10_000

const FIELDS = 'ACTIVE,BSSID,SSID-HEX,CHAN,FREQ,SIGNAL,SECURITY'

export class Radio {
  readonly #signal: AbortSignal
  /** The bytes of the name of the access point in use, asked once. */
  #named: { key: string; ssid: SsidHex } | undefined

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** All that is in reach of `iface`; scans anew if the last scan is older than 30 s. */
  async scan(iface: string): Promise<AccessPoint[]> {
    const heard = await this.#ask(iface, SCAN_MS, () => wifi.scan())
    const measured = new Map(heard.filter(isWhole).map((one) => [one.bssid.toLowerCase(), one]))
    const exact = await this.#exact(iface)
    return exact.map(({ point }) => {
      const one = measured.get(point.bssid)
      return one ? { ...asPoint(one), ssid: point.ssid } : point
    })
  }

  /** The access point in use. */
  async current(iface: string): Promise<AccessPoint | undefined> {
    const lines = await this.#ask(iface, LOOK_MS, () => wifi.getCurrentConnections())
    const one = lines.find((line) => line.iface === iface) ?? lines[0]
    const key = one && `${iface} ${one.bssid} ${one.ssid}`
    const named = this.#named
    if (one && named && isWhole(one) && named.key === key) return { ...asPoint(one), ssid: named.ssid }
    const exact = (await this.#exact(iface)).find(({ active }) => active)?.point
    if (key !== undefined && exact) this.#named = { key, ssid: exact.ssid }
    return exact
  }

  /** What NetworkManager has in its list already; no scan. */
  async known(iface: string): Promise<AccessPoint[]> {
    return (await this.#exact(iface)).map(({ point }) => point)
  }

  async #exact(iface: string): Promise<{ active: boolean; point: AccessPoint }[]> {
    const args = ['--terse', '--fields', FIELDS, 'device', 'wifi', 'list', 'ifname', iface, '--rescan', 'no']
    const lines = rows(await nmcli(args, { timeoutMs: LOOK_MS, signal: this.#signal }))
    const points = lines.flatMap(([active, bssid, ssid, channel, frequency, quality, security]) => {
      const point = {
        ssid: (ssid ?? '').toLowerCase(),
        bssid: (bssid ?? '').toLowerCase(),
        channel: Number.parseInt(channel ?? '', 10),
        frequency: Number.parseInt(frequency ?? '', 10),
        quality: Number.parseInt(quality ?? '', 10),
        signal: Number.parseInt(quality ?? '', 10) / 2 - 100,
        security: security || 'none',
      }
      const whole = BSSID.test(point.bssid) && /^([0-9a-f]{2}){0,32}$/.test(point.ssid) && isNumbers(point)
      return whole ? [{ active: active === 'yes', point }] : []
    })
    if (lines.length > 0 && points.length === 0) throw new NmcliFault('nmcli-garbled')
    return points
  }

  async #ask<Result>(iface: string, ms: number, call: () => Promise<Result>): Promise<Result> {
    let child: ChildProcess | undefined
    const see = (message: unknown) => {
      child = (message as { process: ChildProcess }).process
    }
    // Its settings are the process's: set again before each call, which starts its nmcli at once.
    wifi.init({ iface })
    // It sets LC_ALL in this process's environment, over which LANGUAGE would win.
    delete process.env.LANGUAGE
    subscribe('child_process', see)
    let answer: Promise<Result>
    try {
      answer = call()
    } finally {
      unsubscribe('child_process', see)
    }
    let late = false
    const end = () => child?.kill('SIGKILL')
    const timer = setTimeout(() => {
      late = true
      end()
    }, ms)
    this.#signal.addEventListener('abort', end, { once: true })
    try {
      return await answer
    } catch (error) {
      throw this.#signal.aborted ? this.#signal.reason : late ? new NmcliFault('nmcli-silent') : asFault(error)
    } finally {
      clearTimeout(timer)
      this.#signal.removeEventListener('abort', end)
    }
  }
}

const BSSID = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/
const MODES = ['Infra', 'Mesh', 'Ad-Hoc', 'N/A']

function isNumbers({ channel, frequency, quality }: Pick<AccessPoint, 'channel' | 'frequency' | 'quality'>): boolean {
  return Number.isFinite(channel) && Number.isFinite(frequency) && quality >= 0 && quality <= 100
}

/** Whether node-wifi has split the line where its fields end. */
function isWhole(one: WiFiNetwork): boolean {
  return MODES.includes(one.mode) && BSSID.test(one.bssid.toLowerCase()) && isNumbers(one)
}

function asPoint(one: WiFiNetwork): Omit<AccessPoint, 'ssid'> {
  const { channel, frequency, quality } = one
  return { bssid: one.bssid.toLowerCase(), channel, frequency, quality, signal: one.signal_level, security: one.security || 'none' }
}

/** What execFile rejects with, or what node-wifi throws when it takes garbage apart. */
function asFault(error: unknown): NmcliFault {
  const { code, message } = error as NodeJS.ErrnoException & { code?: unknown }
  if (code === 'ENOENT') return new NmcliFault('no-nmcli')
  return typeof code === 'number' ? faultOf(code, message) : new NmcliFault('nmcli-garbled')
}
