/**
 * fast-check for the tests. The everyday suite draws the same cases every time, so that a red run means a change; `SHOPWIRE_SEED=random`, as
 * `npm run soak` has it, or a number draws others. A failure prints its seed.
 */
import { randomInt } from 'node:crypto'
import fc from 'fast-check'

const wished = process.env.SHOPWIRE_SEED ?? '20261122'
export const seed = wished === 'random' ? randomInt(2 ** 31) : Number(wished)
fc.configureGlobal({ seed })

export { fc }
