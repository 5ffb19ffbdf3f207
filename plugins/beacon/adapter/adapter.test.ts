/** Every fault of an adapter, with the real noble and the watchdog as it comes, on a simulated clock: mended or reported within 30 s. */

import t from 'tap'
import type { DeviceState, Logger } from '../../../daemon/contract/plugin.ts'
import { HandClock } from '../../../daemon/testing/hand-clock.ts'
import { ibeaconPayload } from '../frames/payload.ts'
import { command, OPCODE, STATUS } from '../hci/packets.ts'
import type { SimulatedController } from '../simulator/controller.ts'
import { UUID } from '../testing.ts'
import { AdapterFault } from './link.ts'
import { Radio } from './radio.ts'
import { loadNoble } from './session.ts'
import { Port } from './testing.ts'

const PAYLOAD = ibeaconPayload({ uuid: UUID, major: 1, minor: 1, power: -59, intervalMs: 100 })

class Bench {
  readonly port = new Port()
  readonly clock = new HandClock()
  readonly states: (DeviceState & { at: number })[] = []
  readonly logs: string[] = []
  readonly told: string[] = []
  /** A fixed beacon hangs in the shop. */
  expected = true
  /** Something sends. */
  sends = true
  heard = 0
  heardAt = 0
  readonly radio: Radio

  constructor() {
    const log = (_fields: object, message: string): void => void this.logs.push(message)
    const logger: Logger = { debug: () => {}, info: log, warn: log, error: log }
    this.radio = new Radio(this.port, this.clock, logger, 10_000, {
      discover: () => {
        this.heard += 1
        this.heardAt = this.clock.mono()
      },
      other: () => {},
      malformed: () => {},
      state: (state) => this.states.push({ ...state, at: this.clock.mono() }),
      deaf: () => this.told.push('deaf'),
      hearing: () => this.told.push('hearing'),
      quiet: () => this.told.push('quiet'),
      expected: () => this.expected,
      ready: () => this.told.push('ready'),
      gone: () => this.told.push('gone'),
      disturbed: () => this.told.push('disturbed'),
    })
  }

  get state(): string {
    const last = this.states.at(-1)
    return last?.detail ?? last?.state ?? ''
  }

  /** Time passes; the beacon sends twice a second. */
  async pass(ms: number): Promise<void> {
    const end = this.clock.mono() + ms
    while (this.clock.mono() < end) {
      this.clock.advance(500)
      // Noble is loaded, commands are answered.
      for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
      if (this.sends) this.port.controller.hear({ address: 'c0:ff:ee:00:00:01', payload: PAYLOAD, rssi: -60 })
    }
  }

  async started(t: { teardown(end: () => void): unknown }): Promise<this> {
    t.teardown(() => this.radio.stop())
    this.radio.start()
    await this.pass(3_000)
    return this
  }
}

t.before(() => loadNoble())

const scanSwitches = (controller: SimulatedController): number =>
  controller.commands.filter(({ opcode }) => opcode === OPCODE.leSetScanEnable).length
const resets = (controller: SimulatedController): number => controller.commands.filter(({ opcode }) => opcode === OPCODE.reset).length

t.test('a sound adapter is left alone', async (t) => {
  const bench = await new Bench().started(t)
  t.equal(bench.state, 'online')
  const before = bench.port.controller.commands.length
  await bench.pass(600_000)
  t.equal(bench.port.controller.commands.length, before, 'no command')
  t.equal(bench.states.length, 1)
  t.ok(bench.heard > 1_150)
})

/** Each: what goes wrong, what has to be said of it within 30 s or nothing, what mends it if it does not mend itself. */
const FAULTS: { name: string; break: (port: Port) => void; said?: string; mend?: (port: Port) => void }[] = [
  {
    name: 'the scan ends without a word; a reset brings it back',
    break: ({ controller }) => {
      controller.faults.scanStuckUntilReset = true
      // The fault strikes once.
      controller.behave((opcode) => {
        if (opcode === OPCODE.reset) controller.faults.scanStuckUntilReset = false
        return undefined
      })
    },
  },
  {
    name: 'it answers, but reports nothing',
    break: ({ controller }) => {
      controller.faults.silent = true
    },
    said: 'adapter-silent',
    mend: ({ controller }) => {
      controller.faults.silent = false
    },
  },
  {
    name: 'it hangs',
    break: ({ controller }) => {
      controller.faults.hung = true
    },
    said: 'adapter-silent',
    mend: ({ controller }) => {
      controller.faults.hung = false
    },
  },
  {
    name: 'its scan is stuck and it hangs on the reset',
    break: ({ controller }) => {
      controller.faults.hangsOnReset = true
      controller.faults.silent = true
    },
    said: 'adapter-silent',
    mend: ({ controller }) => Object.assign(controller.faults, { hangsOnReset: false, hung: false, silent: false }),
  },
  { name: 'it is pulled out', break: (port) => port.unplug(), said: 'no-adapter', mend: (port) => port.plug() },
  { name: 'it resets itself', break: ({ controller }) => controller.resetItself() },
  { name: 'another program turns its scan off', break: ({ controller }) => controller.otherTurnsScanOff() },
  {
    name: 'every report is spoilt',
    break: ({ controller }) => {
      controller.faults.malformed = 1
    },
    mend: ({ controller }) => {
      controller.faults.malformed = 0
    },
  },
]

for (const fault of FAULTS)
  t.test(`${fault.name}: mended or reported within 30 s, and heard again afterwards`, async (t) => {
    const bench = await new Bench().started(t)
    t.equal(bench.state, 'online')
    fault.break(bench.port)
    const heard = bench.heard
    await bench.pass(30_000)
    if (fault.said === undefined) {
      if (!fault.mend) t.ok(bench.heard > heard && bench.clock.mono() - bench.heardAt < 1_500, 'it is heard again')
      t.notOk(
        bench.states.some(({ state }) => state === 'fault'),
        'no fault is reported',
      )
    } else {
      t.equal(bench.state, fault.said)
      t.ok(bench.told.includes('deaf'), 'and the silence is nobody’s departure')
    }
    // Long enough for every backoff.
    await bench.pass(120_000)
    const lines = bench.logs.length
    await bench.pass(600_000)
    t.equal(bench.logs.length, lines, 'the log is not flooded')
    fault.mend?.(bench.port)
    const back = bench.clock.mono()
    await bench.pass(fault.said === 'adapter-silent' ? 630_000 : 30_000)
    t.ok(bench.clock.mono() - bench.heardAt < 1_500, 'it is heard')
    t.equal(bench.state, 'online')
    const online = bench.states.findLast(({ state }) => state === 'online')
    if (fault.said !== undefined) t.ok(online && online.at > back, 'and said to be well')
  })

t.test('no adapter at the start: one line in the log, and found within 30 s of being plugged in', async (t) => {
  const bench = new Bench()
  bench.port.unplug()
  await bench.started(t)
  t.equal(bench.state, 'no-adapter')
  await bench.pass(900_000)
  t.equal(bench.logs.length, 1, bench.logs.join())
  bench.port.plug()
  await bench.pass(30_000)
  t.equal(bench.state, 'online')
  t.ok(bench.heard > 0)
})

t.test('no rights: a fault with its mend, once, and well as soon as they are given', async (t) => {
  const bench = new Bench()
  bench.port.absent = new AdapterFault('permission-denied', 'CAP_NET_RAW is missing')
  await bench.started(t)
  t.match(bench.states.at(-1), { state: 'fault', detail: 'permission-denied' })
  await bench.pass(600_000)
  t.equal(bench.logs.length, 1)
  bench.port.absent = undefined
  await bench.pass(30_000)
  t.equal(bench.state, 'online')
})

t.test('a classic adapter is told to be of no use', async (t) => {
  const bench = new Bench()
  bench.port.controller.capabilities.version = 4
  await bench.started(t)
  t.match(bench.states.at(-1), { state: 'fault', detail: 'unsupported' })
})

t.test('one that refuses to scan is reset, then reported with its status', async (t) => {
  const bench = new Bench()
  bench.port.controller.faults.statuses[OPCODE.leSetScanEnable] = 0x0c
  await bench.started(t)
  await bench.pass(5_000)
  t.match(bench.states.at(-1), { state: 'fault', detail: 'scan-refused' })
  t.ok(resets(bench.port.controller) >= 1)
  bench.port.controller.faults.statuses = {}
  await bench.pass(30_000)
  t.equal(bench.state, 'online')
})

t.test('one that comes up only after a reset is reset', async (t) => {
  const bench = new Bench()
  let reset = false
  bench.port.controller.behave((opcode) => {
    if (opcode === OPCODE.reset) reset = true
    return reset ? undefined : 'silence'
  })
  await bench.started(t)
  await bench.pass(10_000)
  t.equal(bench.state, 'online')
  t.ok(bench.heard > 0)
})

t.test('a flapping plug costs one attempt each, not a storm of them', async (t) => {
  const bench = await new Bench().started(t)
  for (let times = 0; times < 20; times++) {
    bench.port.unplug()
    bench.port.plug()
    await bench.pass(2_000)
  }
  t.ok(bench.port.opened <= 12, `opened ${bench.port.opened} times in 40 s`)
  await bench.pass(30_000)
  t.equal(bench.state, 'online')
  t.notOk(
    process.listeners('SIGINT').some(({ name }) => name.startsWith('bound onSigInt')),
    'noble leaves no listener that ends the process',
  )
  t.ok(scanSwitches(bench.port.controller) > 0)
})

t.test('a shop at night with nothing on the air: no fault, and the silence of who has gone counts', async (t) => {
  const bench = await new Bench().started(t)
  bench.expected = false
  bench.sends = false
  await bench.pass(30_000)
  t.equal(bench.told.at(-1), 'quiet', 'within 30 s it is clear that nobody is there')
  await bench.pass(8 * 60_000)
  t.same(
    bench.states.map(({ state }) => state),
    ['online'],
  )
  bench.sends = true
  await bench.pass(2_000)
  t.ok(bench.clock.mono() - bench.heardAt < 1_500, 'the first one in the morning is heard')
  t.equal(bench.state, 'online')
})

t.test('a reset that is not answered, in an empty shop: the adapter answers again, and is well though nothing is heard', async (t) => {
  const bench = await new Bench().started(t)
  bench.expected = false
  bench.sends = false
  bench.port.controller.faults.hung = true
  await bench.pass(30_000)
  t.equal(bench.state, 'adapter-silent')
  bench.port.controller.faults.hung = false
  await bench.pass(40_000)
  t.equal(bench.state, 'online')
  bench.expected = true
  bench.port.controller.faults.silent = true
  bench.port.controller.faults.hung = true
  await bench.pass(60_000)
  bench.port.controller.faults.hung = false
  await bench.pass(60_000)
  t.equal(bench.state, 'adapter-silent', 'where something ought to be heard it has to be heard')
})

t.test('a full shop that falls silent at once has an adapter at fault, whether or not a beacon hangs there', async (t) => {
  const bench = await new Bench().started(t)
  bench.expected = false
  for (let phone = 0; phone < 12; phone++)
    bench.port.controller.hear({
      address: `7a:00:00:00:00:${phone.toString(16).padStart(2, '0')}`,
      payload: Buffer.from('02011a', 'hex'),
      rssi: -70,
    })
  bench.port.controller.faults.silent = true
  await bench.pass(30_000)
  t.match(bench.states.at(-1), { state: 'fault', detail: 'adapter-silent' })
  bench.sends = false
  await bench.pass(20 * 60_000)
  t.equal(bench.state, 'online', 'it has emptied long since: answering, the adapter is well')
})

t.test('one person with a telephone, a watch, ear buds and a badge goes: no fault', async (t) => {
  const bench = await new Bench().started(t)
  bench.expected = false
  bench.sends = false
  for (const radio of ['11', '12', '13'])
    bench.port.controller.hear({ address: `7a:00:00:00:00:${radio}`, payload: Buffer.from('02011a', 'hex'), rssi: -70 })
  await bench.pass(60_000)
  t.same(
    bench.states.map(({ state }) => state),
    ['online'],
  )
})

t.test('another program turns the scan off and then resets the adapter: the broadcast, too, is set right again', async (t) => {
  const bench = await new Bench().started(t)
  const before = bench.told.filter((what) => what === 'ready').length
  bench.port.controller.otherTurnsScanOff()
  bench.port.controller.power()
  bench.port.controller.send(command(OPCODE.reset))
  bench.port.controller.complete(OPCODE.reset, STATUS.ok)
  await bench.pass(3_000)
  t.equal(bench.told.filter((what) => what === 'ready').length, before + 1)
  t.ok(bench.clock.mono() - bench.heardAt < 1_500, 'and it hears')
})

t.test('the answer to another program’s command is not taken for the answer to ours', async (t) => {
  const bench = await new Bench().started(t)
  const { controller } = bench.port
  controller.behave((opcode) => (opcode === OPCODE.leSetAdvertisingEnable ? 'silence' : undefined))
  const ours = bench.radio.command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(1))
  await new Promise(setImmediate)
  // Theirs went out first, and is refused; ours is done.
  controller.send(command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(1)))
  controller.complete(OPCODE.leSetAdvertisingEnable, STATUS.commandDisallowed)
  controller.complete(OPCODE.leSetAdvertisingEnable, STATUS.ok)
  t.equal(await ours, STATUS.ok)
})

t.test('"pending" is no answer, and a reset ends what was under way', async (t) => {
  const bench = await new Bench().started(t)
  const { controller } = bench.port
  controller.behave((opcode) => (opcode === OPCODE.leSetAdvertisingEnable ? 'silence' : undefined))
  const status = (value: number) =>
    Buffer.from([0x04, 0x0f, 4, value, 1, OPCODE.leSetAdvertisingEnable & 0xff, OPCODE.leSetAdvertisingEnable >> 8])
  const first = bench.radio.command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(1))
  controller.send(status(0))
  controller.send(status(STATUS.unknownCommand))
  t.equal(await first, STATUS.unknownCommand, 'refused by a Command Status')
  const second = bench.radio.command(OPCODE.leSetAdvertisingEnable, Uint8Array.of(1))
  t.equal(await bench.radio.command(OPCODE.reset), STATUS.ok)
  t.equal(await second, undefined)
})

t.test('a program with extended commands disturbs as one with the older ones does', async (t) => {
  const bench = await new Bench().started(t)
  bench.port.controller.send(command(0x2039, Uint8Array.of(0, 0)))
  t.ok(bench.told.includes('disturbed'))
})

t.test('stopped, the adapter scans for nobody', async (t) => {
  const bench = await new Bench().started(t)
  bench.radio.stop()
  await new Promise(setImmediate)
  t.notOk(bench.port.controller.state.scanning)
})
