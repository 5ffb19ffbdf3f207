/**
 * What the journal lets go. Acknowledged events older than `maxAgeMs`; beyond `maxBytes` acknowledged events oldest
 * first, then bulk events HQ has not acknowledged, oldest first. Other events are never dropped unacknowledged: when
 * nothing else is left, new bulk events are refused.
 */
import type { Sequence } from '../contract/event.ts'
import type { Machine } from '../contract/machine.ts'

/** Rows one transaction takes away: short enough that a payment's commit hardly waits for it. */
export const SLICE_ROWS = 500
/** And not less, or each look would cost more than it frees. */
export const SLICE_LEAST = 16
/** Sequences looked through for bulk rows in one transaction. */
export const SLICE_SCAN = 4_000
/** Free room made inside the file when the disk has none left. */
export const PRESSED_ROOM_BYTES = 1024 * 1024
export const VACUUM_PAGES = 128
/** Less free room than this is left in the file: new rows will use it. */
export const VACUUM_BYTES = 1024 * 1024

export const BUSY_MS = 20
export const PRESSED_MS = 2_000
export const REFUSING_MS = 5_000
export const IDLE_MS = 60_000

/** An age is known to a 64th of `maxAgeMs`: a list of marks costs less than a time and an index in every row. */
const MARKS = 64
const MARK_LEAST_MS = 1_000

export interface Limits {
  maxAgeMs: number
  maxBytes: number
}

/** Everything up to the sequence was committed by this wall time, Unix ms. Made only while the clock is set. */
export type Mark = [Sequence, number]

export interface RetentionState {
  limits: Limits
  marks: Mark[]
  /** Bulk commits are refused. */
  refusing: boolean
  /** Over the size, and not yet back to a little below it. */
  trimming: boolean
  vacuuming: boolean
  /** No bulk row is left between what is acknowledged and this. */
  scanned: Sequence
}

export type RetentionEvent =
  | {
      type: 'look'
      /** Unix ms; absent while the clock is not set, and then nothing is old. */
      wall?: number
      /** Bytes in use, and bytes free inside the file. */
      live: number
      free: number
      /** Oldest row; head + 1 when there is none. */
      tail: Sequence
      head: Sequence
      /** Rows there are. */
      rows: number
      /** HQ has stored everything up to it; `head` where nobody holds. */
      acknowledged: Sequence
      /** The disk has no room. */
      pressed: boolean
    }
  /** A `drop-bulk` has looked through everything up to `through`. */
  | { type: 'scanned'; through: Sequence }
  | { type: 'limits'; limits: Limits }

export type RetentionEffect =
  | { do: 'mark'; marks: readonly Mark[] }
  /** Acknowledged rows from the tail on. */
  | { do: 'trim'; upTo: Sequence; reason: 'age' | 'size' | 'disk-full' }
  /** The first `rows` unacknowledged bulk rows in `after`-`upTo`; each drop is reported. */
  | { do: 'drop-bulk'; after: Sequence; upTo: Sequence; rows: number; reason: 'size' | 'disk-full' }
  | { do: 'vacuum'; pages: number }
  /** The freed pages leave the file when the WAL is written back. */
  | { do: 'checkpoint' }
  | { do: 'refuse-bulk'; on: boolean }
  | { do: 'look-again'; ms: number }

export const newRetention = (limits: Limits, marks: Mark[] = []): RetentionState => ({
  limits,
  marks,
  refusing: false,
  trimming: false,
  vacuuming: false,
  scanned: 0,
})

type Look = Extract<RetentionEvent, { type: 'look' }>

export const retention: Machine<RetentionState, RetentionEvent, RetentionEffect> = {
  step(state, event) {
    if (event.type === 'limits') {
      state.limits = event.limits
      return [{ do: 'look-again', ms: BUSY_MS }]
    }
    if (event.type === 'scanned') {
      state.scanned = Math.max(state.scanned, event.through)
      return []
    }
    const effects: RetentionEffect[] = []
    mark(state, event, effects)
    const drop = expired(state, event) ?? oversize(state, event)
    if (drop) effects.push(drop)
    // Nothing could be dropped though it should have been: from now on the room is for what must not be lost.
    const refuse = event.pressed || (state.trimming && !drop && event.live > state.limits.maxBytes)
    if (refuse !== state.refusing) {
      state.refusing = refuse
      effects.push({ do: 'refuse-bulk', on: refuse })
    }
    const vacuumed = state.vacuuming
    const vacuum = drop === undefined && shrinks(state, event)
    if (vacuum) effects.push({ do: 'vacuum', pages: VACUUM_PAGES })
    else if (vacuumed && !state.vacuuming) effects.push({ do: 'checkpoint' })
    const ms = drop || vacuum ? BUSY_MS : event.pressed ? PRESSED_MS : state.refusing ? REFUSING_MS : IDLE_MS
    effects.push({ do: 'look-again', ms })
    return effects
  },
}

function mark(state: RetentionState, look: Look, effects: RetentionEffect[]): void {
  const wall = look.wall
  if (wall === undefined) return
  // A clock that was ahead would keep its events for as long as it was wrong.
  for (const one of state.marks) one[1] = Math.min(one[1], wall)
  const last = state.marks.at(-1)
  const step = Math.max(MARK_LEAST_MS, state.limits.maxAgeMs / MARKS)
  const due = look.head > (last?.[0] ?? 0) && wall - (last?.[1] ?? Number.NEGATIVE_INFINITY) >= step
  const spent = state.marks.length > 0 && (state.marks[0]?.[0] ?? 0) < look.tail
  if (!due && !(spent && state.marks.length > MARKS)) return
  state.marks = state.marks.filter(([sequence]) => sequence >= look.tail).slice(-2 * MARKS)
  if (due) state.marks.push([look.head, wall])
  effects.push({ do: 'mark', marks: state.marks.map(([sequence, at]): Mark => [sequence, at]) })
}

function expired(state: RetentionState, look: Look): RetentionEffect | undefined {
  const wall = look.wall
  if (wall === undefined) return undefined
  const old = state.marks.findLast(([, at]) => wall - at >= state.limits.maxAgeMs)?.[0] ?? 0
  const upTo = Math.min(old, look.acknowledged, look.tail + SLICE_ROWS - 1)
  return upTo >= look.tail ? { do: 'trim', upTo, reason: 'age' } : undefined
}

function oversize(state: RetentionState, look: Look): RetentionEffect | undefined {
  const { maxBytes } = state.limits
  // Down to a sixteenth below the limit, so that it is not one slice at each look.
  const goal = maxBytes - maxBytes / 16
  if (look.live > maxBytes) state.trimming = true
  else if (look.live <= goal) state.trimming = false
  const cramped = look.pressed && look.free < PRESSED_ROOM_BYTES
  if (!state.trimming && !cramped) return undefined
  const reason = state.trimming ? 'size' : 'disk-full'
  const bytes = Math.max(state.trimming ? look.live - goal : 0, cramped ? PRESSED_ROOM_BYTES - look.free : 0)
  const rows = Math.min(SLICE_ROWS, Math.max(SLICE_LEAST, Math.ceil((bytes * look.rows) / Math.max(1, look.live))))
  const upTo = Math.min(look.acknowledged, look.tail + rows - 1)
  if (upTo >= look.tail) return { do: 'trim', upTo, reason }
  const after = Math.max(look.acknowledged, state.scanned)
  if (after >= look.head) return undefined
  return { do: 'drop-bulk', after, upTo: Math.min(look.head, after + SLICE_SCAN), rows, reason }
}

function shrinks(state: RetentionState, look: Look): boolean {
  if (look.pressed) return false
  if (look.free > Math.max(VACUUM_BYTES, look.live / 8)) state.vacuuming = true
  else if (look.free <= Math.max(VACUUM_BYTES / 4, look.live / 16)) state.vacuuming = false
  return state.vacuuming
}
