/** What a print job is, as it is kept in the device's store. */
import type { ErrorBody } from '../../../daemon/contract/errors.ts'
import type { Paper } from '../protocol/status.ts'

export type Content =
  | { kind: 'receipt'; receipt: string }
  /** Base64 of bytes that go to the printer as they are. */
  | { kind: 'raw'; raw: string }
  | { kind: 'test' }
  | { kind: 'drawer' }
  | { kind: 'feed'; lines: number }
  | { kind: 'cut' }

/** Written once, with its first progress where it starts at once, else before anything else happens: `job/{id}`. */
export interface Job {
  id: string
  /** Place in the queue, ever growing. */
  n: number
  content: Content
  copies: number
  cut: boolean
  drawer: boolean
  /** Set on a reprint: what it repeats, and when that was made (RFC 3339). It is printed on the paper. */
  reprintOf?: { id: string; at: string }
  /** RFC 3339. */
  createdAt: string
  /** Bytes of one copy as sent; time limits scale with it. */
  bytes: number
}

/**
 * `queued`: nothing was sent. `sending`: bytes may have left. Then one of the final ones: `printed` (the printer confirmed),
 * `sent` (handed over to a printer that confirms nothing), `failed` (nothing was sent and nothing will be), `unknown` (cut off in
 * the middle: never sent again by itself).
 */
export type Phase = 'queued' | 'sending' | 'printed' | 'sent' | 'failed' | 'unknown'

/** What became of a job: `progress/{id}`. A job without one is queued. */
export interface Progress {
  phase: Phase
  /** Copies the printer has confirmed (or taken, where it confirms nothing). */
  copiesDone: number
  paper?: Paper
  error?: ErrorBody
  /** RFC 3339. */
  finishedAt?: string
  /** Its event is in the journal. */
  announced?: boolean
}

export interface StoredJob {
  job: Job
  progress: Progress
}

/** A drawer kick, feed or cut belongs to the moment: it is neither kept nor done after a restart. */
export const isMomentary = (job: Job): boolean => job.content.kind === 'drawer' || job.content.kind === 'feed' || job.content.kind === 'cut'

export const isFinal = (phase: Phase): boolean => phase !== 'queued' && phase !== 'sending'
