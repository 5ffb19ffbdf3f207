import { join } from 'node:path'
import t from 'tap'
import { testFolder } from '../../daemon/testing/folder.ts'
import { openSqliteStore } from './sqlite-store.ts'
import { storeSuite } from './store.suite.ts'

storeSuite(t, async (t) => {
  const file = join(testFolder(t), 'hq.sqlite')
  return () => openSqliteStore(file)
})
