/** What takes its time: every state of the pages in both languages, every size in every scheme. */
import t from 'tap'
import { ALL, everyState, launch, noChromium } from './looks.testing.ts'

t.test('every state, in both languages', { skip: noChromium, timeout: 600_000 }, async (t) => {
  const browser = await launch()
  t.teardown(() => browser.close())
  for (const language of ['zh', 'en'] as const) await t.test(language, (t) => everyState(t, browser, language, ALL))
})
