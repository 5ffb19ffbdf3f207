/** What takes its time: as many silent connections as somebody with a laptop can open. */
import t from 'tap'
import { silence } from './silence.testing.ts'
import { Shop } from './testing.ts'

t.test('10,000 connections that say nothing: shoppers still get in', { timeout: 240_000 }, async (t) => {
  const one = await Shop.open()
  t.teardown(() => one.close())
  await silence(t, one, 10_000)
})
