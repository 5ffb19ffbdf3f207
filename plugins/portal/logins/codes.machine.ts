/** One-time codes from receipt, staff or member app: issued, used up, expired. Only their keyed hashes are known here. */
import type { Machine } from '../../../daemon/contract/machine.ts'

export interface IssuedCode {
  id: string
  /** Keyed hash of the code itself. */
  hash: string
  /** How many logins are left. */
  left: number
  /** Unix ms; checked against the wall clock only when kept codes are read again. */
  expires: number
  /** Seconds online; as configured when absent. */
  seconds?: number
  /** Pseudonym of the person it was issued to: the session is theirs. */
  person?: string
  role: 'guest' | 'member' | 'staff'
}

interface Live extends IssuedCode {
  /** Monotonic. */
  endsAt: number
}

export interface CodeState {
  readonly codes: Map<string, Live>
  readonly most: number
}

export type CodeEvent =
  | { kind: 'issue'; code: IssuedCode; ttlMs: number; now: number }
  | { kind: 'redeem'; hash: string; now: number }
  /** The login that used it up did not come about. */
  | { kind: 'give-back'; hash: string; now: number }
  | { kind: 'withdraw'; person: string }
  | { kind: 'tick'; now: number }
  | { kind: 'restore'; codes: readonly IssuedCode[]; wall: number; now: number }

export type CodeEffect =
  | { kind: 'keep'; code: IssuedCode }
  | { kind: 'forget'; hash: string }
  | { kind: 'accepted'; code: IssuedCode }
  | { kind: 'refused'; why: 'code-invalid' | 'code-used' }
  | { kind: 'too-many' }

/** One restored under a clock that has not been set yet must not live for ever. */
const RESTORED_MOST_MS = 366 * 86_400_000

export const newCodes = (most: number): CodeState => ({ codes: new Map(), most })

export const codeMachine: Machine<CodeState, CodeEvent, CodeEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'issue': {
        if (state.codes.size >= state.most) return [{ kind: 'too-many' }]
        state.codes.set(event.code.hash, { ...event.code, endsAt: event.now + event.ttlMs })
        return [{ kind: 'keep', code: event.code }]
      }
      case 'redeem':
        return redeem(state, event.hash, event.now)
      case 'give-back': {
        const live = state.codes.get(event.hash)
        if (!live || live.endsAt <= event.now) return []
        live.left += 1
        return [{ kind: 'keep', code: plain(live) }]
      }
      case 'withdraw':
        return [...state.codes.values()].filter((one) => one.person === event.person).map((one) => forget(state, one.hash))
      case 'tick':
        return [...state.codes.values()].filter((one) => one.endsAt <= event.now).map((one) => forget(state, one.hash))
      case 'restore':
        return event.codes.flatMap((code) => {
          const left = Math.min(code.expires - event.wall, RESTORED_MOST_MS)
          if (left <= 0) return [{ kind: 'forget' as const, hash: code.hash }]
          state.codes.set(code.hash, { ...code, endsAt: event.now + left })
          return []
        })
    }
  },
}

/** A used-up code is remembered until it expires: who comes with it hears that it was used. */
function redeem(state: CodeState, hash: string, now: number): readonly CodeEffect[] {
  const live = state.codes.get(hash)
  if (!live || live.endsAt <= now) return [{ kind: 'refused', why: 'code-invalid' }]
  if (live.left <= 0) return [{ kind: 'refused', why: 'code-used' }]
  live.left -= 1
  const code = plain(live)
  return [
    { kind: 'keep', code },
    { kind: 'accepted', code },
  ]
}

function forget(state: CodeState, hash: string): CodeEffect {
  state.codes.delete(hash)
  return { kind: 'forget', hash }
}

function plain({ endsAt: _endsAt, ...code }: Live): IssuedCode {
  return code
}
