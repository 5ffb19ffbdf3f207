/** Who guesses codes is locked out: wrong codes are counted by till, and for the shop as a whole, since a till's name is the caller's word. */

export interface GuessLimits {
  /** So many wrong codes at one till within `windowMs` lock it for `lockMs`. */
  wrong: number
  windowMs: number
  lockMs: number
}

/** The shop as a whole is locked at so many times the limit of one till. */
const SHOP_FACTOR = 5
const SHOP = ''

export interface Guesses {
  limits: GuessLimits
  /** By till, monotonic ms of the wrong codes within the window; '' is the shop. */
  wrong: Map<string, number[]>
  lockedUntil: Map<string, number>
}

export const newGuesses = (limits: GuessLimits): Guesses => ({ limits, wrong: new Map(), lockedUntil: new Map() })

export function isLocked(guesses: Guesses, till: string, now: number): boolean {
  return [till, SHOP].some((who) => (guesses.lockedUntil.get(who) ?? -Infinity) > now)
}

export function guessedWrong(guesses: Guesses, till: string, now: number): void {
  const { limits, wrong, lockedUntil } = guesses
  for (const [who, most] of [
    [till, limits.wrong],
    [SHOP, limits.wrong * SHOP_FACTOR],
  ] as const) {
    const recent = [...(wrong.get(who) ?? []), now].filter((at) => at > now - limits.windowMs)
    if (recent.length >= most) {
      lockedUntil.set(who, now + limits.lockMs)
      wrong.delete(who)
    } else wrong.set(who, recent)
  }
  // Names of tills are the caller's: those that are over go.
  for (const [who, ats] of wrong) if ((ats.at(-1) ?? -Infinity) <= now - limits.windowMs) wrong.delete(who)
  for (const [who, until] of lockedUntil) if (until <= now) lockedUntil.delete(who)
}
