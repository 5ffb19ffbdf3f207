/** MQTT topic filters (MQTT 3.1.1 section 4.7), and who may publish and subscribe to what on the shop's broker. */
import { parseShopCommand } from '../contract/topics.ts'

/** Whether a filter is one: `#` alone in the last level, `+` alone in its level. */
export function isFilter(filter: string): boolean {
  const levels = filter.split('/')
  return filter !== '' && levels.every((level, at) => level === '+' || (level === '#' && at === levels.length - 1) || !/[+#]/.test(level))
}

/** Whether `topic` falls under `filter`. Wildcards at the front leave out `$…` topics (4.7.2). */
export function matches(filter: string, topic: string): boolean {
  return covers(filter, topic)
}

/** Whether everything that `inner` can match also falls under `outer`: a subscription within what is allowed. */
export function covers(outer: string, inner: string): boolean {
  const wide = outer.split('/')
  const narrow = inner.split('/')
  if (narrow[0]?.startsWith('$') && /^[+#]$/.test(wide[0] ?? '')) return false
  for (let at = 0; at < wide.length; at++) {
    const level = wide[at]
    if (level === '#') return true
    const asked = narrow[at]
    if (asked === undefined || asked === '#') return false
    if (level !== '+' && level !== asked) return false
    // `a/+` allowed, `a/b/#` asked: the rest is looked at in the next turns and must be there.
  }
  return narrow.length === wide.length
}

/** One client's rights. */
export interface Rights {
  publish: readonly string[]
  subscribe: readonly string[]
}

/** Of a client on loopback when no users are configured. */
export const OPEN: Rights = { publish: ['#'], subscribe: ['#'] }

/**
 * Events, states and results are the gateway's word: nobody else publishes below `shop/` but commands, whatever the
 * rights say. Topics outside `shop/` are free for the shop's own use.
 */
export function mayPublish(rights: Rights, topic: string): boolean {
  const own = topic.startsWith('shop/') || topic === 'shop'
  if (topic.startsWith('$') || (own && !isCommandTopic(topic))) return false
  return rights.publish.some((filter) => matches(filter, topic))
}

export function maySubscribe(rights: Rights, filter: string): boolean {
  return isFilter(filter) && rights.subscribe.some((allowed) => covers(allowed, filter))
}

/** Where a request may ask its answer to be sent (MQTT 5 response topic): never to where the gateway speaks for devices. */
export function mayRespond(topic: string): boolean {
  return (
    topic !== '' && topic.length <= 512 && !/[+#\0]/.test(topic) && !topic.startsWith('$') && topic !== 'shop' && !topic.startsWith('shop/')
  )
}

function isCommandTopic(topic: string): boolean {
  return parseShopCommand(topic) !== undefined || /^shop\/[^/]+\/[^/]+\/cmd\/[^/]+$/.test(topic)
}
