/** Who was here leaves the box as a keyed hash only. */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { WallMs } from './contract/plugin.ts'
import { pseudonyms } from './plugins/pseudonym.ts'
import { pseudonymKey } from './pseudonyms.ts'
import { testFolder } from './testing/folder.ts'

const dir = testFolder(t)
const at = (time: string) => () => Date.parse(time) as WallMs

t.test('a box makes its own key once, readable by nobody else; the next start finds the same', async (t) => {
  const first = pseudonymKey({ rotate: 'never' }, dir)
  t.same(pseudonymKey({ rotate: 'never' }, dir), first)
  t.equal(statSync(join(dir, 'pseudonym.key')).mode & 0o777, 0o600)
  t.equal(Buffer.from(first.key, 'hex').toString(), readFileSync(join(dir, 'pseudonym.key'), 'utf8').trim())
})

t.test('a phone gets a new pseudonym each month, a member keeps hers', async (t) => {
  const key = pseudonymKey({ rotate: 'monthly' }, dir)
  const november = pseudonyms(key, at('2026-11-30T23:59:59Z'))
  const december = pseudonyms(key, at('2026-12-01T00:00:00Z'))
  t.equal(november('station', 'aa:bb:cc:dd:ee:ff'), pseudonyms(key, at('2026-11-01T00:00:00Z'))('station', 'aa:bb:cc:dd:ee:ff'))
  t.not(november('station', 'aa:bb:cc:dd:ee:ff'), december('station', 'aa:bb:cc:dd:ee:ff'))
  t.equal(november('person', 'M-1001'), december('person', 'M-1001'))
  for (const rotate of ['daily', 'weekly'] as const) {
    const turning = (time: string) => pseudonyms({ ...key, rotate }, at(time))('station', 'x')
    t.not(turning('2026-11-02T00:00:00Z'), turning('2026-11-19T00:00:00Z'), rotate)
  }
})

t.test('shops with one key know a person again; a key that is short, or not there, is refused by name', async (t) => {
  const shared = join(dir, 'shared')
  writeFileSync(shared, `${'k'.repeat(32)}\n`)
  const one = pseudonymKey({ keyFile: shared, rotate: 'never' }, dir)
  t.equal(pseudonyms(one, at('2026-01-01T00:00:00Z'))('person', 'M-1'), pseudonyms(one, at('2027-01-01T00:00:00Z'))('person', 'M-1'))
  writeFileSync(shared, 'short')
  t.throws(() => pseudonymKey({ keyFile: shared, rotate: 'never' }, dir), { code: 'secret-unreadable', message: /at least 32/ })
  t.throws(() => pseudonymKey({ keyFile: join(dir, 'nowhere'), rotate: 'never' }, dir), { code: 'secret-unreadable', message: /ENOENT/ })
})
