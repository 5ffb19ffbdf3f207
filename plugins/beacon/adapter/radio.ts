/** The adapter kept alive: opened, scanned with, watched, mended, reported. The machine decides, this performs. */
import type { Peripheral } from '@abandonware/noble'
import type { Clock, DeviceState, Logger } from '../../../daemon/contract/plugin.ts'
import { hexStatus, OPCODE, STATUS } from '../hci/packets.ts'
import { HeldUp } from '../held-up.ts'
import { type AdapterEffect, type AdapterEvent, type AdapterState, adapterMachine, newAdapter } from './adapter.machine.ts'
import { type Answer, HciSocket } from './hci-socket.ts'
import { AdapterFault, type AdapterLink, type OpenLink } from './link.ts'
import { NobleSession } from './session.ts'
import { Variety } from './variety.ts'

const TICK_MS = 1_000
/** Ticks between two emptyings of noble's maps. */
const PRUNE_TICKS = 60
/** From the first command to noble's "poweredOn"; once before and once after a reset. */
const START_MS = 4_000
/** The controller's answer to a scan command. */
const SCAN_MS = 3_000
/** After somebody else's command, before the scan is set right again. */
const DISTURBED_MS = 1_000
/** So many different radios do not all leave within seconds; one person has up to four: telephone, watch, ear buds, badge. */
const BUSY = 8

export interface RadioEvents {
  /** `now`: monotonic ms of the report. */
  discover(peripheral: Peripheral, now: number): void
  other(packet: Buffer, at: number): void
  malformed(): void
  state(state: DeviceState): void
  /** Nothing has been heard since then (monotonic ms), and it is the adapter's fault. */
  deaf(since: number): void
  /** `sure`: it was deaf indeed; else the air may have been quiet. */
  hearing(sure: boolean): void
  /** Nothing is on the air; the adapter is well. */
  quiet(): void
  /** Whether a beacon ought to be heard that always sends. */
  expected(): boolean
  /** The scan runs, for the first time or again after a reset: advertising is off in the controller. */
  ready(): void
  gone(): void
  /** Somebody else has changed the advertising. */
  disturbed(): void
}

/** What the broadcast needs of the radio. */
export interface Transmitter {
  /** Resolves with the controller's status, with `undefined` when it did not answer. */
  command(opcode: number, parameters?: Uint8Array): Promise<Answer>
  /** Resolves with whether the controller did it. */
  scanning(on: boolean): Promise<boolean>
  /** HCI Reset, and the scan again; `ready` follows. */
  reset(): Promise<void>
}

interface Waiting {
  for: 'poweredOn' | 'scan-on' | 'scan-off'
  done(status: Answer): void
}

export class Radio implements Transmitter {
  readonly #link: AdapterLink
  readonly #clock: Clock
  readonly #log: Logger
  readonly #on: RadioEvents
  readonly #state: AdapterState
  #socket: HciSocket | undefined
  #session: NobleSession | undefined
  /** Told from an opening that was given up meanwhile. */
  #attempt = 0
  #waiting: Waiting[] = []
  #reportAt = 0
  #ticks = 0
  #cancelTick = (): void => {}
  readonly #heldUp = new HeldUp()
  #cancelWait = (): void => {}
  #cancelMend: (() => void) | undefined
  #foreign = false
  #mendBroadcast = false
  readonly #variety = new Variety()
  readonly counters = { reports: 0, malformed: 0, resets: 0, rescans: 0, opened: 0 }

  constructor(link: AdapterLink, clock: Clock, log: Logger, silentMs: number, on: RadioEvents) {
    this.#link = link
    this.#clock = clock
    this.#log = log
    this.#on = on
    this.#state = newAdapter(silentMs)
  }

  start(): void {
    this.#decide({ kind: 'start' })
    this.#tick()
  }

  stop(): void {
    this.#cancelTick()
    this.#cancelWait()
    this.#cancelMend?.()
    // A controller goes on scanning for nobody until it is told.
    if (this.scanningNow) this.#session?.stopScan()
    this.#decide({ kind: 'stop' })
  }

  get scanningNow(): boolean {
    return this.#state.phase === 'scanning'
  }

  configure(silentMs: number): void {
    this.#state.silentMs = silentMs
  }

  command(opcode: number, parameters?: Uint8Array): Promise<Answer> {
    return this.#socket?.command(opcode, parameters) ?? Promise.resolve(undefined)
  }

  async scanning(on: boolean): Promise<boolean> {
    const session = this.#session
    if (!session) return false
    const answer = this.#wait(on ? 'scan-on' : 'scan-off', SCAN_MS)
    if (on) session.scan()
    else session.stopScan()
    return (await answer) === STATUS.ok
  }

  async reset(): Promise<void> {
    if (this.scanningNow) await this.#reset()
  }

  #tick(): void {
    const due = this.#clock.mono() + TICK_MS
    this.#cancelTick = this.#clock.timer(TICK_MS, () => {
      if (this.#reportAt > this.#state.heardAt) this.#decide({ kind: 'heard', now: this.#reportAt })
      const now = this.#clock.mono()
      if (!this.#heldUp.at(now, due)) this.#decide({ kind: 'tick', now, expected: this.#expects(now) })
      if (++this.#ticks % PRUNE_TICKS === 0) this.#session?.prune()
      this.#tick()
    })
  }

  #expects(now: number): boolean {
    return this.#on.expected() || this.#variety.sizeAt(now) >= BUSY
  }

  #decide(event: AdapterEvent): void {
    for (const effect of adapterMachine.step(this.#state, event)) this.#perform(effect)
  }

  #perform(effect: AdapterEffect): void {
    switch (effect.kind) {
      case 'open':
        this.#attempt += 1
        void this.#open(this.#attempt)
        return
      case 'close':
        this.#close()
        return
      case 'wait':
        this.#cancelWait = this.#clock.timer(effect.ms, () => this.#decide({ kind: 'due' }))
        return
      case 'rescan':
        this.counters.rescans += 1
        this.#log.debug({ adapter: this.#link.name }, 'nothing heard; the scan is started again')
        void this.#rescan()
        return
      case 'reset':
        void this.#reset()
        return
      case 'deaf':
        this.#on.deaf(effect.since)
        return
      case 'hearing':
        this.#on.hearing(effect.sure)
        return
      case 'quiet':
        this.#log.debug({ adapter: this.#link.name }, 'nothing is on the air')
        this.#on.quiet()
        return
      case 'state':
        this.#say(effect.state)
    }
  }

  #say(state: DeviceState): void {
    const adapter = this.#link.name
    if (state.detail === 'adapter-silent')
      this.#log.warn({ adapter, detail: state.detail }, 'the adapter reports nothing; restarting its scan and resetting it did not help')
    else if (state.state === 'online') this.#log.info({ adapter }, 'the adapter hears')
    this.#on.state(state)
  }

  async #open(attempt: number): Promise<void> {
    try {
      const link = await this.#link.open({
        packet: (packet) => {
          if (attempt === this.#attempt) this.#socket?.receive(packet)
        },
        lost: (fault) => this.#lost(attempt, fault),
      })
      if (attempt !== this.#attempt || this.#state.phase !== 'opening') {
        link.close()
        return
      }
      const socket = this.#socketOn(link, attempt)
      this.#socket = socket
      const poweredOn = this.#wait('poweredOn', START_MS)
      const session = await NobleSession.open(socket, {
        discover: (peripheral) => {
          this.#variety.add(peripheral.address.charCodeAt(15) + 17 * peripheral.address.charCodeAt(16), this.#reportAt)
          this.#on.discover(peripheral, this.#reportAt)
        },
        state: (state) => this.#powered(attempt, state),
      })
      // Lost while noble started.
      if (attempt !== this.#attempt) {
        session.close()
        return
      }
      this.#session = session
      await this.#bringUp(poweredOn)
      if (attempt !== this.#attempt) return
      this.counters.opened += 1
      this.#decide({ kind: 'opened', now: this.#clock.mono() })
      this.#on.ready()
    } catch (error) {
      if (attempt === this.#attempt) this.#failed(error)
    }
  }

  #socketOn(link: OpenLink, attempt: number): HciSocket {
    return new HciSocket(link, this.#clock, {
      report: () => this.#heard(),
      other: (packet, at) => {
        this.#variety.add(packet[at] ?? 0, this.#reportAt)
        this.#on.other(packet, at)
      },
      malformed: () => {
        this.counters.malformed += 1
        this.#on.malformed()
      },
      scanning: (on, status) => this.#answered(on ? 'scan-on' : 'scan-off', status),
      disturbed: (what) => this.#disturbed(what),
      unsupported: () =>
        this.#lost(
          attempt,
          new AdapterFault('unsupported', `${this.#link.name} is a classic adapter; beacons need Bluetooth 4.0 or later`),
        ),
    })
  }

  /** Noble's start, with a reset where the controller does not come up by itself, and the scan. */
  async #bringUp(poweredOn: Promise<Answer>): Promise<void> {
    if ((await poweredOn) === undefined) {
      const again = this.#wait('poweredOn', START_MS)
      this.counters.resets += 1
      if ((await this.command(OPCODE.reset)) === undefined || (await again) === undefined)
        throw new AdapterFault('adapter-silent', `${this.#link.name} does not answer`)
    }
    if (await this.scanning(true)) return
    // Refused by a controller whose extended commands somebody else has used (7.8.5): a reset takes it back.
    this.counters.resets += 1
    if ((await this.command(OPCODE.reset)) !== STATUS.ok) throw new AdapterFault('adapter-silent', `${this.#link.name} does not answer`)
    const answer = this.#wait('scan-on', SCAN_MS)
    this.#session?.scan()
    const status = await answer
    if (status === undefined) throw new AdapterFault('adapter-silent', `${this.#link.name} does not answer to a scan`)
    if (status !== STATUS.ok) throw new AdapterFault('scan-refused', `${this.#link.name} refuses to scan: status ${hexStatus(status)}`)
  }

  #failed(error: unknown): void {
    this.#close()
    const fault = error instanceof AdapterFault ? error : new AdapterFault('no-adapter', String(error))
    this.#tellAway(fault)
    this.#decide({ kind: 'failed', detail: fault.detail, random: Math.random() })
  }

  #lost(attempt: number, fault: AdapterFault): void {
    if (attempt !== this.#attempt) return
    this.#tellAway(fault)
    this.#decide({ kind: 'lost', detail: fault.detail, now: this.#clock.mono(), random: Math.random() })
  }

  /** Once for each reason, not for each attempt. */
  #tellAway(fault: AdapterFault): void {
    if (this.#state.detail === fault.detail) return
    this.#log.warn({ adapter: this.#link.name, detail: fault.detail, cause: fault.message }, 'the adapter cannot be used')
  }

  #powered(attempt: number, state: string): void {
    if (state === 'poweredOn') this.#answered('poweredOn', STATUS.ok)
    else if (state === 'poweredOff') this.#lost(attempt, new AdapterFault('unplugged', `${this.#link.name} went down or away`))
  }

  #heard(): void {
    this.counters.reports += 1
    this.#reportAt = this.#clock.mono()
    if (this.#state.remedies > 0) this.#decide({ kind: 'heard', now: this.#reportAt })
  }

  #disturbed(what: 'hardware-error' | 'reset' | 'scan' | 'advertising'): void {
    if (what === 'advertising') this.#on.disturbed()
    if (what === 'advertising') return
    if (what !== 'hardware-error' && !this.#foreign) {
      this.#foreign = true
      this.#log.warn(
        { adapter: this.#link.name, what },
        'another program works on this adapter; give the shop one of its own or stop bluetooth.service',
      )
    }
    if (this.#state.phase !== 'scanning') return
    // Programs turn the scan off before they reset: the worst of it counts.
    if (what !== 'scan') this.#mendBroadcast = true
    this.#cancelMend ??= this.#clock.timer(DISTURBED_MS, () => void this.#mend())
  }

  async #mend(): Promise<void> {
    this.#cancelMend = undefined
    const broadcastToo = this.#mendBroadcast
    this.#mendBroadcast = false
    if (this.#state.phase !== 'scanning') return
    const attempt = this.#attempt
    await this.#rescan()
    if (broadcastToo && attempt === this.#attempt && this.#state.phase === 'scanning') this.#on.ready()
  }

  async #rescan(): Promise<void> {
    const attempt = this.#attempt
    const answer = this.#wait('scan-on', SCAN_MS)
    this.#session?.scan()
    // Refused is left to the next remedy.
    if ((await answer) === undefined && attempt === this.#attempt) this.#unanswered()
  }

  async #reset(): Promise<void> {
    const attempt = this.#attempt
    this.counters.resets += 1
    this.#log.debug({ adapter: this.#link.name }, 'the controller is reset')
    const answer = await this.command(OPCODE.reset)
    if (attempt !== this.#attempt) return
    if (answer === undefined) {
      this.#unanswered()
      return
    }
    await this.#rescan()
    if (attempt === this.#attempt && this.#state.phase === 'scanning') this.#on.ready()
  }

  #unanswered(): void {
    this.#decide({ kind: 'unanswered', now: this.#clock.mono(), random: Math.random() })
  }

  #wait(what: Waiting['for'], ms: number): Promise<Answer> {
    return new Promise((resolve) => {
      const finish = (status: Answer): void => {
        cancel()
        this.#waiting = this.#waiting.filter((one) => one !== waiting)
        resolve(status)
      }
      const waiting: Waiting = { for: what, done: finish }
      const cancel = this.#clock.patience(ms, () => finish(undefined))
      this.#waiting.push(waiting)
    })
  }

  #answered(what: Waiting['for'], status: number): void {
    for (const one of this.#waiting.filter((waiting) => waiting.for === what)) one.done(status)
  }

  #close(): void {
    this.#attempt += 1
    this.#session?.close()
    this.#socket?.close()
    this.#session = undefined
    this.#socket = undefined
    for (const one of [...this.#waiting]) one.done(undefined)
    this.#cancelMend?.()
    this.#cancelMend = undefined
    this.#on.gone()
  }
}
