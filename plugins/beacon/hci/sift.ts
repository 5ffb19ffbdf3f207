/**
 * Looks over what the controller sends before noble sees it. Noble throws on empty and cut packets, prints a line for each
 * malformed report, and keeps every address it is shown for good; so only whole packets pass, one report each, and only reports that
 * carry a beacon's frame. Pure; never throws.
 */
import { EVENT, LE_EVENT, OPCODE, PACKET } from './packets.ts'

export interface Sieve {
  /** One whole packet for noble. */
  pass(packet: Buffer): void
  /** A report of something that is no beacon: `packet[at]` is the first of the 6 bytes of its address. To be counted, not kept. */
  other(packet: Buffer, at: number): void
  /** A packet or report that breaks the format. */
  malformed(): void
}

/** What an advertising payload is to noble and to us. */
const NOTHING = 0
const BEACON = 1
const BROKEN = 2

/** Where the fields of one report lie, for the two kinds of report (Vol 4, Part E, 7.7.65.2 and 7.7.65.13). */
interface ReportShape {
  address: number
  /** Offset of the payload's length byte; the payload follows. */
  length: number
  /** Bytes behind the payload. */
  tail: number
}
const LEGACY: ReportShape = { address: 2, length: 8, tail: 1 }
const EXTENDED: ReportShape = { address: 3, length: 23, tail: 0 }

/** Never sent by this plugin, but others' answers are seen as well. */
const READ_RSSI = 0x1405
const READ_SUPPORTED_COMMANDS = 0x1002

/** The least a Command Complete of these opcodes must bring for noble to read it: 7 bytes of head and status, then its return values. */
const LEAST_COMPLETE: Record<number, number> = {
  [OPCODE.readLocalVersion]: 15,
  [OPCODE.readBufferSize]: 14,
  [OPCODE.readBdAddr]: 13,
  [READ_RSSI]: 10,
}
/** The same, where noble looks at the status first. */
const LEAST_SUCCESS: Record<number, number> = { [OPCODE.leReadBufferSize]: 10, [OPCODE.readLeHostSupported]: 9 }

export function sift(packet: Buffer, sieve: Sieve): void {
  const type = packet[0]
  if (type === PACKET.event) siftEvent(packet, sieve)
  // Others' commands, which a raw socket shows as well: noble reads of them whether the scan was turned on or off.
  else if (type === PACKET.command) passIf(wholeCommand(packet), packet, sieve)
  // Nothing is connected to: data packets are nobody's.
  else if (type !== PACKET.acl && type !== PACKET.sco && type !== PACKET.iso) sieve.malformed()
}

function passIf(whole: boolean, packet: Buffer, sieve: Sieve): void {
  if (whole) sieve.pass(packet)
  else sieve.malformed()
}

function siftEvent(packet: Buffer, sieve: Sieve): void {
  if (packet.length < 3 || packet[2] !== packet.length - 3) sieve.malformed()
  else if (packet[1] === EVENT.leMeta) {
    if (packet[3] === LE_EVENT.advertisingReport) siftReports(packet, LEGACY, sieve)
    else if (packet[3] === LE_EVENT.extendedAdvertisingReport) siftReports(packet, EXTENDED, sieve)
  } else if (packet[1] === EVENT.commandComplete) passIf(wholeComplete(packet), packet, sieve)
  else if (packet[1] === EVENT.commandStatus) passIf(packet.length >= 7, packet, sieve)
  // Noble reads nothing else that matters here: connections are not made.
}

function wholeCommand(packet: Buffer): boolean {
  if (packet.length < 4 || packet[3] !== packet.length - 4) return false
  const opcode = packet.readUInt16LE(1)
  // Of these noble reads both parameters.
  return (opcode !== OPCODE.leSetScanEnable && opcode !== OPCODE.leSetExtendedScanEnable) || packet.length >= 6
}

function wholeComplete(packet: Buffer): boolean {
  if (packet.length < 6) return false
  const opcode = packet.readUInt16LE(4)
  // Opcode 0 only says that commands may be sent (7.7.14): no status follows.
  if (opcode === 0) return false
  // Noble never asks, but would take another program's answer as leave to use extended commands.
  if (opcode === READ_SUPPORTED_COMMANDS) return false
  const least = packet[6] === 0 ? LEAST_SUCCESS[opcode] : undefined
  return packet.length >= (least ?? LEAST_COMPLETE[opcode] ?? 7)
}

function siftReports(packet: Buffer, shape: ReportShape, sieve: Sieve): void {
  const count = packet[4] ?? 0
  let at = 5
  if (count === 0) sieve.malformed()
  for (let report = 0; report < count; report++) {
    const start = at + shape.length + 1
    const end = start + (packet[at + shape.length] ?? 0)
    at = end + shape.tail
    if (start > packet.length || at > packet.length) {
      sieve.malformed()
      return
    }
    const first = start - shape.length - 1
    const found = payload(packet, start, end)
    if (found === NOTHING) sieve.other(packet, first + shape.address)
    else if (found === BROKEN) sieve.malformed()
    // One whole report in the packet is the usual case, and noble misreads several extended ones in one event.
    else sieve.pass(count === 1 ? packet : alone(packet, first, at))
  }
}

function alone(packet: Buffer, from: number, to: number): Buffer {
  const one = Buffer.allocUnsafe(5 + to - from)
  packet.copy(one, 0, 0, 5)
  one[2] = one.length - 3
  one[4] = 1
  packet.copy(one, 5, from, to)
  return one
}

/** Walks the AD structures (Core Specification Supplement, Part A). Where noble stops reading, so does this. */
function payload(packet: Buffer, start: number, end: number): number {
  let found = NOTHING
  let at = start
  while (at + 1 < end) {
    const length = packet[at] as number
    if (length < 1 || at + length + 1 > end) break
    const type = packet[at + 1]
    if (type === 0xff) {
      if (isBeacon(packet, at + 2, at + length + 1)) found = BEACON
    } else if (type === 0x16) {
      if (length === 1) return BROKEN
      if (length >= 4 && packet[at + 2] === 0xaa && packet[at + 3] === 0xfe) found = BEACON
    } else if (length === 1 && (type === 0x0a || type === 0x20 || type === 0x21)) return BROKEN
    at += length + 1
  }
  return found
}

/** Manufacturer data of an iBeacon (Apple, type 02, 21 bytes) or an AltBeacon (any company, code BE AC). */
function isBeacon(packet: Buffer, from: number, to: number): boolean {
  if (to - from < 4) return false
  const code = packet[from + 2]
  if (code === 0x02) return packet[from + 3] === 0x15 && packet[from] === 0x4c && packet[from + 1] === 0x00
  return code === 0xbe && packet[from + 3] === 0xac
}
