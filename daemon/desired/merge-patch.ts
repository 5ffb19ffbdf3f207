import type { Json, JsonObject } from '../contract/json.ts'

/** JSON Merge Patch (RFC 7396): `null` takes a member away, objects are merged, anything else replaces. Changes neither argument. */
export function mergePatch(target: Json | undefined, patch: Json): Json {
  if (!isObject(patch)) return patch
  const members = new Map(isObject(target) ? Object.entries(target) : [])
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) members.delete(key)
    else members.set(key, mergePatch(members.get(key), value))
  }
  // fromEntries defines members: a key "__proto__" stays a key.
  return Object.fromEntries(members)
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}
