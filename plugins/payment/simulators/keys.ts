/** Keys of a simulated merchant and its simulated providers, made once and kept in a folder. */
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AlipayKeys } from './alipay.ts'
import type { WechatKeys } from './wechat.ts'

const PAIRS = ['alipay-app', 'alipay', 'wechat-merchant', 'wechat-platform', 'stranger'] as const

export interface SimulatedKeys {
  alipay: AlipayKeys
  wechat: WechatKeys
  appId: string
  /** `plugins.payment.alipay` and `.wechat`, but for where the simulators listen. */
  config: { alipay: Record<string, string>; wechat: Record<string, string | Record<string, string>> }
}

export const APP_ID = '2021000122671080'
export const MCHID = '1900009191'
const APPID = 'wxd678efh567hg6787'
const SERIAL = '444F4864EA9B34415A3B5C2D8E1F0A6B7C8D9E0F'
const PLATFORM = 'PUB_KEY_ID_0114232134912410000000000000'

/** Reads the keys in `dir`, or makes them there (a second or two). */
export function simulatedKeys(dir: string): SimulatedKeys {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  for (const name of PAIRS) {
    if (existsSync(join(dir, `${name}.pem`))) continue
    const { privateKey, publicKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    })
    writeFileSync(join(dir, `${name}.pub.pem`), publicKey)
    writeFileSync(join(dir, `${name}.pem`), privateKey, { mode: 0o600 })
  }
  const file = (name: string) => join(dir, name)
  const text = (name: string) => readFileSync(file(name), 'utf8')
  return {
    appId: APP_ID,
    alipay: { appPublic: text('alipay-app.pub.pem'), alipayPrivate: text('alipay.pem'), strangerPrivate: text('stranger.pem') },
    wechat: {
      mchid: MCHID,
      appid: APPID,
      serial: SERIAL,
      merchantPublic: text('wechat-merchant.pub.pem'),
      platformId: PLATFORM,
      platformPrivate: text('wechat-platform.pem'),
      strangerPrivate: text('stranger.pem'),
    },
    config: {
      alipay: { appId: APP_ID, privateKey: file('alipay-app.pem'), alipayPublicKey: file('alipay.pub.pem') },
      wechat: {
        mchid: MCHID,
        appid: APPID,
        serial: SERIAL,
        privateKey: file('wechat-merchant.pem'),
        platformKeys: { [PLATFORM]: file('wechat-platform.pub.pem') },
      },
    },
  }
}
