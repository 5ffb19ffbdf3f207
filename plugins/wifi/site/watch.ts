/** Scans for the sake of the site: surveys on schedule, and a look-out for access points that imitate the shop's. */
import { asFailure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import { impostorPolicy, type WifiConfig } from '../config.ts'
import { NmcliFault } from '../nmcli/fault.ts'
import type { AccessPoint, Radio } from '../nmcli/radio.ts'
import { lookOf, quoted, shown } from '../ssid.ts'
import { type ImpostorReason, impostorMachine, isOneOf, newImpostors, type Sighting } from './impostor.machine.ts'
import { untilNext } from './schedule.ts'
import { type Survey, survey } from './survey.ts'

/** While a network is on trial the radio is left alone. */
const BUSY_MS = 30_000
/** A timer may not be longer than 24.8 days, and the box's clock may be set in between. */
const RECKON_MS = 3_600_000
const EARLY_MS = 30_000
const AGAIN_MS = 60_000

export interface RadioInUse {
  /** Undefined: there is none that works. */
  iface(): string | undefined
  busy(): boolean
  /** BSSID of the access point in use. */
  bssid(): string | undefined
}

export class SiteWatch {
  readonly #context: PluginContext<WifiConfig>
  readonly #radio: Radio
  readonly #use: RadioInUse
  readonly #impostors
  #config: WifiConfig
  #cancelWatch = (): void => {}
  #cancelConfirm = (): void => {}
  #cancelSurvey = (): void => {}
  #cancelAgain = (): void => {}
  #scanning: Promise<AccessPoint[]> | undefined

  constructor(context: PluginContext<WifiConfig>, radio: Radio, use: RadioInUse) {
    this.#context = context
    this.#config = context.config
    this.#radio = radio
    this.#use = use
    this.#impostors = newImpostors(impostorPolicy(context.config))
  }

  start(): void {
    this.#plan()
  }

  configure(config: WifiConfig): void {
    this.#config = config
    impostorMachine.step(this.#impostors, { kind: 'policy', policy: impostorPolicy(config) })
    this.stop()
    this.#plan()
  }

  stop(): void {
    this.#cancelWatch()
    this.#cancelConfirm()
    this.#cancelSurvey()
    this.#cancelAgain()
  }

  /** All in reach, the loudest first. One scan at a time: whoever asks meanwhile gets the same. Rejects with a `NmcliFault`. */
  scan(): Promise<AccessPoint[]> {
    this.#scanning ??= this.#scan().finally(() => {
      this.#scanning = undefined
    })
    return this.#scanning
  }

  async survey(): Promise<Survey> {
    const points = await this.scan()
    const own = new Set(points.filter(({ bssid }) => this.#isOwn(bssid)).map(({ bssid }) => bssid))
    return survey(points, own)
  }

  async #scan(): Promise<AccessPoint[]> {
    const iface = this.#use.iface()
    if (iface === undefined) throw new NmcliFault('not-found')
    const points = (await this.#radio.scan(iface)).sort((a, b) => b.signal - a.signal)
    this.#judge(points)
    return points
  }

  #isOwn(bssid: string): boolean {
    return bssid === this.#use.bssid() || this.#impostors.policy.shops.some(({ bssids }) => isOneOf(bssid, bssids))
  }

  #judge(points: readonly AccessPoint[]): void {
    const sightings = points.map((point) => ({ ...point, look: lookOf(point.ssid) }))
    const now = this.#context.clock.mono()
    for (const effect of impostorMachine.step(this.#impostors, { kind: 'scan', points: sightings, now })) {
      if (effect.kind === 'report') this.#report(effect.point, effect.reason)
      else {
        this.#cancelConfirm()
        this.#cancelConfirm = this.#context.clock.timer(effect.ms, () => this.#look())
      }
    }
  }

  #report(point: Sighting, reason: ImpostorReason): void {
    const { ssid, bssid, signal, channel, security } = point
    this.#context.log.warn({ network: quoted(ssid), reason }, 'an access point imitates the shop')
    this.#context.emit({ device: '-', event: 'impostor', data: { ...shown(ssid), bssid, signal, channel, security, reason } }).catch(() => {
      impostorMachine.step(this.#impostors, { kind: 'not-reported', point })
    })
  }

  #plan(): void {
    if (this.#config.shopSsids.length > 0 && this.#config.watchSeconds > 0) this.#watchIn(this.#config.watchSeconds * 1_000)
    this.#planSurvey()
  }

  /** `pastMs`: not one that is due within this time, since a timer may fire a little early. */
  #planSurvey(pastMs = 0): void {
    const { clock } = this.#context
    const next = untilNext(this.#config.survey, new Date(clock.wall() + pastMs))
    if (next === undefined) return
    const ms = next + pastMs
    const wait = Math.min(ms, RECKON_MS)
    this.#cancelSurvey = clock.timer(wait, () => {
      if (wait === ms) void this.#surveyNow()
      this.#planSurvey(wait === ms ? EARLY_MS : 0)
    })
  }

  #watchIn(ms: number): void {
    this.#cancelWatch = this.#context.clock.timer(ms, () => {
      this.#look()
      this.#watchIn(this.#use.busy() ? Math.min(BUSY_MS, ms) : this.#config.watchSeconds * 1_000)
    })
  }

  /** What keeps it from scanning is the device's state already. */
  #look(): void {
    if (!this.#use.busy()) this.scan().catch(() => {})
  }

  /** While the radio is away or busy it waits, some ten minutes at most. */
  async #surveyNow(again = 10): Promise<void> {
    if (again > 0 && (this.#use.busy() || this.#use.iface() === undefined)) {
      this.#cancelAgain = this.#context.clock.timer(AGAIN_MS, () => void this.#surveyNow(again - 1))
      return
    }
    try {
      const data = (await this.survey()) as unknown as JsonObject
      await this.#context.emit({ device: '-', event: 'survey', data })
    } catch (error) {
      if (this.#context.signal.aborted) return
      const detail = error instanceof NmcliFault ? error.kind : asFailure(error).code
      this.#context.log.warn({ detail }, 'the scheduled survey could not be made')
    }
  }
}
