/** The AsyncAPI 3.0 document of the shop's and HQ's MQTT, from the data that the code itself uses. */
import {
  CLOUD_EVENT,
  CORE_EVENTS,
  DEVICE_EVENT,
  DOWN_ENVELOPES,
  SHOP_ENVELOPES,
  UP_ENVELOPES,
} from '../../daemon/contract/envelope-schemas.ts'
import type { Json, JsonObject, JsonSchema } from '../../daemon/contract/json.ts'
import type { Manifest } from '../../daemon/contract/plugin.ts'
import { DEVICE, GATEWAY_ID, hq, NAME, shop } from '../../daemon/contract/topics.ts'

interface Message {
  /** Unique in the document. Levels are joined by `_`, which no topic level holds. */
  name: string
  title: string
  payload: JsonSchema
  summary?: string
}

interface Channel {
  name: string
  address: string
  title: string
  description: string
  server: 'shop' | 'hq'
  /** Seen from the gateway. */
  action: 'send' | 'receive'
  qos: string
  retain: boolean
  messages: Message[]
}

const UP: Record<keyof typeof UP_ENVELOPES, [description: string, qos: string, retain: boolean]> = {
  state: ['Birth, and the will. A will carries its own session, so a late one is told from a new birth.', '1', true],
  info: ['What this gateway is: store, host, versions, plugins and devices.', '1', true],
  events: [
    'Events in sequence order, at most 100 or 64 KiB in a batch; gzip (RFC 1952) above 1 KB, told by its magic bytes 1f 8b.',
    '1',
    false,
  ],
  sync: ['On connect and every 1-5 min: how far each side has got. HQ answers with whatever is newer.', '1', false],
  reported: ['What became of a desired config.', '1', true],
  result: ['What became of a command.', '1', false],
  request: ['A plugin asks HQ, live; answered on dn/answer. Not journaled, and not to be stored: it may hold a secret.', '1', false],
  health: ['How it is, every 60 s.', '0', false],
  log: ['Log lines, only while asked for.', '0', false],
}

const DOWN: Record<keyof typeof DOWN_ENVELOPES, string> = {
  ack: 'HQ has stored everything up to sequence. The only thing that moves the gateway’s cursor: a PUBACK does not.',
  desired: 'The config that HQ wants. Only a higher version is applied; the same again is a no-op. Retaining it is a hint, not needed.',
  command: 'A command to a plugin.',
  answer: 'The answer to an up/request, by its id.',
}

export function asyncapi(version: string, manifests: readonly Manifest[]): JsonObject {
  const channels = [...shopChannels(manifests), ...hqChannels()]
  const messages = new Map(channels.flatMap((channel) => channel.messages.map((one) => [one.name, one] as const)))
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'shopwire',
      version,
      description:
        'MQTT of an in-store gateway. At the shop: live events, device states and commands. To HQ: the same events from a durable journal, acknowledged by HQ, and commands and config back. Operations are seen from the gateway.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    defaultContentType: 'application/json',
    servers: {
      shop: {
        host: 'shopwire.local:1883',
        protocol: 'mqtt',
        protocolVersion: '3.1.1',
        description:
          'The broker inside the gateway speaks MQTT 3.1.1; with lan.url it is the shop’s own, and MQTT 5 where that one speaks it.',
      },
      hq: { host: 'hq.example:8883', protocol: 'secure-mqtt', description: 'Any MQTT 3.1.1 or 5 broker, single or clustered.' },
    },
    channels: Object.fromEntries(channels.map((channel) => [channel.name, channelObject(channel)])),
    operations: Object.fromEntries(channels.map((channel) => [`${channel.action}_${channel.name}`, operationObject(channel)])),
    components: { messages: Object.fromEntries([...messages].map(([name, message]) => [name, messageObject(message)])) },
  }
}

function shopChannels(manifests: readonly Manifest[]): Channel[] {
  const at = { server: 'shop' as const, qos: '0 or 1, as subscribed' }
  const events = [
    ...Object.entries(CORE_EVENTS).map(([plugin, of]) => ({ plugin, device: '-', events: of })),
    ...manifests.map(({ name, events = {} }) => ({ plugin: name, device: '{device}', events: { ...events, device: DEVICE_EVENT } })),
  ].flatMap(({ plugin, device, events: of }) =>
    Object.entries(of).map(
      ([event, data]): Channel => ({
        ...at,
        name: `${plugin}_${event}`,
        address: shop.event(plugin, device, event),
        title: `${plugin}.${event}`,
        description:
          `One event, live, after it is durable in the journal. ${typeof data.description === 'string' ? `${data.description}.` : ''}`.trim(),
        action: 'send',
        retain: false,
        messages: [{ name: `${plugin}_${event}`, title: `shopwire.${plugin}.${event}`, payload: cloudEvent(plugin, event, data) }],
      }),
    ),
  )
  const commands = manifests.flatMap(({ name, commands: of = {} }) =>
    Object.entries(of).map(
      ([command, spec]): Channel => ({
        ...at,
        name: `${name}_cmd_${command}`,
        address: shop.command(name, '{device}', command),
        title: `${name} ${command}`,
        description: `${spec.description ?? `The command ${command}.`}${spec.repeatable ? ' It is run again after a crash: doing it twice does no harm.' : ''}`,
        action: 'receive',
        qos: '0 or 1',
        retain: false,
        messages: [{ name: `${name}_cmd_${command}`, title: `${name} ${command}`, payload: commandPayload(spec.args) }],
      }),
    ),
  )
  return [
    ...events,
    ...commands,
    {
      ...at,
      name: 'shop_result',
      address: shop.result('{plugin}', '{device}'),
      title: 'Result of a command',
      description: 'Unless the request names an MQTT 5 response topic outside shop/: then there, with the request’s correlation data.',
      action: 'send',
      retain: false,
      messages: [{ name: 'CommandResult', title: 'Result of a command', payload: SHOP_ENVELOPES.CommandResult }],
    },
    {
      ...at,
      name: 'shop_state',
      address: shop.state('{plugin}', '{device}'),
      title: 'Device state',
      description: 'The device’s state now. An empty payload when the device is no longer configured.',
      action: 'send',
      retain: true,
      messages: [{ name: 'DeviceState', title: 'Device state', payload: SHOP_ENVELOPES.DeviceState }],
    },
    {
      ...at,
      name: 'shop_gateway',
      address: shop.state('gateway', '-'),
      title: 'Gateway state',
      description: 'Whether the gateway is there. On a broker of the shop’s own also its will.',
      action: 'send',
      retain: true,
      messages: [{ name: 'GatewayState', title: 'Gateway state', payload: SHOP_ENVELOPES.GatewayState }],
    },
  ]
}

function hqChannels(): Channel[] {
  const up = Object.entries(UP).map(
    ([kind, [description, qos, retain]]): Channel => ({
      name: `up_${kind}`,
      address: hq.up('{gateway}', kind as keyof typeof UP),
      title: `up/${kind}`,
      description,
      server: 'hq',
      action: 'send',
      qos,
      retain,
      messages: [{ name: `up_${kind}`, title: `up/${kind}`, payload: UP_ENVELOPES[kind as keyof typeof UP] }],
    }),
  )
  const down = Object.entries(DOWN).map(
    ([kind, description]): Channel => ({
      name: `dn_${kind}`,
      address: hq.down('{gateway}', kind as keyof typeof DOWN),
      title: `dn/${kind}`,
      description,
      server: 'hq',
      action: 'receive',
      qos: '0 or 1',
      retain: false,
      messages: [{ name: `dn_${kind}`, title: `dn/${kind}`, payload: DOWN_ENVELOPES[kind as keyof typeof DOWN] }],
    }),
  )
  return [...up, ...down]
}

const PARAMETERS: Record<string, JsonObject> = {
  plugin: { description: `Plugin name, ${NAME.source}` },
  device: { description: `Device name as in the config, ${DEVICE.source}; "-" for a plugin’s single instance` },
  gateway: { description: `Gateway id, ${GATEWAY_ID.source}` },
}

function channelObject({ address, title, description, server, messages }: Channel): JsonObject {
  const names = [...address.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? '')
  return {
    address,
    title,
    description,
    servers: [{ $ref: `#/servers/${server}` }],
    ...(names.length > 0 ? { parameters: Object.fromEntries(names.map((name) => [name, PARAMETERS[name] ?? {}])) } : {}),
    messages: Object.fromEntries(messages.map(({ name }) => [name, { $ref: `#/components/messages/${name}` }])),
  }
}

function operationObject({ name, action, qos, retain, messages }: Channel): JsonObject {
  return {
    action,
    channel: { $ref: `#/channels/${name}` },
    description: `QoS ${qos}${retain ? ', retained' : ''}.`,
    messages: messages.map((message) => ({ $ref: `#/channels/${name}/messages/${message.name}` })),
  }
}

function messageObject({ name, title, payload }: Message): JsonObject {
  return { name, title, contentType: 'application/json', payload: payload as unknown as Json }
}

function cloudEvent(plugin: string, event: string, data: JsonSchema): JsonSchema {
  const properties = CLOUD_EVENT.properties as Record<string, JsonSchema>
  return { ...CLOUD_EVENT, properties: { ...properties, type: { const: `shopwire.${plugin}.${event}` }, data } }
}

function commandPayload(args: JsonSchema = { type: 'object', additionalProperties: false }): JsonSchema {
  const { ShopCommand } = SHOP_ENVELOPES
  return { ...ShopCommand, properties: { ...(ShopCommand.properties as Record<string, JsonSchema>), args } }
}
