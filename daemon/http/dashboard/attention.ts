/** What a person has to see to, from the picture of the shop. Pure. */

import type { LinkView, PluginView } from '../../shop.ts'
import type { Snapshot } from '../api.ts'
import type { Key, Words } from './words.ts'

export interface Item {
  /** `device:…`, `plugin:…`, `link:…`: one fault is told once. */
  about: string
  what: string
  /** What is known of the cause. */
  why?: string
  since?: string
  fix?: string
  action?: { kind: 'show'; label: string; href: string } | { kind: 'restart'; plugin: string }
}

/** A start or a connection that takes longer than this is a problem. */
const PATIENCE_MS = 30_000

export function attention(snapshot: Snapshot, words: Words, now: number): Item[] {
  const own = [
    ...journalItems(snapshot, words),
    ...snapshot.plugins.flatMap((one) => pluginItem(one, words, now)),
    ...deviceItems(snapshot, words),
    ...snapshot.links.flatMap((one) => linkItem(one, words, now)),
  ]
  const told = new Set(own.map((one) => one.about))
  const others: Item[] = snapshot.health.problems
    .filter((one) => one.about === undefined || !told.has(one.about))
    .map((one) => ({
      about: one.about ?? one.what,
      what: one.what,
      ...(one.since === undefined ? {} : { since: one.since }),
      ...(one.fix === undefined ? {} : { fix: one.fix }),
    }))
  const items = [...others, ...own]
  // Something hangs that says nothing about itself.
  if (items.length === 0 && !snapshot.health.ok) return [{ about: 'stuck', what: words.say('problem.stuck'), fix: words.say('fix.stuck') }]
  return items
}

function journalItems({ journal }: Snapshot, words: Words): Item[] {
  if (journal.fault === undefined) return []
  return [{ about: 'journal', what: words.say('problem.journal', { why: journal.fault }), fix: words.say('fix.journal') }]
}

function pluginItem(plugin: PluginView, words: Words, now: number): Item[] {
  const { name, status, since } = plugin
  const waits = status === 'starting' && now - Date.parse(since) < PATIENCE_MS
  if (status === 'running' || waits) return []
  return [
    {
      about: `plugin:${name}`,
      what: words.say(`problem.plugin.${status}`, { plugin: name }),
      since,
      ...(plugin.reason === undefined ? {} : { why: plugin.reason }),
      fix: words.say('fix.plugin'),
      action: { kind: 'restart', plugin: name },
    },
  ]
}

function deviceItems({ devices, plugins }: Snapshot, words: Words): Item[] {
  // A plugin that is down is one problem, not one for each of its devices.
  const down = new Set(plugins.filter((one) => one.status !== 'running').map((one) => one.name))
  return devices
    .filter((one) => one.state !== 'online' && !down.has(one.plugin))
    .map((one) => {
      const name = one.device === '-' ? one.plugin : `${one.plugin} ${one.device}`
      const { detail } = one
      const key: Key = one.state === 'fault' || detail !== undefined ? 'problem.device.fault' : 'problem.device.offline'
      const general = words.say(one.state === 'fault' ? 'fix.device.fault' : 'fix.device.offline')
      return {
        about: `device:${one.plugin}/${one.device}`,
        what: words.say(key, { device: name, detail: detail === undefined ? words.say('state.fault') : words.detail(detail) }),
        since: one.since,
        fix: (detail === undefined ? undefined : words.field('fix', detail)) ?? general,
        action: { kind: 'show', label: words.say('action.device'), href: `#${anchor(one.plugin, one.device)}` },
      }
    })
}

function linkItem(link: LinkView, words: Words, now: number): Item[] {
  const waits = link.state === 'connecting' && now - Date.parse(link.since) < PATIENCE_MS
  if (link.state === 'online' || link.state === 'off' || waits) return []
  return [
    {
      about: `link:${link.name}`,
      what: words.say(`problem.link.${link.name}`),
      since: link.since,
      fix: words.say(`fix.link.${link.name}`, { n: link.backlog ?? 0 }),
      action: { kind: 'show', label: words.say('action.link'), href: '#links' },
    },
  ]
}

/** The id of a device's row. */
export const anchor = (plugin: string, device: string): string => `device-${plugin}-${device === '-' ? 'single' : device}`
