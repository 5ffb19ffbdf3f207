/**
 * How long a remote address must wait after wrong passwords. An attempt counts as wrong from its beginning until it
 * proves right, so that many at once gain nothing.
 */
import type { Machine } from '../contract/machine.ts'
import type { MonoMs } from '../contract/plugin.ts'

/** Wrong ones that cost no wait, for one address and for all together. */
const FREE_EACH = 3
const FREE_ALL = 20
const FIRST_WAIT_MS = 1_000
const MOST_WAIT_EACH_MS = 15 * 60_000
/** Someone else's guessing must not shut the owner out for long. */
const MOST_WAIT_ALL_MS = 30_000
/** After this long without a wrong one, all is forgotten. */
const FORGET_MS = 60 * 60_000
const MOST_ADDRESSES = 1_000

interface Record_ {
  wrong: number
  lastMono: MonoMs
}

export interface ThrottleState {
  each: Map<string, Record_>
  all: Record_
}

export type ThrottleEvent =
  | { type: 'attempt'; address: string; mono: MonoMs }
  /** The attempt that was let through proved right. */
  | { type: 'right'; address: string }

export type ThrottleEffect = { do: 'allow' } | { do: 'refuse'; retryInMs: number }

export const newThrottle = (): ThrottleState => ({ each: new Map(), all: { wrong: 0, lastMono: 0 as MonoMs } })

const wait = (record: Record_, free: number, most: number): number =>
  record.wrong < free ? 0 : Math.min(most, FIRST_WAIT_MS * 2 ** Math.min(30, record.wrong - free))

export const throttle: Machine<ThrottleState, ThrottleEvent, ThrottleEffect> = {
  step(state, event) {
    const key = addressKey(event.address)
    if (event.type === 'right') {
      const known = state.each.get(key)
      state.all.wrong = Math.max(0, state.all.wrong - (known?.wrong ?? 0))
      state.each.delete(key)
      return []
    }
    const { mono } = event
    let record = state.each.get(key)
    if (record && mono - record.lastMono >= FORGET_MS) record.wrong = 0
    if (mono - state.all.lastMono >= FORGET_MS) state.all.wrong = 0
    record ??= { wrong: 0, lastMono: mono }
    const retryInMs = Math.max(
      wait(record, FREE_EACH, MOST_WAIT_EACH_MS) - (mono - record.lastMono),
      wait(state.all, FREE_ALL, MOST_WAIT_ALL_MS) - (mono - state.all.lastMono),
    )
    if (retryInMs > 0) return [{ do: 'refuse', retryInMs }]
    record.wrong += 1
    record.lastMono = mono
    state.all.wrong += 1
    state.all.lastMono = mono
    // Oldest first out: a map keeps the order of insertion, and re-inserting makes this one the newest.
    state.each.delete(key)
    state.each.set(key, record)
    if (state.each.size > MOST_ADDRESSES) {
      const [oldest] = state.each.keys()
      if (oldest !== undefined) state.each.delete(oldest)
    }
    return [{ do: 'allow' }]
  },
}

/** One IPv6 subscriber holds a whole /64: it counts as one address. */
export function addressKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!plain.includes(':')) return plain
  const [head = '', tail = ''] = plain.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === '' ? [] : tail.split(':')
  const groups = plain.includes('::') ? [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right] : left
  return groups.slice(0, 4).join(':')
}
