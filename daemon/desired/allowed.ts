import type { Problem } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import { isObject } from './merge-patch.ts'

/**
 * What HQ may set. The rest belongs to the shop: with another id, address, certificate or data folder a box would be out of
 * HQ's reach, or open to somebody else's.
 */
const SECTIONS = ['log', 'journal', 'visits', 'discovery', 'plugins']
const GATEWAY_KEYS = ['store', 'tags']
const ALLOWED = [...GATEWAY_KEYS.map((key) => `gateway.${key}`), ...SECTIONS].join(', ')

export function forbiddenPaths(patch: JsonObject): Problem[] {
  const problem = (path: string): Problem => ({ path, message: `cannot be set by HQ; it may set ${ALLOWED}` })
  return Object.entries(patch).flatMap(([key, value]) => {
    if (SECTIONS.includes(key)) return []
    if (key !== 'gateway' || !isObject(value)) return [problem(key)]
    return Object.keys(value)
      .filter((inner) => !GATEWAY_KEYS.includes(inner))
      .map((inner) => problem(`gateway.${inner}`))
  })
}
