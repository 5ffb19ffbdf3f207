/** Phone numbers as people type them. */

/** E.164 digits without the plus, or undefined. `country` is the calling code for numbers without one. */
export function normalPhone(text: string, country: string): string | undefined {
  const plain = text.replace(/[\s().-]/g, '')
  const international = /^(?:\+|00)([1-9]\d{6,14})$/.exec(plain)?.[1]
  if (international !== undefined) return valid(international) ? international : undefined
  if (!/^\d{5,14}$/.test(plain)) return undefined
  const number = country + plain.replace(/^0/, '')
  return valid(number) ? number : undefined
}

/** Of one of these countries, by their calling codes. */
export const isWithin = (number: string, countries: readonly string[]): boolean => countries.some((code) => number.startsWith(code))

/** Chinese mobile numbers have 11 digits from 13 to 19; of others only the length is known (ITU-T E.164: 15 at most). */
function valid(number: string): boolean {
  return number.startsWith('86') ? /^861[3-9]\d{9}$/.test(number) : number.length >= 8 && number.length <= 15
}

/** `+86138****8000` */
export function maskedPhone(number: string): string {
  return `+${number.slice(0, -8)}****${number.slice(-4)}`
}
