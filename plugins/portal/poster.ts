/** A poster that joins phones to the WiFi by its QR code: as a page to print, or for the receipt printer. */
import { Failure } from '../../daemon/contract/errors.ts'
import type { PortalConfig } from './config.ts'
import { secretOf } from './files.ts'
import { escapeHtml } from './pages/html.ts'
import { type Language, textIn } from './pages/language.ts'
import { qrPath } from './pages/qr.ts'
import { TEXTS } from './pages/texts.ts'

const PAPER = { A4: [210, 297], A6: [105, 148] } as const

export interface WifiNetwork {
  ssid: string
  security: 'open' | 'wpa' | 'sae'
  password?: string
}

/** The network as configured. Throws `config-invalid` where there is no name, or no password for a network that has one. */
export function wifiOf({ wifi }: PortalConfig, ssid = wifi.ssid): WifiNetwork {
  if (ssid === undefined) throw new Failure('args-invalid', 'args.ssid: is missing; give it here or as plugins.portal.wifi.ssid')
  if (wifi.security === 'open') return { ssid, security: 'open' }
  const password = secretOf('plugins.portal.wifi.passwordFile', wifi.password, wifi.passwordFile)
  if (!password) throw new Failure('config-invalid', `plugins.portal.wifi.password: is missing; a network with ${wifi.security} has one`)
  return { ssid, security: wifi.security, password }
}

/**
 * What cameras read. WPA3 Specification v3.5, 7.1: `WIFI:T:WPA;S:…;P:…;;`, with `\\`, `;`, `,`, `:` and `"` escaped; `R:1` asks for SAE. A name
 * that could be hex goes in quotes (ZXing, "Barcode Contents").
 */
export function wifiText({ ssid, security, password }: WifiNetwork): string {
  const field = (text: string): string => {
    const escaped = text.replace(/[\\;,:"]/g, '\\$&')
    return /^[0-9a-fA-F]+$/.test(text) && text.length % 2 === 0 ? `"${escaped}"` : escaped
  }
  if (security === 'open') return `WIFI:T:nopass;S:${field(ssid)};;`
  return `WIFI:T:WPA;${security === 'sae' ? 'R:1;' : ''}S:${field(ssid)};P:${field(password ?? '')};;`
}

/** One page, in millimetres: a browser prints it, or saves it as PDF, at its true size. */
export function posterSvg(config: PortalConfig, network: WifiNetwork, language: Language, size: 'A4' | 'A6', logo?: string): string {
  const texts = TEXTS[language]
  const [width, height] = PAPER[size]
  const { path, size: modules } = qrPath(wifiText(network))
  const side = width * 0.62
  const left = (width - side) / 2
  const top = height * 0.29
  const line = (y: number, mm: number, text: string, weight = 400): string =>
    `<text x="${width / 2}" y="${(height * y).toFixed(1)}" font-size="${(width * mm).toFixed(2)}" font-weight="${weight}">${escapeHtml(text)}</text>`
  const picture = logo
    ? `<image href="${logo}" x="${width * 0.35}" y="${height * 0.04}" width="${width * 0.3}" height="${height * 0.07}" preserveAspectRatio="xMidYMid meet"/>`
    : ''
  const lines = [
    line(0.155, 0.05, textIn(config.name, language), 600),
    line(0.235, 0.1, texts.posterTitle, 700),
    line(0.8, 0.045, texts.posterHelp),
    line(0.87, 0.055, `${texts.network}: ${network.ssid}`, 600),
    network.password ? line(0.92, 0.045, `${texts.password}: ${network.password}`) : '',
  ]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}mm" height="${height}mm" viewBox="0 0 ${width} ${height}" lang="${texts.code}"><style>@page{size:${size};margin:0}text{font-family:"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",system-ui,sans-serif;text-anchor:middle;fill:#111}</style><rect width="${width}" height="${height}" fill="#fff"/><rect width="${width}" height="${height * 0.02}" fill="${config.accent}"/>${picture}${lines.join('')}<svg x="${left}" y="${top}" width="${side}" height="${side}" viewBox="0 0 ${modules} ${modules}" shape-rendering="crispEdges"><path d="${path}"/></svg></svg>`
}

/** Receipt markdown (receiptline) for `print`. */
export function posterReceipt(config: PortalConfig, network: WifiNetwork, language: Language): string {
  const texts = TEXTS[language]
  // Whatever means something to receiptline, in text or in a property, as the hex escape that it knows in both.
  const word = (text: string): string => text.replace(/[\\|{}~_"`^;=-]/g, (sign) => `\\x${sign.charCodeAt(0).toString(16)}`)
  return [
    `^^${word(textIn(config.name, language))}`,
    `^^^${word(texts.posterTitle)}`,
    '',
    `{code:${word(wifiText(network))};option:qrcode,8,m}`,
    '',
    `${word(texts.network)}: "${word(network.ssid)}"`,
    ...(network.password ? [`${word(texts.password)}: "${word(network.password)}"`] : []),
    word(texts.posterHelp),
    '',
  ].join('\n')
}
