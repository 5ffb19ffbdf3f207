/**
 * Whether the other end of a TCP line is still there. A printer without power or cable says no goodbye, and the kernel goes on sending
 * for a quarter of an hour (tcp_retries2). A printer that is out of paper takes nothing either, for as long as it likes, but its
 * network answers all the time: it acknowledges, it answers probes of its closed window (RFC 9293, 3.8.6.1), it refuses other ports.
 */

/** What the kernel says of the line. */
export interface Acks {
  /** Bytes that were sent or wait to be, and are not acknowledged. */
  queued: number
  /** Retransmissions, or probes of a closed window, in a row that nothing came back to. */
  unanswered: number
  /** The other end takes nothing for now: all it could take is acknowledged. */
  windowClosed: boolean
}

export type SilenceEvent = { now: number } & (
  | { kind: 'looked'; acks: Acks }
  /** Another port of the same host was tried; a refusal is an answer. */
  | { kind: 'knocked'; answered: boolean }
)

/** `knock`: try another port, then tell. */
export type SilenceEffect = 'knock' | 'dead'

/** One that is lost is the air's fault, or the cable's. */
export const UNANSWERED_LEAST = 3
const MISSES_LEAST = 2
/** Probes of a closed window become rare, up to two minutes apart: between them other ports are asked. */
const KNOCK_EVERY_MS = 5_000

export class SilenceState {
  readonly limitMs: number
  /** Since when nothing has come back to what the kernel sent again. */
  unansweredSince: number | undefined
  /** Since when the window is closed without a sign of life. */
  quietSince: number | undefined
  /** This host is known to answer knocks: so that it does not means something. */
  knocks = false
  misses = 0
  knockAt = 0
  knocking = false

  constructor(limitMs: number) {
    this.limitMs = limitMs
  }
}

export const silenceMachine = {
  step(state: SilenceState, event: SilenceEvent): readonly SilenceEffect[] {
    return event.kind === 'looked' ? looked(state, event.acks, event.now) : knocked(state, event.answered, event.now)
  },
}

function looked(state: SilenceState, { queued, unanswered, windowClosed }: Acks, now: number): SilenceEffect[] {
  if (queued === 0 || unanswered === 0) state.unansweredSince = undefined
  else state.unansweredSince ??= now
  if (state.unansweredSince !== undefined && unanswered >= UNANSWERED_LEAST && now - state.unansweredSince >= state.limitMs) return ['dead']
  if (queued === 0 || !windowClosed) {
    state.quietSince = undefined
    state.misses = 0
    state.knockAt = now
    return []
  }
  state.quietSince ??= now
  if (state.knocking || now < state.knockAt) return []
  state.knocking = true
  return ['knock']
}

function knocked(state: SilenceState, answered: boolean, now: number): SilenceEffect[] {
  state.knocking = false
  state.knockAt = now + KNOCK_EVERY_MS
  if (state.quietSince === undefined) return []
  if (answered) {
    state.knocks = true
    state.misses = 0
    state.quietSince = now
    return []
  }
  state.misses += 1
  return state.knocks && state.misses >= MISSES_LEAST && now - state.quietSince >= state.limitMs ? ['dead'] : []
}
