import t from 'tap'
import { createVerifier, hashPassword, verifyPassword } from './password.ts'

t.test('the right password opens, a wrong one and a broken hash do not', async (t) => {
  const hash = await hashPassword('till-1 geheim')
  t.match(hash, /^scrypt:16384:8:1:[\w-]{22}:[\w-]{43}$/)
  t.not(hash, await hashPassword('till-1 geheim'), 'salted')
  t.equal(await verifyPassword('till-1 geheim', hash), true)
  t.equal(await verifyPassword('till-1 Geheim', hash), false)
  for (const broken of [
    '',
    'scrypt:',
    'scrypt:16384:8:1::',
    'scrypt:9999999:99:1:aaaa:bbbbbbbbbbbbbbbbbbbbbbbb',
    'scrypt:3:8:1:aaaa:bbbbbbbbbbbbbbbbbbbbbbbbbb',
  ])
    t.equal(await verifyPassword('till-1 geheim', broken), false, broken)
})

t.test('a full-width and a half-width keyboard type the same password', async (t) => {
  t.equal(await verifyPassword('ａｂｃ１２３', await hashPassword('abc123')), true)
})

t.test('a flood of guesses is answered without a scrypt each; the till that was in before still gets in', async (t) => {
  const verify = createVerifier()
  const hash = await hashPassword('right')
  t.equal(await verify('right', hash), true)
  const guesses = Array.from({ length: 200 }, (_, index) => verify(`guess-${index}`, hash))
  t.equal(await verify('right', hash), true, 'answered at once, from memory')
  const answers = await Promise.all(guesses)
  t.notOk(answers.includes(true))
  t.equal(await verify('right', await hashPassword('other')), false, 'the memory is of password and hash together')
})
