/**
 * One stream's client that wants every event: what it is sent, in order and each once, however slowly it takes it.
 * What does not fit is not kept in memory but read from the journal again.
 */
import type { Sequence } from '../contract/event.ts'
import type { Machine } from '../contract/machine.ts'
import type { MonoMs } from '../contract/plugin.ts'

export interface StreamState {
  /** Everything up to here was written to the client. */
  position: Sequence
  head: Sequence
  /** A read of the journal is under way. */
  reading: boolean
  /** Since when the client takes no more. */
  blockedSince: MonoMs | undefined
  /** Further behind than this, it is told of a gap instead. */
  mostBehind: number
  stallMs: number
}

export type StreamEvent =
  /** The journal stored `from`-`to`; the shell has them in hand. */
  | { type: 'committed'; from: Sequence; to: Sequence }
  /** Everything up to `upTo` was read and written. */
  | { type: 'written'; upTo: Sequence }
  | { type: 'blocked'; mono: MonoMs }
  | { type: 'drained' }
  | { type: 'tick'; mono: MonoMs }

export type StreamEffect =
  /** Write those in hand that come after `after`. */
  | { do: 'pass-on'; after: Sequence }
  | { do: 'read'; after: Sequence }
  | { do: 'tell-gap'; from: Sequence; to: Sequence }
  | { do: 'ping' }
  | { do: 'cut-off' }

/** Not yet opened: it counts as reading until `written` tells where it starts. */
export const newStream = (head: Sequence, mostBehind: number, stallMs: number): StreamState => ({
  position: 0,
  head,
  reading: true,
  blockedSince: undefined,
  mostBehind,
  stallMs,
})

export const stream: Machine<StreamState, StreamEvent, StreamEffect> = {
  step(state, event) {
    switch (event.type) {
      case 'committed': {
        state.head = Math.max(state.head, event.to)
        if (state.blockedSince !== undefined || state.reading) return []
        if (event.from > state.position + 1) return catchUp(state)
        const after = state.position
        state.position = Math.max(state.position, event.to)
        return state.position > after ? [{ do: 'pass-on', after }] : []
      }
      case 'written':
        state.reading = false
        state.position = Math.max(state.position, event.upTo)
        return state.blockedSince === undefined ? catchUp(state) : []
      case 'blocked':
        state.blockedSince ??= event.mono
        return []
      case 'drained':
        state.blockedSince = undefined
        return state.reading ? [] : catchUp(state)
      case 'tick':
        if (state.blockedSince === undefined) return [{ do: 'ping' }]
        return event.mono - state.blockedSince >= state.stallMs ? [{ do: 'cut-off' }] : []
    }
  },
}

function catchUp(state: StreamState): StreamEffect[] {
  const effects: StreamEffect[] = []
  if (state.head - state.position > state.mostBehind) {
    const to = state.head - Math.floor(state.mostBehind / 2)
    effects.push({ do: 'tell-gap', from: state.position + 1, to })
    state.position = to
  }
  if (state.position < state.head) {
    state.reading = true
    effects.push({ do: 'read', after: state.position })
  }
  return effects
}
