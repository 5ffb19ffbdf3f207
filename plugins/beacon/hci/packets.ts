/** HCI packets with their H4 type byte in front (Bluetooth Core 5.4, Vol 4, Part A and Part E). */

export const PACKET = { command: 0x01, acl: 0x02, sco: 0x03, event: 0x04, iso: 0x05 } as const

export const EVENT = { commandComplete: 0x0e, commandStatus: 0x0f, hardwareError: 0x10, leMeta: 0x3e } as const

export const LE_EVENT = { advertisingReport: 0x02, extendedAdvertisingReport: 0x0d } as const

/** Opcode = OGF << 10 | OCF. */
export const OPCODE = {
  setEventMask: 0x0c01,
  reset: 0x0c03,
  readLeHostSupported: 0x0c6c,
  writeLeHostSupported: 0x0c6d,
  readLocalVersion: 0x1001,
  readBufferSize: 0x1005,
  readBdAddr: 0x1009,
  leSetEventMask: 0x2001,
  leReadBufferSize: 0x2002,
  leSetAdvertisingParameters: 0x2006,
  leSetAdvertisingData: 0x2008,
  leSetAdvertisingEnable: 0x200a,
  leSetScanParameters: 0x200b,
  leSetScanEnable: 0x200c,
  leSetAdvertisingSetRandomAddress: 0x2035,
  leClearAdvertisingSets: 0x203d,
  leSetExtendedScanParameters: 0x2041,
  leSetExtendedScanEnable: 0x2042,
} as const

/** Core 5.4, Vol 1, Part F. */
export const STATUS = { ok: 0x00, unknownCommand: 0x01, commandDisallowed: 0x0c, unsupported: 0x11, invalidParameters: 0x12 } as const

export function command(opcode: number, parameters: Uint8Array = new Uint8Array(0)): Buffer {
  const packet = Buffer.alloc(4 + parameters.length)
  packet[0] = PACKET.command
  packet.writeUInt16LE(opcode, 1)
  packet[3] = parameters.length
  packet.set(parameters, 4)
  return packet
}

export interface Completion {
  opcode: number
  status: number
  /** What follows the status. */
  returns: Buffer
}

/** A Command Complete, or a Command Status that refuses; undefined for anything else, cut ones too. */
export function completion(packet: Buffer): Completion | undefined {
  if (packet[0] !== PACKET.event || packet.length < 7) return undefined
  if (packet[1] === EVENT.commandComplete)
    return { opcode: packet.readUInt16LE(4), status: packet[6] ?? STATUS.ok, returns: packet.subarray(7) }
  // Status 0 there is no answer yet: "the command is pending" (7.7.15).
  if (packet[1] === EVENT.commandStatus && packet[3] !== STATUS.ok)
    return { opcode: packet.readUInt16LE(5), status: packet[3] ?? STATUS.ok, returns: packet.subarray(packet.length) }
  return undefined
}

/** Type and opcode of a command packet; undefined for anything else. */
export function commandOf(packet: Buffer): { opcode: number; parameters: Buffer } | undefined {
  if (packet[0] !== PACKET.command || packet.length < 4) return undefined
  return { opcode: packet.readUInt16LE(1), parameters: packet.subarray(4) }
}

export function hexStatus(status: number): string {
  return `0x${status.toString(16).padStart(2, '0')}`
}
