/** Who may speak to whom: certificates, and brokers that only know MQTT 3.1.1. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { freePort } from '../testing/free-port.ts'
import { until } from '../testing/until.ts'
import { openBroker } from './demo-broker.ts'
import { GATEWAY, HqLab } from './hq-link.testing.ts'

function certificates(dir: string): void {
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  for (const ca of ['ca', 'stranger-ca'])
    openssl('req', '-x509', ...key, '-keyout', `${ca}.key`, '-out', `${ca}.crt`, '-days', '2', '-subj', `/CN=${ca}`)
  const issue = (name: string, ca: string, subject: string, extension: string) => {
    writeFileSync(join(dir, `${name}.ext`), extension)
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
    openssl(
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      `${ca}.crt`,
      '-CAkey',
      `${ca}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-out',
      `${name}.crt`,
      '-extfile',
      `${name}.ext`,
    )
    // mosquitto gives up root before it reads them.
    execFileSync('chmod', ['644', `${name}.key`], { cwd: dir })
  }
  issue('server', 'ca', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  issue('gateway', 'ca', `/CN=${GATEWAY}`, 'extendedKeyUsage=clientAuth')
  issue('stranger', 'stranger-ca', `/CN=${GATEWAY}`, 'extendedKeyUsage=clientAuth')
  execFileSync('chmod', ['755', dir])
}

t.test('a client certificate is the gateway’s identity: it may write its own topics, and a stranger is told why not', async (t) => {
  const lab = new HqLab()
  t.teardown(() => lab.end())
  const { dir } = lab.floor
  const file = (name: string) => join(dir, name)
  certificates(dir)
  writeFileSync(file('acl'), 'pattern write shopwire/v1/%u/up/#\npattern read shopwire/v1/%u/dn/#\n\nuser hq\ntopic readwrite shopwire/#\n')
  const plain = await freePort()
  const port = await freePort()
  await lab.floor.mosquitto(plain, [
    `acl_file ${file('acl')}`,
    `listener ${port} 127.0.0.1`,
    ...[`cafile ${file('ca.crt')}`, `certfile ${file('server.crt')}`, `keyfile ${file('server.key')}`],
    ...['require_certificate true', 'use_identity_as_username true'],
  ])
  lab.port = plain
  const hq = await lab.fakeHq({ username: 'hq' })
  const trust = { caFile: file('ca.crt') }
  const url = `mqtts://localhost:${port}`

  const stranger = lab.start({ url, config: { ...trust, certFile: file('stranger.crt'), keyFile: file('stranger.key') } })
  await until(() => stranger.status().attempts >= 2, 'the stranger to be turned away')
  t.not(stranger.status().state, 'online')
  t.not(stranger.status().reason, '')
  await stranger.stop()

  const missing = lab.start({ url, config: { ...trust, certFile: file('no.crt'), keyFile: file('no.key') } })
  await until(() => missing.status().reason.includes('no.crt'), 'the missing file to be named')
  await missing.stop()

  const link = lab.start({ url, config: { ...trust, certFile: file('gateway.crt'), keyFile: file('gateway.key') } })
  await lab.scan(120)
  await until(() => hq.watermark === 120, 'the events')
  await until(() => lab.journal.cursor('hq').position === 120, 'the ack')
  t.equal(link.status().protocol, 5)
})

t.test('a broker that only speaks MQTT 3.1.1', async (t) => {
  const port = await freePort()
  const broker = await openBroker(port)
  // Its close waits for its clients, which `lab` ends before.
  t.teardown(() => broker.close())
  const lab = new HqLab()
  t.teardown(() => lab.end())
  lab.port = port
  const hq = await lab.fakeHq()
  const link = lab.start()
  await lab.scan(120)
  await until(() => hq.watermark === 120, 'the events')
  await until(() => lab.journal.cursor('hq').position === 120, 'the ack')
  t.comment(`protocol ${link.status().protocol}`)
})
