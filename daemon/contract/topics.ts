/** Every MQTT topic shopwire speaks, built and taken apart in one place. */

/** Gateway id: MQTT client id, certificate CN and topic level at once. */
export const GATEWAY_ID = /^[a-z0-9][a-z0-9-]{2,47}$/

/** Plugin, event and command names. */
export const NAME = /^[a-z][a-z0-9-]{0,31}$/

/** Device names; `-` stands for a plugin's single instance. */
export const DEVICE = /^(?:-|[a-z0-9][a-z0-9-]{0,47})$/

export const shop = {
  event: (plugin: string, device: string, event: string) => `shop/${plugin}/${device}/${event}`,
  state: (plugin: string, device: string) => `shop/${plugin}/${device}/state`,
  command: (plugin: string, device: string, command: string) => `shop/${plugin}/${device}/cmd/${command}`,
  result: (plugin: string, device: string) => `shop/${plugin}/${device}/result`,
  /** What the gateway subscribes to. */
  commands: 'shop/+/+/cmd/+',
} as const

/** `shop/{plugin}/{device}/cmd/{command}` taken apart; undefined when it is not one. */
export function parseShopCommand(topic: string): { plugin: string; device: string; command: string } | undefined {
  const [root, plugin, device, cmd, command, ...rest] = topic.split('/')
  if (root !== 'shop' || cmd !== 'cmd' || rest.length > 0) return undefined
  if (plugin === undefined || device === undefined || command === undefined) return undefined
  if (!NAME.test(plugin) || !DEVICE.test(device) || !NAME.test(command)) return undefined
  return { plugin, device, command }
}

export const UP = ['state', 'info', 'events', 'sync', 'reported', 'result', 'health', 'log', 'request'] as const
export const DOWN = ['ack', 'desired', 'command', 'answer'] as const
export type Up = (typeof UP)[number]
export type Down = (typeof DOWN)[number]

/** Topics between a gateway and HQ. A gateway writes only its own `up`, reads only its own `dn`. */
export const hq = {
  up: (gateway: string, kind: Up) => `shopwire/v1/${gateway}/up/${kind}`,
  down: (gateway: string, kind: Down) => `shopwire/v1/${gateway}/dn/${kind}`,
  /** What a sink subscribes to, for all gateways. */
  allUp: (kind: Up) => `shopwire/v1/+/up/${kind}`,
} as const

/** The gateway and kind of an `up` topic; undefined when it is none. */
export function parseUp(topic: string): { gateway: string; kind: Up } | undefined {
  return parse(topic, 'up', UP)
}

/** The gateway and kind of a `dn` topic; undefined when it is none. */
export function parseDown(topic: string): { gateway: string; kind: Down } | undefined {
  return parse(topic, 'dn', DOWN)
}

function parse<Kind extends string>(topic: string, way: string, kinds: readonly Kind[]): { gateway: string; kind: Kind } | undefined {
  const [root, version, gateway, direction, kind, ...rest] = topic.split('/')
  if (root !== 'shopwire' || version !== 'v1' || direction !== way || rest.length > 0) return undefined
  if (gateway === undefined || !GATEWAY_ID.test(gateway)) return undefined
  const known = kinds.find((one) => one === kind)
  return known === undefined ? undefined : { gateway, kind: known }
}
