/** The one picture of the shop that the API, the stream and the dashboard show. */
import { iso } from '../clock.ts'
import { TYPE_PREFIX } from '../contract/event.ts'
import type { JsonSchema } from '../contract/json.ts'
import type { StoredEvent } from '../journal/api.ts'
import type { EventLabel, HttpOptions, Snapshot, Status, Vitals } from './api.ts'
import { newest, parseEvent } from './journal-pages.ts'
import type { Tally } from './tally.ts'

const RECENT = 20

export class StatusView {
  readonly #options: HttpOptions
  readonly #tally: Tally

  constructor(options: HttpOptions, tally: Tally) {
    this.#options = options
    this.#tally = tally
  }

  status(): Status {
    const { shop, gateway, discovery, ledger } = this.#options
    return {
      ...this.vitals(),
      timeZone: ledger.timeZone,
      gateway: gateway(),
      plugins: shop.plugins(),
      devices: shop.devices(),
      links: shop.links(),
      found: discovery.found(),
    }
  }

  vitals(): Vitals {
    const { clock, health, journal, ledger } = this.#options
    const { epoch, head, tail, bytes, freeBytes, dropped, fault } = journal.stats()
    return {
      at: iso(clock.wall()),
      uptimeSeconds: Math.round(process.uptime()),
      health: health(),
      journal: { epoch, head, tail, bytes, freeBytes, dropped, ...(fault === undefined ? {} : { fault }) },
      today: this.#tally.today(),
      trade: ledger.trade(),
    }
  }

  /** The newest events, oldest first. */
  recent(): Promise<StoredEvent[]> {
    return newest(this.#options.journal, RECENT)
  }

  /** Synchronous, so that nothing changes between the picture and the first delta. */
  snapshot(recent: readonly StoredEvent[]): Snapshot {
    return {
      ...this.status(),
      labels: this.#labels(),
      recent: recent.map(parseEvent),
      chart: this.#options.ledger.chart(),
      expects: this.#expects(),
    }
  }

  #expects(): Snapshot['expects'] {
    const told = new Set(this.#options.plugins.manifests().flatMap((one) => Object.keys(one.events ?? {})))
    return { arrivals: told.has('present'), payments: told.has('paid') }
  }

  /** Words for event types come from the manifests: a new device brings its own. */
  #labels(): Record<string, EventLabel> {
    const labels: Record<string, EventLabel> = {}
    for (const manifest of this.#options.plugins.manifests())
      for (const [event, schema] of Object.entries(manifest.events ?? {})) {
        const label = labelOf(schema)
        if (label) labels[`${TYPE_PREFIX}${manifest.name}.${event}`] = label
      }
    return labels
  }
}

function labelOf(schema: JsonSchema): EventLabel | undefined {
  const { title } = schema
  if (typeof title !== 'string') return undefined
  const other = schema['x-title']
  const zh = other !== null && typeof other === 'object' ? (other as Record<string, unknown>).zh : undefined
  const headline = schema['x-headline']
  return { en: title, ...(typeof zh === 'string' ? { zh } : {}), ...(typeof headline === 'number' ? { headline } : {}) }
}
