/** JSON Schemas that several routes name: they check requests, and `/docs` publishes them. */
import { ERRORS } from '../../contract/errors.ts'
import type { JsonSchema } from '../../contract/json.ts'

const text: JsonSchema = { type: 'string' }
const instant: JsonSchema = { type: 'string', format: 'date-time' }
const object = (properties: Record<string, JsonSchema>, rest: JsonSchema = {}): JsonSchema => ({ type: 'object', properties, ...rest })
const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items })

const problem = object({ path: text, message: text }, { required: ['path', 'message'] })

const errorBody = object(
  { code: { enum: Object.keys(ERRORS) }, message: text, problems: list(problem) },
  { required: ['code', 'message'], description: 'One of the error table' },
)

export const errorAnswer = object({ error: errorBody }, { required: ['error'], description: 'What went wrong' })

/** Every route may answer these. */
export const failures: Record<string, JsonSchema> = { '4xx': errorAnswer, '5xx': errorAnswer }

export const plugin = object({
  name: text,
  version: text,
  status: { enum: ['starting', 'running', 'backoff', 'quarantined', 'stopped'] },
  since: instant,
  restarts: { type: 'integer' },
  reason: text,
})

export const device = object({
  plugin: text,
  device: text,
  state: { enum: ['online', 'offline', 'fault'] },
  detail: { type: 'string', description: 'paper-out, cover-open, unplugged, …' },
  since: instant,
  lastEvent: instant,
})

export const link = object({
  name: { enum: ['lan', 'hq'] },
  state: { enum: ['online', 'connecting', 'offline', 'off'] },
  since: instant,
  detail: text,
  backlog: { type: 'integer', description: 'Events that HQ has not acknowledged' },
  oldest: instant,
})

export const found = object({
  id: text,
  kind: { enum: ['serial', 'usb-printer', 'hid', 'network'] },
  port: text,
  label: text,
  plugin: text,
  confidence: { type: 'integer' },
  configuredAs: { type: 'string', description: '`plugin/device` that already uses the port' },
  config: { type: 'object' },
  snippet: { type: 'string', description: 'YAML for the config file' },
})

export const cloudEvent = object(
  {
    specversion: { const: '1.0' },
    id: text,
    type: text,
    source: text,
    time: instant,
    datacontenttype: { const: 'application/json' },
    sequence: { type: 'string', pattern: '^[0-9]+$' },
    sequencetype: { const: 'Integer' },
    epoch: text,
    store: text,
    clock: { enum: ['synced', 'unsynced'] },
    bootid: text,
    data: { type: 'object' },
  },
  { description: 'CloudEvents 1.0, structured mode' },
)

export const health = object({
  ok: { type: 'boolean', description: 'The journal and every plugin progress' },
  problems: list(object({ what: text, since: instant, fix: text, about: text })),
  checks: { type: 'object' },
})

export const status = object({
  at: instant,
  timeZone: text,
  gateway: object({ id: text, store: text, version: text, demo: { type: 'boolean' } }),
  uptimeSeconds: { type: 'integer' },
  health,
  plugins: list(plugin),
  devices: list(device),
  links: list(link),
  found: list(found),
  journal: object({
    epoch: text,
    head: { type: 'integer' },
    tail: { type: 'integer' },
    bytes: { type: 'integer' },
    freeBytes: { type: 'integer' },
    dropped: { type: 'integer' },
    fault: text,
  }),
  today: object({ since: instant, complete: { type: 'boolean' }, counts: { type: 'object' }, last: { type: 'object' } }),
  trade: object(
    {
      day: text,
      arrivals: { type: 'integer' },
      lastArrival: instant,
      payments: object({
        count: { type: 'integer' },
        linked: { type: 'integer' },
        sums: list(object({ currency: text, sum: { type: 'integer', description: 'Minor units, without what was given back' } })),
        last: instant,
      }),
      slot: object({ at: instant, arrivals: { type: 'integer' }, payments: { type: 'integer' } }),
    },
    { description: 'Today in the ledger' },
  ),
})

const integer: JsonSchema = { type: 'integer' }
const minor: JsonSchema = { type: 'integer', description: 'Minor units' }
const pseudonym: JsonSchema = { type: 'string', description: 'A keyed hash' }
const localDay: JsonSchema = { type: 'string', description: 'The shop’s local day, 2026-11-22' }
const method: JsonSchema = { enum: ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate'] }

export const visitRow = object({
  visit: text,
  visitor: pseudonym,
  by: { enum: ['wifi', 'portal', 'member', 'beacon'] },
  role: { enum: ['guest', 'member', 'staff'] },
  arrived: instant,
  day: localDay,
  first: { type: 'boolean' },
  sleepingDays: { type: 'integer', description: 'Had been away so long' },
  departed: { ...instant, description: 'Absent while somebody is still here' },
  dwellSeconds: integer,
  was: list(pseudonym),
})

export const paymentRow = object({
  payment: text,
  state: { enum: ['opened', 'paid', 'failed', 'unknown', 'reversed', 'refunded', 'part-refunded'] },
  at: { ...instant, description: 'When it was paid; until then when it was opened' },
  day: localDay,
  order: text,
  till: text,
  channel: text,
  currency: text,
  amount: minor,
  refunded: minor,
  firstPayment: { type: 'boolean' },
  receipt: text,
  session: text,
  member: pseudonym,
  payer: pseudonym,
  method,
  confidence: { type: 'number' },
  candidates: integer,
  visit: text,
  visitor: pseudonym,
})

const stats = {
  visits: object({
    count: { type: 'integer', description: 'Without staff' },
    first: integer,
    returning: integer,
    sleeping: { type: 'integer', description: 'Came back after `visits.sleepingDays` or more' },
    staff: integer,
    dwellMedianSeconds: { type: 'integer', description: 'Within 5 %' },
    dwellMeanSeconds: integer,
  }),
  payments: object({
    count: integer,
    first: { type: 'integer', description: 'First payments of a payer' },
    byChannel: list(
      object({ currency: text, channel: text, count: integer, sum: minor, average: minor, refunds: integer, refunded: minor }),
    ),
  }),
  linked: object({
    count: { type: 'integer', description: 'By a proof' },
    share: { type: 'number', description: '`count` of the payments, 0 to 1' },
    inferred: { type: 'integer', description: 'Guesses, for statistics only' },
    byMethod: { type: 'object', description: 'Method -> payments' },
  }),
  redeemed: { type: 'object', description: 'Kind -> how many' },
}

export const statsAnswer = object({
  timeZone: text,
  from: localDay,
  to: localDay,
  days: list(object({ day: localDay, ...stats })),
  total: object(stats),
})

export const commandResult = object(
  {
    id: text,
    status: { enum: ['done', 'failed', 'rejected', 'expired', 'unknown'] },
    result: {},
    error: errorBody,
  },
  { required: ['id', 'status'] },
)

export const listOf = list
export const objectOf = object
export const ok = object({ ok: { const: true } })
