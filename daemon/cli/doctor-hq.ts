/** Why HQ cannot be reached: name, connection, TLS, certificates. Looks without MQTT: the broker's answer is the link's matter. */
import { X509Certificate } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Config } from '../config.ts'
import type { Finding } from './doctor.ts'

type Hq = NonNullable<Config['hq']>

const PORTS: Record<string, number> = { 'mqtt:': 1883, 'tcp:': 1883, 'mqtts:': 8883, 'ssl:': 8883, 'ws:': 80, 'wss:': 443 }
const SECURE = ['mqtts:', 'ssl:', 'wss:']
const CONNECT_MS = 5_000
/** After a TLS 1.3 handshake: for the server's first word on our certificate, and for a line that drops all the same. */
const VERDICT_MS = 4_000
const DROP_MS = 300
const DAY_MS = 86_400_000
/** A certificate is renewed by people: they need some weeks. */
const SOON_DAYS = 30

/** The first step towards HQ that fails; undefined when a connection could be made. */
export async function pathToHq(hq: Hq): Promise<Finding | undefined> {
  const url = new URL(hq.url)
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const port = url.port === '' ? (PORTS[url.protocol] ?? 1883) : Number(url.port)
  try {
    await lookup(host)
  } catch (error) {
    return {
      state: 'warn',
      fact: `the name ${host} cannot be resolved (${codeOf(error)})`,
      fix: `getent hosts ${host}   # then: is the cable in, does the router know a DNS server?`,
    }
  }
  try {
    await reach(hq, url, host, port)
    return undefined
  } catch (error) {
    return explain(error, host, port)
  }
}

function reach(hq: Hq, url: URL, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const tls = SECURE.includes(url.protocol)
      ? connectTls({ host, port, servername: /[a-z]/i.test(host) && !host.includes(':') ? host : '', ...files(hq) })
      : undefined
    const socket: Socket = tls ?? connectTcp({ host, port })
    socket.setTimeout(CONNECT_MS, () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
    socket.once('error', reject)
    const done = (): void => {
      socket.destroy()
      resolve()
    }
    if (!tls) return void socket.once('connect', done)
    // TLS 1.3: a server that refuses our certificate says so only after its own side of the handshake; then the line drops. One that has
    // taken it usually sends a ticket next (RFC 8446 4.6.1), some also where they look at the certificate later; some send none.
    let wait: NodeJS.Timeout | undefined
    const doneIn = (ms: number): void => {
      clearTimeout(wait)
      wait = setTimeout(done, ms)
    }
    let ticket = false
    tls.once('session', () => {
      ticket = true
      if (wait) doneIn(DROP_MS)
    })
    tls.once('secureConnect', () => doneIn(ticket || tls.getProtocol() !== 'TLSv1.3' ? DROP_MS : VERDICT_MS))
    tls.once('close', () => clearTimeout(wait))
  })
}

function files(hq: Hq): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return {
    ...(hq.caFile === undefined ? {} : { ca: readFileSync(hq.caFile) }),
    ...(hq.certFile === undefined ? {} : { cert: readFileSync(hq.certFile) }),
    ...(hq.keyFile === undefined ? {} : { key: readFileSync(hq.keyFile) }),
  }
}

function explain(error: unknown, host: string, port: number): Finding {
  const code = codeOf(error)
  const at = `${host}:${port}`
  const fail = (fact: string, fix: string): Finding => ({ state: 'fail', fact, fix })
  if (code === 'ECONNREFUSED')
    return { state: 'warn', fact: `nothing listens at ${at}`, fix: `nc -vz ${host} ${port}   # then ask HQ whether its broker runs` }
  if (code === 'ETIMEDOUT' || code === 'EHOSTUNREACH' || code === 'ENETUNREACH')
    return {
      state: 'warn',
      fact: `${at} does not answer (${code})`,
      fix: `ping -c 3 ${host}   # then: does the firewall let port ${port} out?`,
    }
  if (code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED')
    return fail(
      `HQ's certificate is ${code === 'CERT_HAS_EXPIRED' ? 'out of date' : 'not valid yet'} by this machine's clock`,
      'timedatectl   # a wrong clock does this; else HQ has to renew it',
    )
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return fail(`HQ's certificate is for another name than ${host}`, 'correct hq.url in the config')
  if (/SELF_SIGNED|UNABLE_TO_(GET_ISSUER|VERIFY)/.test(code))
    return fail("HQ's certificate is not signed by the authority in hq.caFile", `openssl s_client -connect ${at} -showcerts </dev/null`)
  if (/ALERT|ECONNRESET|EPIPE/.test(code))
    return fail(
      `HQ ends the TLS handshake (${code}): it may not accept this gateway's certificate`,
      'openssl x509 -in CERTFILE -noout -subject -enddate',
    )
  return fail(`${at}: ${error instanceof Error ? error.message : String(error)}`, `openssl s_client -connect ${at} </dev/null`)
}

/** Files that cannot be read, a certificate that runs out or names somebody else. */
export function certificateFindings(hq: Hq, gateway: string, now: number): Finding[] {
  const findings: Finding[] = []
  for (const key of ['caFile', 'certFile', 'keyFile', 'passwordFile'] as const) {
    const file = hq[key]
    if (file === undefined) continue
    let content: Buffer
    try {
      content = readFileSync(file)
    } catch (error) {
      findings.push({
        state: 'fail',
        fact: `hq.${key}: ${file} cannot be read (${codeOf(error)})`,
        fix: `sudo chown root:shopwire ${file} && sudo chmod 640 ${file}`,
      })
      continue
    }
    if (key === 'certFile') findings.push(...ownCertificate(file, content, gateway, now))
  }
  return findings
}

function ownCertificate(file: string, content: Buffer, gateway: string, now: number): Finding[] {
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(content)
  } catch {
    return [{ state: 'fail', fact: `hq.certFile: ${file} is not a certificate in PEM form`, fix: `openssl x509 -in ${file} -noout -text` }]
  }
  const fix = `openssl x509 -in ${file} -noout -subject -enddate   # then ask HQ for a new one`
  const days = Math.floor((Date.parse(certificate.validTo) - now) / DAY_MS)
  const name = /^CN=(.*)$/m.exec(certificate.subject)?.[1]
  return [
    ...(days < 0 ? [{ state: 'fail', fact: `this gateway's certificate ran out on ${certificate.validTo}`, fix } as const] : []),
    ...(days >= 0 && days < SOON_DAYS
      ? [{ state: 'warn', fact: `this gateway's certificate runs out in ${days} days`, fix } as const]
      : []),
    ...(name === gateway
      ? []
      : [{ state: 'fail', fact: `this gateway's certificate is for ${name ?? 'nobody'}, but gateway.id is ${gateway}`, fix } as const]),
  ]
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : error instanceof Error ? error.message : String(error)
}
