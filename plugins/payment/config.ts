/** `plugins.payment` of the config, as plugin.json's schema has filled it in. */
import type { ProviderName } from './providers/api.ts'
import type { RedeemConfig } from './redeem/config.ts'

/** An absolute path, or the name of a systemd credential (a file in $CREDENTIALS_DIRECTORY). Never the key itself. */
export type KeyPlace = string

export interface AlipayConfig {
  appId: string
  /** The app's private key, PEM or the bare base64 that Alipay's key tool gives. */
  privateKey: KeyPlace
  keyType: 'PKCS8' | 'PKCS1'
  /** Public key mode … */
  alipayPublicKey?: KeyPlace
  /** … or certificate mode: all three. */
  appCert?: KeyPlace
  alipayCert?: KeyPlace
  alipayRootCert?: KeyPlace
  gateway: string
  timeoutMs: number
  queryMs: number
  giveUpMs: number
  undoAfterMs: number
  settleMs: number
}

export interface WechatConfig {
  mchid: string
  appid: string
  /** Serial number of the merchant certificate. */
  serial: string
  privateKey: KeyPlace
  /** WeChat Pay's public key id or platform certificate serial -> its PEM. More than one while they change. */
  platformKeys?: Record<string, KeyPlace>
  /** The APIv3 key: then platform certificates are fetched, and fetched again as they change. One of the two is needed. */
  apiV3Key?: KeyPlace
  endpoint: string
  timeoutMs: number
  queryMs: number
  giveUpMs: number
  undoAfterMs: number
  settleMs: number
}

export interface HqConfig {
  timeoutMs: number
  queryMs: number
  giveUpMs: number
  settleMs: number
}

export interface PaymentConfig {
  currency: string
  expiresInSeconds: number
  /** Shown to the shopper by the provider: the shop's name. */
  description: string
  keepDays: number
  /** Load the providers' libraries some seconds after the start rather than at the first charge. */
  warm: boolean
  /** Which provider takes the codes of a channel. */
  route: { wechat?: ProviderName; alipay?: ProviderName; unionpay?: ProviderName }
  /** Whose order QR is shown unless the till asks for another. */
  qr?: ProviderName
  /** Till -> device of the plugin printer on which its order QRs are printed. */
  qrPrinters: Record<string, string>
  alipay?: AlipayConfig
  wechat?: WechatConfig
  hq?: HqConfig
  redeem: RedeemConfig
}
