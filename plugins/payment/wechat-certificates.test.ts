/** WeChat Pay's platform certificates: fetched, unsealed, believed, replaced; and what must not be believed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import {
  API_V3_KEY,
  MERCHANT_PRIVATE,
  MERCHANT_PUBLIC,
  PLATFORM_CERTIFICATE,
  PLATFORM_SERIAL,
  PROVIDER_PRIVATE,
  SEALED_CERTIFICATE,
} from './golden.ts'
import { checkApiV3Key, unseal } from './providers/wechat-certificates.ts'
import { WechatSimulator } from './simulators/wechat.ts'
import { everything, payShop, testKeys, WECHAT_CODE } from './testing.ts'

interface Changes {
  /** What the simulated WeChat Pay seals with. */
  sealedWith?: string
  signedWith?: string
  /** What the shop has. */
  config?: Record<string, unknown>
}

/** A shop with an APIv3 key and no platform key of its own, at a WeChat Pay that signs with a platform certificate. */
async function certificateShop(t: Test, { sealedWith = API_V3_KEY, signedWith = PROVIDER_PRIVATE, config = {} }: Changes = {}) {
  const dir = testFolder(t)
  const [privateKey, apiV3Key] = [join(dir, 'merchant.pem'), join(dir, 'api-v3-key')]
  writeFileSync(privateKey, MERCHANT_PRIVATE)
  writeFileSync(apiV3Key, `${API_V3_KEY}\n`)
  const { mchid, appid, serial } = testKeys().wechat
  const wechat = new WechatSimulator(
    {
      mchid,
      appid,
      serial,
      merchantPublic: MERCHANT_PUBLIC,
      platformId: PLATFORM_SERIAL,
      platformPrivate: signedWith,
      strangerPrivate: MERCHANT_PRIVATE,
      apiV3Key: sealedWith,
      platformCertificate: PLATFORM_CERTIFICATE,
    },
    0,
  )
  const endpoint = `http://127.0.0.1:${await wechat.listen()}/`
  t.teardown(() => wechat.close())
  const made = await payShop(t, { wechat: { endpoint, privateKey, apiV3Key, platformKeys: undefined, ...config } as unknown as JsonObject })
  return { shop: made.shop, open: made.open, code: made.code, is: made.is, wechat }
}

const list = (sealed: object, serial = PLATFORM_SERIAL) => JSON.stringify({ data: [{ serial_no: serial, encrypt_certificate: sealed }] })
const KEY = Buffer.from(API_V3_KEY)
const NOW = Date.parse('2026-03-14T12:00:00Z')

t.test('a certificate that another implementation has sealed is opened; with anything changed it is not', async (t) => {
  t.same(unseal(list(SEALED_CERTIFICATE), KEY, NOW), { [PLATFORM_SERIAL]: PLATFORM_CERTIFICATE })
  const { ciphertext } = SEALED_CERTIFICATE
  const other = (at: number) => ciphertext.slice(0, at) + (ciphertext[at] === 'A' ? 'B' : 'A') + ciphertext.slice(at + 1)
  const closed: [string, object][] = [
    ['the first byte', { ciphertext: other(0) }],
    ['the tag', { ciphertext: other(ciphertext.length - 8) }],
    ['cut short', { ciphertext: ciphertext.slice(0, 16) }],
    ['the nonce', { nonce: '61f9c719728b' }],
    ['what it is for', { associated_data: 'transaction' }],
    ['the algorithm', { algorithm: 'AEAD_AES_128_GCM' }],
  ]
  for (const [name, change] of closed)
    t.equal(unseal(list({ ...SEALED_CERTIFICATE, ...change }), KEY, NOW), 'certificates-undecryptable', name)
  t.equal(unseal(list(SEALED_CERTIFICATE), Buffer.alloc(32, 7), NOW), 'certificates-undecryptable', 'the key')
  t.equal(unseal(list(SEALED_CERTIFICATE, 'OTHER'), KEY, NOW), 'certificates-malformed', 'under a serial that is not its own')
  t.equal(unseal(list(SEALED_CERTIFICATE), KEY, Date.parse('2124-01-01')), 'certificates-expired')
  t.equal(unseal('{"data":[]}', KEY, NOW), 'certificates-none')
  t.equal(unseal('<h1>502</h1>', KEY, NOW), 'certificates-malformed')
})

t.test('a shop that has the APIv3 key only: the certificate is fetched, and the shopper pays', async (t) => {
  const { shop, open, code, is, wechat } = await certificateShop(t)
  await open('C-1', 4_200)
  await code(WECHAT_CODE)
  await is('C-1', 'paid')
  t.equal(wechat.ledger.captured, 4_200)
  t.equal(wechat.seen.pay, 1)
  t.notMatch(everything(shop), API_V3_KEY)
})

const NOT_BELIEVED: [string, Changes, RegExp][] = [
  ['sealed under another APIv3 key', { sealedWith: 'AnotherApiV3KeyOfTheTestShop0123' }, /^certificates-undecryptable$/],
  ['signed by somebody who has the APIv3 key', { signedWith: MERCHANT_PRIVATE }, /^bad-signature$/],
]
for (const [name, changes, reason] of NOT_BELIEVED)
  t.test(`certificates ${name}: nothing is charged, and the till hears why`, async (t) => {
    const { shop, open, code, is, wechat } = await certificateShop(t, changes)
    await open('N-1', 4_200)
    await code(WECHAT_CODE)
    t.match(await is('N-1', 'failed'), { reason })
    t.equal(wechat.seen.pay, 0, 'nothing was sent')
    const { findings } = (await shop.command('-', 'self-check')) as { findings: JsonObject[] }
    t.match(findings[1], { state: 'fail', fact: /^wechat: no answer that counts/ })
    t.notMatch(everything(shop), API_V3_KEY)
  })

t.test('certificates that were tampered with on the way are not believed; the next code pays once they are whole', async (t) => {
  const { open, code, is, wechat } = await certificateShop(t)
  wechat.tampered = true
  await open('T-1', 4_200)
  await code(WECHAT_CODE)
  t.match(await is('T-1', 'failed'), { reason: 'certificates-undecryptable' })
  wechat.tampered = false
  await code('134567890123456780')
  await is('T-1', 'paid')
  t.equal(wechat.seen.pay, 1)
})

t.test('WeChat Pay has changed its certificate overnight: one doubt, then paid, charged once', async (t) => {
  const old = String((testKeys().config.wechat.platformKeys as Record<string, string>)[testKeys().wechat.platformId])
  const { shop, open, code, is, wechat } = await certificateShop(t, {
    config: { platformKeys: { ['0'.repeat(40)]: old }, giveUpMs: 600_000 },
  })
  await open('O-1', 4_200)
  await code(WECHAT_CODE)
  await is('O-1', 'paid')
  t.ok(shop.events.some((one) => one.event === 'unknown' && one.data.reason === 'unknown-platform-key'))
  t.equal(wechat.ledger.captured, 4_200)
  t.equal(wechat.seen.pay, 1)
})

t.test('an APIv3 key of 31 characters is named by its place', async (t) => {
  t.throws(() => checkApiV3Key('x'.repeat(31), '/etc/key'), {
    code: 'secret-unreadable',
    message: '/etc/key: is 31 bytes long; an APIv3 key has 32',
  })
})
