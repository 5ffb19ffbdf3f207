/** What shop staff see of the link to HQ: state, backlog and its oldest event, about once a second; and the few lines the log gets. */
import { iso } from '../clock.ts'
import type { Config } from '../config.ts'
import type { Clock } from '../contract/plugin.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Shop } from '../shop.ts'
import type { Phase } from './hq-link.machine.ts'

const EVERY_MS = 1_000
/** HQ being away is normal: one line when it goes, one for a new reason at most this often, one when it is back. */
const REASON_EVERY_MS = 600_000

interface Progress {
  stored: number
  head: number
}

export class LinkView {
  readonly #options: { shop: Shop; clock: Clock; log: Log; journal: Journal; config: NonNullable<Config['hq']> }
  #phase: Phase = 'stopped'
  #state: 'online' | 'connecting' | 'offline' | 'off' = 'off'
  #since = ''
  #reason = ''
  #lostAt: number | undefined
  #attempts = 0
  #saidReason = ''
  #saidAt = 0
  #window: Progress = { stored: 0, head: 0 }
  #oldest: { after: number; time: string } | undefined
  #shown = { backlog: -1, at: Number.NEGATIVE_INFINITY }
  #timer: (() => void) | undefined

  constructor(options: { shop: Shop; clock: Clock; log: Log; journal: Journal; config: NonNullable<Config['hq']> }) {
    this.#options = options
  }

  current(): { since: string; reason: string; oldest: string | undefined } {
    return { since: this.#since, reason: this.#reason, oldest: this.#oldestNow() }
  }

  phase(phase: Phase, reason: string, window: Progress): void {
    const { clock } = this.#options
    // Between attempts the link stays "offline" with its reason, rather than flicker.
    const state =
      phase === 'stopped'
        ? 'off'
        : phase === 'online'
          ? 'online'
          : this.#lostAt === undefined && phase === 'connecting'
            ? 'connecting'
            : 'offline'
    this.#tell(phase, reason)
    this.#phase = phase
    if (reason !== '') this.#reason = reason
    if (phase === 'online') this.#reason = ''
    this.#window = window
    const changed = state !== this.#state
    if (changed || this.#since === '') this.#since = iso(clock.wall())
    this.#state = state
    if (changed || reason !== '') this.#show()
  }

  /** Called with every batch; shows it about once a second. */
  backlog(window: Progress): void {
    this.#window = window
    if (this.#timer) return
    const wait = this.#shown.at + EVERY_MS - this.#options.clock.mono()
    if (wait <= 0) {
      this.#show()
      return
    }
    this.#timer = this.#options.clock.timer(wait, () => {
      this.#timer = undefined
      this.#show()
    })
  }

  stop(): void {
    this.#timer?.()
    this.#timer = undefined
  }

  #show(): void {
    const { shop, clock, config } = this.#options
    const backlog = Math.max(0, this.#window.head - this.#window.stored)
    if (backlog > 0 && this.#oldest?.after !== this.#window.stored) this.#findOldest(this.#window.stored)
    this.#shown = { backlog, at: clock.mono() }
    const oldest = this.#oldestNow()
    shop.setLink({
      name: 'hq',
      state: this.#state,
      since: this.#since,
      detail: this.#state === 'online' || this.#reason === '' ? config.url : this.#reason,
      backlog,
      ...(oldest === undefined ? {} : { oldest }),
    })
  }

  #oldestNow(): string | undefined {
    return this.#window.head > this.#window.stored && this.#oldest?.after === this.#window.stored ? this.#oldest.time : undefined
  }

  #findOldest(after: number): void {
    this.#oldest = undefined
    this.#options.journal.read(after, { events: 1 }).then(
      ([first]) => {
        const time = first && /"time":"([^"]+)"/.exec(first.text)?.[1]
        if (time === undefined || this.#window.stored !== after) return
        this.#oldest = { after, time }
        if (this.#phase !== 'stopped') this.backlog(this.#window)
      },
      // Only a figure for people; the link itself reports a journal that cannot be read.
      () => undefined,
    )
  }

  #tell(phase: Phase, reason: string): void {
    const { log, clock, config } = this.#options
    const now = clock.mono()
    if (phase === 'online') {
      const seconds = this.#lostAt === undefined ? 0 : Math.round((now - this.#lostAt) / 1000)
      log.info({ url: config.url, offlineSeconds: seconds, attempts: this.#attempts }, 'connected to HQ')
      this.#lostAt = undefined
      this.#attempts = 0
    } else if (phase === 'waiting') {
      this.#attempts += 1
      const first = this.#lostAt === undefined
      this.#lostAt ??= now
      if (
        first
          ? this.#saidReason === reason && now - this.#saidAt < EVERY_MS * 60
          : reason === this.#saidReason || now - this.#saidAt < REASON_EVERY_MS
      )
        return
      this.#saidReason = reason
      this.#saidAt = now
      log.info({ url: config.url, reason }, 'HQ is away; events are kept and sent when it is back')
    }
  }
}
