/** One scanner: its port kept open, its bytes turned into events. The machines decide, this performs. */
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { DeviceContext, DeviceState, RunningDevice } from '../../daemon/contract/plugin.ts'
import type { DeviceConfig, ScannerConfig } from './config.ts'
import { type LinkEffect, type LinkEvent, type LinkState, linkMachine, newLink } from './link.machine.ts'
import { Outbox } from './outbox.ts'
import { ownPrefixes, riskyPrefixes, route } from './protocol/route.ts'
import { type ScanEffect, type ScanEvent, ScanState, scanMachine } from './scan.machine.ts'
import { chooseTransport } from './transports/choose.ts'
import { asPortFault, type OpenPort, type PortFault, type Transport } from './transports/transport.ts'

export async function startScanner(device: DeviceContext<DeviceConfig, ScannerConfig>): Promise<RunningDevice> {
  const scanner = new Scanner(device, chooseTransport(device.config))
  scanner.start()
  return scanner
}

class Scanner implements RunningDevice {
  readonly #device: DeviceContext<DeviceConfig, ScannerConfig>
  readonly #transport: Transport
  readonly #scan: ScanState
  readonly #link: LinkState
  readonly #outbox: Outbox
  #port: OpenPort | undefined
  #opening: Promise<void> = Promise.resolve()
  #paused = false
  #state: DeviceState = { state: 'offline' }
  #cancelRetry = (): void => {}
  #cancelWake = (): void => {}

  constructor(device: DeviceContext<DeviceConfig, ScannerConfig>, transport: Transport) {
    const { config, shared } = device
    this.#device = device
    this.#transport = transport
    this.#link = newLink(transport.retry)
    this.#outbox = new Outbox(device, (on) => this.#hold(on))
    this.#scan = new ScanState({
      framing: config.framing,
      idleMs: config.idleMs,
      cutMs: Math.max(config.idleMs, transport.cutMs),
      // What the keys of a keyboard spell is text already.
      encoding: transport.writable ? config.encoding : 'utf8',
      prefixes: ownPrefixes(shared.prefixes),
      repeatMs: config.repeatMs,
      minLength: config.minLength,
    })
  }

  start(): void {
    const risky = riskyPrefixes(this.#scan.options.prefixes)
    if (risky.length > 0)
      this.#device.log.warn({ prefixes: risky }, 'these prefixes also begin pay codes; those pay codes will not be recognised or masked')
    this.#connect({ kind: 'start' })
  }

  async handle(command: Command): Promise<Json> {
    switch (command.command) {
      case 'status':
        return this.#status()
      case 'beep':
        return this.#beep()
      case 'simulate':
        return this.#simulate(command.args as { code: string; symbology?: string })
      default:
        throw new Failure('command-unknown', `a scanner knows beep, simulate and status, not "${command.command}"`)
    }
  }

  /** Reading stops first; what has been read is journaled before this resolves. */
  async stop(): Promise<void> {
    this.#cancelRetry()
    await this.#opening
    const port = this.#port
    if (port) await port.finish(() => this.#scan.framer.unfinished)
    this.#port = undefined
    this.#decide({ kind: 'lost', now: this.#device.clock.mono() })
    this.#cancelWake()
    this.#connect({ kind: 'stop' })
    this.#cancelRetry()
    await this.#outbox.drained()
  }

  #status(): Json {
    const { counters } = this.#scan
    return { ...this.#state, port: this.#transport.name, ...counters, waiting: this.#outbox.outstanding }
  }

  async #beep(): Promise<Json> {
    if (!this.#transport.writable)
      throw new Failure('device-unsupported', 'a keyboard-class scanner takes no commands; set it to serial (CDC-ACM) mode to beep it')
    if (!this.#port) throw new Failure('device-offline', `the scanner is offline: ${this.#state.detail ?? 'not connected yet'}`)
    await this.#port.write(Buffer.from(this.#device.config.beep, 'hex')).catch((error: unknown) => {
      throw new Failure('device-offline', `the port did not take it: ${asPortFault(error).detail}`)
    })
    return {}
  }

  #simulate(args: { code: string; symbology?: string }): Json {
    if (!this.#device.gateway.demo) throw new Failure('device-unsupported', 'codes are simulated in `shopwire demo` only')
    const text = `${args.symbology ?? ''}${args.code}`
    this.#decide({ kind: 'code', text, now: this.#device.clock.mono() })
    const { code, kind } = route(text, this.#scan.options.prefixes).routed
    return { code, kind }
  }

  #connect(event: LinkEvent): void {
    for (const effect of linkMachine.step(this.#link, event)) this.#act(effect)
  }

  #act(effect: LinkEffect): void {
    switch (effect.kind) {
      case 'open':
        this.#opening = this.#open()
        return
      case 'wait':
        this.#cancelRetry = this.#device.clock.timer(effect.ms, () => this.#connect({ kind: 'due' }))
        return
      case 'state':
        this.#state = effect.state
        this.#device.state(effect.state)
    }
  }

  async #open(): Promise<void> {
    const { clock, signal, log } = this.#device
    let lost: PortFault | undefined
    try {
      const port = await this.#transport.open(
        {
          data: (chunk) => this.#decide({ kind: 'bytes', chunk, now: clock.mono() }),
          damaged: () => this.#decide({ kind: 'damaged' }),
          lost: (fault) => {
            lost = fault
            if (this.#link.phase === 'open') this.#lost(fault)
          },
        },
        clock,
        signal,
      )
      this.#port = port
      if (this.#paused) port.pause()
      this.#connect({ kind: 'opened', now: clock.mono() })
      log.info({ port: this.#transport.name }, 'scanner connected')
      if (lost) this.#lost(lost)
    } catch (error) {
      const fault = asPortFault(error)
      if (!signal.aborted) this.#failed(fault)
    }
  }

  #failed(fault: PortFault): void {
    if (this.#link.detail !== fault.detail)
      this.#device.log.warn({ port: this.#transport.name, detail: fault.detail, cause: fault.message }, 'scanner cannot be reached')
    this.#connect({ kind: 'failed', detail: fault.detail, random: Math.random() })
  }

  #lost(fault: PortFault): void {
    this.#port = undefined
    const now = this.#device.clock.mono()
    this.#decide({ kind: 'lost', now })
    if (!this.#device.signal.aborted)
      this.#device.log.warn({ port: this.#transport.name, detail: fault.detail, cause: fault.message }, 'scanner lost')
    this.#connect({ kind: 'lost', detail: fault.detail, now, random: Math.random() })
  }

  #decide(event: ScanEvent): void {
    for (const effect of scanMachine.step(this.#scan, event)) this.#perform(effect)
  }

  #perform(effect: ScanEffect): void {
    switch (effect.kind) {
      case 'scan':
        this.#outbox.send(effect.data, effect.pay)
        return
      case 'garbage':
        if (effect.on) this.#device.log.warn({ port: this.#transport.name }, 'the scanner line brings garbage; check baud rate and cable')
        this.#connect({ kind: 'garbage', on: effect.on })
        return
      case 'wake':
        this.#cancelWake()
        this.#cancelWake = (): void => {}
        if (effect.ms > 0) this.#wakeIn(effect.ms)
    }
  }

  #wakeIn(ms: number): void {
    const { clock } = this.#device
    this.#cancelWake = clock.patience(ms, () => {
      // Not reading: bytes may be waiting, so this is no silence of the line's.
      if (this.#paused) this.#wakeIn(ms)
      else this.#decide({ kind: 'quiet', now: clock.mono() })
    })
  }

  #hold(on: boolean): void {
    this.#paused = on
    if (on) this.#port?.pause()
    else this.#port?.resume()
  }
}
