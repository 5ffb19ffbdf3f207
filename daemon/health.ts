/** What needs a person's attention, and what HQ hears once a minute. Derived from what is there; keeps no state. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { freemem } from 'node:os'
import { iso } from './clock.ts'
import type { ClockState } from './contract/event.ts'
import type { Clock } from './contract/plugin.ts'
import type { UpHealth } from './contract/uplink.ts'
import type { Health, HealthProblem } from './http/api.ts'
import type { Journal } from './journal/api.ts'
import type { Plugins } from './plugins/api.ts'
import type { Shop } from './shop.ts'

export interface HealthParts {
  journal: Journal
  plugins: Plugins
  shop: Shop
  clock: Clock
  clockState: () => ClockState
}

/** Below this the journal will soon refuse: time to tell somebody. */
const LOW_DISK_BYTES = 100 * 2 ** 20

export function healthOf(parts: HealthParts): Health {
  const { journal, plugins, shop } = parts
  const stats = journal.stats()
  const progressing = plugins.progressing()
  const problems: HealthProblem[] = []
  if (stats.fault !== undefined)
    problems.push({ about: 'journal', what: `Nothing can be stored: ${stats.fault}`, fix: 'Free some disk space, or look at the card.' })
  else if (stats.freeBytes < LOW_DISK_BYTES)
    problems.push({
      about: 'disk',
      what: `The disk is nearly full: ${Math.round(stats.freeBytes / 2 ** 20)} MB free`,
      fix: 'Delete what is not needed, or put in a larger card.',
    })
  for (const plugin of shop.plugins()) {
    if (plugin.status !== 'quarantined' && plugin.status !== 'backoff') continue
    problems.push({
      about: `plugin:${plugin.name}`,
      what: `The ${plugin.name} plugin ${plugin.status === 'quarantined' ? 'crashed too often and is out of service' : 'crashed and will be started again'}${plugin.reason ? ` (${plugin.reason})` : ''}`,
      since: plugin.since,
      ...(plugin.status === 'quarantined' ? { fix: `shopwire plugin reload ${plugin.name}` } : {}),
    })
  }
  for (const device of shop.devices()) {
    if (device.state === 'online') continue
    const fix = FIXES[device.detail ?? '']
    problems.push({
      about: `device:${device.plugin}/${device.device}`,
      what: `${device.plugin} ${device.device}: ${device.detail ?? device.state}`,
      since: device.since,
      ...(fix === undefined ? {} : { fix }),
    })
  }
  for (const link of shop.links()) {
    if (link.state !== 'offline') continue
    const consequence =
      link.name === 'hq' ? `Sales continue; ${link.backlog ?? 0} events wait to be sent.` : 'Tills cannot be reached over MQTT.'
    problems.push({
      about: `link:${link.name}`,
      what: `${link.name === 'hq' ? 'HQ' : 'The shop’s MQTT broker'} cannot be reached: ${link.detail}`,
      since: link.since,
      fix: consequence,
    })
  }
  return {
    ok: stats.fault === undefined && progressing,
    problems,
    checks: { journal: stats.fault ?? true, plugins: progressing, clock: parts.clockState(), freeBytes: stats.freeBytes },
  }
}

/** What to do about the states that devices of any kind report. */
const FIXES: Record<string, string> = {
  'paper-out': 'Out of paper: load a new roll.',
  'cover-open': 'Close the printer’s cover.',
  unplugged: 'Plug it in.',
  unreachable: 'Check that it is switched on and on the network.',
  'permission-denied': 'Add the service’s user to the group that owns the port.',
  'port-busy': 'Another program holds the port.',
  'plugin-crashed': 'It comes back by itself; if not, see the log.',
}

export function upHealthOf(parts: HealthParts, uptimeSeconds: number): UpHealth {
  const stats = parts.journal.stats()
  const now = parts.clock.wall()
  const hq = parts.shop.links().find((link) => link.name === 'hq')
  const temperature = readTemperature()
  return {
    time: iso(now),
    clock: parts.clockState(),
    uptime: Math.round(uptimeSeconds),
    backlog: {
      events: hq?.backlog ?? 0,
      oldestSeconds: hq?.oldest === undefined ? 0 : Math.max(0, Math.round((now - Date.parse(hq.oldest)) / 1000)),
      dropped: stats.dropped,
    },
    memory: { rss: process.memoryUsage.rss(), free: freemem() },
    disk: { journal: stats.bytes, free: stats.freeBytes },
    ...(temperature === undefined ? {} : { temperature }),
    plugins: parts.shop.plugins().map(({ name, status, restarts }) => ({ name, state: status, restarts })),
  }
}

const THERMAL = '/sys/class/thermal'

/** The first thermal zone that answers, in degrees Celsius (the kernel gives thousandths). */
function readTemperature(): number | undefined {
  if (!existsSync(THERMAL)) return undefined
  for (const zone of readdirSync(THERMAL).filter((name) => name.startsWith('thermal_zone'))) {
    try {
      return Number(readFileSync(`${THERMAL}/${zone}/temp`, 'utf8')) / 1000
    } catch {
      // A zone without a working sensor; the next one may have one.
    }
  }
  return undefined
}
