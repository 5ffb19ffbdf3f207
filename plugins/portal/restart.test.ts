/** A guest downloads while the plugin is killed, reloaded and given other offers: one connection, from end to end. The built gateway, real nftables. */
import { readFileSync, writeFileSync } from 'node:fs'
import t from 'tap'
import type { JsonObject } from '../../daemon/contract/json.ts'
import { until } from '../../daemon/testing/until.ts'
import { house, probe, tap } from './house.testing.ts'
import { GuestNet } from './network/testing/guest-net.ts'

/** Bytes after which a download goes on for certain: more than was on its way before. */
const MORE = 4_000_000

t.test('a download outlives a kill -9, a reload and other offers', { skip: GuestNet.unavailable('curl') }, async (t) => {
  const shop = await house(t, 1)
  const { phone } = shop.net
  await phone.join()
  t.equal(await tap(phone), 200)
  // curl asks once and never again: it ends when its connection does.
  const download = await phone.begin('http://any.example/endless')
  const goesOn = async (what: string): Promise<void> => {
    const before = await phone.received()
    await until(async () => download.exitCode !== null || (await phone.received()) - before > MORE, what)
    t.equal(download.exitCode, null, what)
  }
  const session = async (): Promise<JsonObject | undefined> =>
    ((await shop.command('sessions').catch(() => undefined))?.result?.sessions as JsonObject[] | undefined)?.[0]
  const used = async (): Promise<number> => {
    let bytes = 0
    await until(async () => {
      const { active, bytesDown } = (await session()) ?? {}
      bytes = Number(bytesDown)
      return active === true
    }, 'the portal knows her')
    return bytes
  }
  await goesOn('it runs')
  const id = (await session())?.session
  // Read every 5 s.
  await until(async () => (await used()) > MORE / 2, 'counted')
  const counted = await used()

  const killed = await shop.plugin()
  process.kill(killed, 'SIGKILL')
  await shop.plugin(killed)
  await goesOn('after a kill')
  await until(async () => (await used()) >= counted + MORE, 'what was counted before the kill, and since')

  const before = await shop.plugin()
  await shop.gateway.client.call('POST', '/api/v1/plugins/portal/reload')
  t.not(await shop.plugin(), before, 'it was reloaded')
  await goesOn('after a reload')
  await until(async () => (await used()) >= counted + 2 * MORE, 'counted on')

  const same = await shop.plugin()
  const config = JSON.parse(readFileSync(shop.gateway.configFile, 'utf8')) as { plugins: { portal: JsonObject } }
  config.plugins.portal.offers = [{ id: 'tea', title: 'Two for one' }]
  writeFileSync(shop.gateway.configFile, JSON.stringify(config))
  shop.gateway.child?.kill('SIGHUP')
  await until(async () => JSON.stringify(await shop.command('offers')).includes('Two for one'), 'the new offers')
  t.equal(await shop.plugin(), same, 'taken in place')
  await goesOn('after other offers')

  t.equal((await session())?.session, id, 'one session')
  t.equal(await probe(phone), 204)
  t.equal((await shop.events('session-ended')).length, 0)
})
