/** `plugins.portal` of the config, as plugin.json's schema has filled it in. */
import type { NetworkConfig } from './network/api.ts'

/** One text for all languages, or one for each. */
export type Text = string | { zh?: string; en?: string }

export interface Offer {
  id: string
  title: Text
  text?: Text
  /** Shown as QR and in letters, for the till's scanner. */
  code?: string
  /** Last day, `2026-12-31`. */
  until?: string
}

export interface WifiConfig {
  ssid?: string
  security: 'open' | 'wpa' | 'sae'
  password?: string
  passwordFile?: string
}

export interface HttpControllerConfig {
  url: string
  site: string
  api: 'classic' | 'os'
  username: string
  password?: string
  passwordFile?: string
  /** SHA-256 of the certificate that the controller must show. */
  fingerprint?: string
  caFile?: string
  pollSeconds: number
}

export interface SmsConfig {
  via: 'webhook' | 'hq'
  url?: string
  secret?: string
  secretFile?: string
  country: string
  /** Calling codes of further countries that messages are sent to. */
  countries: string[]
  perDay: number
  text: Text
}

export interface ComplianceConfig {
  enabled: boolean
  dir?: string
  keyFile?: string
  days: number
  erase: 'keep' | 'delete'
}

export interface PortalConfig {
  name: Text
  accent: string
  logo?: string
  logoFile?: string
  offers: Offer[]
  terms: { version: string; text?: Text }
  /** What is collected, in one line. */
  collected?: Text
  marketing?: Text
  session: { minutes: number; idleMinutes: number; capacity: number; downKbps?: number; upKbps?: number }
  login: { tap: boolean; sms: boolean; code: boolean; returning: boolean; returningDays: number }
  lockout: { perClient: number; total: number; minutes: number }
  sms: SmsConfig
  member: { prefix?: string }
  presence: { goneSeconds: number; leftSeconds: number }
  visitorDays: number
  listen: { address?: string; port: number }
  https?: { name: string; certFile: string; keyFile: string; port: number }
  url?: string
  wifi: WifiConfig
  controller: 'nftables' | 'http' | 'simulated'
  network?: NetworkConfig
  http?: HttpControllerConfig
  compliance: ComplianceConfig
}

/** What cannot be changed without letting go of the network or the port. */
export const fixedPart = (config: PortalConfig) => ({
  controller: config.controller,
  network: config.network,
  http: config.http,
  listen: config.listen,
  https: config.https,
  url: config.url,
})
