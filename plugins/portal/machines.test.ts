/** What decides, without clock or network. */

import t from 'tap'
import { fc } from '../../daemon/testing/property.ts'
import { lockoutMachine, newLockout } from './logins/lockout.machine.ts'
import { maskedPhone, normalPhone } from './logins/phone.ts'
import { newSms, smsLimits, smsMachine } from './logins/sms.machine.ts'
import { newPresence, type PresenceEffect, presenceMachine } from './presence/presence.machine.ts'
import { newSessions, type SessionEffect, type SessionEvent, secondsLeft, sessionMachine } from './sessions/session.machine.ts'
import type { Login } from './sessions/session.ts'

const MINUTE = 60_000
const login = (mac: string, more: Partial<Login> = {}): Login => ({
  mac,
  visitor: `v-${mac}`,
  station: `s-${mac}`,
  method: 'tap',
  returning: false,
  seconds: 3_600,
  ...more,
})

t.test('sessions: one station, one session, whatever happens in whatever order', async (t) => {
  const macs = ['a', 'b', 'c']
  const step = fc.record({
    what: fc.integer({ min: 0, max: 7 }),
    mac: fc.constantFrom(...macs),
    visitor: fc.constantFrom('x', 'y'),
    later: fc.integer({ min: 0, max: 30 * MINUTE }),
    bytes: fc.nat(1_000),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const state = newSessions({ capacity: 2, idleMs: 20 * MINUTE })
      const out = new Set<string>()
      const started = new Set<string>()
      const ended = new Set<string>()
      let now = 0
      const act = (effects: readonly SessionEffect[]): void => {
        for (const effect of effects) {
          if (effect.kind === 'grant') out.add(effect.grant.mac)
          if (effect.kind === 'started') started.add(effect.session.id)
          if (effect.kind === 'ended') {
            if (ended.has(effect.session.id)) throw new Error('ended twice')
            if (effect.seconds < 0 || effect.session.bytesUp < 0) throw new Error('negative')
            ended.add(effect.session.id)
          }
          if (effect.kind === 'revoke') {
            out.delete(effect.mac)
            act(sessionMachine.step(state, { kind: 'revoked', macs: [effect.mac], now }))
          }
        }
      }
      for (const [at, { what, mac, visitor, later, bytes }] of steps.entries()) {
        now += later
        const events: SessionEvent[] = [
          { kind: 'login', login: login(mac, { visitor }), id: `id-${at}`, at: '', now },
          { kind: 'granted', macs: [mac] },
          { kind: 'grant-failed', macs: [mac] },
          { kind: 'usage', usage: [{ mac, bytesUp: bytes, bytesDown: bytes }], now },
          { kind: 'tick', now },
          { kind: 'end', macs: [mac], reason: 'revoked' },
          { kind: 'seen', mac, now },
          { kind: 'save', now },
        ]
        const event = events[what]
        if (event) act(sessionMachine.step(state, event))
        if (state.sessions.size > 2) throw new Error('more than its capacity')
        for (const session of state.sessions.values()) {
          if (session.phase === 'online' && !out.has(session.mac)) throw new Error('online and not let out')
          if (ended.has(session.id)) throw new Error('ended and still there')
        }
      }
    }),
    { numRuns: 500 },
  )
  t.pass()
})

t.test('sessions: more time, the same bytes; another person, bytes from nothing', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '1', at: '', now: 0 })
  t.match(sessionMachine.step(state, { kind: 'granted', macs: ['a'] }), [{ kind: 'started', session: { id: '1' } }])
  sessionMachine.step(state, { kind: 'usage', usage: [{ mac: 'a', bytesUp: 10, bytesDown: 20 }], now: 1 })
  t.same(
    sessionMachine.step(state, { kind: 'login', login: login('a'), id: '2', at: '', now: 30_000 }),
    [],
    'the same finger again: nothing to do',
  )
  t.match(sessionMachine.step(state, { kind: 'login', login: login('a'), id: '3', at: '', now: 30 * MINUTE }), [
    { kind: 'grant', grant: { seconds: 3_615, bytesUp: 10 } },
    { kind: 'keep' },
    { kind: 'keep-usage' },
  ])
  const effects = sessionMachine.step(state, {
    kind: 'login',
    login: login('a', { visitor: 'p', method: 'sms' }),
    id: '4',
    at: '',
    now: 40 * MINUTE,
  })
  t.match(effects, [
    { kind: 'ended', session: { id: '1', bytesDown: 20 }, reason: 'replaced', seconds: 2_400 },
    { kind: 'forget' },
    { kind: 'keep' },
    { kind: 'grant', grant: { bytesDown: 20 } },
  ])
  sessionMachine.step(state, { kind: 'usage', usage: [{ mac: 'a', bytesUp: 15, bytesDown: 21 }], now: 41 * MINUTE })
  t.match(state.sessions.get('a'), { id: '4', bytesUp: 5, bytesDown: 1 })
})

t.test('sessions: who taps every half minute is not promised time that the network does not give', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '1', at: '', now: 0 })
  sessionMachine.step(state, { kind: 'granted', macs: ['a'] })
  let until = 3_600_000
  for (let now = 30_000; now < 30 * MINUTE; now += 30_000)
    for (const effect of sessionMachine.step(state, { kind: 'login', login: login('a'), id: `${now}`, at: '', now })) {
      if (effect.kind === 'grant') until = now + (effect.grant.seconds - 15) * 1000
      t.ok((state.sessions.get('a')?.endsAt ?? 0) <= until, 'at no moment')
    }
  t.equal(state.sessions.get('a')?.endsAt, until)
})

t.test('sessions: more time that the network did not take is asked for again; a new one it did not take is taken back', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '1', at: '', now: 0 })
  t.match(sessionMachine.step(state, { kind: 'grant-failed', macs: ['a'] }), [{ kind: 'forget' }, { kind: 'revoke', mac: 'a' }])
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '2', at: '', now: 0 })
  sessionMachine.step(state, { kind: 'granted', macs: ['a'] })
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '3', at: '', now: 30 * MINUTE })
  t.same(sessionMachine.step(state, { kind: 'grant-failed', macs: ['a'] }), [])
  t.match(sessionMachine.step(state, { kind: 'tick', now: 31 * MINUTE }), [{ kind: 'grant', grant: { seconds: 59 * 60 + 15 } }])
  t.same(sessionMachine.step(state, { kind: 'granted', macs: ['a'] }), [])
  t.same(sessionMachine.step(state, { kind: 'tick', now: 32 * MINUTE }), [])
})

t.test('sessions: while nobody can count, nobody is idle', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 10 * MINUTE })
  const counted = (mac: string, bytes: number, now: number) =>
    sessionMachine.step(state, { kind: 'usage', usage: [{ mac, bytesUp: bytes, bytesDown: bytes }], now })
  for (const mac of ['a', 'b']) {
    sessionMachine.step(state, { kind: 'login', login: login(mac), id: mac, at: '', now: 0 })
    sessionMachine.step(state, { kind: 'granted', macs: [mac] })
    counted(mac, 1, MINUTE)
  }
  t.same(sessionMachine.step(state, { kind: 'tick', now: 40 * MINUTE }), [], 'the counters have been out of reach for 39 minutes')
  counted('a', 5_000, 41 * MINUTE)
  t.same(
    sessionMachine.step(state, { kind: 'tick', now: 41 * MINUTE }),
    [{ kind: 'revoke', mac: 'b' }],
    'who has moved nothing all the while',
  )
})

t.test('sessions: another consent is another session, since it is told with the start', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  const consent = { version: '1', hash: 'h', language: 'en', marketing: false }
  const tap = (id: string, more: Partial<Login>) =>
    sessionMachine.step(state, { kind: 'login', login: login('a', more), id, at: '', now: 1_000 }).map(({ kind }) => kind)
  tap('1', { method: 'grant' })
  sessionMachine.step(state, { kind: 'granted', macs: ['a'] })
  t.same(tap('2', { consent }), ['ended', 'forget', 'keep', 'grant'], 'the first one, after a grant of the shop')
  sessionMachine.step(state, { kind: 'granted', macs: ['a'] })
  t.same(tap('3', { consent: { ...consent, language: 'zh' } }), [])
  t.same(tap('4', { method: 'grant' }), [], 'more time of the shop takes none away')
  t.same(tap('5', { consent: { ...consent, marketing: true } }), ['ended', 'forget', 'keep', 'grant'])
})

t.test('sessions: a revoke that did not come through is asked for again', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  sessionMachine.step(state, { kind: 'login', login: login('a'), id: '1', at: '', now: 0 })
  sessionMachine.step(state, { kind: 'granted', macs: ['a'] })
  for (const now of [3_600_000, 3_605_000]) t.same(sessionMachine.step(state, { kind: 'tick', now }), [{ kind: 'revoke', mac: 'a' }])
  t.match(sessionMachine.step(state, { kind: 'revoked', macs: ['a'], now: 3_606_000 }), [
    { kind: 'ended', reason: 'expired', seconds: 3_600 },
    { kind: 'forget' },
  ])
})

t.test('sessions: what was kept and is refused now is tried again, not forgotten', async (t) => {
  const state = newSessions({ capacity: 9, idleMs: 0 })
  const kept = { ...login('a'), id: '1', startedAt: '' }
  const usage = { '1': { left: 100, used: 50, up: 1, down: 2, announced: true } }
  t.match(sessionMachine.step(state, { kind: 'restore', kept: [kept], usage, now: 0 }), [
    { kind: 'grant', grant: { seconds: 115, bytesUp: 1 } },
  ])
  t.same(sessionMachine.step(state, { kind: 'grant-failed', macs: ['a'] }), [])
  t.match(sessionMachine.step(state, { kind: 'tick', now: 5_000 }), [{ kind: 'grant', grant: { seconds: 110 } }])
  t.same(sessionMachine.step(state, { kind: 'granted', macs: ['a'] }), [], 'told before')
  t.equal(secondsLeft(state.sessions.get('a') as never, 5_000), 95)
})

const presence = () => newPresence({ goneMs: 4 * MINUTE, leftMs: 30_000, most: 3 })
const sight = (
  state: ReturnType<typeof presence>,
  kind: 'joined' | 'left' | 'seen' | 'silent',
  now: number,
  mac = 'a',
): readonly PresenceEffect[] =>
  presenceMachine
    .step(state, { kind: 'sighting', sighting: { kind, mac }, as: { station: `s-${mac}` }, now, iso: `t${now}` })
    .filter((one) => one.kind !== 'wake')
const tick = (state: ReturnType<typeof presence>, now: number): readonly PresenceEffect[] =>
  presenceMachine.step(state, { kind: 'tick', now }).filter((one) => one.kind !== 'wake')

t.test('presence: a radio that flaps all day is one visitor who is here', async (t) => {
  const state = presence()
  t.match(sight(state, 'joined', 0), [{ kind: 'present', visitor: 's-a', by: 'wifi', role: 'guest' }])
  for (let now = 10_000; now < 60 * MINUTE; now += 25_000) {
    t.same(sight(state, now % 50_000 === 10_000 ? 'left' : 'joined', now), [])
    t.same(tick(state, now), [])
  }
})

t.test('presence: a phone that sleeps, is given up by the kernel, and wakes within four minutes never left', async (t) => {
  const state = presence()
  sight(state, 'seen', 0)
  sight(state, 'silent', 8_000)
  t.same(tick(state, 4 * MINUTE - 1), [])
  t.same(sight(state, 'seen', 4 * MINUTE - 1), [])
  t.same(tick(state, 8 * MINUTE - 2), [])
  t.match(tick(state, 8 * MINUTE), [{ kind: 'absent', visitor: 's-a', lastSeen: `t${4 * MINUTE - 1}` }])
  t.match(sight(state, 'seen', 9 * MINUTE), [{ kind: 'present' }], 'and comes back as an arrival')
})

t.test('presence: goodbye and no more seen is gone in half a minute', async (t) => {
  const state = presence()
  sight(state, 'joined', 0)
  sight(state, 'left', 10_000)
  t.same(tick(state, 39_000), [])
  t.match(tick(state, 40_000), [{ kind: 'absent', lastSeen: 't0' }])
})

t.test('presence: a login tells who it was; the flood of made-up addresses is not followed', async (t) => {
  const state = presence()
  sight(state, 'joined', 0)
  const identified = {
    kind: 'identified',
    mac: 'a',
    station: 's-a',
    visitor: 'p',
    session: '1',
    role: 'member',
    now: 5,
    iso: 't5',
  } as const
  t.match(presenceMachine.step(state, identified), [
    { kind: 'present', visitor: 'p', was: 's-a', by: 'portal', role: 'member', session: '1' },
    { kind: 'wake' },
  ])
  t.same(presenceMachine.step(state, identified), [], 'told once')
  for (const mac of ['b', 'c', 'd', 'e']) sight(state, 'seen', 6, mac)
  t.equal(state.here.size, 3)
  t.equal(state.ignored, 2)
  presenceMachine.step(state, { kind: 'erased', visitor: 'p' })
  t.same(
    tick(state, 60 * MINUTE).map((one) => one.kind === 'absent' && one.visitor),
    ['s-b', 's-c'],
    'nothing more is said of who was erased',
  )
})

t.test('presence: who was erased in the shop is nobody until they have left, or agree anew', async (t) => {
  const state = presence()
  sight(state, 'joined', 0)
  sight(state, 'joined', 0, 'b')
  presenceMachine.step(state, { kind: 'erased', visitor: 's-a' })
  presenceMachine.step(state, { kind: 'erased', visitor: 's-b' })
  for (let now = 10_000; now < MINUTE; now += 10_000) t.same(sight(state, 'seen', now), [], 'the phone is still there')
  t.same(tick(state, 10 * MINUTE), [], 'and goes')
  t.match(sight(state, 'seen', 20 * MINUTE), [{ kind: 'present', visitor: 's-a' }], 'another day')
  presenceMachine.step(state, { kind: 'erased', visitor: 's-a' })
  const again = {
    kind: 'identified',
    mac: 'a',
    station: 's-a',
    visitor: 's-a',
    session: '9',
    role: 'guest',
    now: 21 * MINUTE,
    iso: 't',
  } as const
  t.match(presenceMachine.step(state, again), [{ kind: 'present', visitor: 's-a', by: 'portal', session: '9' }, { kind: 'wake' }])
})

t.test('lockout: counted in a window, forgotten after it', async (t) => {
  const state = newLockout({ perClient: 3, total: 100, windowMs: 1_000, lockMs: 5_000 })
  const wrong = (now: number) => lockoutMachine.step(state, { kind: 'wrong', client: 'a', now })
  t.same([wrong(0), wrong(10), wrong(1_500), wrong(1_510)].flat(), [])
  t.match(wrong(1_520), [{ kind: 'locked', seconds: 5 }])
  t.match(lockoutMachine.step(state, { kind: 'try', client: 'a', now: 2_000 }), [{ kind: 'locked', seconds: 5 }])
  t.same(lockoutMachine.step(state, { kind: 'try', client: 'b', now: 2_000 }), [])
  t.same(lockoutMachine.step(state, { kind: 'try', client: 'a', now: 6_521 }), [])
})

t.test('SMS: five an hour to one phone, sixty a minute in all, whoever asks', async (t) => {
  const state = newSms(smsLimits(1_000))
  const ask = (station: string, phone: string, now: number) =>
    smsMachine.step(state, { kind: 'ask', station, phone, hash: 'h', marketing: false, now })[0]
  for (let at = 0; at < 5; at++) t.match(ask(`s${at}`, 'p', at * MINUTE), { kind: 'send' })
  t.match(ask('s9', 'p', 6 * MINUTE), { kind: 'wait', seconds: 54 * 60 })
  for (let at = 0; at < 60; at++) ask(`x${at}`, `y${at}`, 10 * MINUTE)
  t.match(ask('z', 'z', 10 * MINUTE), { kind: 'wait', seconds: 60 })
})

t.test('SMS: somebody who makes up stations and numbers all day costs what the shop has set, and nobody is pestered', async (t) => {
  const state = newSms(smsLimits(200))
  const ask = (station: string, phone: string, now: number) =>
    smsMachine.step(state, { kind: 'ask', station, phone, hash: 'h', marketing: false, now })[0]
  let sent = 0
  for (let at = 0; at < 24 * 60; at++) if (ask(`s${at}`, `p${at}`, at * MINUTE)?.kind === 'send') sent += 1
  t.equal(sent, 200)
  t.match(ask('s', 'p', 23 * 60 * MINUTE), { kind: 'wait', spent: true })
  t.match(ask('s', 'p', 24 * 60 * MINUTE + 1), { kind: 'send' }, 'the next day')
  const other = newSms(smsLimits(1_000))
  let toOne = 0
  let byOne = 0
  for (let at = 0; at < 24 * 60; at++) {
    const event = { kind: 'ask', hash: 'h', marketing: false, now: at * MINUTE } as const
    if (smsMachine.step(other, { ...event, station: `s${at}`, phone: 'victim' })[0]?.kind === 'send') toOne += 1
    if (at < 60 && smsMachine.step(other, { ...event, station: 'one', phone: `v${at}` })[0]?.kind === 'send') byOne += 1
  }
  t.same([toOne, byOne], [10, 10], 'to one phone in a day, by one station in an hour')
})

t.test('phone numbers as people type them', async (t) => {
  t.same(
    ['138 0013 8000', '+86-138-0013-8000', '0086 13800138000', '+44 7700 900123', '12345678901', '110', '+86 1380013800', 'x', ''].map(
      (one) => normalPhone(one, '86'),
    ),
    ['8613800138000', '8613800138000', '8613800138000', '447700900123', undefined, undefined, undefined, undefined, undefined],
  )
  t.equal(maskedPhone('8613800138000'), '+86138****8000')
})
