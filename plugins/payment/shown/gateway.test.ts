/**
 * One order QR in the built gateway: on paper, on the customer display and on the guest's own phone; the gateway is killed while it is shown; paid
 * by somebody who scans it, it ends in all three places.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import { freePort } from '../../../daemon/testing/free-port.ts'
import { Shopfloor } from '../../../daemon/testing/processes.ts'
import { until } from '../../../daemon/testing/until.ts'
import { AlipaySimulator } from '../simulators/alipay.ts'
import { testKeys } from '../testing.ts'

const BUILT = existsSync(resolve(import.meta.dirname, '../../../dist/plugins/payment/plugin.cjs'))
/** Set to a folder to look at the slip. */
const pictures = process.env.SHOPWIRE_PICTURES

t.test(
  'shown on paper, display and phone; kill -9; one slip; paid everywhere',
  { skip: BUILT ? false : 'not built: npm run build' },
  async (t) => {
    const floor = new Shopfloor()
    const keys = testKeys()
    const alipay = new AlipaySimulator(keys.alipay, keys.appId)
    t.teardown(async () => {
      await floor.end()
      await alipay.close()
    })
    const [printerPort, portalPort, alipayPort] = [await freePort(), await freePort(), await alipay.listen()]
    const printer = floor.shopwire(['sim', 'printer', '--listen', `127.0.0.1:${printerPort}`, '--text'])
    await until(() => printer.output.includes(String(printerPort)), 'the printer')
    const gateway = await floor.gateway({
      config: {
        plugins: {
          printer: { devices: { receipt: { port: `tcp://127.0.0.1:${printerPort}` } } },
          portal: { controller: 'simulated', name: 'Blue Lantern', listen: { address: '127.0.0.1', port: portalPort } },
          payment: {
            description: '蓝灯咖啡 Blue Lantern',
            alipay: { ...keys.config.alipay, gateway: `http://127.0.0.1:${alipayPort}/gateway.do`, queryMs: 500, timeoutMs: 30_000 },
          },
        },
      },
    })
    let asked = 0
    const command = async (plugin: string, device: string, name: string, args: JsonObject = {}): Promise<JsonObject> => {
      const path = `/api/v1/cmd/${plugin}/${device}/${name}`
      const { status, result, error } = await gateway.client.call<{ status: string; result: JsonObject; error?: JsonObject }>(
        'POST',
        path,
        {
          id: `t-${asked++}`,
          args,
        },
      )
      if (status !== 'done') throw new Error(JSON.stringify(error ?? status))
      return result
    }
    const answers = (plugin: string) =>
      until(
        () =>
          command(plugin, '-', 'status').then(
            () => true,
            () => false,
          ),
        `the ${plugin} plugin`,
      )
    const phone = async (path = '/', form?: string): Promise<string> => {
      const response = await fetch(`http://127.0.0.1:${portalPort}${path}`, {
        headers: { 'accept-language': 'en', ...(form === undefined ? {} : { 'content-type': 'application/x-www-form-urlencoded' }) },
        ...(form === undefined ? {} : { method: 'POST', body: form }),
      })
      const body = await response.text()
      return `${new URL(response.url).pathname}\n${body}`
    }
    const display = async (): Promise<JsonObject> =>
      ((await command('payment', '-', 'display', { till: 'till-1' })).pay as JsonObject | undefined) ?? {}
    const status = async (): Promise<unknown> =>
      ((await command('payment', '-', 'payments', { order: 'E-1' })) as { payments: JsonObject[] }).payments[0]?.status
    const slips = (): number => printer.output.split('Scan to pay').length - 1

    await gateway.start()
    await Promise.all([answers('payment'), answers('portal')])
    const page = (await phone()).split('\n')[0] ?? ''
    await phone(`${page}connect`, '')
    const { session } = await command('portal', '-', 'session', { address: '127.0.0.1' })
    await command('payment', '-', 'open', {
      order: 'E-1',
      amount: 1_250,
      till: 'till-1',
      show: 'qr',
      session: session ?? '',
      printer: 'receipt',
      expiresInSeconds: 3_600,
    })
    await until(async () => (await display()).state === 'scan', 'the display')
    await until(async () => /Pay ¥12\.50[\s\S]*Waiting for your payment[\s\S]*<svg/.test(await phone()), 'the phone')
    await until(() => slips() === 1, 'the slip')
    const { qr } = await display()
    const { jobs } = (await command('printer', 'receipt', 'jobs')) as { jobs: { jobId: string }[] }
    const { svg } = await command('printer', 'receipt', 'preview', { jobId: jobs[0]?.jobId ?? '' })
    t.match(svg, /<svg/)
    if (pictures) {
      mkdirSync(pictures, { recursive: true })
      writeFileSync(join(pictures, 'order-qr-slip.svg'), String(svg))
    }

    await gateway.kill('SIGKILL')
    await gateway.start()
    await Promise.all([answers('payment'), answers('portal')])
    await until(async () => (await display()).state === 'scan', 'the display, after the kill')
    t.equal((await display()).qr, qr)
    await until(async () => (await phone()).includes('Waiting for your payment'), 'the phone, after the kill')

    t.ok(alipay.ledger.scan(String(qr), Date.now()))
    await until(async () => (await status()) === 'paid', 'paid')
    await until(async () => (await phone()).includes('✓ Paid: ¥12.50'), 'the phone')
    await until(async () => (await display()).state === undefined, 'the display is free again')
    t.equal(slips(), 1, 'printed once')
    t.equal(alipay.ledger.captured, 1_250)
  },
)
