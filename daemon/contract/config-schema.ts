import type { JsonSchema } from './json.ts'

const listen: JsonSchema = { type: 'string', pattern: '^(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9.-]+):\\d{1,5}$', description: 'host:port' }
const file: JsonSchema = { type: 'string', minLength: 1 }
const mqttUrl: JsonSchema = {
  type: 'string',
  pattern: '^(mqtt|mqtts|ws|wss|tcp|ssl)://[^\\s@]+$',
  description: 'mqtt://host:port or mqtts://host:port, without credentials',
}
const duration = (fallback: string): JsonSchema => ({
  type: 'string',
  pattern: '^\\d{1,6}[smhd]$',
  description: 'seconds, minutes, hours or days: 30s, 5m, 16h, 2d',
  default: fallback,
})
const section = (properties: Record<string, JsonSchema>, rest: JsonSchema = {}): JsonSchema => ({
  type: 'object',
  additionalProperties: false,
  default: {},
  properties,
  ...rest,
})

/** Schema of `shopwire.yaml`, defaults included. `plugins.{name}` is checked against the plugin's own schema. */
export const CONFIG_SCHEMA: JsonSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'shopwire.yaml',
  type: 'object',
  additionalProperties: false,
  properties: {
    gateway: section({
      id: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{2,47}$', description: 'lower-case letters, digits and "-", 3 to 48 of them' },
      store: { type: 'string', default: '', maxLength: 64 },
      timeZone: {
        type: 'string',
        minLength: 1,
        maxLength: 64,
        description: 'an IANA name, such as Asia/Shanghai; the system’s own when absent',
      },
      tags: { type: 'array', items: { type: 'string', pattern: '^[a-z0-9][a-z0-9-]{0,47}$' }, default: [] },
    }),
    dataDir: { ...file, default: './data' },
    log: section({ level: { enum: ['debug', 'info', 'warn', 'error'], default: 'info' } }),
    http: section({
      listen: { ...listen, default: '127.0.0.1:8080' },
      token: { type: 'string', minLength: 16, 'x-secret': true },
      tokenFile: file,
      passwordHash: { type: 'string', pattern: '^scrypt:', description: 'as `shopwire password` prints it', 'x-secret': true },
    }),
    lan: section({
      listen: { ...listen, default: '127.0.0.1:1883' },
      url: mqttUrl,
      username: { type: 'string' },
      password: { type: 'string', 'x-secret': true },
      passwordFile: file,
      caFile: file,
      users: {
        type: 'array',
        default: [],
        items: {
          type: 'object',
          additionalProperties: false,
          required: ['name', 'passwordHash'],
          properties: {
            name: { type: 'string', minLength: 1 },
            passwordHash: { type: 'string', pattern: '^scrypt:', description: 'as `shopwire password` prints it', 'x-secret': true },
            publish: { type: 'array', items: { type: 'string' }, default: ['shop/+/+/cmd/+'] },
            subscribe: { type: 'array', items: { type: 'string' }, default: ['shop/#'] },
          },
        },
      },
    }),
    hq: {
      type: 'object',
      additionalProperties: false,
      required: ['url'],
      properties: {
        url: mqttUrl,
        caFile: file,
        certFile: file,
        keyFile: file,
        username: { type: 'string' },
        password: { type: 'string', 'x-secret': true },
        passwordFile: file,
        ack: { enum: ['hq', 'broker'], default: 'hq' },
      },
    },
    journal: section({
      maxAge: { type: 'string', pattern: '^\\d{1,6}[mhd]$', description: 'minutes, hours or days: 90m, 12h, 180d', default: '180d' },
      maxSize: { type: 'string', pattern: '^\\d{1,6}(KB|MB|GB)$', description: '500MB, 2GB', default: '2GB' },
    }),
    visits: section({
      leaveGrace: { ...duration('5m'), description: 'how long nobody may see a visitor before the visit is over: 30s, 5m, 1h' },
      momentHold: { ...duration('15m'), description: 'how long a moment’s sign, such as a member’s card at the till, stands for presence' },
      longest: { ...duration('16h'), description: 'a visit without any sign for so long is ended' },
      sleepingDays: {
        type: 'integer',
        minimum: 1,
        maximum: 3650,
        default: 30,
        description: 'who comes back after so many days had been asleep',
      },
    }),
    pluginDirs: { type: 'array', items: file, default: ['./plugins'] },
    discovery: section({ auto: { type: 'boolean', default: false }, announce: { type: 'boolean', default: true } }),
    privacy: section({
      keyFile: { ...file, description: 'the key of pseudonyms, 32 characters or more; shops that share it know a person again' },
      rotate: {
        enum: ['never', 'daily', 'weekly', 'monthly'],
        default: 'monthly',
        description: 'how often the pseudonyms of radio addresses change',
      },
    }),
    plugins: {
      type: 'object',
      default: {},
      propertyNames: { pattern: '^[a-z][a-z0-9-]{0,31}$' },
      additionalProperties: { type: 'object' },
    },
  },
}
