/** Noble on one open adapter, from its start to its end: it scans through noble's own surface and leaves nothing behind. */
import { createRequire } from 'node:module'
import type { Peripheral } from '@abandonware/noble'
import type NobleBindings from '@abandonware/noble/lib/hci-socket/bindings.js'
import type { Noble } from '@abandonware/noble/with-bindings.js'
import BluetoothHciSocket from '../replaces/@abandonware/bluetooth-hci-socket.cjs'
import type { HciSocket } from './hci-socket.ts'

/** Noble's maps are emptied at the latest when they hold this many addresses. */
const MOST_ADDRESSES = 2_000

export interface SessionEvents {
  /** Once for each report that carries a beacon's frame. */
  discover(peripheral: Peripheral): void
  /** Noble's words: poweredOn, poweredOff, unauthorized, unsupported. */
  state(state: string): void
}

export class NobleSession {
  readonly #noble: Noble
  readonly #bindings: NobleBindings
  readonly #socket: HciSocket
  #shown = 0

  /** Throws nothing that the link does not throw. */
  static async open(socket: HciSocket, on: SessionEvents): Promise<NobleSession> {
    const { withBindings, Bindings } = await loadNoble()
    BluetoothHciSocket.hand(socket)
    const bindings = new Bindings({})
    const session = new NobleSession(withBindings(bindings), bindings, socket)
    session.#start(on)
    return session
  }

  private constructor(noble: Noble, bindings: NobleBindings, socket: HciSocket) {
    this.#noble = noble
    this.#bindings = bindings
    this.#socket = socket
  }

  #start(on: SessionEvents): void {
    // A listener for these keeps noble from printing them.
    this.#noble.on('warning', () => {})
    this.#noble.on('discover', (peripheral) => {
      on.discover(peripheral)
      forget(peripheral)
      if (isNew(peripheral) && ++this.#shown >= MOST_ADDRESSES) this.prune()
    })
    const before = { exit: process.listeners('exit'), SIGINT: process.listeners('SIGINT') }
    const state = this.#noble.state
    // Noble ends the process on SIGINT when it listens last, and one more pair of listeners stays for each start.
    for (const event of ['exit', 'SIGINT'] as const)
      for (const listener of process.listeners(event as 'exit'))
        if (!(before[event] as unknown[]).includes(listener)) process.removeListener(event, listener)
    this.#noble.on('stateChange', (changed) => on.state(changed))
    if (state !== 'unknown') on.state(state)
  }

  /** Duplicates are wanted: each report is a sighting. The controller's answer arrives as the socket's `scanning`. */
  scan(): void {
    if (this.#noble.state === 'poweredOn') this.#noble.startScanning([], true)
  }

  stopScan(): void {
    this.#noble.stopScanning()
  }

  /** Noble keeps every address it was ever shown. None of it is needed here: nothing is connected to. */
  prune(): void {
    this.#shown = 0
    const { _gap: gap } = this.#bindings
    for (const [owner, keys] of [
      [this.#noble, ['_peripherals', '_services', '_characteristics', '_descriptors', '_discoveredPeripheralUUids']],
      [this.#bindings, ['_addresses', '_addresseTypes', '_connectable', 'scannable']],
      [gap, ['_discoveries']],
    ] as const)
      for (const key of keys) (owner as unknown as Record<string, object>)[key] = {}
  }

  close(): void {
    // Its poll of the adapter would go on for ever.
    this.#bindings._hci.pollIsDevUp = () => {}
    this.#noble.removeAllListeners()
    this.#noble.on('warning', () => {})
    this.#socket.close()
    this.prune()
  }
}

const SEEN = Symbol('seen')

/** True once for each object that noble keeps for an address. */
function isNew(peripheral: Peripheral & { [SEEN]?: true }): boolean {
  if (peripheral[SEEN]) return false
  peripheral[SEEN] = true
  return true
}

/**
 * Noble lays what an address says over what it said before, and leaves manufacturer data standing when the next frame brings none:
 * a beacon that sends iBeacon and Eddystone by turns would be counted twice.
 */
function forget({ advertisement }: Peripheral): void {
  const said: { manufacturerData?: Buffer | undefined; serviceData: object[] } = advertisement
  said.manufacturerData = undefined
  if (said.serviceData.length > 0) said.serviceData = []
}

/** Loaded with the first adapter, once a process. */
let noble: ReturnType<typeof load> | undefined

export function loadNoble(): ReturnType<typeof load> {
  noble ??= load()
  return noble
}

async function load() {
  // All reports, also those of connectable beacons before their scan response; noble reads this at each report.
  process.env.NOBLE_REPORT_ALL_HCI_EVENTS = '1'
  // From source, the stand-in takes the package's place in the module cache; in a bundle the build has put it there.
  if (import.meta.url !== undefined) {
    const require = createRequire(import.meta.url)
    const standIn = require.resolve('../replaces/@abandonware/bluetooth-hci-socket.cjs')
    require(standIn)
    require.cache[require.resolve('@abandonware/bluetooth-hci-socket')] = require.cache[standIn]
  }
  const [{ default: withBindings }, { default: Bindings }] = await Promise.all([
    import('@abandonware/noble/with-bindings.js'),
    import('@abandonware/noble/lib/hci-socket/bindings.js'),
  ])
  return { withBindings, Bindings }
}
