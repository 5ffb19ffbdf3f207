import t from 'tap'
import { reloadMany } from '../testing/reload-many.ts'

t.setTimeout(3_600_000)

t.test('1,000 reloads leave no process, handle or memory behind', { timeout: 3_600_000 }, async (t) => {
  await reloadMany(t, 1_000)
})
