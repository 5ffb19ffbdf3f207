/** What a beacon says in its advertisement. Pure; never throws; anything that breaks its format is undefined. */
import { eddystoneUrl, type Telemetry, telemetry } from './eddystone.ts'

/** As noble hands it on: manufacturer data with its company id, service data with its 16-bit UUID as hex. */
export interface Advertised {
  manufacturerData?: Buffer | undefined
  serviceData?: readonly { uuid: string; data: Buffer }[] | undefined
}

/** `power`: dBm received at 1 m, as the beacon itself claims. */
export type Frame =
  | { kind: 'ibeacon' | 'altbeacon'; uuid: string; major: number; minor: number; power: number }
  | { kind: 'eddystone-uid'; namespace: string; instance: string; power: number }
  | { kind: 'eddystone-url'; url: string; power: number }
  /** Its identity is known to its owner's resolver only. */
  | { kind: 'eddystone-eid'; ephemeral: string; power: number }
  | ({ kind: 'eddystone-tlm' } & Telemetry)
  | { kind: 'eddystone-etlm' }

const EDDYSTONE = 'feaa'
/** Eddystone states power at 0 m; free-space loss over the first metre is 41 dB (Eddystone-UID, "Tx Power Level"). */
const FIRST_METRE = 41

/** One key a beacon, whatever its address; undefined where the frame names nobody (telemetry, EID) or breaks its format. */
export function beaconKey(advertised: Advertised): string | undefined {
  const { manufacturerData: data, serviceData } = advertised
  // iBeacon and AltBeacon keep the same 20 bytes at the same place.
  if (data !== undefined && isIdentified(data)) return data.toString('latin1', 4, 24)
  if (serviceData === undefined) return undefined
  for (const { uuid, data: service } of serviceData) {
    if (uuid !== EDDYSTONE) continue
    if (service[0] === 0x00 && service.length >= 18) return service.toString('latin1', 2, 18)
    if (service[0] === 0x10) {
      const url = eddystoneUrl(service)
      if (url !== undefined) return urlKey(url)
    }
  }
  return undefined
}

/** The key of a registered iBeacon or AltBeacon: `uuid` as hex with or without hyphens. */
export function proximityKey(uuid: string, major: number, minor: number): string {
  const bytes = Buffer.alloc(20)
  bytes.write(uuid.replaceAll('-', ''), 'hex')
  bytes.writeUInt16BE(major, 16)
  bytes.writeUInt16BE(minor, 18)
  return bytes.toString('latin1')
}

/** The key of a registered Eddystone-UID: 10 and 6 bytes of hex. */
export function eddystoneKey(namespace: string, instance: string): string {
  return Buffer.from(namespace + instance, 'hex').toString('latin1')
}

export function urlKey(url: string): string {
  return `url ${url}`
}

/** dBm at 1 m of the frame that `beaconKey` has found. */
export function powerOf(advertised: Advertised): number {
  const { manufacturerData: data, serviceData } = advertised
  if (data !== undefined && isIdentified(data)) return data.readInt8(24)
  for (const { uuid, data: service } of serviceData ?? [])
    if (uuid === EDDYSTONE && service.length >= 2 && (service[0] === 0x00 || service[0] === 0x10)) return service.readInt8(1) - FIRST_METRE
  return -59
}

/** Every frame in an advertisement: a beacon may send several kinds in one. */
export function framesOf(advertised: Advertised): Frame[] {
  const frames: Frame[] = []
  const { manufacturerData: data, serviceData } = advertised
  if (data !== undefined && isIdentified(data)) frames.push(proximity(data))
  for (const { uuid, data: service } of serviceData ?? []) {
    const frame = uuid === EDDYSTONE ? eddystone(service) : undefined
    if (frame) frames.push(frame)
  }
  return frames
}

function isIdentified(data: Buffer): boolean {
  if (data.length < 25) return false
  if (data[2] === 0x02) return data[3] === 0x15 && data[0] === 0x4c && data[1] === 0x00
  return data[2] === 0xbe && data[3] === 0xac
}

function proximity(data: Buffer): Frame {
  const hex = data.toString('hex', 4, 20)
  return {
    kind: data[2] === 0x02 ? 'ibeacon' : 'altbeacon',
    uuid: [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-'),
    major: data.readUInt16BE(20),
    minor: data.readUInt16BE(22),
    power: data.readInt8(24),
  }
}

function eddystone(data: Buffer): Frame | undefined {
  switch (data[0]) {
    case 0x00:
      if (data.length < 18) return undefined
      return {
        kind: 'eddystone-uid',
        namespace: data.toString('hex', 2, 12),
        instance: data.toString('hex', 12, 18),
        power: data.readInt8(1) - FIRST_METRE,
      }
    case 0x10: {
      const url = eddystoneUrl(data)
      return url === undefined ? undefined : { kind: 'eddystone-url', url, power: data.readInt8(1) - FIRST_METRE }
    }
    case 0x20: {
      // Version 1 is encrypted: only its owner's key opens it.
      if (data[1] === 0x01 && data.length >= 18) return { kind: 'eddystone-etlm' }
      const told = telemetry(data)
      return told === undefined ? undefined : { kind: 'eddystone-tlm', ...told }
    }
    case 0x30:
      if (data.length < 10) return undefined
      return { kind: 'eddystone-eid', ephemeral: data.toString('hex', 2, 10), power: data.readInt8(1) - FIRST_METRE }
    default:
      return undefined
  }
}
