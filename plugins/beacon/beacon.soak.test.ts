/** The long ones: a million spoilt packets, and hours of noise under many seeds. `npm run soak`. */
import t from 'tap'
import { fuzz } from './fuzz.ts'

t.test('1,200,000 spoilt packets, made from sound ones: nothing is thrown, nothing is printed, the scan goes on', async (t) => {
  for (let seed = 1; seed <= 6; seed++) {
    const result = await fuzz(200_000, seed * 1_001)
    t.same(result.thrown, [], `seed ${seed * 1_001}`)
    t.equal(result.thrownByNoble, 0)
    t.equal(result.printed, 0)
    t.ok(result.malformed > 10_000 && result.heard > 10_000 && result.hearsAfter)
  }
})
