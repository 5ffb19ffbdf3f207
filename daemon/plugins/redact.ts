/**
 * Runs of 15 digits and more, as every pay code is (WeChat 18, Alipay 16-24, UnionPay 19), keep their first 2 and last 4. For
 * text that no schema describes: what a plugin prints, logs or throws.
 */
export function redact(text: string): string {
  return text.replace(/\d{15,}/g, (digits) => `${digits.slice(0, 2)}${'*'.repeat(digits.length - 6)}${digits.slice(-4)}`)
}
