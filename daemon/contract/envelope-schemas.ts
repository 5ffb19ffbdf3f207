/**
 * JSON Schemas (draft-07) of what goes over MQTT, for the published contract. Senders build exactly this; receivers should
 * ignore members they do not know, except in commands, where an unknown member is an error of the caller's.
 */
import { ERRORS } from './errors.ts'
import type { JsonSchema } from './json.ts'
import { DEVICE, GATEWAY_ID, NAME } from './topics.ts'

const text: JsonSchema = { type: 'string' }
const instant: JsonSchema = { type: 'string', format: 'date-time', description: 'RFC 3339' }
const count: JsonSchema = { type: 'integer', minimum: 0 }
const sequence: JsonSchema = { type: 'integer', minimum: 0, description: 'A journal sequence; 0 before the first' }
const anything: JsonSchema = {}
const name: JsonSchema = { type: 'string', pattern: NAME.source }
const device: JsonSchema = { type: 'string', pattern: DEVICE.source, description: 'A device, or "-" for a plugin’s single instance' }
const sha256: JsonSchema = { type: 'string', pattern: '^[0-9a-f]{64}$', description: 'SHA-256, hex' }
const epoch: JsonSchema = {
  type: 'string',
  minLength: 1,
  description: 'New whenever a journal is created: a re-imaged card starts at sequence 1 again',
}
const clock: JsonSchema = {
  enum: ['synced', 'unsynced'],
  description: 'unsynced until the system clock was set; order is the sequence’s, never the clock’s',
}
const pluginStatus: JsonSchema = { enum: ['starting', 'running', 'backoff', 'quarantined', 'stopped'] }
const id: JsonSchema = {
  type: 'string',
  minLength: 1,
  maxLength: 128,
  description: 'Printable. Dedupes for good: a repeat of the same command returns the first result',
}

/** An object whose members are all required but those in `optional`, and that has no others. */
function object(required: Record<string, JsonSchema>, optional: Record<string, JsonSchema> = {}, rest: JsonSchema = {}): JsonSchema {
  return { type: 'object', additionalProperties: false, required: Object.keys(required), properties: { ...required, ...optional }, ...rest }
}

const list = (items: JsonSchema): JsonSchema => ({ type: 'array', items })

const problem = object({ path: { ...text, description: 'Where: plugins.scanner.devices.till-1.port' }, message: text })
const error = object({ code: { enum: Object.keys(ERRORS) }, message: text }, { problems: list(problem) })
const deviceState = { state: { enum: ['online', 'offline', 'fault'] } }
const detail: JsonSchema = { ...text, description: 'A short word from the field: paper-out, cover-open, unplugged' }

/** CloudEvents 1.0, structured mode, with the `sequence` extension. */
export const CLOUD_EVENT: JsonSchema = object(
  {
    specversion: { const: '1.0' },
    id: { ...text, description: 'UUIDv7. source + id identify an event for good; so do gateway + epoch + sequence' },
    type: { type: 'string', pattern: '^shopwire\\.[a-z][a-z0-9-]*\\.[a-z][a-z0-9-]*$' },
    source: { type: 'string', pattern: '^/[a-z0-9-]+/[a-z0-9-]+/(-|[a-z0-9-]+)$', description: '/{gateway}/{plugin}/{device}' },
    time: instant,
    datacontenttype: { const: 'application/json' },
    sequence: { type: 'string', pattern: '^[1-9]\\d*$', description: 'The journal’s sequence: gapless within an epoch' },
    sequencetype: { const: 'Integer' },
    epoch,
    store: text,
    clock,
    bootid: { ...text, description: 'One value per start of the machine' },
    data: { type: 'object' },
  },
  {},
  { title: 'CloudEvent' },
)

const finalStatus = { enum: ['done', 'failed', 'rejected', 'expired', 'unknown'] }
const result = object(
  {
    id: { ...id, description: 'The command’s id; "-" when it could not be read' },
    status: { enum: ['accepted', 'running', ...finalStatus.enum] },
  },
  { result: anything, error },
  {
    description:
      'done: it took effect. failed: it did not, or not whole; error says why. rejected: not run, because of the request or the moment. expired: not run. unknown: nobody can say whether it took effect; it is never run again by itself',
  },
)

/** Payloads on the shop’s broker, by name. */
export const SHOP_ENVELOPES = {
  ShopCommand: object(
    {},
    { id, args: { ...anything, description: 'As the plugin’s manifest says; {} when absent' }, expiresAt: instant },
    { title: 'Command' },
  ),
  CommandResult: { ...result, title: 'Result of a command' },
  DeviceState: object({ ...deviceState, since: instant }, { detail }, { title: 'Device state, retained' }),
  GatewayState: object(
    { online: { type: 'boolean' }, id: { type: 'string', pattern: GATEWAY_ID.source }, version: text },
    {},
    { title: 'Gateway state, retained' },
  ),
} as const satisfies Record<string, JsonSchema>

/** Payloads between gateway and HQ, by the last level of their topic. */
export const UP_ENVELOPES = {
  state: object({ online: { type: 'boolean' }, session: text, epoch, version: text, since: instant }, {}, { title: 'UpState' }),
  info: object(
    {
      store: text,
      tags: list(text),
      host: object({ name: text, platform: text, arch: text, node: text, bootid: text }),
      versions: object({ shopwire: text, api: text }),
      plugins: list(
        object({ name, version: text, state: pluginStatus, devices: list(object({ name: device, ...deviceState }, { detail })) }),
      ),
    },
    {},
    { title: 'UpInfo' },
  ),
  events: object(
    { epoch, from: sequence, to: sequence, events: list(CLOUD_EVENT) },
    { dropped: { ...list(object({ from: sequence, to: sequence })), description: 'Ranges inside from-to that retention took away' } },
    { title: 'UpEvents' },
  ),
  sync: object({ epoch, stored: sequence, sent: sequence, head: sequence, tail: sequence, desiredVersion: count }, {}, { title: 'UpSync' }),
  reported: object(
    { version: count, status: { enum: ['applying', 'applied', 'rejected', 'rolled-back'] }, errors: list(problem), digest: sha256 },
    {},
    { title: 'UpReported' },
  ),
  result: { ...result, title: 'UpResult' },
  health: object(
    {
      time: instant,
      clock,
      uptime: { type: 'number', minimum: 0, description: 'Seconds' },
      backlog: object({ events: count, oldestSeconds: { type: 'number', minimum: 0 }, dropped: count }),
      memory: object({ rss: count, free: count }, {}, { description: 'Bytes' }),
      disk: object({ journal: count, free: count }, {}, { description: 'Bytes' }),
      plugins: list(object({ name, state: pluginStatus, restarts: count })),
    },
    { temperature: { type: 'number', description: 'Degrees Celsius' } },
    { title: 'UpHealth' },
  ),
  log: object(
    { time: instant, level: { enum: ['debug', 'info', 'warn', 'error'] }, message: text, fields: { type: 'object' } },
    {},
    { title: 'UpLog' },
  ),
  request: object(
    { id, plugin: name, request: name, args: anything, expiresAt: instant },
    {},
    {
      title: 'UpRequest',
      description: 'May hold a secret, such as a pay code: not to be stored as it is. A repeat has the id of the first',
    },
  ),
} as const satisfies Record<string, JsonSchema>

export const DOWN_ENVELOPES = {
  ack: object(
    { epoch, sequence },
    { resendFrom: { ...sequence, description: 'HQ misses this one and those after it: send again from here' } },
    { title: 'DownAck' },
  ),
  desired: object(
    {
      version: { type: 'integer', minimum: 1 },
      config: {
        type: 'object',
        description:
          'A JSON Merge Patch (RFC 7396) over the shop’s own config. HQ may set gateway.store, gateway.tags, log, journal, visits, discovery and plugins',
      },
    },
    { digest: { ...sha256, description: 'SHA-256, hex, of the canonical JSON (RFC 8785) of config' } },
    { title: 'DownDesired' },
  ),
  command: object(
    { id, plugin: name, device, command: name },
    { args: anything, issuedAt: instant, expiresAt: instant },
    { title: 'DownCommand' },
  ),
  answer: object(
    { id },
    { result: anything, error: object({ code: { ...text, description: 'From the table of errors, or HQ’s own' }, message: text }) },
    { title: 'DownAnswer', description: 'One of result and error' },
  ),
} as const satisfies Record<string, JsonSchema>

const pseudonym: JsonSchema = { ...text, description: 'A keyed hash; never a name, number or address' }
const visit: JsonSchema = { ...text, description: 'Id of the event that began the visit' }
const role: JsonSchema = { enum: ['guest', 'member', 'staff'] }
const first: JsonSchema = { type: 'boolean', description: 'Nothing is known of an earlier visit' }
const returning: JsonSchema = { type: 'boolean', description: 'The opposite of first' }
const sleepingDays: JsonSchema = { ...count, description: 'Days since the last visit, where they are at least `visits.sleepingDays`' }

const pluginEvent = object({ plugin: name, version: text, reason: text })

/** Data of the events that the gateway itself makes; those of plugins stand in their manifests. */
export const CORE_EVENTS: Record<string, Record<string, JsonSchema>> = {
  visit: {
    arrived: object(
      { visit, visitor: pseudonym, by: { enum: ['wifi', 'portal', 'member', 'beacon'] }, role, first, returning },
      { sleepingDays },
      { title: 'Arrivals', 'x-title': { zh: '到店' } },
    ),
    departed: object(
      { visit, visitor: pseudonym, dwellSeconds: { ...count, description: 'From the arrival to the last sign, without the leave grace' } },
      { into: { ...visit, description: 'The visit of the same person that goes on: this one was no other' } },
      { title: 'Departures', 'x-title': { zh: '离店' } },
    ),
    identified: object(
      { visit, visitor: pseudonym, was: { ...pseudonym, description: 'Whom this visit was told of until now' }, role, first, returning },
      { sleepingDays },
      { title: 'Recognised visitors', 'x-title': { zh: '识别到店顾客' } },
    ),
  },
  payment: {
    linked: object(
      {
        payment: text,
        method: { enum: ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate'] },
        confidence: { type: 'number', minimum: 0, maximum: 0.99, description: '0: several candidates, and no link' },
        candidates: count,
        rule: { ...text, description: 'Version of the rules' },
        evidence: { ...list(text), description: 'Ids of the events it rests on' },
      },
      {
        session: text,
        visit,
        visitor: { ...pseudonym, description: 'Never with single_candidate: what is inferred reveals nobody' },
        consent: { ...text, description: 'Version of the consent that the visitor gave' },
        revoked: { enum: ['refunded', 'reversed', 'erased'], description: 'The link stands no more' },
      },
      {
        title: 'Linked payments',
        'x-title': { zh: '关联支付' },
        description: 'One link a payment is current: the last one told, unless it is revoked',
      },
    ),
  },
  plugin: { loaded: pluginEvent, unloaded: pluginEvent, crashed: pluginEvent, quarantined: pluginEvent },
  command: {
    accepted: object(
      {
        command: { ...id, description: 'The command’s id' },
        target: { ...text, description: 'plugin/device/command' },
        status: { const: 'accepted' },
        from: { enum: ['lan', 'hq', 'http', 'cli', 'plugin'] },
      },
      {
        args: { ...anything, description: 'Secrets masked; absent above 4 KiB' },
        argsBytes: { ...count, description: 'In place of args that are too large' },
      },
    ),
    finished: object({ command: id, target: text, status: finalStatus }, { error }),
  },
  journal: {
    dropped: object(
      { fromSeq: sequence, toSeq: sequence, reason: text },
      {
        events: { ...count, description: 'How many were dropped' },
        ranges: {
          ...list({ type: 'array', items: sequence, minItems: 2, maxItems: 2 }),
          description: 'When events in between stay: only these are gone',
        },
      },
    ),
  },
}

/** Data of `{plugin}.device`, which the gateway emits for every plugin with devices. */
export const DEVICE_EVENT: JsonSchema = object(deviceState, { detail })
