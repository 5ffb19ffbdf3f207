import t from 'tap'
import { reloadMany } from '../testing/reload-many.ts'

t.test('20 reloads leave no process, handle or memory behind', async (t) => {
  await reloadMany(t, 20)
})
