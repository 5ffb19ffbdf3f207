/** Alipay's certificate mode: the app's certificate, Alipay's and its roots in place of a public key, with certificates as openssl makes them. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { AlipaySimulator } from './simulators/alipay.ts'
import { ALIPAY_CODE, everything, payShop, testKeys } from './testing.ts'

const skip = existsSync('/usr/bin/openssl') ? false : 'openssl is not here'
const openssl = (...args: string[]): string => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'ignore'] }).toString()

/** "签发机构名称与序列号拼接后的 MD5": of the issuer's name as RFC 2253 writes it and the serial number in decimal, told by openssl. */
function serialNumber(certificate: string): string {
  const told = openssl('x509', '-in', certificate, '-noout', '-issuer', '-serial', '-nameopt', 'RFC2253')
  const issuer = /^issuer=\s*(.*)$/m.exec(told)?.[1] ?? ''
  const serial = BigInt(`0x${/^serial=([0-9A-F]+)$/m.exec(told)?.[1] ?? '0'}`)
  return createHash('md5').update(`${issuer}${serial}`).digest('hex')
}

interface Certificates {
  app: string
  alipay: string
  root: string
  sn: { app: string; root: string }
}

let made: Certificates | undefined

/** A certificate for the app, one for what signs Alipay's answers, and the file of roots: two of RSA and one of a curve, which does not count. */
function certificates(appKey: string, alipayPrivate: string): Certificates {
  if (made) return made
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-alipay-certificates-'))
  const file = (name: string) => join(dir, name)
  const root = (name: string, serial: string, key: string[]) => {
    const subject = `/C=CN/O=Ant Financial/OU=Certification Authority/CN=${name}`
    const files = ['-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)]
    openssl('req', '-x509', '-newkey', ...key, '-nodes', '-days', '3650', '-subj', subject, '-set_serial', serial, ...files)
    return file(`${name}.crt`)
  }
  const roots = [root('R1', '0x4F1C9E07A1', ['rsa:2048']), root('R2', '0x7B', ['rsa:2048'])]
  const curve = root('R3', '0x7C', ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'])
  writeFileSync(file('roots.crt'), [...roots, curve].map((one) => readFileSync(one, 'utf8')).join(''))
  writeFileSync(file('alipay.pem'), alipayPrivate, { mode: 0o600 })
  const leaf = (name: string, key: string, serial: string) => {
    openssl('req', '-new', '-key', key, '-subj', `/C=CN/O=${name}/CN=${name}`, '-out', file(`${name}.csr`))
    const ca = ['-CA', file('R1.crt'), '-CAkey', file('R1.key'), '-set_serial', serial]
    openssl('x509', '-req', '-in', file(`${name}.csr`), ...ca, '-days', '30', '-out', file(`${name}.crt`))
    return file(`${name}.crt`)
  }
  const app = leaf('app', appKey, '0x20261125000000000000000000000000042')
  const sn = { app: serialNumber(app), root: roots.map(serialNumber).join('_') }
  made = { app, alipay: leaf('alipay', file('alipay.pem'), '0x99'), root: file('roots.crt'), sn }
  return made
}

async function certificateShop(t: Test, signer: 'alipay' | 'stranger' = 'alipay', change: JsonObject = {}) {
  const { alipay: keys, appId, config } = testKeys()
  const { app, alipay: alipayCert, root, sn } = certificates(config.alipay.privateKey ?? '', keys.alipayPrivate)
  const signed = signer === 'alipay' ? keys : { ...keys, alipayPrivate: keys.strangerPrivate }
  const alipay = new AlipaySimulator({ ...signed, certificates: sn }, appId)
  const gateway = `http://127.0.0.1:${await alipay.listen()}/gateway.do`
  t.teardown(() => alipay.close())
  const certificateMode = {
    gateway,
    alipayPublicKey: undefined,
    appCert: app,
    alipayCert,
    alipayRootCert: root,
    ...change,
  }
  const shop = await payShop(t, { alipay: certificateMode as unknown as JsonObject })
  return { ...shop, alipay }
}

t.test(
  'a shop with certificates: the request names them as Alipay asks, its answers are checked with its certificate, money goes both ways',
  { skip },
  async (t) => {
    const { shop, open, code, is, alipay } = await certificateShop(t)
    await open('C-1', 4_200)
    await code(ALIPAY_CODE)
    await is('C-1', 'paid')
    t.equal(alipay.ledger.captured, 4_200)
    t.equal(alipay.seen.pay, 1)
    alipay.faults.loseAnswer = { refund: 1 }
    await shop.command('-', 'refund', { order: 'C-1', amount: 200 })
    await is('C-1', 'partly-refunded')
    t.equal(alipay.ledger.captured, 4_000)
    t.notMatch(everything(shop), /PRIVATE KEY|BEGIN CERTIFICATE/)
  },
)

t.test('answers that another key has signed than the certificate’s are no answers', { skip }, async (t) => {
  const { open, code, is } = await certificateShop(t, 'stranger')
  await open('S-1', 100)
  await code(ALIPAY_CODE)
  t.match(await is('S-1', 'unknown'), { reason: 'bad-signature' })
})

t.test('a certificate that cannot be read, or is none: nothing is charged, and the doctor names what is wrong', { skip }, async (t) => {
  const missing = await certificateShop(t, 'alipay', { alipayRootCert: '/nowhere/alipayRootCert.crt' })
  await missing.open('M-1', 100)
  await missing.code(ALIPAY_CODE)
  t.match(await missing.is('M-1', 'failed'), { reason: 'secret-unreadable' })
  t.match(await missing.shop.command('-', 'self-check', {}), {
    findings: [{ state: 'fail', fact: /alipayRootCert\.crt cannot be read: ENOENT/ }],
  })
  t.equal(missing.alipay.seen.pay, 0)
})

t.test('certificate mode asks for all three, and says so', async (t) => {
  await t.rejects(payShop(t, { alipay: { alipayPublicKey: undefined, alipayCert: '/etc/alipay.crt' } as unknown as JsonObject }), {
    code: 'config-invalid',
    message: /alipay/,
  })
})
