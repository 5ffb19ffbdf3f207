/** How the vendors write amounts and times. */

const BEIJING_MS = 8 * 3_600_000

/** Yuan with two decimals, of whole fen: no floating point touches an amount. */
export function yuan(fen: number): string {
  const digits = String(fen).padStart(3, '0')
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`
}

/** `yyyy-MM-dd HH:mm:ss`, Beijing time, of Unix milliseconds. */
export function beijingTime(wall: number): string {
  return new Date(wall + BEIJING_MS).toISOString().slice(0, 19).replace('T', ' ')
}

/** RFC 3339 of `yyyy-MM-dd HH:mm:ss` in Beijing time; undefined: it is not that. */
export function fromBeijing(text: string): string | undefined {
  if (!/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text)) return undefined
  const wall = Date.parse(`${text.replace(' ', 'T')}+08:00`)
  return Number.isNaN(wall) ? undefined : new Date(wall).toISOString()
}
