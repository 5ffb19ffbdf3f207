/** `plugins.receipt` of the config, as plugin.json's schema has filled it in. */
import type { Encoding } from './capture/encodings.ts'
import type { TemplateConfig } from './template/extract.ts'

export interface SerialLine {
  baudRate: number
  dataBits: 7 | 8
  parity: 'none' | 'even' | 'odd'
  stopBits: 1 | 2
  flow: 'none' | 'rtscts' | 'xonxoff'
}

export interface AppendConfig {
  /** `total`: only on receipts on which the template finds a total above 0. */
  when: 'total' | 'always'
  /** How a QR code is printed: by the printer, or as a picture. */
  qr: 'native' | 'raster'
  coupon?: { text: string; qr?: string }
  /** A QR code that says who was here and bought: `https://{portal}/c/{token}`. */
  claim?: { portal: string; text: string; hours: number }
}

export interface TillConfig extends SerialLine {
  listen: string
  printer: string
  /** Name of the till in events; the device's name unless told. */
  till?: string
  encoding: Encoding
  width: number
  /** ISO 4217. */
  currency: string
  decimal: '.' | ','
  template?: TemplateConfig
  append?: AppendConfig
  quietMs: number
  shareMs: number
  stuckMs: number
  /** A network printer without a sign of life for so long is taken for gone. */
  lostMs: number
  /** Font file for pictures as PNG. */
  font?: string
}

export interface ReceiptConfig {
  devices: Record<string, TillConfig>
  /** The last receipts' bytes, for `render` and `learn`. */
  keep: { receipts: number; days: number }
  /** How far a payment and a receipt may lie apart, minutes. */
  matchMinutes: number
}
