/** CloudEvents 1.0 as JSON text, put together by hand: several times cheaper than stringifying an object for each. */
import { Failure } from '../contract/errors.ts'
import { type ClockState, type Sequence, TYPE_PREFIX } from '../contract/event.ts'

/** Where events come from. Rows name it by its number. */
export interface Origin {
  id: number
  plugin: string
  device: string
  event: string
  bulk: boolean
  type: string
  /** False until its row is durable. */
  saved: boolean
  gateway: string
  /** `","type":…,"source":…,"time":` */
  middle: string
}

export interface OriginRow {
  id: number
  plugin: string
  device: string
  event: string
  bulk: number
}

/** NUL ends a string inside SQLite, and half a surrogate pair has no UTF-8. */
const UNSTORABLE = /[\0\ud800-\udfff]/u
/** Between the parts of an origin's name. */
const SEPARATOR = '\n'

/** Throws for a name that SQLite would not give back as it was. */
export function storable(name: string, what: string): string {
  if (UNSTORABLE.test(name))
    throw new Failure('event-invalid', `${what} ${JSON.stringify(name)}: must be text without NUL and lone surrogates`)
  return name
}

function nameable(name: string, what: string): void {
  storable(name, what)
  if (name.includes(SEPARATOR)) throw new Failure('event-invalid', `${what} ${JSON.stringify(name)}: must be one line`)
}

export class Origins {
  readonly #byName = new Map<string, Origin>()
  readonly #byId = new Map<number, Origin>()
  #last = 0

  load(rows: readonly OriginRow[]): void {
    for (const row of rows) {
      const known = this.find(row.plugin, row.device, row.event, row.bulk === 1)
      if (known.id !== row.id) {
        this.#byId.delete(known.id)
        known.id = row.id
        this.#byId.set(row.id, known)
      }
      known.saved = true
      this.#last = Math.max(this.#last, row.id)
    }
  }

  find(plugin: string, device: string, event: string, bulk: boolean): Origin {
    const name = plugin + SEPARATOR + device + SEPARATOR + event + (bulk ? SEPARATOR : '')
    let origin = this.#byName.get(name)
    if (!origin) {
      nameable(plugin, 'plugin')
      nameable(device, 'device')
      nameable(event, 'event')
      this.#last += 1
      origin = {
        id: this.#last,
        plugin,
        device,
        event,
        bulk,
        type: `${TYPE_PREFIX}${plugin}.${event}`,
        saved: false,
        gateway: '',
        middle: '',
      }
      this.#byName.set(name, origin)
      this.#byId.set(origin.id, origin)
    }
    return origin
  }

  get(id: number): Origin | undefined {
    return this.#byId.get(id)
  }
}

/** What all events of one transaction share. */
export interface Shared {
  gateway: string
  epoch: string
  store: string
  clock: ClockState
  bootid: string
}

export const trailer = (shared: Shared): string =>
  `","sequencetype":"Integer","epoch":${JSON.stringify(shared.epoch)},"store":${JSON.stringify(shared.store)},"clock":"${shared.clock}","bootid":${JSON.stringify(shared.bootid)},"data":`

/** `time` and `data` are JSON text already; `end` comes from `trailer`. */
export function cloudEvent(
  origin: Origin,
  gateway: string,
  id: string,
  time: string,
  sequence: Sequence,
  end: string,
  data: string,
): string {
  if (origin.gateway !== gateway) {
    const source = `/${gateway}/${origin.plugin}/${origin.device}`
    origin.gateway = gateway
    origin.middle = `","type":${JSON.stringify(origin.type)},"source":${JSON.stringify(source)},"time":`
  }
  return `{"specversion":"1.0","id":"${id}${origin.middle}${time},"datacontenttype":"application/json","sequence":"${sequence}${end}${data}}`
}
