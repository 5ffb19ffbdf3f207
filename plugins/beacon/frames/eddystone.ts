/** Eddystone's compressed URLs and its telemetry (github.com/google/eddystone: eddystone-url, eddystone-tlm/tlm-plain.md). */

const SCHEMES = ['http://www.', 'https://www.', 'http://', 'https://'] as const

/** A byte below 14 stands for an ending; `/` follows the first seven. */
const ENDINGS = ['.com', '.org', '.edu', '.net', '.info', '.biz', '.gov'] as const

/** Of a frame `10 power scheme url…`; at most 17 bytes of URL. */
export function eddystoneUrl(frame: Buffer): string | undefined {
  const scheme = SCHEMES[frame[2] ?? SCHEMES.length]
  if (scheme === undefined || frame.length > 20) return undefined
  let url: string = scheme
  for (let at = 3; at < frame.length; at++) {
    const byte = frame[at] as number
    const ending = ENDINGS[byte % 7]
    if (byte < 14 && ending !== undefined) url += byte < 7 ? `${ending}/` : ending
    else if (byte > 0x20 && byte < 0x7f) url += String.fromCharCode(byte)
    else return undefined
  }
  return url
}

export interface Telemetry {
  /** Absent where the beacon does not measure it. */
  batteryMv?: number
  celsius?: number
  /** Frames sent since power-on. */
  sent: number
  /** Since power-on, in seconds; a tenth is its unit. */
  uptime: number
}

/** Of a frame `20 00 battery(2) temperature(2) count(4) tenths(4)`, big endian. */
export function telemetry(frame: Buffer): Telemetry | undefined {
  if (frame.length < 14 || frame[1] !== 0x00) return undefined
  const battery = frame.readUInt16BE(2)
  const temperature = frame.readInt16BE(4)
  return {
    ...(battery === 0 ? {} : { batteryMv: battery }),
    // 8.8 fixed point; 0x8000 (-128 °C) means not measured.
    ...(temperature === -0x8000 ? {} : { celsius: Math.round((temperature / 256) * 10) / 10 }),
    sent: frame.readUInt32BE(6),
    uptime: frame.readUInt32BE(10) / 10,
  }
}
