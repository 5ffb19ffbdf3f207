/**
 * Bytes as beacons put them on the air, and what they mean. Captured ones: a Blue Charm BC011 in each of its four modes (Android's own
 * ScanRecordTest), a RuuviTag as hcidump showed it (ruuvitag-sensor's tests), a MikroTik TG-BT5 with the reading its vendor's router
 * printed beside the bytes (RouterOS `iot bluetooth peripheral-devices`), the AltBeacon of the reference library's tests
 * (AltBeacon/android-beacon-library, AltBeaconTest), Nordic's Eddystone-EID example (EddystoneEidTest of its nRF toolbox). The rest is put
 * together by hand after the published formats, not by this plugin's code.
 */
import type { Frame } from './frames/frames.ts'

export interface Golden {
  name: string
  /** A whole HCI event, with its H4 type byte. */
  packet: string
  address: string
  rssi: number
  frames: Frame[]
}

/** Vol 4, Part E, 7.7.65.2, around a payload: one non-connectable report of a random address, -61 dBm. */
function reported(payload: string): string {
  const bytes = payload.length / 2
  const hex = (value: number) => value.toString(16).padStart(2, '0')
  return `043e${hex(bytes + 12)}02010301665544332211${hex(bytes)}${payload}c3`
}

const ADDRESS = '11:22:33:44:55:66'

export const GOLDEN: readonly Golden[] = [
  {
    name: 'iBeacon, WeChat shake UUID, the whole event by hand',
    packet: '043e2a02010301010000eeffc01e0201061aff4c000215fda50693a4e24fb1afcfc6eb07647825000a0007c5c3',
    address: 'c0:ff:ee:00:00:01',
    rssi: -61,
    frames: [{ kind: 'ibeacon', uuid: 'fda50693-a4e2-4fb1-afcf-c6eb07647825', major: 10, minor: 7, power: -59 }],
  },
  {
    name: 'iBeacon of a Blue Charm BC011, captured',
    packet: reported('0201061aff4c000215426c7565636861726d426561636f6e730efe1355c5'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'ibeacon', uuid: '426c7565-6368-6172-6d42-6561636f6e73', major: 3838, minor: 4949, power: -59 }],
  },
  {
    name: 'AltBeacon of Radius Networks, reference library',
    packet: reported('02011a1bff1801beac2f234454cf6d4a0fadf2f4911ba9ffa600010002c509'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'altbeacon', uuid: '2f234454-cf6d-4a0f-adf2-f4911ba9ffa6', major: 1, minor: 2, power: -59 }],
  },
  {
    name: 'Eddystone-UID of a Blue Charm BC011, captured',
    packet: reported('0201060303aafe1716aafe00ee626c7565636861726d310000000000010000'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-uid', namespace: '626c7565636861726d31', instance: '000000000001', power: -59 }],
  },
  {
    name: 'Eddystone-UID without the two reserved bytes, as older firmware sends it',
    packet: reported('0201060303aafe1516aafe00e700112233445566778899000000000001'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-uid', namespace: '00112233445566778899', instance: '000000000001', power: -66 }],
  },
  {
    name: 'Eddystone-URL of a RuuviTag, the whole event captured',
    packet: '043e2a0201030157168974a5f41e0201060303aafe1616aafe10ee037275752e76692f23416a7759414d4663cd',
    address: 'f4:a5:74:89:16:57',
    rssi: -51,
    frames: [{ kind: 'eddystone-url', url: 'https://ruu.vi/#AjwYAMFc', power: -59 }],
  },
  {
    name: 'Eddystone-URL with an ending that brings its slash, Blue Charm BC011, captured',
    packet: reported('0201060303aafe1716aafe10ee01626c7565636861726d626561636f6e7300'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-url', url: 'https://www.bluecharmbeacons.com/', power: -59 }],
  },
  {
    name: 'Eddystone-TLM of a Blue Charm BC011, captured',
    packet: reported('0201060303aafe1116aafe20000bf017000008874803fb9354'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-tlm', batteryMv: 3056, celsius: 23, sent: 558_920, uptime: 6_681_890 }],
  },
  {
    name: 'Eddystone-TLM of a MikroTik tag, captured: 2.928 V, 21.285 °C, 37040856 packets, 3724474.2 s',
    packet: reported('0201060303aafe1116aafe20000b701549023532d802384f46'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-tlm', batteryMv: 2928, celsius: 21.3, sent: 37_040_856, uptime: 3_724_474.2 }],
  },
  {
    name: 'Eddystone-TLM that measures neither battery nor temperature',
    packet: reported('0201060303aafe1116aafe200000008000000000450000025800'.slice(0, 50)),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-tlm', sent: 69, uptime: 60 }],
  },
  {
    name: 'Eddystone-TLM, encrypted',
    packet: reported('0201060303aafe1516aafe2001000102030405060708090a0b0c0d0e0f'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-etlm' }],
  },
  {
    name: 'Eddystone-EID, recognised, not resolved',
    packet: reported('0201060303aafe0d16aafe30bec22fe1f198109681'),
    address: ADDRESS,
    rssi: -61,
    frames: [{ kind: 'eddystone-eid', ephemeral: 'c22fe1f198109681', power: -107 }],
  },
]

/** Of devices that are no beacons; nothing of them may be shown to noble. */
export const OTHERS: readonly { name: string; packet: string }[] = [
  { name: 'iPhone, nearby message', packet: reported('02011a0aff4c001005031c5a8d21') },
  { name: 'exposure notification of a phone', packet: reported('02011a03036ffd17166ffd0102030405060708090a0b0c0d0e0f1011223344') },
  { name: 'iOS app in the background (overflow area)', packet: reported('02011a14ff4c000100000000000040000000000000000000') },
  { name: 'Tile', packet: reported('0201060303edfe') },
  { name: 'Mi Band', packet: reported('0201060502e0fee7fe03094d490041') },
]
