/** `plugins.scanner` of the config, as plugin.json's schema has filled it in. */
import type { Framing } from './protocol/framing.ts'
import type { LayoutName } from './protocol/hid-layout.ts'
import type { OwnKind } from './protocol/route.ts'
import type { Encoding } from './protocol/text.ts'

export interface DeviceConfig {
  port: string
  baudRate: number
  dataBits: 7 | 8
  parity: 'none' | 'even' | 'odd'
  stopBits: 1 | 2
  framing: Framing
  idleMs: number
  encoding: Encoding
  layout: LayoutName
  repeatMs: number
  minLength: number
  till?: string
  /** Hex of the bytes that make the scanner beep. */
  beep: string
}

export interface ScannerConfig {
  devices: Record<string, DeviceConfig>
  prefixes: Partial<Record<OwnKind, string[]>>
  route: { pay?: PayRoute }
}

/** Whose command takes a whole pay code. */
export interface PayRoute {
  plugin: string
  device: string
  command: string
}
