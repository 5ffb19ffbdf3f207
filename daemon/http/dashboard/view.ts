/** What is on the screen, as data; how the stream's messages change it. Pure: the server renders the same. */

import type { CloudEvent } from '../../contract/event.ts'
import type { Found } from '../../discovery/api.ts'
import type { ShopChange } from '../../shop.ts'
import type { Snapshot, Vitals } from '../api.ts'
import { moved } from './day-steps.ts'
import { type Lang, type Words, wordsFor } from './words.ts'

export type Connection = 'page' | 'connecting' | 'live' | 'stale'

export interface View {
  snapshot: Snapshot
  words: Words
  /** The gateway's clock, Unix ms. */
  now: number
  /** When the gateway was last heard, by its clock. */
  heard: number
  connection: Connection
  /** Event type shown in the feed; empty: all. */
  filter: string
  /** While set, the feed shows nothing newer than this sequence. */
  pausedAt: number | undefined
  /** Events of the feed that came too fast to be shown. */
  skipped: number
  /** Plugin name -> what became of a restart. */
  restarts: Record<string, 'running' | 'done' | { failed: string }>
  /** Id of the found thing whose snippet was copied. */
  copied: { id: string; ok: boolean } | undefined
  canLogOut: boolean
}

/** What a person can do; absent where no script runs. */
export interface Actions {
  pause(on: boolean): void
  filter(type: string): void
  restart(plugin: string): void
  copy(id: string, text: string): void
}

/** More than the feed shows, so that a filter has something to choose from; of each type at least what the feed can show. */
const KEPT = 200
const SHOWN = 20

export function applyMessage(snapshot: Snapshot, name: string, data: unknown): Snapshot {
  switch (name) {
    case 'snapshot': {
      const fresh = data as Snapshot
      return { ...fresh, recent: fresh.journal.epoch === snapshot.journal.epoch ? merge(snapshot.recent, fresh.recent) : fresh.recent }
    }
    case 'event':
      return withEvent(snapshot, data as CloudEvent)
    case 'change':
      return withChange(snapshot, data as ShopChange)
    case 'found':
      return { ...snapshot, found: data as Found[] }
    case 'vitals':
      return { ...snapshot, ...(data as Vitals), chart: moved(snapshot.chart, (data as Vitals).trade.slot) }
    default:
      return snapshot
  }
}

/** Both in order of sequence, each once. */
export function merge(old: readonly CloudEvent[], more: readonly CloudEvent[]): CloudEvent[] {
  const bySequence = new Map([...old, ...more].map((one) => [Number(one.sequence), one]))
  return prune([...bySequence].sort(([a], [b]) => a - b).map(([, one]) => one))
}

function prune(events: CloudEvent[]): CloudEvent[] {
  if (events.length <= KEPT) return events
  const ofType = new Map<string, number>()
  return events
    .reverse()
    .filter((one, index) => {
      const count = (ofType.get(one.type) ?? 0) + 1
      ofType.set(one.type, count)
      return index < KEPT || count <= SHOWN
    })
    .reverse()
}

function withEvent(snapshot: Snapshot, event: CloudEvent): Snapshot {
  const last = snapshot.recent.at(-1)
  const inOrder = last === undefined || Number(event.sequence) > Number(last.sequence)
  const recent = inOrder ? prune([...snapshot.recent, event]) : merge(snapshot.recent, [event])
  const [, , plugin, device] = event.source.split('/')
  const devices = snapshot.devices.map((one) => (one.plugin === plugin && one.device === device ? { ...one, lastEvent: event.time } : one))
  return { ...snapshot, recent, devices }
}

function withChange(snapshot: Snapshot, change: ShopChange): Snapshot {
  switch (change.kind) {
    case 'plugin':
      return { ...snapshot, plugins: put(snapshot.plugins, change.plugin, (one) => one.name) }
    case 'plugin-gone':
      return { ...snapshot, plugins: snapshot.plugins.filter((one) => one.name !== change.name) }
    case 'device':
      return { ...snapshot, devices: put(snapshot.devices, change.device, (one) => `${one.plugin}/${one.device}`) }
    case 'device-gone':
      return { ...snapshot, devices: snapshot.devices.filter((one) => one.plugin !== change.plugin || one.device !== change.device) }
    case 'link':
      return { ...snapshot, links: put(snapshot.links, change.link, (one) => one.name) }
  }
}

function put<One>(list: readonly One[], value: One, key: (one: One) => string): One[] {
  const at = list.findIndex((one) => key(one) === key(value))
  if (at >= 0) return list.map((one, index) => (index === at ? value : one))
  return [...list, value].sort((a, b) => key(a).localeCompare(key(b)))
}

/** The feed: newest first, at most 20, of the chosen type, not past the pause. */
export function feedOf(view: View): { shown: CloudEvent[]; newer: number } {
  const { snapshot, filter, pausedAt } = view
  const chosen = filter === '' ? snapshot.recent : snapshot.recent.filter((one) => one.type === filter)
  const upTo = pausedAt === undefined ? chosen : chosen.filter((one) => Number(one.sequence) <= pausedAt)
  return { shown: upTo.slice(-SHOWN).reverse(), newer: chosen.length - upTo.length }
}

/** Event types a person may choose from. */
export function typesOf(snapshot: Snapshot, filter: string): string[] {
  const types = new Set([...Object.keys(snapshot.today.counts), ...snapshot.recent.map((one) => one.type)])
  if (filter !== '') types.add(filter)
  return [...types].sort()
}

/** The core's own words in types; all others are plugins' names. */
const CORE = new Set(['plugin', 'command', 'journal', 'visit'])
/** What is counted elsewhere, or is no news to people. */
const SILENT = new Set(['device', 'present', 'absent', 'linked'])

export interface Headline {
  type: string
  count: number
  last?: string
}

/**
 * The event types that deserve a big number: those their plugins mark as headlines, else the busiest ones. At most `most`.
 */
export function headlines(snapshot: Snapshot, most: number): Headline[] {
  const { labels, today } = snapshot
  const marked = Object.entries(labels)
    .filter(([, label]) => label.headline !== undefined)
    .sort(([a, x], [b, y]) => (x.headline ?? 0) - (y.headline ?? 0) || a.localeCompare(b))
    .map(([type]) => type)
  const busiest = Object.keys(today.counts)
    .filter((type) => {
      const [, plugin = '', event = ''] = type.split('.')
      return !SILENT.has(event) && !CORE.has(plugin) && !marked.includes(type)
    })
    .sort((a, b) => (today.counts[b] ?? 0) - (today.counts[a] ?? 0) || a.localeCompare(b))
  return [...marked, ...busiest].slice(0, most).map((type) => {
    const last = today.last[type]
    return { type, count: today.counts[type] ?? 0, ...(last === undefined ? {} : { last }) }
  })
}

/** One line of what an event says: for devices their state, else its first plain values. */
export function summaryOf(event: CloudEvent, words: Words): string {
  const { data } = event
  if (event.type.endsWith('.device') && typeof data.state === 'string') {
    const state = words.say(data.state === 'online' ? 'state.online' : data.state === 'fault' ? 'state.fault' : 'state.offline')
    return typeof data.detail === 'string' ? `${state} · ${words.detail(data.detail)}` : state
  }
  const { currency } = data
  return Object.entries(data)
    .filter(
      ([key, value]) =>
        key !== 'currency' && ((typeof value === 'string' && value !== '' && !OPAQUE.test(value)) || typeof value === 'number'),
    )
    .slice(0, 3)
    .map(([key, value]) =>
      MONEY.has(key) && typeof value === 'number' && typeof currency === 'string'
        ? words.money(value, currency)
        : String(value).slice(0, 60),
    )
    .join(' · ')
}

/** Amounts in minor units, where a currency stands beside them. */
const MONEY: ReadonlySet<string> = new Set(['amount', 'total', 'refundAmount'])
/** What says nothing to a person: UUIDs, pseudonyms, hashes, instants (the line has its own time). */
const OPAQUE =
  /^([0-9a-f]{8}-[0-9a-f]{4}-.{22}|(?=.*[a-z])(?=.*[A-Z])[\w-]{16,22}|(?=.*[a-f])(?=.*\d)[0-9a-f]{20,64}|\d{4}-\d\d-\d\dT[\d:.]+Z)$/

/** The view of a page as the server sends it. */
export function firstView(snapshot: Snapshot, options: { lang: Lang; filter: string; canLogOut: boolean }): View {
  const now = Date.parse(snapshot.at)
  return {
    snapshot,
    words: wordsFor(options.lang, snapshot.timeZone),
    now,
    heard: now,
    connection: 'page',
    filter: options.filter,
    pausedAt: undefined,
    skipped: 0,
    restarts: {},
    copied: undefined,
    canLogOut: options.canLogOut,
  }
}
