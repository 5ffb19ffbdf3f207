/**
 * The other end of the wire: a Bluetooth controller that speaks HCI. Capabilities and state first, then behaviours, of which the
 * newest that feels responsible answers, then faults as switches.
 */
import { command, commandOf, EVENT, LE_EVENT, OPCODE, PACKET, STATUS } from '../hci/packets.ts'

export interface Capabilities {
  /** HCI version: 6 is Bluetooth 4.0. */
  version: number
  /** As printed, most significant byte first. */
  address: string
}

/** All off: a sound controller. */
export interface Faults {
  /** Advertising is refused while it scans, as by old dual-mode chips. */
  refusesAdvertisingWhileScanning: boolean
  refusesAdvertising: boolean
  /** Commands are answered, but nothing is reported. */
  silent: boolean
  /** The scan ends for good at the next report; only a reset starts it again. */
  scanStuckUntilReset: boolean
  /** No command is answered, nothing is reported. */
  hung: boolean
  /** HCI Reset is never answered, and then nothing is. */
  hangsOnReset: boolean
  /** Share of reports that arrive cut or spoilt. */
  malformed: number
  /** Status with which a command is answered instead of being done. */
  statuses: Record<number, number>
}

const SOUND: Faults = {
  refusesAdvertisingWhileScanning: false,
  refusesAdvertising: false,
  silent: false,
  scanStuckUntilReset: false,
  hung: false,
  hangsOnReset: false,
  malformed: 0,
  statuses: {},
}

/** Answers a command with status and return values; undefined: the next behaviour is asked; `'silence'`: no answer at all. */
export type Behaviour = (
  opcode: number,
  parameters: Buffer,
  controller: SimulatedController,
) => { status: number; returns?: Uint8Array } | 'silence' | undefined

/** One advertisement on the air. */
export interface Advertisement {
  address: string
  /** AD structures. */
  payload: Uint8Array
  rssi: number
  connectable?: boolean
  random?: boolean
}

const clean = () => ({
  scanning: false,
  advertising: false,
  advertisingData: Buffer.alloc(0),
  advertisingParameters: Buffer.alloc(0),
})

export class SimulatedController {
  readonly capabilities: Capabilities
  readonly faults: Faults = { ...SOUND, statuses: {} }
  state = clean()
  /** Every command so far, oldest first; at most 10,000. */
  readonly commands: { opcode: number; parameters: Buffer }[] = []
  reports = 0
  readonly #behaviours: Behaviour[] = [builtIn]
  #send: (packet: Buffer) => void = () => {}
  #stuck = false
  #random: () => number

  constructor(capabilities: Partial<Capabilities> = {}, random: () => number = Math.random) {
    this.capabilities = { version: 9, address: '00:1a:7d:da:71:13', ...capabilities }
    this.#random = random
  }

  /** Where events go. */
  attach(send: (packet: Buffer) => void): void {
    this.#send = send
  }

  /** The newest is asked first. */
  behave(behaviour: Behaviour): void {
    this.#behaviours.push(behaviour)
  }

  /** From the host. */
  receive(packet: Buffer): void {
    const asked = commandOf(packet)
    if (!asked || this.faults.hung) return
    const { opcode, parameters } = asked
    this.commands.push({ opcode, parameters: Buffer.from(parameters) })
    if (this.commands.length > 10_000) this.commands.shift()
    const refused = this.faults.statuses[opcode]
    if (refused !== undefined) {
      this.complete(opcode, refused)
      return
    }
    for (const behaviour of [...this.#behaviours].reverse()) {
      const answer = behaviour(opcode, parameters, this)
      if (answer === undefined) continue
      if (answer !== 'silence') this.complete(opcode, answer.status, answer.returns)
      return
    }
    this.complete(opcode, STATUS.unknownCommand)
  }

  complete(opcode: number, status: number, returns: Uint8Array = new Uint8Array(0)): void {
    const event = Buffer.alloc(7 + returns.length)
    event.set([PACKET.event, EVENT.commandComplete, 4 + returns.length, 1, opcode & 0xff, opcode >> 8, status])
    event.set(returns, 7)
    this.#send(event)
  }

  /** Something is on the air; it is reported if the controller scans and is well. */
  hear(advertisement: Advertisement): void {
    const { faults, state } = this
    if (!state.scanning || this.#stuck || faults.silent || faults.hung) return
    if (faults.scanStuckUntilReset) {
      this.#stuck = true
      return
    }
    this.reports += 1
    const packet = report(advertisement)
    this.#send(faults.malformed > 0 && this.#random() < faults.malformed ? spoilt(packet, this.#random) : packet)
  }

  /** Bytes as they are. */
  send(packet: Buffer): void {
    this.#send(packet)
  }

  /** It starts anew by itself, as after a firmware crash: the host is told, all settings are gone. */
  resetItself(): void {
    this.power()
    this.#send(Buffer.from([PACKET.event, EVENT.hardwareError, 1, 0x42]))
  }

  /** Another program on the host turns the scan off: a raw socket shows its command, and the answer. */
  otherTurnsScanOff(): void {
    this.state.scanning = false
    this.#send(command(OPCODE.leSetScanEnable, Uint8Array.of(0, 0)))
    this.complete(OPCODE.leSetScanEnable, STATUS.ok)
  }

  /** Another program on the host takes the advertising. */
  otherTurnsAdvertisingOff(): void {
    this.state.advertising = false
    this.#send(command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(0)))
    this.complete(OPCODE.leSetAdvertisingEnable, STATUS.ok)
  }

  /** As after power-on. */
  power(): void {
    this.state = clean()
    this.#stuck = false
  }
}

/** What a sound Bluetooth 4 controller does (Vol 4, Part E, 7.3 to 7.8). */
const builtIn: Behaviour = (opcode, parameters, controller) => {
  const { state, faults, capabilities } = controller
  switch (opcode) {
    case OPCODE.reset:
      if (faults.hangsOnReset) {
        faults.hung = true
        return 'silence'
      }
      controller.power()
      return { status: STATUS.ok }
    case OPCODE.readLocalVersion:
      return { status: STATUS.ok, returns: Uint8Array.of(capabilities.version, 0, 0, capabilities.version, 0x0f, 0, 0, 0) }
    case OPCODE.readBdAddr:
      return { status: STATUS.ok, returns: addressBytes(capabilities.address) }
    case OPCODE.readLeHostSupported:
      return { status: STATUS.ok, returns: Uint8Array.of(1, 0) }
    case OPCODE.leReadBufferSize:
      return { status: STATUS.ok, returns: Uint8Array.of(0xfb, 0, 8) }
    case OPCODE.readBufferSize:
      return { status: STATUS.ok, returns: Uint8Array.of(0xfd, 3, 0x40, 8, 0, 8, 0) }
    case OPCODE.setEventMask:
    case OPCODE.leSetEventMask:
    case OPCODE.writeLeHostSupported:
      return { status: STATUS.ok }
    case OPCODE.leSetScanParameters:
      return { status: state.scanning ? STATUS.commandDisallowed : STATUS.ok }
    case OPCODE.leSetScanEnable:
      if (parameters[0] === 1 && state.advertising && faults.refusesAdvertisingWhileScanning) return { status: STATUS.commandDisallowed }
      state.scanning = parameters[0] === 1
      return { status: STATUS.ok }
    default:
      return advertising(opcode, parameters, controller)
  }
}

const advertising: Behaviour = (opcode, parameters, { state, faults }) => {
  switch (opcode) {
    case OPCODE.leSetAdvertisingParameters:
      if (parameters.length !== 15) return { status: STATUS.invalidParameters }
      if (state.advertising) return { status: STATUS.commandDisallowed }
      state.advertisingParameters = Buffer.from(parameters)
      return { status: STATUS.ok }
    case OPCODE.leSetAdvertisingData:
      if (parameters.length !== 32) return { status: STATUS.invalidParameters }
      state.advertisingData = Buffer.from(parameters.subarray(1, 1 + (parameters[0] ?? 0)))
      return { status: STATUS.ok }
    case OPCODE.leSetAdvertisingEnable:
      if (parameters[0] === 1 && (faults.refusesAdvertising || (state.scanning && faults.refusesAdvertisingWhileScanning)))
        return { status: STATUS.commandDisallowed }
      state.advertising = parameters[0] === 1
      return { status: STATUS.ok }
    default:
      return undefined
  }
}

/** 7.7.65.2: an LE Advertising Report with one report in it. */
export function report({ address, payload, rssi, connectable = false, random = true }: Advertisement): Buffer {
  const packet = Buffer.alloc(15 + payload.length)
  packet.set([PACKET.event, EVENT.leMeta, 12 + payload.length, LE_EVENT.advertisingReport, 1, connectable ? 0x00 : 0x03, random ? 1 : 0])
  packet.set(addressBytes(address), 7)
  packet[13] = payload.length
  packet.set(payload, 14)
  packet.writeInt8(Math.max(-127, Math.min(20, Math.round(rssi))), 14 + payload.length)
  return packet
}

/** Least significant byte first, as on the wire. */
function addressBytes(address: string): Buffer {
  return Buffer.from(address.replaceAll(':', ''), 'hex').reverse()
}

/** Cut, stretched or with a few bytes changed, but with an H4 head that fits, so that the stream keeps its step. */
function spoilt(packet: Buffer, random: () => number): Buffer {
  const bytes = Buffer.from(packet.subarray(0, 3 + Math.floor(random() * (packet.length - 2))))
  for (let at = 3; at < bytes.length; at++) if (random() < 0.1) bytes[at] = Math.floor(random() * 256)
  bytes[2] = bytes.length - 3
  return bytes
}
