/** What the tests share: noble on a controller in the same process, a shop. */
import type { Peripheral } from '@abandonware/noble'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, StartPlugin } from '../../daemon/contract/plugin.ts'
import { HandClock } from '../../daemon/testing/hand-clock.ts'
import { PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { HciSocket, type SocketEvents } from './adapter/hci-socket.ts'
import { NobleSession } from './adapter/session.ts'
import type { BeaconConfig } from './config.ts'
import plugin from './plugin.ts'
import { SimulatedController } from './simulator/controller.ts'
import { BeaconSimulator } from './simulator.ts'

export const UUID = 'FDA50693-A4E2-4FB1-AFCF-C6EB07647825'

/** A shop without beacons, and everything else as it comes. */
export const DEFAULTS: BeaconConfig = {
  adapter: 'hci0',
  beacons: {},
  unknown: 'count',
  zones: [],
  exponent: 2.2,
  hysteresis: 0.25,
  zoneSeconds: 3,
  enter: { sightings: 3, withinSeconds: 5 },
  leaveSeconds: 45,
  health: { silentSeconds: 120, lowBatteryMv: 2400, everyMinutes: 60 },
  watchdogSeconds: 10,
}

export interface Ear {
  socket: HciSocket
  session: NobleSession
  controller: SimulatedController
  counts: { others: number; malformed: number; thrown: number }
  close(): void
}

/** The real noble on our socket, in front of a simulated controller in this process; it scans when this resolves. Its clock may stand still. */
export async function ear(
  clock: Clock = new HandClock(),
  discover: (peripheral: Peripheral) => void = () => {},
  on: Partial<SocketEvents> = {},
): Promise<Ear> {
  const controller = new SimulatedController()
  const counts = { others: 0, malformed: 0, thrown: 0 }
  let scanning: () => void = () => {}
  const socket: HciSocket = new HciSocket(
    {
      isUp: () => true,
      setFilter: () => {},
      // As on a wire: the answer comes after the write has returned.
      write: (packet) => queueMicrotask(() => controller.receive(packet)),
      close: () => {},
    },
    clock,
    {
      report: () => {},
      other: () => {
        counts.others += 1
      },
      malformed: (byNoble) => {
        if (byNoble) counts.thrown += 1
        else counts.malformed += 1
      },
      scanning: (on, status) => {
        if (on && status === 0) scanning()
      },
      disturbed: () => {},
      unsupported: () => {},
      ...on,
    },
  )
  controller.attach((packet) => socket.receive(packet))
  const session = await new Promise<NobleSession>((resolve) => {
    const opening = NobleSession.open(socket, {
      discover,
      state: (state) => {
        if (state === 'poweredOn') void opening.then(resolve)
      },
    })
  })
  const runs = new Promise<void>((resolve) => {
    scanning = resolve
  })
  session.scan()
  await runs
  return { socket, session, controller, counts, close: () => session.close() }
}

export interface Shop {
  simulator: BeaconSimulator
  controller: SimulatedController
  harness: PluginHarness
  events(event: string): JsonObject[]
}

/** The real plugin, connected over TCP to a simulated adapter; the adapter is there unless told. */
export async function shop(
  t: { teardown(end: () => Promise<void>): unknown },
  config: JsonObject = {},
  how: { plugged?: boolean; prepare?: (controller: SimulatedController) => void; store?: Map<string, never> } = {},
): Promise<Shop> {
  const simulator = new BeaconSimulator()
  t.teardown(() => simulator.stop())
  how.prepare?.(simulator.controller)
  const adapter = await simulator.listen()
  if (how.plugged === false) await simulator.unplug()
  const harness = await PluginHarness.start({
    start: plugin as unknown as StartPlugin,
    manifestUrl: new URL('./', import.meta.url),
    config: { adapter, ...config },
    ...(how.store ? { store: how.store } : {}),
  })
  t.teardown(() => harness.stop())
  return {
    simulator,
    controller: simulator.controller,
    harness,
    events: (event) => harness.events.filter((one) => one.event === event).map((one) => one.data),
  }
}
