/** The 31 bytes that make this gateway an iBeacon. */

/** What WeChat's "shake nearby" listened for (domain of every shop that used it; each shop has its own major and minor). */
export const WECHAT_UUID = 'FDA50693-A4E2-4FB1-AFCF-C6EB07647825'

export interface BroadcastSpec {
  uuid: string
  major: number
  minor: number
  /** dBm at 1 m, measured with `calibrate` or a phone. */
  power: number
  intervalMs: number
}

/** Flags: LE general discoverable, BR/EDR not supported. Then Apple's manufacturer data, type 02, 21 bytes. */
export function ibeaconPayload(spec: BroadcastSpec): Buffer {
  const payload = Buffer.alloc(30)
  Buffer.from('0201061aff4c000215', 'hex').copy(payload)
  payload.write(spec.uuid.replaceAll('-', ''), 9, 'hex')
  payload.writeUInt16BE(spec.major, 25)
  payload.writeUInt16BE(spec.minor, 27)
  payload.writeInt8(spec.power, 29)
  return payload
}
