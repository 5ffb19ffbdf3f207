/** One guest's time online, and what of it outlives this process. */
import type { Mac } from '../network/api.ts'

export type Method = 'tap' | 'sms' | 'code' | 'returning' | 'grant'

/** `expired`: its time was up. `replaced`: the same station logged in as somebody else, or agreed to something else. */
export type EndReason = 'expired' | 'idle' | 'revoked' | 'erased' | 'replaced'

export interface Consent {
  version: string
  /** SHA-256, hex, of the exact text shown. */
  hash: string
  language: string
  /** The box that is not ticked by itself. */
  marketing: boolean
}

/** Somebody who may go online now. */
export interface Login {
  mac: Mac
  ip?: string
  /** Pseudonym: person, token id, or station where nothing else is known. */
  visitor: string
  /** Pseudonym of the station, taken once for the whole stay. */
  station: string
  method: Method
  returning: boolean
  /** Pseudonym of the member code that the offer page shows, as a scan at the till will have it. */
  member?: string
  consent?: Consent
  /** Id of the one-time code it came in by. */
  code?: string
  seconds: number
  downKbps?: number
  upKbps?: number
}

export interface Session extends Omit<Login, 'seconds'> {
  id: string
  /** RFC 3339, as the clock was. */
  startedAt: string
  openedAt: number
  endsAt: number
  /** When bytes were last seen to move. */
  activeAt: number
  /** Seconds used in earlier processes. */
  usedSeconds: number
  bytesUp: number
  bytesDown: number
  /** What the network had counted for this station before this session. */
  baseUp: number
  baseDown: number
  /** `session-started` is durable. */
  announced: boolean
  phase: 'opening' | 'online' | 'closing'
  reason?: EndReason
  /** The network has not taken its latest grant yet: it is asked for again. */
  owed?: true
}

/** The part that is kept when a session opens. */
export type Kept = Pick<
  Session,
  'id' | 'mac' | 'ip' | 'visitor' | 'station' | 'method' | 'returning' | 'member' | 'consent' | 'code' | 'downKbps' | 'upKbps' | 'startedAt'
> &
  Partial<Pick<Session, 'baseUp' | 'baseDown'>> & { seconds: number }

/** The part that changes, kept for all sessions at once, every few minutes. */
export interface KeptUsage {
  left: number
  used: number
  up: number
  down: number
  announced: boolean
}
