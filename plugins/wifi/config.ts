/** `plugins.wifi` of the config, as plugin.json's schema has filled it in, and what the parts of the plugin take from it. */
import { readFileSync } from 'node:fs'
import type { ReadingPolicy } from './reading.machine.ts'
import type { ImpostorPolicy } from './site/impostor.machine.ts'
import type { SurveySchedule } from './site/schedule.ts'
import { hexOf, lookOf, type SsidHex } from './ssid.ts'
import type { UplinkPolicy } from './uplink.state.ts'

export interface NetworkConfig {
  ssid?: string
  /** Instead of `ssid`, where that is not UTF-8. */
  ssidHex?: string
  password?: string
  passwordFile?: string
  priority: number
  hidden: boolean
  security: 'auto' | 'open' | 'wpa-psk' | 'sae'
}

export interface ShopSsid {
  ssid: string
  bssids: string[]
  security?: 'open' | 'wpa' | 'wpa2' | 'wpa3'
}

export interface WifiConfig {
  interface?: string
  networks: NetworkConfig[]
  trialSeconds: number
  graceSeconds: number
  verify: string
  pollSeconds: number
  weakBelow: number
  shopSsids: ShopSsid[]
  watchSeconds: number
  survey: SurveySchedule
}

/** A network the box may use. */
export interface Known {
  ssid: SsidHex
  hidden: boolean
  security: NetworkConfig['security']
  password?: string
  passwordFile?: string
  priority: number
  from: 'config' | 'command'
}

export function ssidOf({ ssid, ssidHex }: { ssid?: string; ssidHex?: string }): SsidHex {
  return ssidHex === undefined ? hexOf(ssid ?? '') : ssidHex.toLowerCase()
}

/** The configured networks, by priority, the higher the earlier; equal ones as they stand. Of two of one name the first counts. */
export function configured(config: WifiConfig): Known[] {
  const found = new Map<SsidHex, Known>()
  for (const network of [...config.networks].sort((a, b) => b.priority - a.priority)) {
    const { hidden, security, priority, password, passwordFile } = network
    const ssid = ssidOf(network)
    const secret = { ...(password === undefined ? {} : { password }), ...(passwordFile === undefined ? {} : { passwordFile }) }
    if (!found.has(ssid)) found.set(ssid, { ssid, hidden, security, priority, from: 'config', ...secret })
  }
  return [...found.values()]
}

/** The password of a network, read from its file if that is where it is. Throws when the file cannot be read. */
export function passwordOf({ password, passwordFile }: Known): string | undefined {
  return passwordFile === undefined ? password : readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '')
}

/** WPA passphrase (8 to 63 printable ASCII characters) or key (64 hex digits), IEEE 802.11-2020, J.4.1. */
export function isPassword(text: string): boolean {
  return /^([ -~]{8,63}|[0-9a-fA-F]{64})$/.test(text)
}

const MINUTE = 60_000

export function uplinkPolicy(config: WifiConfig): UplinkPolicy {
  return {
    tryMs: config.trialSeconds * 1_000,
    graceMs: config.graceSeconds * 1_000,
    refusedMs: [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 360 * MINUTE],
    restMs: [5_000, 15_000, 30_000, MINUTE],
    proveMs: 5 * MINUTE,
  }
}

export function readingPolicy(config: WifiConfig): ReadingPolicy {
  return { weakBelow: config.weakBelow, moved: 15, settleMs: MINUTE, restMs: 10 * MINUTE }
}

export function impostorPolicy(config: WifiConfig): ImpostorPolicy {
  return {
    shops: config.shopSsids.map(({ ssid, bssids, security }) => ({
      ssid: hexOf(ssid),
      look: lookOf(hexOf(ssid)),
      bssids: bssids.map((one) => one.toLowerCase()),
      ...(security === undefined ? {} : { security }),
    })),
    // Longer than the pauses between two scans: a survey a day, where nothing else looks.
    goneMs: config.watchSeconds > 0 ? Math.max(30 * MINUTE, 3_000 * config.watchSeconds) : 50 * 60 * MINUTE,
    confirmMs: Math.min(20_000, config.watchSeconds > 0 ? config.watchSeconds * 1_000 : 20_000),
  }
}
