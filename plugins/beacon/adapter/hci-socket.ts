/** The socket noble gets: the surface it knows, in front of an open link, with sieve, checked commands and an end. */
import { EventEmitter } from 'node:events'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { command, commandOf, completion, EVENT, OPCODE, PACKET, STATUS } from '../hci/packets.ts'
import { type Sieve, sift } from '../hci/sift.ts'
import type { OpenLink } from './link.ts'

/** Spec'd controllers answer within a second; a USB reset takes longer. */
const ANSWER_MS = 3_000
/** The kernel waits no longer for an answer (HCI_CMD_TIMEOUT). */
const KERNEL_MS = 2_000
/** Bluetooth 4.0: the first with Low Energy (Assigned Numbers, "Core version"). */
const FIRST_WITH_LE = 0x06

const OURS: ReadonlySet<number> = new Set(Object.values(OPCODE))
const SCAN: ReadonlySet<number> = new Set([
  OPCODE.leSetScanParameters,
  OPCODE.leSetScanEnable,
  OPCODE.leSetExtendedScanParameters,
  OPCODE.leSetExtendedScanEnable,
])

/** Legacy (7.8.5 to 7.8.9) and extended (7.8.52 to 7.8.60) commands: one controller, one air. */
function isAdvertising(opcode: number): boolean {
  return (
    (opcode >= OPCODE.leSetAdvertisingParameters && opcode <= OPCODE.leSetAdvertisingEnable) ||
    (opcode >= OPCODE.leSetAdvertisingSetRandomAddress && opcode <= OPCODE.leClearAdvertisingSets)
  )
}

export interface SocketEvents {
  /** Any advertising report: the adapter hears. */
  report(): void
  /** A report of no beacon; its address is `packet[at..at+6]`. */
  other(packet: Buffer, at: number): void
  /** `byNoble`: the sieve let it pass, and noble threw. */
  malformed(byNoble: boolean): void
  /** The controller's answer to a scan command, noble's own or ours. */
  scanning(on: boolean, status: number): void
  /** The controller has reset itself, or somebody else on this machine has changed what we set. */
  disturbed(what: 'hardware-error' | 'reset' | 'scan' | 'advertising'): void
  /** A classic controller: it cannot hear beacons. */
  unsupported(): void
}

interface Waiting {
  answer(status: number): void
  cancel(): void
}

/** Answer to a command: the controller's status, or `undefined` when none came in time. */
export type Answer = number | undefined

export class HciSocket extends EventEmitter {
  readonly #link: OpenLink
  readonly #clock: Clock
  readonly #on: SocketEvents
  readonly #sieve: Sieve
  readonly #waiting = new Map<number, Waiting[]>()
  /** Scan switches on their way to the controller: what each asks for. */
  readonly #scanSwitches: boolean[] = []
  /** Commands of others that are on their way to the controller, by opcode: the next answer to one is not ours. */
  readonly #others = new Map<number, { count: number; at: number }>()
  #closed = false

  constructor(link: OpenLink, clock: Clock, on: SocketEvents) {
    super()
    this.#link = link
    this.#clock = clock
    this.#on = on
    this.#sieve = {
      pass: (packet) => this.#toNoble(packet),
      other: (packet, at) => on.other(packet, at),
      malformed: () => on.malformed(false),
    }
  }

  // What noble calls.
  bindRaw(): void {}
  bindUser(): void {}
  start(): void {}
  stop(): void {}

  isDevUp(): boolean {
    return !this.#closed && this.#link.isUp()
  }

  /** Noble asks for a few events only; a controller that resets itself says so in another one. */
  setFilter(filter: Buffer): void {
    if (this.#closed) return
    const wider = Buffer.from(filter)
    wider.writeUInt32LE((wider.readUInt32LE(4) | (1 << EVENT.hardwareError)) >>> 0, 4)
    this.#link.setFilter(wider)
  }

  write(packet: Buffer): void {
    if (this.#closed) return
    if (packet[0] === PACKET.command && packet.readUInt16LE(1) === OPCODE.leSetScanEnable) this.#scanSwitches.push(packet[4] === 1)
    this.#link.write(packet)
  }

  /** Sends a command of ours and waits for the controller's answer to it. */
  command(opcode: number, parameters?: Uint8Array): Promise<Answer> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve(undefined)
      const queue = this.#waiting.get(opcode) ?? []
      this.#waiting.set(opcode, queue)
      const waiting: Waiting = {
        answer: (status) => {
          cancel()
          resolve(status)
        },
        cancel: () => {
          cancel()
          resolve(undefined)
        },
      }
      const cancel = this.#clock.patience(ANSWER_MS, () => {
        queue.splice(queue.indexOf(waiting), 1)
        resolve(undefined)
      })
      queue.push(waiting)
      this.write(command(opcode, parameters))
    })
  }

  /** From the link. */
  receive(packet: Buffer): void {
    if (this.#closed) return
    if (packet[0] === PACKET.event && packet[1] === EVENT.leMeta) this.#on.report()
    else if (!this.#watch(packet)) return
    sift(packet, this.#sieve)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#link.close()
    for (const queue of this.#waiting.values()) for (const one of queue.splice(0)) one.cancel()
    this.removeAllListeners()
  }

  #toNoble(packet: Buffer): void {
    if (this.#closed) return
    try {
      this.emit('data', packet)
    } catch {
      // Noble throws out of its parser on what it did not expect; the packet is lost, the scan is not.
      this.#on.malformed(true)
    }
  }

  /** False when noble is better off without it. */
  #watch(packet: Buffer): boolean {
    if (packet[0] === PACKET.event && packet[1] === EVENT.hardwareError) this.#on.disturbed('hardware-error')
    const foreign = commandOf(packet)
    if (foreign) {
      // The kernel sends one command at a time, whoever's it is, and waits for its answer (net/bluetooth/hci_core.c, cmd_cnt).
      const count = (this.#others.get(foreign.opcode)?.count ?? 0) + 1
      if (OURS.has(foreign.opcode)) this.#others.set(foreign.opcode, { count, at: this.#clock.mono() })
      this.#disturbed(foreign.opcode)
    }
    const done = completion(packet)
    if (!done) return true
    if (done.opcode === OPCODE.reset) this.#swept()
    else if (this.#isOthers(done.opcode)) return true
    if (done.opcode === OPCODE.leSetScanEnable) {
      const on = this.#scanSwitches.shift()
      if (on !== undefined) this.#on.scanning(on, done.status)
    }
    this.#waiting.get(done.opcode)?.shift()?.answer(done.status)
    const version = done.returns[0] ?? FIRST_WITH_LE
    if (done.opcode !== OPCODE.readLocalVersion || done.status !== STATUS.ok || version >= FIRST_WITH_LE) return true
    // Noble would print advice at each start.
    this.#on.unsupported()
    return false
  }

  #isOthers(opcode: number): boolean {
    const theirs = this.#others.get(opcode)
    if (!theirs) return false
    if (theirs.count > 1) theirs.count -= 1
    else this.#others.delete(opcode)
    return this.#clock.mono() - theirs.at < KERNEL_MS
  }

  /** After a reset, whoever's, nothing that was under way is answered any more. */
  #swept(): void {
    this.#scanSwitches.length = 0
    this.#others.clear()
    for (const [opcode, queue] of this.#waiting) if (opcode !== OPCODE.reset) for (const one of queue.splice(0)) one.cancel()
  }

  /** A raw socket also shows the commands that others on this machine send. */
  #disturbed(opcode: number): void {
    if (opcode === OPCODE.reset) this.#on.disturbed('reset')
    else if (SCAN.has(opcode)) this.#on.disturbed('scan')
    else if (isAdvertising(opcode)) this.#on.disturbed('advertising')
  }
}
