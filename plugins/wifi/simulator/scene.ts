/** What a simulated NetworkManager knows: the air, its radios, its profiles, and what is wrong. It is kept as JSON, to be read and changed by hand. */

export interface Scene {
  /** Switches; each is one thing wrong. */
  faults: Faults
  /** A cable with a way out. */
  wired: boolean
  radios: SimulatedRadio[]
  points: SimulatedPoint[]
  profiles: SimulatedProfile[]
  /** Radio -> what it does. */
  links: Record<string, SimulatedLink>
}

export interface Faults {
  /** NetworkManager does not run. */
  notRunning: boolean
  /** polkit refuses every change. */
  notAuthorized: boolean
  /** Every answer takes this long, ms. */
  slowMs: number
  /** No answer ever comes. */
  hang: boolean
  /** Answers are not nmcli's. */
  garbage: boolean
  /** Disconnected radios stay so: NetworkManager connects to nothing by itself. */
  noAutoconnect: boolean
}

export interface SimulatedRadio {
  name: string
  /** The hardware switch. */
  hardware: boolean
  /** `nmcli radio wifi` */
  on: boolean
  managed: boolean
}

/** An access point. */
export interface SimulatedPoint {
  /** Hex of the SSID. */
  ssid: string
  bssid: string
  channel: number
  /** Percent. */
  quality: number
  /** nmcli's words; empty: open. */
  security: string
  password?: string
  hidden?: boolean
  /** Gives no address. */
  noDhcp?: boolean
  /** Address that the box is given, and the gateway, IPv4 or IPv6; 192.168.1.50/24 and .1 unless told. */
  address?: string
  gateway?: string
}

export interface SimulatedProfile {
  uuid: string
  id: string
  ssid: string
  iface: string
  /** `ap`: a hotspot of NetworkManager's own. */
  mode?: 'ap'
  autoconnect: boolean
  priority: number
  hidden: boolean
  keyMgmt?: string
  psk?: string
  /** Count of the activation that last succeeded: the last used goes first among equals. */
  used: number
}

export interface SimulatedLink {
  uuid: string
  bssid?: string
  /** NMDeviceState */
  state: number
}

export function hex(text: string): string {
  return Buffer.from(text, 'utf8').toString('hex')
}

export function frequencyOf(channel: number): number {
  return channel <= 13 ? 2_407 + 5 * channel : channel === 14 ? 2_484 : 5_000 + 5 * channel
}

/** A shop in a mall: its office network, its guests', a spare 4G router, and the neighbours. */
export function mall(): Scene {
  const point = (ssid: string, bssid: string, channel: number, quality: number, security = 'WPA2', password?: string): SimulatedPoint => ({
    ssid: hex(ssid),
    bssid,
    channel,
    quality,
    security,
    ...(password === undefined ? {} : { password }),
  })
  return {
    faults: { notRunning: false, notAuthorized: false, slowMs: 0, hang: false, garbage: false, noAutoconnect: false },
    wired: false,
    radios: [{ name: 'wlan0', hardware: true, on: true, managed: true }],
    points: [
      point('Shop Office', 'd8:47:32:00:00:01', 11, 71, 'WPA2', 'correct horse battery'),
      point('Shop Guest', 'd8:47:32:00:00:02', 11, 70, ''),
      point('Spare 4G', '02:50:f3:00:00:10', 6, 55, 'WPA1 WPA2', 'spare-4g-router'),
      point('Café: Lumière', '60:e3:27:00:00:21', 1, 48, 'WPA2'),
      point('优衣库-WiFi', '50:bd:5f:00:00:22', 6, 44, ''),
      point('HP-Print-A7', '9c:b6:54:00:00:23', 6, 30, 'WPA2'),
      point('Mall Free WiFi', '00:1a:1e:00:00:24', 149, 62, ''),
      point('', '00:1a:1e:00:00:25', 149, 62, 'WPA2 802.1X'),
    ],
    profiles: [],
    links: {},
  }
}
