/**
 * Phones in front of a portal: each asks its maker's probe, follows the redirect, reads the page, taps, and looks whether it is online. Or, with
 * `--controller`, the access point's controller on the other side.
 */
import { setMaxListeners } from 'node:events'
import { Agent, request } from 'node:http'
import { parseArgs } from 'node:util'
import { ControllerSimulator } from './controllers/simulator.ts'

export interface PhoneOptions {
  /** Where a request to the internet goes in truth: the portal itself, or a web server behind the gateway. */
  via: URL
  /** Source address; the system's choice when absent. */
  address?: string
  timeoutMs: number
}

export interface Visit {
  address: string
  /** ms from the tap to the answer. */
  tapMs: number
  /** ms from the tap to a probe that passes. */
  onlineMs: number
  pageBytes: number
  failed?: string
}

interface Answer {
  status: number
  location: string
  body: string
}

const PROBE = { host: 'connectivitycheck.gstatic.com', path: '/generate_204' }
const AGENT = 'Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36'
/** A probe is tried so often after the tap. */
const PROBES = 40

/** One phone's way in. Never rejects: what went wrong is in `failed`. */
export async function visit(options: PhoneOptions): Promise<Visit> {
  const done: Visit = { address: options.address ?? '', tapMs: 0, onlineMs: 0, pageBytes: 0 }
  try {
    const probe = await ask(options, options.via, PROBE)
    if (probe.status !== 302) throw new Error(`the probe was answered ${probe.status}`)
    const page = new URL(probe.location)
    const welcome = await ask(options, page, { path: page.pathname })
    if (welcome.status !== 200) throw new Error(`the page was answered ${welcome.status}`)
    done.pageBytes = Buffer.byteLength(welcome.body)
    const begun = performance.now()
    const tap = await ask(options, page, { path: `${page.pathname}connect`, form: 'marketing=' })
    done.tapMs = performance.now() - begun
    if (tap.status !== 200) throw new Error(`the tap was answered ${tap.status}`)
    for (let at = 0; ; at++) {
      if ((await ask(options, options.via, PROBE)).status === 204) break
      if (at >= PROBES) throw new Error('the tap was answered, and the probe is still captive')
      await new Promise((wake) => setTimeout(wake, 10))
    }
    done.onlineMs = performance.now() - begun
  } catch (error) {
    done.failed = (error as Error).message
  }
  return done
}

function ask(options: PhoneOptions, to: URL, what: { path: string; host?: string; form?: string }): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: to.hostname,
        port: to.port || 80,
        path: what.path,
        method: what.form === undefined ? 'GET' : 'POST',
        agent: new Agent({ keepAlive: false }),
        timeout: options.timeoutMs,
        ...(options.address === undefined ? {} : { localAddress: options.address }),
        headers: {
          host: what.host ?? to.host,
          'user-agent': AGENT,
          'accept-language': 'en',
          ...(what.form === undefined
            ? {}
            : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': Buffer.byteLength(what.form) }),
        },
      },
      (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => (body += chunk))
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, location: response.headers.location ?? '', body }))
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer from ${to.host} within ${options.timeoutMs} ms`)))
    sent.on('error', reject)
    sent.end(what.form)
  })
}

/** `first` and those after it: 127.0.0.2, 127.0.0.3 … */
export function addressesFrom(first: string, count: number): string[] {
  const start = first.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  return Array.from({ length: count }, (_, at) => [24, 16, 8, 0].map((shift) => ((start + at) / 2 ** shift) & 255).join('.'))
}

export interface CrowdOptions {
  via: URL
  addresses: readonly string[]
  /** ms within which they all join. */
  withinMs: number
  timeoutMs: number
}

export async function crowd(
  { via, addresses, withinMs, timeoutMs }: CrowdOptions,
  signal: AbortSignal,
  done: (visit: Visit) => void = () => {},
): Promise<Visit[]> {
  setMaxListeners(0, signal)
  return Promise.all(
    addresses.map(async (address, at) => {
      await pause((withinMs * at) / addresses.length, signal)
      if (signal.aborted) return { address, tapMs: 0, onlineMs: 0, pageBytes: 0, failed: 'stopped' }
      const seen = await visit({ via, address, timeoutMs })
      done(seen)
      return seen
    }),
  )
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer)
        resolve()
      },
      { once: true },
    )
  })
}

const USAGE = `shopwire sim portal [--via http://127.0.0.1:8880] [--phones 20] [--first 127.0.0.2] [--within 5s] [--every 60s] [--timeout 15s] [--json]
  phones that join, read the page, tap and are online. --via: the portal, or a web server behind the gateway; --first: address of the
  first phone (each of a simulated network's phones is a loopback address); --every: again and again, until stopped; --timeout: how long a phone waits for an answer
shopwire sim portal --controller 127.0.0.1:8443 [--site default] [--username portal] [--password secret] [--api classic|os]
  an access point's controller, with ten clients from 127.0.0.2 on`

export default async function simulate(args: string[], out: (line: string) => void, signal: AbortSignal): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      via: { type: 'string', default: 'http://127.0.0.1:8880' },
      phones: { type: 'string', default: '20' },
      first: { type: 'string', default: '127.0.0.2' },
      within: { type: 'string', default: '5s' },
      every: { type: 'string' },
      timeout: { type: 'string', default: '15s' },
      json: { type: 'boolean', default: false },
      controller: { type: 'string' },
      site: { type: 'string', default: 'default' },
      username: { type: 'string', default: 'portal' },
      password: { type: 'string', default: 'secret' },
      api: { type: 'string', default: 'classic' },
      help: { type: 'boolean', default: false },
    },
  })
  const phones = Number(values.phones)
  if (values.help || !Number.isInteger(phones) || phones < 1 || phones > 4_000 || !/^(\d+\.){3}\d+$/.test(values.first)) {
    out(USAGE)
    return values.help ? 0 : 2
  }
  if (values.controller !== undefined)
    return controller(values.controller, { ...values, api: values.api === 'os' ? 'os' : 'classic' }, out, signal)
  const options = {
    via: new URL(values.via),
    addresses: addressesFrom(values.first, phones),
    withinMs: milliseconds(values.within),
    timeoutMs: milliseconds(values.timeout),
  }
  let failures = 0
  do {
    const visits = await crowd(options, signal, (one) => {
      if (!values.json)
        out(one.failed ? `${one.address}  ${one.failed}` : `${one.address}  online ${one.onlineMs.toFixed(0)} ms after the tap`)
    })
    const failed = visits.filter((one) => one.failed)
    failures += signal.aborted ? 0 : failed.length
    const online = visits.filter((one) => !one.failed).map((one) => one.onlineMs)
    const summary = {
      phones,
      online: online.length,
      failed: failed.length,
      p50: quantile(online, 0.5),
      p99: quantile(online, 0.99),
      why: [...new Set(failed.map((one) => one.failed))].slice(0, 5),
    }
    out(
      values.json
        ? JSON.stringify(summary)
        : `${summary.online} of ${phones} online, tap to online p50 ${summary.p50} ms, p99 ${summary.p99} ms`,
    )
    if (values.every !== undefined) await pause(milliseconds(values.every), signal)
  } while (values.every !== undefined && !signal.aborted)
  return failures === 0 ? 0 : 1
}

async function controller(
  listen: string,
  options: { site: string; username: string; password: string; api: 'classic' | 'os' },
  out: (line: string) => void,
  signal: AbortSignal,
): Promise<number> {
  const [host = '127.0.0.1', port = '0'] = listen.split(':')
  const simulator = new ControllerSimulator(options)
  const bound = await simulator.listen(Number(port), host)
  for (const [at, address] of addressesFrom('127.0.0.2', 10).entries()) simulator.join(`02:bb:00:00:00:0${at}`, address, `phone-${at}`)
  out(
    `a controller at http://${host}:${bound}, site ${options.site}; plugins.portal: { controller: http, http: { url: "http://${host}:${bound}", username: ${options.username} } }`,
  )
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  await simulator.stop()
  return 0
}

const milliseconds = (text: string): number => {
  const [, number = '0', unit = 's'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? []
  return Number(number) * ({ ms: 1, s: 1_000, m: 60_000 }[unit] ?? 1_000)
}

function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0)
}
