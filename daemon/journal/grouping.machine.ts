/**
 * Which commits share a transaction. Idle: at once. Busy: all that came during the last transaction goes into the next
 * one. Bulk alone waits a little for company, since each transaction costs the card about 8 KB and a sync.
 */
import type { Machine } from '../contract/machine.ts'

/** Within the 50-100 ms that bulk kinds may wait. */
export const BULK_WAIT_MS = 75
/** A transaction holds at most this much, unless a single commit is larger. */
export const GROUP_EVENTS = 1_000
export const GROUP_BYTES = 1_000_000

export interface Size {
  events: number
  bytes: number
}

export interface GroupingState {
  busy: boolean
  waiting: (Size & { bulk: boolean; mono: number })[]
  urgent: number
  events: number
  timer: boolean
}

export type GroupingEvent =
  | { type: 'arrived'; bulk: boolean; events: number; bytes: number; mono: number }
  /** The transaction is over, well or not. */
  | { type: 'done'; mono: number }
  | { type: 'timer'; mono: number }
  /** All that wait have been answered otherwise. */
  | { type: 'cleared' }

export type GroupingEffect =
  /** Put the first `count` of those that wait into one transaction. */
  { do: 'commit'; count: number } | { do: 'timer'; ms: number }

export const newGrouping = (): GroupingState => ({ busy: false, waiting: [], urgent: 0, events: 0, timer: false })

export const grouping: Machine<GroupingState, GroupingEvent, GroupingEffect> = {
  step(state, event) {
    switch (event.type) {
      case 'arrived':
        state.waiting.push({ bulk: event.bulk, events: event.events, bytes: event.bytes, mono: event.mono })
        state.events += event.events
        if (!event.bulk) state.urgent += 1
        return next(state, event.mono)
      case 'done':
        state.busy = false
        return next(state, event.mono)
      case 'timer':
        state.timer = false
        return next(state, event.mono)
      case 'cleared':
        state.waiting = []
        state.urgent = 0
        state.events = 0
        return []
    }
  },
}

function next(state: GroupingState, mono: number): GroupingEffect[] {
  const first = state.waiting[0]
  if (state.busy || !first) return []
  const left = first.mono + BULK_WAIT_MS - mono
  if (state.urgent === 0 && state.events < GROUP_EVENTS && left > 0) {
    if (state.timer) return []
    state.timer = true
    return [{ do: 'timer', ms: left }]
  }
  return [{ do: 'commit', count: take(state) }]
}

/** First come, first served: order among commits is what a plugin sees of the order of its events. */
function take(state: GroupingState): number {
  let count = 0
  let events = 0
  let bytes = 0
  for (const one of state.waiting) {
    events += one.events
    bytes += one.bytes
    if (count > 0 && (events > GROUP_EVENTS || bytes > GROUP_BYTES)) break
    count += 1
  }
  for (const one of state.waiting.splice(0, count)) {
    state.events -= one.events
    if (!one.bulk) state.urgent -= 1
  }
  state.busy = true
  return count
}
