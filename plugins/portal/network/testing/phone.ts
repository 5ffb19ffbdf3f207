/** A phone in a namespace of its own: joins with real DHCP, asks with curl. */
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../../../daemon/testing/until.ts'
import { endProcess, must, type Namespace, type Process } from './namespace.ts'

export interface HttpAnswer {
  /** curl's exit code: 0 answered, 7 refused or reset at connect, 28 timed out, 35 no TLS, 56 cut. */
  exit: number
  /** 0 where there was no answer. */
  status: number
  headers: Record<string, string>
  body: string
  seconds: number
}

export interface AskOptions {
  /** Form fields: makes it a POST. */
  form?: Record<string, string>
  userAgent?: string
  /** A minute unless told: what is refused is refused at once, and a slow machine is not taken for a refusal. */
  timeoutMs?: number
  /** Ends up in curl's argv. */
  extra?: string[]
}

const ANSWER_MS = 60_000
/** It asks every 2 s for a minute, not twice in 5 s: a name server on a busy machine answers late. */
export const PATIENT_LOOKUP = ['-timeout=60', '-retry=30']
/** Of a download that the test ends: longer than any test. */
const DOWNLOAD_MS = 3_600_000

/** udhcpc's script: sets what the lease says, and keeps it for the test to look at. Option 114 comes as `opt114`, in hex. */
const SCRIPT = `#!/bin/sh
case "$1" in
  bound|renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -n "$router" ] && ip route replace default via "\${router%% *}"
    : > "$LEASE_DIR/resolv.conf"
    for one in $dns; do echo "nameserver $one" >> "$LEASE_DIR/resolv.conf"; done
    # Whole or not at all: the test may look at any moment.
    for one in ip mask router dns lease serverid hostname domain opt114; do eval "echo $one=\\$$one"; done > "$LEASE_DIR/lease.new"
    mv "$LEASE_DIR/lease.new" "$LEASE_DIR/lease"
    ;;
  deconfig) ip addr flush dev "$interface"; ip link set "$interface" up ;;
esac
`

export class Phone {
  readonly namespace: Namespace
  readonly mac: string
  /** Its port on the gateway's bridge. */
  readonly port: string
  ip = ''
  readonly #gateway: Namespace
  readonly #dir: string
  #dhcp: Process | undefined

  constructor(namespace: Namespace, mac: string, port: string, gateway: Namespace, dir: string) {
    this.namespace = namespace
    this.mac = mac
    this.port = port
    this.#gateway = gateway
    this.#dir = dir
  }

  async prepare(): Promise<void> {
    await mkdir(this.#dir)
    const script = join(this.#dir, 'dhcp.sh')
    await writeFile(script, SCRIPT)
    await chmod(script, 0o755)
  }

  /** In range of the access point, or not. */
  async radio(on: boolean): Promise<void> {
    await this.#gateway.ip([`link set ${this.port} ${on ? 'up' : 'down'}`])
    await this.namespace.ip([`link set wlan0 ${on ? 'up' : 'down'}`])
  }

  /** Joins and asks for an address; resolves once it has one. Keeps the lease until `leave`. `extra` goes to udhcpc in place of the name. */
  async join(hostname = `phone-${this.port}`, extra: readonly string[] = []): Promise<string> {
    await this.radio(true)
    this.#dhcp = this.namespace.spawn(
      'udhcpc',
      [
        ...['-f', '-i', 'wlan0', '-t', '20', '-T', '1', '-A', '1', '-O', '114', '-s', join(this.#dir, 'dhcp.sh')],
        ...(extra.length > 0 ? extra : ['-x', `hostname:${hostname}`]),
      ],
      { LEASE_DIR: this.#dir },
    )
    await until(async () => {
      this.ip = (await this.lease()).ip ?? ''
      return this.ip !== ''
    }, 'a lease').catch((error: unknown) => {
      throw new Error(`${String(error)}: ${this.#dhcp?.output}`)
    })
    return this.ip
  }

  /** Walks out: no release, as a phone does. */
  async leave(): Promise<void> {
    await this.radio(false)
    if (this.#dhcp) await endProcess(this.#dhcp)
    this.#dhcp = undefined
    // What this stay leaves is no answer to the next one.
    await rm(join(this.#dir, 'lease'), { force: true })
  }

  /** The variables udhcpc gave its script: `ip`, `router`, `dns`, `lease`, `opt114` …; empty before there is a lease. */
  async lease(): Promise<Record<string, string>> {
    const text = await readFile(join(this.#dir, 'lease'), 'utf8').catch(() => '')
    return Object.fromEntries(text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]))
  }

  /** One request, names resolved by the resolver of the lease, redirects not followed. */
  async ask(url: string, options: AskOptions = {}): Promise<HttpAnswer> {
    const { code, stdout } = await this.namespace.run('curl', await this.#curl(url, options), '', (options.timeoutMs ?? ANSWER_MS) + 20_000)
    return parseAnswer(code, stdout)
  }

  /** A request that runs on its own: a long download. */
  async begin(url: string): Promise<Process> {
    return this.namespace.spawn('curl', [...(await this.#curl(url, { timeoutMs: DOWNLOAD_MS })), '-o', '/dev/null', '-N'])
  }

  /** Bytes that have come in by its radio. */
  async received(): Promise<number> {
    const links = await must('ip', ['-n', this.namespace.name, '-j', '-s', 'link', 'show', 'dev', 'wlan0'])
    const [link] = JSON.parse(links) as { stats64: { rx: { bytes: number } } }[]
    return link?.stats64.rx.bytes ?? 0
  }

  /** What its resolver, or another, says of a name. `[]` where none answered. */
  async resolve(name: string, server?: string): Promise<string[]> {
    const at = server ?? (await this.#resolver())
    const { stdout } = await this.namespace.run('busybox', ['nslookup', ...PATIENT_LOOKUP, '-type=a', name, at])
    const [, answers = ''] = stdout.split(/\n\s*\n/)
    return [...answers.matchAll(/Address(?: \d+)?:\s+([0-9.]+)\s*$/gm)].map(([, address]) => address ?? '')
  }

  async pings(address: string): Promise<boolean> {
    return (await this.namespace.run('busybox', ['ping', '-c', '1', '-W', '1', address])).code === 0
  }

  async #resolver(): Promise<string> {
    const text = await readFile(join(this.#dir, 'resolv.conf'), 'utf8').catch(() => '')
    return /nameserver (\S+)/.exec(text)?.[1] ?? '10.66.0.1'
  }

  async #curl(url: string, options: AskOptions): Promise<string[]> {
    const { hostname, port, protocol } = new URL(url)
    const numeric = /^[0-9.]+$/.test(hostname) || hostname.startsWith('[')
    const [address] = numeric ? [hostname] : await this.resolve(hostname)
    const form = Object.entries(options.form ?? {}).flatMap(([key, value]) => ['--data-urlencode', `${key}=${value}`])
    return [
      ...['-s', '-k', '-i', '--max-time', String((options.timeoutMs ?? ANSWER_MS) / 1000), '-w', '\n%{http_code} %{time_total}'],
      ...(options.userAgent ? ['-A', options.userAgent] : []),
      ...(numeric ? [] : ['--resolve', `${hostname}:${port || (protocol === 'https:' ? 443 : 80)}:${address ?? '11.22.33.254'}`]),
      ...form,
      ...(options.extra ?? []),
      url,
    ]
  }
}

function parseAnswer(exit: number, output: string): HttpAnswer {
  const last = output.lastIndexOf('\n')
  const [status = '0', seconds = '0'] = output.slice(last + 1).split(' ')
  const text = output.slice(0, last)
  const split = text.indexOf('\r\n\r\n')
  const [, ...lines] = text.slice(0, Math.max(split, 0)).split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  )
  return { exit, status: Number(status), headers, body: split < 0 ? text : text.slice(split + 4), seconds: Number(seconds) }
}
