/** A site survey: how full each channel is, and where the shop's own network would have the most air. */
import { type SsidHex, shown } from '../ssid.ts'

export interface Heard {
  ssid: SsidHex
  bssid: string
  channel: number
  /** MHz */
  frequency: number
  /** dBm */
  signal: number
  security: string
}

export type Band = '2.4' | '5' | '6'

export interface ChannelLoad {
  band: Band
  channel: number
  /** Access points on it. */
  accessPoints: number
  /** Access points on other channels that reach into it (2.4 GHz: a channel is 20 MHz wide and 5 MHz apart). */
  overlapping: number
  /** dBm of the loudest of them all. */
  strongest?: number
  /**
   * 0: free. Each foreign access point adds 1 when it is as loud as in the same room (-50 dBm), nothing at the floor (-95 dBm), and by the
   * share of the channel that it covers.
   */
  load: number
}

export interface Survey {
  accessPoints: number
  networks: number
  channels: ChannelLoad[]
  /** The least loaded channel of each band, among those that do not overlap and need no radar check. */
  suggestion: Partial<Record<Band, number>>
}

/** Channels that do not overlap. 12-14 are left out: not every country and phone has them. */
const PLAIN_24 = [1, 6, 11]
/** Without radar detection (DFS), so an access point needs not leave them (ETSI EN 301 893, FCC 15.407; in China 36-64 and 149-165). */
const PLAIN_5 = [36, 40, 44, 48, 149, 153, 157, 161]
/** At least this much less load, or the present channel stays: moving costs every phone a reconnect. */
const WORTH_MOVING = 0.5

/** `own`: the shop's access points by BSSID; they are no load to themselves, and the suggestion weighs their channels first. */
export function survey(heard: readonly Heard[], own: ReadonlySet<string> = new Set()): Survey {
  const foreign = heard.filter(({ bssid }) => !own.has(bssid))
  const places = new Map<string, { band: Band; channel: number }>()
  const add = (band: Band, channel: number) => places.set(`${band}/${channel}`, { band, channel })
  for (const channel of PLAIN_24) add('2.4', channel)
  for (const { frequency, channel } of heard) add(bandOf(frequency), channel)
  const bands = new Set(heard.map(({ frequency }) => bandOf(frequency)))
  if (bands.has('5')) for (const channel of PLAIN_5) add('5', channel)
  const channels = [...places.values()]
    .sort((a, b) => a.band.localeCompare(b.band) || a.channel - b.channel)
    .map(({ band, channel }) => loadOf(band, channel, heard, foreign))
  const suggestion: Survey['suggestion'] = {}
  for (const band of bands) {
    const present = heard.find(({ bssid, frequency }) => own.has(bssid) && bandOf(frequency) === band)?.channel
    const best = suggest(band, channels, present)
    if (best !== undefined) suggestion[band] = best
  }
  return {
    accessPoints: heard.length,
    networks: new Set(heard.filter(({ ssid }) => ssid !== '').map(({ ssid }) => ssid)).size,
    channels,
    suggestion,
  }
}

export function bandOf(frequency: number): Band {
  return frequency < 3_000 ? '2.4' : frequency < 5_945 ? '5' : '6'
}

function loadOf(band: Band, channel: number, heard: readonly Heard[], foreign: readonly Heard[]): ChannelLoad {
  const covers = (one: Heard) => (bandOf(one.frequency) === band ? share(band, Math.abs(one.channel - channel)) : 0)
  const near = heard.filter((one) => covers(one) > 0)
  const load = foreign.reduce((sum, one) => sum + covers(one) * loudness(one.signal), 0)
  return {
    band,
    channel,
    accessPoints: near.filter((one) => one.channel === channel).length,
    overlapping: near.filter((one) => one.channel !== channel).length,
    ...(near.length > 0 ? { strongest: Math.max(...near.map(({ signal }) => signal)) } : {}),
    load: Math.round(load * 100) / 100,
  }
}

/** How much of a 20 MHz channel another one `apart` numbers away covers. nmcli 1.42 tells no width: 20 MHz is taken. */
function share(band: Band, apart: number): number {
  return Math.max(0, 1 - (apart * 5) / (band === '2.4' ? 22 : 20))
}

function loudness(signal: number): number {
  return Math.min(1, Math.max(0, (signal + 95) / 45))
}

function suggest(band: Band, channels: readonly ChannelLoad[], present: number | undefined): number | undefined {
  const plain = band === '2.4' ? PLAIN_24 : PLAIN_5
  const among = channels.filter((one) => one.band === band && (band === '6' || plain.includes(one.channel)))
  const best = among.reduce<ChannelLoad | undefined>((least, one) => (least && least.load <= one.load ? least : one), undefined)
  const now = channels.find((one) => one.band === band && one.channel === present)
  return now && best && now.load - best.load < WORTH_MOVING ? now.channel : best?.channel
}

/** One access point as events and results show it. */
export function shownPoint({ ssid, ...rest }: Heard) {
  return { ...shown(ssid), ...rest }
}
