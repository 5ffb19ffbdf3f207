import { join } from 'node:path'
import t from 'tap'
import { openSqliteStore } from './sqlite-store.ts'
import { storeSuite } from './store.suite.ts'

storeSuite(t, async (t) => {
  const file = join(t.testdir(), 'hq.sqlite')
  return () => openSqliteStore(file)
})
