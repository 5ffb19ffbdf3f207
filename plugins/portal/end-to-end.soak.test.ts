/** What takes its time: a session that runs out cuts a live download. */
import t from 'tap'
import { until } from '../../daemon/testing/until.ts'
import { house, probe, tap } from './house.testing.ts'
import { GuestNet } from './network/testing/guest-net.ts'

t.test('time runs out and cuts a live download', { skip: GuestNet.unavailable('curl'), timeout: 240_000 }, async (t) => {
  const shop = await house(t, 1, { session: { minutes: 1 } })
  const { phone } = shop.net
  await phone.join()
  t.equal(await tap(phone), 200)
  const download = await phone.begin('http://news.example/endless')
  const cut = new Promise<void>((resolve) => download.once('exit', () => resolve()))
  await until(async () => (await shop.events('session-ended')).some((one) => one.reason === 'expired'), 'its time ran out', 120_000)
  await cut
  t.equal(await probe(phone), 302)
})
