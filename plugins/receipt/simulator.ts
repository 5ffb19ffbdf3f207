/** The other end of the wire: a till that prints to what it takes for its printer, and asks it how it is. */
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type CutForm, FORMS, type ReceiptForm, simulatedReceipt } from './simulator/receipts.ts'

export interface TillOptions {
  host: string
  port: number
  /** Bytes a write; 0: as much as the line takes. */
  split?: number
}

/** A till's connection to a printer. */
export class TillSimulator {
  /** What the printer has answered. */
  readonly answers: number[] = []
  readonly #options: TillOptions
  #socket: Socket | undefined
  #closed: 'no' | 'ended' | 'reset' | 'refused' = 'no'
  #whenClosed: Promise<void> = Promise.resolve()

  constructor(options: TillOptions) {
    this.#options = options
  }

  /** `no` while it is open, else how it ended. */
  get closed(): 'no' | 'ended' | 'reset' | 'refused' {
    return this.#closed
  }

  get socket(): Socket | undefined {
    return this.#socket
  }

  /** Resolves once connected; rejects when refused. */
  connect(): Promise<void> {
    const { host, port } = this.#options
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true })
      this.#socket = socket
      this.#closed = 'no'
      let open = false
      socket.once('connect', () => {
        open = true
        resolve()
      })
      socket.on('data', (bytes: Buffer) => this.answers.push(...bytes))
      socket.on('error', (error) => {
        this.#closed = open ? 'reset' : 'refused'
        if (!open) reject(error)
      })
      this.#whenClosed = new Promise((closed) =>
        socket.once('close', () => {
          if (this.#closed === 'no') this.#closed = 'ended'
          closed()
        }),
      )
    })
  }

  /** Resolves when the network has taken it. */
  async print(bytes: Buffer): Promise<void> {
    const socket = this.#socket
    if (!socket) throw new Error('not connected')
    const step = this.#options.split && this.#options.split > 0 ? this.#options.split : bytes.length
    for (let at = 0; at < bytes.length && !socket.destroyed; at += step)
      await new Promise<void>((resolve) => {
        const done = () => {
          socket.off('close', done)
          resolve()
        }
        socket.once('close', done)
        socket.write(bytes.subarray(at, at + step), done)
      })
  }

  /** Ends its side, and resolves when the printer has closed too. */
  async end(): Promise<void> {
    this.#socket?.end()
    await this.#whenClosed
  }

  async untilClosed(): Promise<void> {
    await this.#whenClosed
  }

  /** Power off: reset. */
  cut(): void {
    if (this.#socket && !this.#socket.destroyed) this.#socket.resetAndDestroy()
  }
}

const CUT_FORMS: readonly string[] = ['feed', 'full', 'esc-i', 'esc-m', 'none'] satisfies CutForm[]
const USAGE = `receipt [--to HOST:PORT] [--form ${FORMS.join('|')}|all] [--count N] [--every MS] [--cut ${CUT_FORMS.join('|')}]
        [--split BYTES] [--keep-open] [--status] [--first NUMBER]`
const DLE_EOT_1 = Buffer.from([0x10, 0x04, 0x01])

/** `shopwire sim receipt …`: a till that prints receipts to a printer's address. */
export default async function simulate(args: string[], out: (text: string) => void, signal: AbortSignal): Promise<number> {
  let values: Record<string, string | boolean | undefined>
  try {
    values = parseArgs({
      args,
      options: {
        to: { type: 'string', default: '127.0.0.1:9100' },
        form: { type: 'string', default: 'market' },
        count: { type: 'string', default: '1' },
        every: { type: 'string', default: '1000' },
        cut: { type: 'string', default: 'feed' },
        split: { type: 'string', default: '0' },
        first: { type: 'string', default: '1' },
        'keep-open': { type: 'boolean' },
        status: { type: 'boolean' },
      },
    }).values
  } catch (error) {
    out(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`)
    return 2
  }
  const [, host, port] = /^(.+):(\d+)$/.exec(String(values.to)) ?? []
  const forms: readonly string[] = values.form === 'all' ? FORMS : [String(values.form)]
  const wrong = host === undefined || forms.some((one) => !FORMS.some((known) => known === one)) || !CUT_FORMS.includes(String(values.cut))
  const numbers = [values.count, values.every, values.split, values.first].map(Number)
  if (wrong || numbers.some((one) => !Number.isInteger(one) || one < 0)) {
    out(`usage: ${USAGE}`)
    return 2
  }
  const [count = 1, every = 1000, split = 0, firstNumber = 1] = numbers
  const till = new TillSimulator({ host, port: Number(port), split })
  try {
    for (let index = 0; index < count && !signal.aborted; index += 1) {
      if (index > 0) await sleep(every, undefined, { signal }).catch(() => {})
      if (signal.aborted) break
      if (index === 0 || values['keep-open'] !== true || till.closed !== 'no') await till.connect()
      const form = (forms[index % forms.length] ?? 'market') as ReceiptForm
      const receipt = simulatedReceipt(form, firstNumber + index, values.cut as CutForm)
      if (values.status === true) await till.print(DLE_EOT_1)
      await till.print(receipt.bytes)
      if (values['keep-open'] !== true) await till.end()
      const answer = till.answers.splice(0).map((one) => one.toString(16).padStart(2, '0'))
      out(
        `${form} ${receipt.order} ${receipt.total}${answer.length > 0 ? ` answered ${answer.join(' ')}` : ''}${till.closed === 'reset' ? ' RESET' : ''}`,
      )
      if (till.closed === 'reset') return 1
    }
    if (till.closed === 'no') await till.end()
    return 0
  } catch (error) {
    out(`${values.to}: ${error instanceof Error ? error.message : String(error)}`)
    return 1
  }
}
