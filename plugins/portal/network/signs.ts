/**
 * The mailbox where scripts that dnsmasq and hostapd_cli run leave one line a sign. A named pipe held open for both directions: writers never
 * wait for a reader, nothing is polled, and no file grows.
 */
import { constants, openSync } from 'node:fs'
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Mac } from './api.ts'
import { complaint, run } from './programs.ts'

export type Sign =
  | { from: 'dhcp'; what: 'add' | 'old' | 'del'; mac: Mac; ip: string; hostname?: string }
  | { from: 'hostapd'; what: 'joined' | 'left'; mac: Mac }

export class Signs {
  readonly #pipe: string
  readonly #dir: string
  #socket: Socket | undefined

  constructor(dir: string) {
    this.#dir = dir
    this.#pipe = join(dir, 'signs')
  }

  /** dnsmasq's `dhcp-script` (dnsmasq(8), "--dhcp-script"). */
  get dhcpScript(): string {
    return join(this.#dir, 'dhcp-sign')
  }

  /** hostapd_cli's action file: interface, event, station. */
  get hostapdScript(): string {
    return join(this.#dir, 'hostapd-sign')
  }

  async open(on: (sign: Sign) => void): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await rm(this.#pipe, { force: true })
    const made = await run('mkfifo', ['-m', '600', this.#pipe])
    if (made.code !== 0) throw new Failure('network-denied', `mkfifo ${this.#pipe}: ${complaint(made)}`)
    await script(
      this.dhcpScript,
      this.#pipe,
      // The name is the guest's own words (RFC 2132, 3.14: nobody has checked them): what follows a line break would be a sign of its own.
      `name=\${DNSMASQ_SUPPLIED_HOSTNAME:-$4}\nname=\${name%%'\n'*}\n`,
      `dhcp "$1" "$2" "$3" "$name"`,
    )
    await script(this.hostapdScript, this.#pipe, '', `hostapd "$2" "$3"`)
    const fd = openSync(this.#pipe, constants.O_RDWR | constants.O_NONBLOCK)
    const socket = new Socket({ fd, readable: true, writable: false })
    this.#socket = socket
    socket.setEncoding('utf8')
    socket.on('error', () => {})
    let rest = ''
    socket.on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = (lines.pop() ?? '').slice(-1000)
      for (const line of lines) {
        const sign = parseSign(line)
        if (sign) on(sign)
      }
    })
  }

  /** `again`: a dnsmasq that was joined goes on running the script, which the next process listens to. */
  async close(again: boolean): Promise<void> {
    this.#socket?.destroy()
    this.#socket = undefined
    if (again) return
    await Promise.all([this.#pipe, this.dhcpScript, this.hostapdScript].map((file) => rm(file, { force: true })))
  }
}

/** Opened for both directions, the pipe never makes the script wait, even when nobody reads. One short write is never mixed with another. */
async function script(file: string, pipe: string, before: string, words: string): Promise<void> {
  const format = words.replace(/"[^"]*"/g, '%s')
  const values = words.match(/"[^"]*"/g)?.join(' ') ?? ''
  await writeFile(
    file,
    `#!/bin/sh\n# Written by shopwire: tells it who comes and goes.\n[ -p '${pipe}' ] || exit 0\n${before}printf '${format}\\n' ${values} 1<>'${pipe}'\n`,
  )
  await chmod(file, 0o700)
}

/** Undefined for what is none: other kinds of events, other kinds of hardware addresses. */
export function parseSign(line: string): Sign | undefined {
  const [from, what, address = '', ip = '', ...name] = line.trim().split(' ')
  const mac = address.toLowerCase()
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(mac)) return undefined
  if (from === 'hostapd') {
    if (what === 'AP-STA-CONNECTED') return { from, what: 'joined', mac }
    return what === 'AP-STA-DISCONNECTED' ? { from, what: 'left', mac } : undefined
  }
  if (from !== 'dhcp' || (what !== 'add' && what !== 'old' && what !== 'del') || !/^[0-9.]{7,15}$/.test(ip)) return undefined
  const hostname = name
    .join(' ')
    .replace(/[^\x20-\x7e\u00a0-\uffff]/g, '')
    .slice(0, 64)
  return { from, what, mac, ip, ...(hostname === '' ? {} : { hostname }) }
}
