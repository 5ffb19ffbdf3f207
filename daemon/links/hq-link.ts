/** The link to HQ: performs what its machine decides, on MQTT and the journal. */
import { iso } from '../clock.ts'
import { asFailure } from '../contract/errors.ts'
import type { Sequence } from '../contract/event.ts'
import type { Json } from '../contract/json.ts'
import type { AskOptions } from '../contract/plugin.ts'
import { hq, parseDown, type Up } from '../contract/topics.ts'
import type { UpLog, UpSync } from '../contract/uplink.ts'
import type { Cursor } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { HqLink, HqLinkOptions, HqLinkStatus } from './hq-api.ts'
import { type Batch, encode, toBatch } from './hq-batch.ts'
import { HqCommands } from './hq-commands.ts'
import { DOWNLINK_BYTES, HqConnection } from './hq-connection.ts'
import { takeAck, takeDesired } from './hq-intake.ts'
import { deadline, LINK_TUNING, type LinkEffect, type LinkEvent, type LinkState, linkMachine, newLink } from './hq-link.machine.ts'
import { LogTap } from './hq-log.ts'
import { HqRequests } from './hq-requests.ts'
import { LinkView } from './hq-view.ts'

export type { HqLink, HqLinkOptions } from './hq-api.ts'

export function createHqLink(options: HqLinkOptions): HqLink {
  return new MqttHqLink(options)
}

type Event = LinkEvent extends infer One ? (One extends LinkEvent ? Omit<One, 'now' | 'random'> : never) : never

const GOODBYE_MS = 2_000

class MqttHqLink implements HqLink {
  readonly #options: HqLinkOptions
  readonly #log: Log
  readonly #random: () => number
  readonly #cursor: Cursor
  readonly #state: LinkState
  readonly #commands: HqCommands
  readonly #requests: HqRequests
  readonly #taps: LogTap
  readonly #view: LinkView
  readonly #queue: Event[] = []
  readonly #counts = { batches: 0, events: 0, bytes: 0 }
  #running = false
  #connection: HqConnection | undefined
  #pulled: { batch: number; content: Batch } | undefined
  #timer: { at: number; cancel: () => void } | undefined
  #unfollow: (() => void) | undefined
  #closing: Promise<void> = Promise.resolve()
  #info = ''
  #refused = ''

  constructor(options: HqLinkOptions) {
    this.#options = options
    this.#log = options.log
    this.#random = options.random ?? Math.random
    this.#cursor = options.journal.cursor('hq')
    this.#state = newLink(
      { epoch: options.journal.epoch, ack: options.config.ack, cursor: this.#cursor.position, head: options.journal.head },
      { ...LINK_TUNING, ...options.tuning },
    )
    this.#commands = new HqCommands({
      submit: options.submit,
      publish: (result, sent) => this.#publish('result', JSON.stringify(result), 1, sent),
      log: options.log,
    })
    this.#requests = new HqRequests({
      publish: (request, sent) => this.#publish('request', JSON.stringify(request), 1, sent),
      clock: options.clock,
      log: options.log,
    })
    this.#taps = new LogTap(options.clock, (entry) => this.#publish('log', JSON.stringify(entry), 0))
    this.#view = new LinkView(options)
  }

  start(): void {
    this.#unfollow ??= this.#options.journal.follow((events) => {
      const last = events.at(-1)
      if (!last) return
      this.#feed({ on: 'appended', head: last.sequence })
      this.#view.backlog(this.#state.window)
    })
    this.#feed({ on: 'appended', head: this.#options.journal.head })
    this.#feed({ on: 'start' })
  }

  async stop(): Promise<void> {
    this.#unfollow?.()
    this.#unfollow = undefined
    this.#feed({ on: 'stop' })
    this.#timer?.cancel()
    this.#timer = undefined
    this.#view.stop()
    await this.#closing
  }

  changed(what: 'info' | 'reported'): void {
    this.#feed({ on: what === 'info' ? 'info-changed' : 'reported-changed' })
  }

  ask(plugin: string, request: string, args: Json, options: AskOptions): Promise<Json> {
    return this.#requests.ask(plugin, request, args, options)
  }

  log(entry: UpLog): void {
    if (this.#state.phase === 'online') this.#taps.offer(entry)
  }

  sendLogs(seconds: number, level: UpLog['level']): void {
    this.#taps.ask(seconds, level)
  }

  status(): HqLinkStatus {
    const { window, phase, protocol, backoff } = this.#state
    const { since, reason, oldest } = this.#view.current()
    return {
      state: phase,
      since,
      url: this.#options.config.url,
      reason,
      protocol,
      attempts: backoff.attempts,
      stored: window.stored,
      sent: window.sent,
      head: window.head,
      backlog: Math.max(0, window.head - window.stored),
      ...(oldest === undefined ? {} : { oldest }),
      ...this.#counts,
      resends: window.resends,
      resultsWaiting: this.#commands.waiting,
    }
  }

  /** Effects may feed events themselves: they are taken one after the other, never inside each other. */
  #feed(event: Event): void {
    this.#queue.push(event)
    if (this.#running) return
    this.#running = true
    try {
      for (let next = this.#queue.shift(); next; next = this.#queue.shift()) {
        const now = this.#options.clock.mono()
        const effects = linkMachine.step(this.#state, { ...next, now, random: this.#random() } as LinkEvent)
        for (const effect of effects) this.#perform(effect)
      }
    } finally {
      this.#running = false
    }
    this.#arm()
  }

  #arm(): void {
    const at = deadline(this.#state)
    // A timer that is too early does no harm, and is cheaper than one that is moved with every batch.
    if (at === undefined || !Number.isFinite(at) || (this.#timer && this.#timer.at <= at)) return
    this.#timer?.cancel()
    const ms = Math.max(0, Math.ceil(at - this.#options.clock.mono()))
    const cancel = this.#options.clock.timer(ms, () => {
      this.#timer = undefined
      this.#feed({ on: 'tick' })
    })
    this.#timer = { at, cancel }
  }

  #perform(effect: LinkEffect): void {
    switch (effect.do) {
      case 'connect':
        this.#connect(effect.protocol)
        break
      case 'close':
        this.#close(effect.goodbye)
        break
      case 'pull':
        this.#pull(effect)
        break
      case 'publish':
        this.#publishBatch(effect.batch)
        break
      case 'advance':
        this.#cursor.advance(effect.to)
        this.#view.backlog(this.#state.window)
        break
      case 'sync':
        this.#sync(effect)
        break
      case 'birth':
        this.#connection?.birth(true)
        break
      case 'info':
        this.#publishInfo()
        break
      case 'reported':
        this.#publishReported()
        break
      case 'results':
        this.#commands.online()
        break
      case 'health':
        this.#publish('health', JSON.stringify(this.#options.health()), 0)
        break
      case 'state':
        if (effect.phase === 'online') this.#requests.online()
        else {
          this.#commands.offline()
          this.#requests.offline()
        }
        this.#view.phase(effect.phase, effect.reason, this.#state.window)
        break
      case 'tell':
        this.#log.warn({ what: effect.what, detail: effect.detail }, TELL[effect.what])
        break
      case 'drop':
        break
    }
  }

  #connect(protocol: 4 | 5): void {
    this.#info = ''
    this.#refused = ''
    const { config, gateway, version, journal, clock } = this.#options
    const connection = new HqConnection({
      config,
      gateway,
      protocol,
      state: { epoch: journal.epoch, version, since: iso(clock.wall()) },
      onOnline: () => this.#feed({ on: 'online' }),
      onDrop: (drop) => this.#feed({ on: 'dropped', ...drop }),
      onMessage: (topic, payload) => this.#receive(topic, payload),
    })
    this.#connection = connection
    connection.open()
  }

  #close(goodbye: boolean): void {
    const connection = this.#connection
    this.#connection = undefined
    this.#pulled = undefined
    if (connection) this.#closing = connection.close(goodbye, GOODBYE_MS)
  }

  #publish(kind: Up, payload: string | Buffer, qos: 0 | 1, sent?: (refused: string | undefined) => void, retain = false): void {
    this.#connection?.publish(hq.up(this.#options.gateway, kind), payload, qos, sent, retain)
  }

  #pull({ batch, after, events, bytes }: { batch: number; after: Sequence; events: number; bytes: number }): void {
    const { journal } = this.#options
    const { head } = journal
    journal.read(after, { events, bytes }).then(
      (found) => {
        const content = toBatch(after, found, head)
        this.#pulled = { batch, content }
        this.#feed({ on: 'pulled', batch, to: content.to, events: found.length })
      },
      (error: unknown) => this.#feed({ on: 'pull-failed', batch, reason: asFailure(error).message }),
    )
  }

  #publishBatch(batch: number): void {
    if (this.#pulled?.batch !== batch) return
    const { content } = this.#pulled
    this.#pulled = undefined
    const payload = encode(this.#state.window.epoch, content)
    this.#counts.batches += 1
    this.#counts.events += content.events.length
    this.#counts.bytes += payload.length
    this.#publish('events', payload, 1, (refused) => this.#feed({ on: 'puback', batch, refused }))
  }

  #sync({ stored, sent }: { stored: Sequence; sent: Sequence }): void {
    const { journal, desired } = this.#options
    const sync: UpSync = { epoch: journal.epoch, stored, sent, head: journal.head, tail: journal.tail, desiredVersion: desired.version }
    this.#publish('sync', JSON.stringify(sync), 1)
  }

  #publishInfo(): void {
    const info = JSON.stringify(this.#options.info())
    if (info === this.#info) return
    this.#info = info
    this.#publish('info', info, 1, undefined, true)
  }

  #publishReported(): void {
    const reported = this.#options.desired.reported()
    if (reported) this.#publish('reported', JSON.stringify(reported), 1, undefined, true)
  }

  #receive(topic: string, payload: Buffer): void {
    const down = parseDown(topic)
    if (!down || down.gateway !== this.#options.gateway) return
    if (payload.length > DOWNLINK_BYTES)
      this.#log.warn({ topic, bytes: payload.length, limit: DOWNLINK_BYTES }, 'a message from HQ is too large; refused')
    else if (down.kind === 'command') this.#commands.receive(payload)
    else if (down.kind === 'answer') this.#requests.receive(payload)
    else if (down.kind === 'desired') this.#receiveDesired(payload)
    else this.#receiveAck(topic, payload)
  }

  #receiveAck(topic: string, payload: Buffer): void {
    const taken = takeAck(payload)
    if ('message' in taken) this.#feed({ on: 'ack', ack: taken.message })
    else this.#log.warn({ topic, error: taken.refused.message }, 'an ack from HQ is malformed; ignored')
  }

  #receiveDesired(payload: Buffer): void {
    const taken = takeDesired(payload)
    if ('message' in taken) {
      this.#options.desired.receive(taken.message)
      return
    }
    const { refused, version } = taken
    this.#log.warn({ error: refused.message, version: version ?? null }, 'a desired config from HQ is malformed; refused')
    const key = `${version ?? ''} ${refused.message}`
    if (version === undefined || version <= this.#options.desired.version || this.#refused === key) return
    this.#refused = key
    const { digest } = this.#options.desired.reported() ?? { digest: '' }
    const errors = [{ path: 'config', message: refused.message }]
    this.#publish('reported', JSON.stringify({ version, status: 'rejected', errors, digest }), 1, undefined, true)
  }
}

const TELL: Record<Extract<LinkEffect, { do: 'tell' }>['what'], string> = {
  'ack-of-another-epoch': 'HQ acknowledged another epoch; ignored',
  'ack-above-sent': 'HQ acknowledged events that were never sent; ignored',
  'hq-went-back': 'HQ has less than it acknowledged; sending again from there',
  'no-progress': 'HQ has not acknowledged for a while; sending again',
  'publish-refused': 'the HQ broker refuses what we publish',
  'read-failed': 'the journal cannot be read for HQ; trying again',
}
