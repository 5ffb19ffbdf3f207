/** The uplink's reading: what of it is news. A signal that wobbles is not, so neither the journal nor the SD card hears of it. */
import type { Machine } from '../../daemon/contract/machine.ts'

export interface Reading {
  ssid: string
  bssid: string
  interface: string
  channel: number
  frequency: number
  quality: number
  signal: number
  security: string
}

export interface ReadingPolicy {
  /** Percent: below it the signal is weak; good again 10 points above it. */
  weakBelow: number
  /** A signal that has moved by this many points of quality, and stayed there for `settleMs`, is news. */
  moved: number
  settleMs: number
  /** At most one report of a mere change of signal in this time, ms. */
  restMs: number
}

export interface ReadingState {
  policy: ReadingPolicy
  /** As last reported. */
  told: Reading | undefined
  toldAt: number
  /** Smoothed quality, percent. */
  quality: number
  weak: boolean
  movedSince: number | undefined
}

export type ReadingEvent =
  | { kind: 'reading'; reading: Reading; now: number }
  /** Not connected any more, or the report could not be stored: the next reading is news. */
  | { kind: 'gone' }
  | { kind: 'policy'; policy: ReadingPolicy }

export type ReadingEffect = { kind: 'report'; reading: Reading; change: 'connected' | 'roamed' | 'signal' } | { kind: 'weak'; on: boolean }

/** Weight of a new reading; with one every 15 s the smoothed value follows within a minute. */
const WEIGHT = 0.4
const WEAK_GAP = 10

export function newReading(policy: ReadingPolicy): ReadingState {
  return { policy, told: undefined, toldAt: 0, quality: 0, weak: false, movedSince: undefined }
}

export const readingMachine: Machine<ReadingState, ReadingEvent, ReadingEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'policy':
        state.policy = event.policy
        return []
      case 'gone':
        state.told = undefined
        state.movedSince = undefined
        return []
      case 'reading':
        return read(state, event.reading, event.now)
    }
  },
}

function read(state: ReadingState, reading: Reading, now: number): readonly ReadingEffect[] {
  const { told, policy } = state
  const same = told !== undefined && told.ssid === reading.ssid && told.interface === reading.interface
  state.quality = same ? state.quality + WEIGHT * (reading.quality - state.quality) : reading.quality
  const effects: ReadingEffect[] = []
  const weak = state.quality < policy.weakBelow + (state.weak ? WEAK_GAP : 0)
  if (weak !== state.weak) {
    state.weak = weak
    effects.push({ kind: 'weak', on: weak })
  }
  const report = (change: 'connected' | 'roamed' | 'signal'): readonly ReadingEffect[] => {
    state.told = reading
    state.toldAt = now
    state.movedSince = undefined
    return [{ kind: 'report', reading, change }, ...effects]
  }
  if (!same) return report('connected')
  const moved = told.bssid !== reading.bssid || told.channel !== reading.channel || told.security !== reading.security
  // Between two access points of equal strength a box can roam every few seconds.
  if (moved && now - state.toldAt >= policy.settleMs) return report('roamed')
  if (Math.abs(state.quality - told.quality) < policy.moved) state.movedSince = undefined
  else state.movedSince ??= now
  const settled = state.movedSince !== undefined && now - state.movedSince >= policy.settleMs
  return settled && now - state.toldAt >= policy.restMs ? report('signal') : effects
}
