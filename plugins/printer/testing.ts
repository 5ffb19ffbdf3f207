/** A printer on real TCP and the plugin that drives it, for the tests of this folder. */
import type { Test } from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, MonoMs } from '../../daemon/contract/plugin.ts'
import { freePort } from '../../daemon/testing/free-port.ts'
import { HeldTimers } from '../../daemon/testing/held-timers.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import start from './plugin.ts'
import { type Faults, PrinterSimulator, type SimulatorOptions } from './simulator.ts'

export const manifestUrl = new URL('./', import.meta.url)

/** The plugin's clock. `skip` lets a time limit pass that nobody wants to wait for, and that a slow machine must not run into. */
export class ShopTime {
  #ahead = 0
  readonly clock: Clock

  constructor() {
    const { clock } = new HeldTimers()
    this.clock = { ...clock, mono: () => (clock.mono() + this.#ahead) as MonoMs }
  }

  skip(ms: number): void {
    this.#ahead += ms
  }
}

export interface Shop {
  sim: PrinterSimulator
  shop: PluginHarness
  time: ShopTime
  /** kill -9: what the process had in hand is gone. Gives a copy of what was durable at that moment. */
  crash(): Promise<Map<string, Json>>
  /** The same printer, and a new process with what an old one left. */
  restart(durable: Map<string, Json>): Promise<PluginHarness>
}

export async function open(t: Test, config: JsonObject = {}, options: SimulatorOptions = {}, faults: Partial<Faults> = {}): Promise<Shop> {
  const sim = new PrinterSimulator(options)
  t.teardown(() => sim.close())
  // It listens there again after a power cut: nobody else may have taken it.
  await sim.listen(await freePort())
  sim.changed(faults)
  const time = new ShopTime()
  const launch = (store: Map<string, Json>) =>
    PluginHarness.start({
      start,
      manifestUrl,
      store,
      clock: time.clock,
      config: { devices: { till: { port: sim.address, pollMs: 1_000, ...config } } },
    })
  const shop = await launch(new Map())
  const running = [shop]
  t.teardown(async () => {
    for (const one of running) await one.stop()
  })
  return {
    sim,
    shop,
    time,
    async crash() {
      const durable = structuredClone(shop.store)
      sim.cutLine()
      await shop.stop()
      return durable
    },
    async restart(durable) {
      const next = await launch(durable)
      running.push(next)
      return next
    },
  }
}

export const count = (text: string, what: string): number => text.split(what).length - 1
export const settled = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error)
