/** When to try the connection to HQ again: 1 s to 60 s, half of it jitter, forgotten only after the connection has held for a while. */

export interface Backoff {
  /** Attempts since a connection last held. */
  attempts: number
  /** Monotonic ms when the present connection was made. */
  since: number | undefined
}

export interface BackoffTuning {
  backoffMinMs: number
  backoffMaxMs: number
  /** A connection that lived shorter than this counts as a failed attempt. */
  stableMs: number
}

export const newBackoff = (): Backoff => ({ attempts: 0, since: undefined })

/** The connection is up. */
export function held(backoff: Backoff, now: number): void {
  backoff.since = now
}

/**
 * The connection, or the attempt, has ended: milliseconds to wait before the next one. `random` is 0 to 1.
 * Without the look at `since`, a broker that accepts and drops at once would be hammered every second.
 */
export function wait(backoff: Backoff, now: number, random: number, tuning: BackoffTuning): number {
  if (backoff.since !== undefined && now - backoff.since >= tuning.stableMs) backoff.attempts = 0
  backoff.since = undefined
  backoff.attempts += 1
  const ceiling = Math.min(tuning.backoffMaxMs, tuning.backoffMinMs * 2 ** Math.min(backoff.attempts, 16))
  return Math.max(tuning.backoffMinMs, ceiling * (0.5 + random / 2))
}
