/** Watches a TCP line by what the kernel tells in /proc/net/tcp (proc_net_tcp.rst of its documentation): TCP_USER_TIMEOUT is out of reach here. */
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { endianness } from 'node:os'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { type Acks, SilenceState, silenceMachine } from './silence.machine.ts'

const LOOK_MS = 1_000
const KNOCK_MS = 3_000
/** Discard (RFC 863): no printer has it, and a closed port is refused even by one that takes no second client. */
const KNOCK_PORT = 9
/** `tr`: the timer that runs; 4 probes a closed window. */
const PROBING = '04'

/** Looks once a second while something is on its way. */
export class Silence {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #state: SilenceState
  readonly #dead: () => void
  readonly #row: { file: string; ends: string }
  readonly #host: string
  #seen = 0
  #cancel = (): void => {}
  #stopped = false
  /** Bytes not acknowledged at the last look. */
  queued = 0

  /** `socket` is connected. */
  constructor(socket: Socket, clock: Clock, limitMs: number, dead: () => void) {
    this.#socket = socket
    this.#clock = clock
    this.#state = new SilenceState(limitMs)
    this.#dead = dead
    this.#host = socket.remoteAddress ?? ''
    // Its ends are not told any more once it is closed.
    this.#row = rowOf(socket)
  }

  start(): void {
    this.#cancel = this.#clock.timer(LOOK_MS, () => {
      this.#round()
        .finally(() => {
          if (!this.#stopped) this.start()
        })
        .catch(() => {})
    })
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
  }

  /** Undefined where the system does not tell. */
  async look(): Promise<Acks | undefined> {
    const acks = await readAcks(this.#row)
    if (acks) this.queued = acks.queued
    return acks
  }

  async #round(): Promise<void> {
    const { bytesWritten } = this.#socket
    if (bytesWritten === this.#seen && this.queued === 0) return
    this.#seen = bytesWritten
    const acks = await this.look()
    if (acks && !this.#stopped) this.#step({ kind: 'looked', acks, now: this.#clock.mono() })
  }

  #step(event: Parameters<typeof silenceMachine.step>[1]): void {
    for (const effect of silenceMachine.step(this.#state, event)) {
      if (effect === 'dead') {
        this.stop()
        this.#dead()
      } else
        this.#knock()
          .then((answered) => {
            if (!this.#stopped) this.#step({ kind: 'knocked', answered, now: this.#clock.mono() })
          })
          .catch(() => {})
    }
  }

  #knock(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect({ host: this.#host, port: KNOCK_PORT })
      const done = (answered: boolean) => {
        cancel()
        socket.destroy()
        resolve(answered)
      }
      const cancel = this.#clock.patience(KNOCK_MS, () => done(false))
      socket.on('connect', () => done(true))
      socket.on('error', ({ code }: NodeJS.ErrnoException) => done(code === 'ECONNREFUSED' || code === 'ECONNRESET'))
    })
  }
}

function rowOf({ localAddress = '', localPort = 0, remoteAddress = '', remotePort = 0 }: Socket): { file: string; ends: string } {
  const end = (address: string, port: number) => `${kernelAddress(address)}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
  return {
    file: `/proc/self/net/${remoteAddress.includes(':') ? 'tcp6' : 'tcp'}`,
    ends: `${end(localAddress, localPort)} ${end(remoteAddress, remotePort)}`,
  }
}

/** Hexadecimal, 32 bits at a time in the machine's own order. */
function kernelAddress(address: string): string {
  const bytes = address.includes(':') ? ipv6Bytes(address) : address.split('.').map(Number)
  const words = Array.from({ length: bytes.length / 4 }, (_one, at) => Buffer.from(bytes.slice(at * 4, at * 4 + 4)))
  if (endianness() === 'LE') for (const word of words) word.swap32()
  return Buffer.concat(words).toString('hex').toUpperCase()
}

function ipv6Bytes(address: string): number[] {
  const [plain = ''] = address.split('%')
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain)
  const pair = (high: string | undefined, low: string | undefined) => ((Number(high) << 8) | Number(low)).toString(16)
  const whole = dotted ? `${dotted[1]}${pair(dotted[2], dotted[3])}:${pair(dotted[4], dotted[5])}` : plain
  const [head = '', tail] = whole.split('::')
  const groups = (text: string) => text.split(':').filter(Boolean)
  const [first, last] = [groups(head), groups(tail ?? '')]
  const all = tail === undefined ? first : [...first, ...Array(Math.max(0, 8 - first.length - last.length)).fill('0'), ...last]
  return all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])
}

/** `sl: local remote st tx:rx tr:when retrnsmt uid timeout inode …` */
async function readAcks({ file, ends }: { file: string; ends: string }): Promise<Acks | undefined> {
  const table = await readFile(file, 'latin1').catch(() => '')
  const at = table.indexOf(ends)
  if (at === -1) return undefined
  const [, , queues = '', timer = '', retransmitted = '', , probes = ''] = table
    .slice(at + ends.length, table.indexOf('\n', at))
    .split(/\s+/)
  const windowClosed = timer.startsWith(PROBING)
  return {
    queued: Number.parseInt(queues, 16),
    unanswered: Math.max(Number.parseInt(retransmitted, 16), Number(probes)),
    windowClosed,
  }
}
