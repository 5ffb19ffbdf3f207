/** NetworkManager, as far as its behaviour reaches nmcli: activation with its outcomes and times, autoconnect, profiles. */
import { randomUUID } from 'node:crypto'
import type { Scene, SimulatedPoint, SimulatedProfile } from './scene.ts'

export interface Times {
  /** Until an access point has let the box in, or refused it, ms. */
  associateMs: number
  /** Until an address is there, ms. */
  dhcpMs: number
  /** Until NetworkManager gives up waiting for one, ms. */
  dhcpMostMs: number
  /** Until a disconnected radio looks for a network by itself, ms. */
  autoconnectMs: number
  /** How long a second of nmcli's `--wait` lasts, ms. */
  waitSecondMs: number
}

export const USUAL_TIMES: Times = { associateMs: 1_500, dhcpMs: 800, dhcpMostMs: 45_000, autoconnectMs: 3_000, waitSecondMs: 1_000 }

/** NMDeviceState (libnm). */
const DISCONNECTED = 30
const CONFIG = 50
const IP_CONFIG = 70
const ACTIVATED = 100

/** How an activation ended; the texts are libnm's reasons of a device's state. */
export type Outcome = 'up' | typeof NO_SECRETS | typeof NOT_FOUND | typeof NO_ADDRESS | typeof GONE
const NO_SECRETS = 'Secrets were required, but not provided'
const NOT_FOUND = 'The Wi-Fi network could not be found'
const NO_ADDRESS = 'IP configuration could not be reserved (no available address, timeout, etc.)'
const GONE = "The device's active connection disappeared"

interface Activation {
  radio: string
  ended: boolean
  end: (outcome: Outcome) => void
  timer: NodeJS.Timeout | undefined
}

export class NetworkManagerSimulator {
  scene: Scene
  readonly times: Times
  /** Told after every change, so that it can be kept. */
  onChange: () => void = () => {}
  readonly #activations = new Map<string, Activation>()
  readonly #autoconnects = new Map<string, NodeJS.Timeout>()
  #uses = 0

  constructor(scene: Scene, times: Times = USUAL_TIMES) {
    this.scene = scene
    this.times = times
  }

  /** Points that a radio hears; a hidden one has no name there until it is used. */
  heard(radio: string): SimulatedPoint[] {
    const using = this.scene.links[radio]?.bssid
    return this.scene.points
      .map((point) => (point.hidden && point.bssid !== using ? { ...point, ssid: '' } : point))
      .sort((a, b) => b.quality - a.quality)
  }

  stateOf(radio: string): number {
    const { hardware, on, managed } = this.scene.radios.find(({ name }) => name === radio) ?? { hardware: false, on: false, managed: false }
    if (!managed) return 10
    return hardware && on ? (this.scene.links[radio]?.state ?? DISCONNECTED) : 20
  }

  add(profile: Omit<SimulatedProfile, 'used'>): void {
    this.scene.profiles.push({ ...profile, used: 0 })
    this.settle()
  }

  delete(uuid: string): void {
    this.scene.profiles = this.scene.profiles.filter((one) => one.uuid !== uuid)
    for (const [radio, link] of Object.entries(this.scene.links)) if (link.uuid === uuid) this.#disconnect(radio)
    this.settle()
  }

  /** Tries a profile on a radio; what the radio was on before is left first. `secret`: what a secret agent would say. */
  activate(uuid: string, radio: string, secret: string | undefined): Promise<Outcome> {
    return new Promise((resolve) => {
      this.#disconnect(radio)
      const profile = this.scene.profiles.find((one) => one.uuid === uuid)
      if (!profile) {
        resolve(GONE)
        return
      }
      const activation: Activation = { radio, ended: false, timer: undefined, end: () => {} }
      activation.end = (outcome) => {
        if (activation.ended) return
        activation.ended = true
        clearTimeout(activation.timer)
        if (this.#activations.get(radio) === activation) this.#activations.delete(radio)
        if (outcome !== 'up' && outcome !== GONE) delete this.scene.links[radio]
        this.settle()
        resolve(outcome)
      }
      this.#activations.set(radio, activation)
      this.scene.links[radio] = { uuid, state: CONFIG }
      this.onChange()
      activation.timer = setTimeout(() => this.#associated(activation, profile, secret), this.times.associateMs)
    })
  }

  /** How long the activation under way on a radio takes by its schedule, however long this process is held up meanwhile, ms. */
  takes(radio: string): number {
    const profile = this.scene.profiles.find(({ uuid }) => uuid === this.scene.links[radio]?.uuid)
    const { associateMs, dhcpMs, dhcpMostMs } = this.times
    return associateMs + (profile && this.#best(profile)?.noDhcp ? dhcpMostMs : dhcpMs)
  }

  /** After any change of the scene: links whose access point has gone fall, free radios look for a network by themselves. */
  settle(): void {
    const { radios, links, points } = this.scene
    for (const [radio, link] of Object.entries(links)) {
      const point = points.find(({ bssid }) => bssid === link.bssid)
      const lost = link.bssid !== undefined && (!point || (link.state === ACTIVATED && point.noDhcp))
      if (this.stateOf(radio) <= 20 || lost) this.#disconnect(radio)
    }
    this.onChange()
    for (const { name } of radios) if (this.stateOf(name) === DISCONNECTED) this.#autoconnectSoon(name)
  }

  /** A power cut: what was under way is gone, profiles are as they were saved. */
  reboot(): void {
    this.stop()
    this.scene.links = {}
    this.settle()
  }

  stop(): void {
    for (const activation of [...this.#activations.values()]) activation.end(GONE)
    for (const timer of this.#autoconnects.values()) clearTimeout(timer)
    this.#autoconnects.clear()
  }

  #associated(activation: Activation, profile: SimulatedProfile, secret: string | undefined): void {
    const { radio } = activation
    const point = this.#best(profile)
    const refusal = refusalOf(point, profile, secret)
    if (!point || refusal) {
      activation.end(refusal ?? NOT_FOUND)
      return
    }
    // What a secret agent said and was right is kept.
    if (point.password !== undefined) profile.psk = point.password
    this.scene.links[radio] = { uuid: profile.uuid, bssid: point.bssid, state: IP_CONFIG }
    this.onChange()
    const wait = point.noDhcp ? this.times.dhcpMostMs : this.times.dhcpMs
    activation.timer = setTimeout(() => {
      const now = this.scene.points.find(({ bssid }) => bssid === point.bssid)
      if (!now || now.noDhcp) {
        activation.end(now ? NO_ADDRESS : NOT_FOUND)
        return
      }
      profile.used = ++this.#uses
      this.scene.links[radio] = { uuid: profile.uuid, bssid: point.bssid, state: ACTIVATED }
      activation.end('up')
    }, wait)
  }

  #best(profile: SimulatedProfile): SimulatedPoint | undefined {
    return this.scene.points.filter(({ ssid }) => ssid === profile.ssid).sort((a, b) => b.quality - a.quality)[0]
  }

  #disconnect(radio: string): void {
    this.#activations.get(radio)?.end(GONE)
    delete this.scene.links[radio]
    clearTimeout(this.#autoconnects.get(radio))
    this.#autoconnects.delete(radio)
  }

  #autoconnectSoon(radio: string): void {
    if (this.#autoconnects.has(radio) || this.#activations.has(radio)) return
    const timer = setTimeout(() => {
      this.#autoconnects.delete(radio)
      if (this.stateOf(radio) !== DISCONNECTED || this.scene.faults.noAutoconnect || this.scene.faults.notRunning) return
      const best = this.scene.profiles
        .filter(({ autoconnect, ssid, iface }) => autoconnect && iface === radio && this.scene.points.some((point) => point.ssid === ssid))
        .sort((a, b) => b.priority - a.priority || b.used - a.used)[0]
      if (best) void this.activate(best.uuid, radio, undefined)
    }, this.times.autoconnectMs)
    timer.unref()
    this.#autoconnects.set(radio, timer)
  }
}

/** Why an access point does not let the box in. A wrong or missing secret is asked for once, then it is over. */
function refusalOf(point: SimulatedPoint | undefined, profile: SimulatedProfile, secret: string | undefined): Outcome | undefined {
  if (!point || (point.hidden && !profile.hidden)) return NOT_FOUND
  if ((point.security === '') !== (profile.keyMgmt === undefined)) return NOT_FOUND
  if (point.password === undefined || point.password === profile.psk || point.password === secret) return undefined
  return NO_SECRETS
}

/** A profile as `nmcli connection add` makes it unless told otherwise. */
export function newProfile(ssid: string, iface: string): Omit<SimulatedProfile, 'used'> {
  return { uuid: randomUUID(), id: 'wifi', ssid, iface, autoconnect: true, priority: 0, hidden: false }
}
