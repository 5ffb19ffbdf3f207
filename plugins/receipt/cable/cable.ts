/** Namespaces for the tests of what no loopback shows: a till's gateway here, its printer on the other end of a cable that can be pulled. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Heard } from './printer-program.ts'

const PREFIX = 'shopwire-receipt-'
const ip = (args: string[]) => promisify(execFile)('ip', args, { timeout: 30_000 })

/** Why these tests cannot run here; false: they can. */
export function unavailable(): string | false {
  if (process.getuid?.() !== 0) return 'needs root to make network namespaces'
  for (const program of ['ip', 'nft'])
    if (spawnSync(program, ['-V'], { stdio: 'ignore' }).error !== undefined) return `not installed: ${program}`
  return existsSync('/proc/self/ns/net') ? false : 'this kernel has no network namespaces'
}

/** A namespace of its own for a whole test file, which is run again in there. */
export async function inNamespace(file: string): Promise<{ code: number | null; output: string }> {
  const name = `${PREFIX}${process.pid}`
  await ip(['netns', 'add', name])
  try {
    await ip(['-n', name, 'link', 'set', 'lo', 'up'])
    const child = spawn('ip', ['netns', 'exec', name, process.execPath, '--import=tsx', file], {
      env: { ...process.env, [INSIDE]: name },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => (output += chunk))
    child.stderr.on('data', (chunk: Buffer) => (output += chunk))
    const [code] = (await once(child, 'close')) as [number | null]
    return { code, output }
  } finally {
    await ip(['netns', 'del', name]).catch(() => {})
  }
}

/** Set in the inner run to the name of its namespace. */
export const INSIDE = 'SHOPWIRE_RECEIPT_NETNS'

/** One printer and the cable to it. */
export class CabledPrinter {
  readonly #name: string
  readonly #near: string
  readonly #inside: string
  readonly #net: string
  readonly #child: ChildProcess
  heard: Heard = { jobs: [] }

  static async plugged(number: number): Promise<CabledPrinter> {
    const inside = process.env[INSIDE] ?? ''
    const name = `${inside}-${number}`
    const near = `cable${number}`
    const net = `198.18.${number}`
    await ip(['netns', 'add', name])
    await ip(['-n', inside, 'link', 'add', near, 'type', 'veth', 'peer', 'name', 'lan0', 'netns', name])
    await ip(['-n', inside, 'addr', 'add', `${net}.1/24`, 'dev', near])
    await ip(['-n', inside, 'link', 'set', near, 'up'])
    await ip(['-n', name, 'addr', 'add', `${net}.2/24`, 'dev', 'lan0'])
    await ip(['-n', name, 'link', 'set', 'lan0', 'up'])
    const printer = new CabledPrinter(inside, name, near, net)
    await once(printer.#child.stdout as NodeJS.ReadableStream, 'readable')
    return printer
  }

  private constructor(inside: string, name: string, near: string, net: string) {
    this.#inside = inside
    this.#name = name
    this.#near = near
    this.#net = net
    const program = fileURLToPath(new URL('./printer-program.ts', import.meta.url))
    this.#child = spawn('ip', ['netns', 'exec', name, process.execPath, '--import=tsx', program], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    lines.on('line', (line) => {
      this.heard = JSON.parse(line) as Heard
    })
  }

  get address(): string {
    return `tcp://${this.#net}.2:9100`
  }

  paper(there: boolean): void {
    this.#child.stdin?.write(there ? 'paper\n' : 'none\n')
  }

  /** Resolves when nothing that has arrived is left to be read: /proc/net/tcp, `tx_queue:rx_queue` of its line. */
  async hasRead(): Promise<void> {
    for (;;) {
      const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', this.#name, 'cat', '/proc/net/tcp'])
      const lines = stdout.split('\n').filter((line) => / \w+:238C \w+:(?!0000)\w+ /.test(line))
      if (lines.every((line) => / \w+:00000000 /.test(line))) return
      await new Promise((wake) => setTimeout(wake, 50))
    }
  }

  /** Out of its socket: no carrier. */
  async pull(): Promise<void> {
    await ip(['-n', this.#name, 'link', 'set', 'lan0', 'down'])
  }

  async plug(): Promise<void> {
    await ip(['-n', this.#name, 'link', 'set', 'lan0', 'up'])
  }

  /** Behind a switch: the near side notices nothing but silence. */
  async silence(): Promise<void> {
    const rules = 'add table inet off; add chain inet off in { type filter hook input priority 0; policy drop; }'
    await promisify(execFile)('ip', ['netns', 'exec', this.#name, 'nft', rules])
  }

  async end(): Promise<void> {
    const gone = this.#child.exitCode === null && this.#child.signalCode === null ? once(this.#child, 'exit') : undefined
    this.#child.kill('SIGKILL')
    await gone
    await ip(['-n', this.#inside, 'link', 'del', this.#near]).catch(() => {})
    await ip(['netns', 'del', this.#name])
  }
}
