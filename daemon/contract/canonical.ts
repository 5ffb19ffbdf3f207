import type { Json } from './json.ts'

/**
 * Canonical JSON text, so that equal values have equal digests on both sides of a link: keys sorted by UTF-16 code
 * units, no white space, numbers and strings as ECMAScript writes them (what RFC 8785 asks).
 */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  const members = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] ?? null)}`)
  return `{${members.join(',')}}`
}
