/** A shop for the tests: the real plugin, the real node-wifi, and the stand-in for nmcli first in PATH. */
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, MonoMs, StartPlugin, WallMs } from '../../daemon/contract/plugin.ts'
import { testFolder } from '../../daemon/testing/folder.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import plugin from './plugin.ts'
import { hex, NmcliSimulator, type Scene } from './simulator.ts'

interface Teardown {
  teardown(run: () => unknown): void
}

export interface Shop {
  nmcli: NmcliSimulator
  harness: PluginHarness
  /** Stops the plugin and starts it anew on the same store, as after a crash or an update. */
  restart(config?: JsonObject): Promise<PluginHarness>
  /** Waits for something of the stand-in's. */
  until(done: () => boolean, what: string): Promise<void>
  /** Waits until the box is on a network for good: told, kept, and nothing on trial any more. */
  settled(ssid?: string): Promise<void>
  /** Waits for so many looks that begin and end from now on. */
  looks(count: number): Promise<void>
  /** All that has left the plugin's hands, and all arguments that any nmcli was called with. */
  everything(): string
}

export const OFFICE = { ssid: 'Shop Office', password: 'correct horse battery' }
export const SPARE = { ssid: 'Spare 4G', password: 'spare-4g-router' }

/** Successes are waited for patiently: the machine may be slow and busy. */
const PATIENCE_MS = 100_000

/**
 * A clock on which minutes are seconds: `times` faster than the wall's. nmcli and what it starts are real and take their own time: a
 * minute's trial needs several seconds of it where the machine is busy.
 */
export function hurried(times: number): Clock {
  const timer = (ms: number, run: () => void) => {
    const handle = setTimeout(run, ms / times)
    return () => clearTimeout(handle)
  }
  return {
    wall: () => Date.now() as WallMs,
    mono: () => (performance.now() * times) as MonoMs,
    timer,
    patience: timer,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const cancel = timer(ms, resolve)
        signal?.addEventListener('abort', () => {
          cancel()
          reject(signal.reason as Error)
        })
      }),
  }
}

export function standIn(t: Teardown, change: (scene: Scene) => unknown = () => {}): NmcliSimulator {
  const dir = testFolder(t)
  const nmcli = new NmcliSimulator(dir, undefined, { associateMs: 20, dhcpMs: 10, autoconnectMs: 60 })
  change(nmcli.scene)
  nmcli.start()
  t.teardown(() => nmcli.stop())
  first(t, dir)
  return nmcli
}

/** Puts a folder first in PATH. */
export function first(t: Teardown, dir: string): void {
  const path = process.env.PATH
  t.teardown(() => {
    process.env.PATH = path
  })
  process.env.PATH = `${dir}:${path}`
}

export async function shop(t: Teardown, config: JsonObject, change: (scene: Scene) => unknown = () => {}, clock?: Clock): Promise<Shop> {
  const nmcli = standIn(t, change)
  const harnesses: PluginHarness[] = []
  const begin = async (settings: JsonObject, from: Map<string, Json>) => {
    const harness = await PluginHarness.start({
      start: plugin as unknown as StartPlugin,
      manifestUrl: new URL('./', import.meta.url),
      config: { pollSeconds: 4, graceSeconds: 0, ...settings },
      store: from,
      ...(clock ? { clock } : {}),
    })
    harnesses.push(harness)
    return harness
  }
  const shop: Shop = {
    nmcli,
    harness: await begin(config, new Map()),
    async restart(other = config) {
      await shop.harness.stop()
      shop.harness = await begin(other, shop.harness.store)
      return shop.harness
    },
    until: (done, what) => shop.harness.until(done, what, PATIENCE_MS),
    settled: (ssid = OFFICE.ssid) =>
      shop.until(() => {
        const { harness } = shop
        const kept = JSON.stringify(harness.store.get('uplink')) === JSON.stringify({ good: hex(ssid) })
        return kept && harness.state('-')?.state === 'online' && harness.events.findLast(isUplink)?.data.ssid === ssid
      }, `${ssid} for good`),
    looks: async (count) => {
      const looked = () => nmcli.calls.filter((call) => call.includes('device') && call.includes('show')).length
      // Each begins with a list of the devices; the last one must have ended, so one more has begun.
      const enough = looked() + count + 1
      await shop.until(() => looked() >= enough, `${count} looks`)
    },
    everything: () => JSON.stringify([harnesses.map(({ events, states, logs, store }) => [events, states, logs, [...store]]), nmcli.calls]),
  }
  t.teardown(() => shop.harness.stop())
  return shop
}

/** The network a radio is on. */
export function on(nmcli: NmcliSimulator, radio = 'wlan0'): string | undefined {
  const link = nmcli.scene.links[radio]
  const point = link?.state === 100 ? nmcli.scene.points.find(({ bssid }) => bssid === link.bssid) : undefined
  return point && Buffer.from(point.ssid, 'hex').toString('utf8')
}

export const WRONG = 'not the password'

/** Secrets appear nowhere: not in events, states, logs or the store, not in any program's arguments. */
export function secretsStayed(t: { notMatch(text: string, what: string): unknown }, all: string): void {
  for (const secret of [OFFICE.password, SPARE.password, WRONG]) t.notMatch(all, secret)
}

export function isUplink({ event }: { event: string }): boolean {
  return event === 'uplink'
}
