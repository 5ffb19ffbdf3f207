/** The built gateway with the whole payment plugin, a scanner on TCP, a till on the shop's MQTT, and HQ behind a real broker. */
import { existsSync, readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { MqttClient } from 'mqtt'
import t from 'tap'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import { freePort } from '../../../daemon/testing/free-port.ts'
import { type GatewayProcess, Shopfloor } from '../../../daemon/testing/processes.ts'
import { until } from '../../../daemon/testing/until.ts'
import { Hq } from './testing/hq.ts'
import { PART_URL } from './testing/till.ts'

const manifest = new URL('../plugin.json', PART_URL)
const bundle = new URL('../../../dist/shopwire.cjs', import.meta.url)
const skip = !existsSync('/usr/sbin/mosquitto')
  ? 'mosquitto is not installed'
  : !existsSync(bundle)
    ? 'dist/shopwire.cjs is not there: npm run build'
    : !existsSync(manifest) || !readFileSync(manifest, 'utf8').includes('"redemption-reserved"')
      ? 'the payment plugin does not take codes yet'
      : false

interface Shop {
  gateway: GatewayProcess
  hq: Hq
  scan(code: string): void
  heard: { topic: string; data: JsonObject }[]
  /** The first of that name; of that order, where one is named. */
  event(name: string, order?: string): Promise<JsonObject>
}

/** HQ charges, too, and at once. */
class ChargingHq extends Hq {
  override answer(request: string, args: JsonObject): Json {
    if (request !== 'charge') return super.answer(request, args)
    return { status: 'paid', number: args.number ?? '', amount: args.amount ?? 0, transaction: 'hq-1' }
  }
}

async function shop(floor: Shopfloor): Promise<Shop> {
  const hq = new ChargingHq()
  const brokerPort = await freePort()
  await floor.mosquitto(brokerPort)
  for (const code of ['CPN-TENOFF-0001', 'CPN-TENOFF-0002']) hq.add('coupon', code, 500)
  hq.members.set('VIP-42', { member: 'M-42', display: { greeting: 'Ms L.', points: 12 }, private: { phone: '13800138000' } })
  const online = await answerFor(hq, await floor.mqtt(brokerPort))

  const scannerPort = await freePort()
  const lines: Socket[] = []
  await floor.serialServer(scannerPort, (socket) => lines.push(socket))
  const gateway = await floor.gateway({
    config: {
      hq: { url: `mqtt://127.0.0.1:${brokerPort}` },
      plugins: {
        scanner: {
          devices: { 'till-1': { port: `tcp://127.0.0.1:${scannerPort}`, till: 'till-1' } },
          prefixes: { coupon: ['CPN-'], member: ['VIP-'] },
          route: { pay: {} },
        },
        payment: { hq: {}, redeem: { reserveSeconds: 25 } },
      },
    },
  })
  await gateway.start()
  const heard: Shop['heard'] = []
  const till = await floor.mqtt(gateway.lanPort)
  till.on('message', (topic, payload) => heard.push({ topic, data: (JSON.parse(payload.toString()) as { data: JsonObject }).data ?? {} }))
  await till.subscribeAsync('shop/payment/till-1/+')
  await until(() => lines.length > 0, 'the scanner is connected')
  await until(() => online.yes, 'HQ is connected')
  return {
    gateway,
    hq,
    heard,
    scan: (code) => lines.at(-1)?.write(`${code}\r`),
    async event(name, order) {
      const find = () =>
        heard.find(({ topic, data }) => topic === `shop/payment/till-1/${name}` && (order === undefined || data.order === order))
      await until(() => find() !== undefined, name)
      return find()?.data ?? {}
    },
  }
}

/** HQ's side on the wire: `up/request` in, `dn/answer` out. */
async function answerFor(hq: Hq, client: MqttClient): Promise<{ yes: boolean }> {
  const online = { yes: false }
  client.on('message', (topic, payload) => {
    if (topic.endsWith('/up/state')) {
      online.yes = (JSON.parse(payload.toString()) as { online: boolean }).online
      return
    }
    const { id, request, args } = JSON.parse(payload.toString()) as { id: string; request: string; args: Json }
    const answer = (body: JsonObject) => client.publish(topic.replace('up/request', 'dn/answer'), JSON.stringify({ id, ...body }))
    hq.ask(request, args, { id }).then(
      (result) => answer({ result }),
      (error: { code: string; message: string }) => {
        if (!error.code.startsWith('hq-')) answer({ error: { code: error.code, message: error.message } })
      },
    )
  })
  await client.subscribeAsync(['shopwire/v1/+/up/request', 'shopwire/v1/+/up/state'])
  return online
}

async function command(gateway: GatewayProcess, name: string, args: JsonObject): Promise<JsonObject> {
  return gateway.client.call<JsonObject>('POST', `/api/v1/cmd/payment/-/${name}`, { args })
}

t.test('a shop with a till, its scanner, and HQ behind a broker', { skip }, async (t) => {
  const floor = new Shopfloor()
  t.teardown(() => floor.end())
  const { gateway, hq, scan, event, heard } = await shop(floor)

  await t.test('HQ thinks about a coupon and the till waits for it: the shopper pays meanwhile, and everybody can look', async (t) => {
    await command(gateway, 'open', { order: 'A-0', amount: 1500, till: 'till-1' })
    let speak = (): void => {}
    hq.faults.slowReserve = new Promise((resolve) => (speak = resolve))
    let answered = false
    const redeeming = command(gateway, 'redeem', { till: 'till-2', kind: 'coupon', code: 'CPN-TENOFF-0002' }).finally(
      () => (answered = true),
    )
    await until(() => hq.heard.some((one) => one.request === 'reserve'), 'HQ is asked')
    scan('281234567890123456')
    t.match(await event('paid', 'A-0'), { transaction: 'hq-1' })
    t.match(await command(gateway, 'payments', { order: 'A-0' }), { result: { payments: [{ status: 'paid' }] } })
    t.match(await command(gateway, 'member', { till: 'till-2', code: 'VIP-42' }), { result: { display: { greeting: 'Ms L.' } } })
    t.match(await command(gateway, 'redemptions', {}), { result: { redemptions: [{ state: 'reserving' }] } })
    t.notOk(answered, 'the code is still being asked for')
    hq.faults.slowReserve = undefined
    speak()
    t.match(await redeeming, { result: { state: 'reserved', value: 500 } })
  })

  await t.test('a coupon over the till’s MQTT; the gateway is killed after the payment, and HQ hears of it all the same', async (t) => {
    scan('VIP-42')
    t.match(await event('display'), { till: 'till-1', display: { greeting: 'Ms L.' } })
    scan('CPN-TENOFF-0001')
    t.match(await event('redemption-reserved'), { value: 500, code: '***********0001' })
    const opened = await command(gateway, 'open', { order: 'A-1', amount: 1500, till: 'till-1' })
    hq.faults.dropRequest = true
    await command(gateway, 'cash', { order: 'A-1' })
    const redeemed = await event('redeemed')
    const paid = await event('paid', 'A-1')
    t.equal(redeemed.order, 'A-1', JSON.stringify(opened))
    await gateway.kill('SIGKILL')
    hq.faults.dropRequest = false
    await gateway.start()
    await until(() => hq.commits.length > 0, 'HQ hears of the coupon')
    t.match(hq.commits, [{ code: 'coupon:CPN-TENOFF-0001', conflict: false }])
    t.match(paid, { member: String }, 'the payment knows the member')
    const journal = JSON.stringify([heard, await gateway.client.get('/api/v1/events?limit=500')])
    t.match(journal, /redemption-reserved/)
    t.notMatch(journal, /13800138000/, 'what is private is not journaled')
  })
})
