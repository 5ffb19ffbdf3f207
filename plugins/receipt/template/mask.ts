/** What could be a pay code or somebody's phone number never leaves the till's paper whole. */

/** WeChat 18 digits from 10-15, Alipay 16-24 from 25-30, UnionPay 19 from 62. */
const PAY = /^(?:1[0-5]\d{16}|(?:2[5-9]|30)\d{14,22}|62\d{17})$/
/** In one run, or in fours as card numbers are printed. Article numbers (13, 14) are shorter. */
const LONG_RUN = /\d{15,}|(?<!\d)\d{4}(?:[ -]\d{4}){3,}(?:[ -]\d{1,3})?(?!\d)/g
/** Mobile numbers of China, in one run or 3-4-4. */
const PHONE = /(?<!\d)(1[3-9]\d)([ -]?)(\d{4})([ -]?)(\d{4})(?!\d)/g

export const paysShape = (text: string): boolean => PAY.test(text)

/** Runs of 15 digits and more keep their first 2 and last 4, mobile numbers their first 3 and last 4. The length stays. */
export function maskText(text: string): string {
  return text
    .replace(LONG_RUN, (run) => maskDigits(run, 2))
    .replace(PHONE, (_all, head: string, gap: string, _middle: string, gap2: string, tail: string) => `${head}${gap}****${gap2}${tail}`)
}

function maskDigits(run: string, keep: number): string {
  const digits = run.replace(/\D/g, '').length
  let seen = 0
  return run.replace(/\d/g, (one) => {
    seen += 1
    return seen <= keep || seen > digits - 4 ? one : '*'
  })
}
