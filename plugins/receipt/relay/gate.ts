/** The virtual printer: takes tills one at a time and holds the real printer's line for the one whose turn it is. */
import { createServer, type Server, type Socket } from 'node:net'
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock, Logger } from '../../../daemon/contract/plugin.ts'
import { LinkError, type OpenLink, parseListen } from '../printer/link.ts'
import type { Forward, ForwardParts } from './forward.ts'
import { TillLine } from './till-line.ts'
import { type ClientId, type TurnEffect, type TurnEvent, type TurnLimits, TurnState, turnMachine } from './turns.machine.ts'

export interface GateParts {
  listen: string
  openPrinter: OpenLink
  limits: TurnLimits
  quietMs: number
  clock: Clock
  log: Logger
  signal: AbortSignal
  /** Reads what one connection sends. */
  forward: (write: ForwardParts['write'], broken: ForwardParts['broken']) => Forward
  /** Whether the printer was there when last asked. */
  printer: (there: boolean, why?: LinkError) => void
}

/** A printer whose line we have just given back may not have noticed yet. */
const JUST_CLOSED_MS = 1_500
const AGAIN_MS = 50
const LET_GO_MS = 500

export class Gate {
  readonly #parts: GateParts
  readonly #turns: TurnState
  readonly #lines = new Map<ClientId, TillLine>()
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #nextId = 0
  #stopping = false
  #cancelWatch = (): void => {}
  #closedAt = Number.NEGATIVE_INFINITY
  #whenIdle: (() => void) | undefined
  connections = 0
  refused = 0

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#turns = new TurnState(parts.limits)
  }

  get waiting(): number {
    return this.#turns.waiting.length
  }

  get busy(): boolean {
    return this.#turns.phase !== 'free'
  }

  /** Resolves with the port. Rejects with `port-taken` or `config-invalid`. */
  listen(): Promise<number> {
    const { host, port } = parseListen(this.#parts.listen)
    const server = createServer(
      { allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 },
      (socket) => this.#accept(socket),
    )
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const taken = error.code === 'EADDRINUSE'
        reject(
          new Failure(
            taken ? 'port-taken' : 'config-invalid',
            `cannot listen on ${this.#parts.listen}: ${taken ? 'another program does' : error.message}`,
          ),
        )
      })
      server.listen(port, host, () => {
        server.on('error', () => {})
        const address = server.address()
        resolve(typeof address === 'object' && address ? address.port : port)
      })
    })
  }

  /** Takes no more tills, lets the one that prints go on for up to `graceMs`, then resets what is left. */
  async close(graceMs: number): Promise<void> {
    this.#stopping = true
    const closed = new Promise<void>((resolve) => {
      if (this.#server?.listening) this.#server.close(() => resolve())
      else resolve()
    })
    for (const [id, line] of this.#lines) if (id !== this.#turns.active) line.reset()
    if (this.busy) {
      const idle = this.#idle(graceMs)
      if (this.#turns.active !== undefined) this.#lines.get(this.#turns.active)?.finishSoon()
      await idle
    }
    this.#cancelWatch()
    for (const line of this.#lines.values()) line.reset()
    // The printer's line is given back before somebody else asks for it.
    if (this.busy) await this.#idle(LET_GO_MS)
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** Resolves when nobody has the turn, or after `ms`. */
  #idle(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#parts.clock.timer(ms, resolve)
      this.#whenIdle = () => {
        cancel()
        resolve()
      }
    })
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#stopping) {
      socket.on('error', () => {})
      socket.resetAndDestroy()
      return
    }
    const id = this.#nextId
    this.#nextId += 1
    this.connections += 1
    const { clock, forward, log, quietMs } = this.#parts
    const line = new TillLine(socket, {
      clock,
      quietMs,
      forward,
      log,
      spoke: () => this.#decide({ kind: 'spoke', client: id }),
      over: (keeps) => this.#over(id, keeps),
      lost: (failure) => this.#parts.printer(false, failure),
      gone: () => {
        this.#lines.delete(id)
        this.#decide({ kind: 'left', client: id })
      },
    })
    this.#lines.set(id, line)
    line.start()
    this.#decide({ kind: 'arrived', client: id })
  }

  #over(id: ClientId, keeps: boolean): void {
    if (!keeps) this.#lines.delete(id)
    this.#closedAt = this.#parts.clock.mono()
    this.#cancelWatch()
    if (this.#turns.active !== id) return
    this.#whenIdle?.()
    this.#decide({ kind: 'over', keeps })
  }

  #decide(event: TurnEvent): void {
    for (const effect of turnMachine.step(this.#turns, event)) this.#act(effect)
  }

  #act(effect: TurnEffect): void {
    switch (effect.kind) {
      case 'open':
        this.#open(effect.client).catch((error: unknown) => this.#parts.log.error({ error: String(error) }, 'a turn at the printer failed'))
        return
      case 'refuse':
        this.refused += 1
        this.#lines.get(effect.client)?.reset()
        this.#lines.delete(effect.client)
        return
      case 'park':
        this.#lines.get(effect.client)?.park()
        return
      case 'drop':
        this.#parts.log.warn({}, 'a till fell silent in the middle of a receipt while another one waits; its connection is closed')
        this.#lines.get(effect.client)?.reset()
        return
      case 'watch':
        this.#cancelWatch()
        this.#cancelWatch = this.#parts.clock.timer(effect.ms, () => this.#look())
    }
  }

  #look(): void {
    const line = this.#turns.active === undefined ? undefined : this.#lines.get(this.#turns.active)
    if (line) this.#decide({ kind: 'look', silent: line.silentMs, between: line.between })
  }

  async #open(id: ClientId): Promise<void> {
    const { clock, openPrinter, signal, printer } = this.#parts
    const line = this.#lines.get(id)
    if (!line || this.#stopping) return this.#decide({ kind: 'over', keeps: false })
    for (;;) {
      try {
        const link = await openPrinter(line.fromPrinter, signal)
        printer(true)
        line.begin(link)
        this.#decide({ kind: 'opened' })
        return
      } catch (error) {
        const failure = error instanceof LinkError ? error : new LinkError('unreachable', String(error))
        const early = failure.why === 'busy' && clock.mono() - this.#closedAt < JUST_CLOSED_MS
        if (early && !signal.aborted && !line.ended) {
          await clock.sleep(AGAIN_MS, signal).catch(() => {})
          continue
        }
        printer(false, failure)
        this.#whenIdle?.()
        this.#decide({ kind: 'failed', all: failure.why !== 'busy' })
        return
      }
    }
  }
}
