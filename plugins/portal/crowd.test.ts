/** Opening time: 200 phones at once, each with its own MAC, against the built gateway with real nftables. */
import { join } from 'node:path'
import t from 'tap'
import { until } from '../../daemon/testing/processes.ts'
import { house } from './house.testing.ts'
import { GuestNet, INTERNET } from './network/testing/guest-net.ts'

t.test('200 phones join within 5 s: none fails', { skip: GuestNet.unavailable('curl'), timeout: 180_000 }, async (t) => {
  const shop = await house(t, 0)
  const crowd = await shop.net.addCrowd(200)
  const simulator = join(import.meta.dirname, '../../dist/shopwire.cjs')
  const words = [
    '--via',
    `http://${INTERNET.address}`,
    '--first',
    crowd.members[0]?.ip ?? '',
    '--phones',
    '200',
    '--within',
    '5s',
    '--json',
  ]
  const phones = crowd.spawn(process.execPath, [simulator, 'sim', 'portal', ...words])
  await new Promise((resolve) => phones.once('exit', resolve))
  t.match(JSON.parse(phones.output.trim().split('\n').at(-1) ?? '{}'), { online: 200, failed: 0, why: [] }, phones.output.slice(-500))
  await until(async () => (await shop.events('session-started')).length === 200, 'all are told')
})
