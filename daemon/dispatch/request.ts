/** Reads a request as it comes from any door, and a command's arguments against its plugin's schema. */
import { createHash, randomUUID } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { canonicalJson } from '../contract/canonical.ts'
import type { CommandRequest } from '../contract/command.ts'
import { asFailure, type ErrorBody, type ErrorCode, type Problem } from '../contract/errors.ts'
import type { Json, JsonSchema } from '../contract/json.ts'
import { DEVICE, NAME } from '../contract/topics.ts'
import { check, mask } from '../schema.ts'
import type { CommandTarget } from './api.ts'
import type { Asked, Verdict } from './state.ts'

export const ARGS_BYTES = 256 * 1024
const ARGS_DEPTH = 64
const DEFAULT_TIMEOUT_MS = 30_000
const NO_ARGS: JsonSchema = { type: 'object', additionalProperties: false }

/** Printable: no control, format, private or unassigned characters, no half surrogate pairs. */
const ID = /^[^\p{C}]{1,128}$/u
// RFC 3339 section 5.6
const INSTANT = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/

/** The request, or why it is none. An id that cannot be used is answered as `-`. */
export function readRequest(request: CommandRequest): { asked: Asked } | { id: string; error: ErrorBody } {
  const { plugin, device, command, from } = request
  const fresh = request.id === undefined
  const id = request.id ?? randomUUID()
  if (typeof id !== 'string' || !ID.test(id))
    return { id: '-', error: problem('payload-malformed', 'id', 'must be 1 to 128 printable characters') }
  const refuse = (code: ErrorCode, path: string, message: string) => ({ id, error: problem(code, path, message) })
  if (!NAME.test(plugin)) return refuse('plugin-not-found', 'plugin', `must match ${NAME.source}`)
  if (!DEVICE.test(device)) return refuse('device-unknown', 'device', `must match ${DEVICE.source}`)
  if (!NAME.test(command)) return refuse('command-unknown', 'command', `must match ${NAME.source}`)
  const expiresAt = request.expiresAt === undefined ? undefined : parseInstant(request.expiresAt)
  if (Number.isNaN(expiresAt))
    return refuse('payload-malformed', 'expiresAt', 'must be an RFC 3339 date and time, like 2026-11-22T08:15:30Z')
  const args = request.args ?? {}
  if (!shallowEnough(args, ARGS_DEPTH)) return refuse('payload-malformed', 'args', `must not be nested deeper than ${ARGS_DEPTH}`)
  const canonical = canonicalJson(args)
  const bytes = Buffer.byteLength(canonical)
  if (bytes > ARGS_BYTES) return refuse('payload-too-large', 'args', `are ${bytes} bytes; at most ${ARGS_BYTES} are taken`)
  const argsDigest = createHash('sha256').update(canonical).digest('hex')
  return { asked: { id, plugin, device, command, from, args, argsDigest, fresh, ...(expiresAt === undefined ? {} : { expiresAt }) } }
}

/** Whether the target takes this command, with which arguments, for how long. */
export function judge(target: CommandTarget, asked: Asked): Verdict {
  try {
    const spec = target.describe(asked.plugin, asked.device, asked.command)
    if ('code' in spec) return { ok: false, error: spec }
    const args = structuredClone(asked.args)
    const problems = check(spec.args ?? NO_ARGS, args, 'args')
    if (problems.length > 0) return { ok: false, error: argsInvalid(asked, problems) }
    const masked = mask(spec.args, args)
    return {
      ok: true,
      args,
      masked,
      secrets: secretsOf(args, masked),
      timeoutMs: spec.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      repeatable: spec.repeatable === true,
    }
  } catch (error) {
    return { ok: false, error: asFailure(error).toBody() }
  }
}

/** Whether the verdict's args may be stored to be run again. */
export function storable(verdict: Verdict & { ok: true }): boolean {
  return verdict.repeatable && isDeepStrictEqual(verdict.args, verdict.masked)
}

/** Whether a digest of the args may be stored. */
export function digestible(verdict: Verdict & { ok: true }): boolean {
  return isDeepStrictEqual(verdict.args, verdict.masked)
}

/** `value` without the secrets that its command was given: a plugin may quote its arguments in an error. */
export function redact<Value extends Json>(value: Value, secrets: readonly string[]): Value {
  return secrets.length === 0 ? value : (redacted(value, secrets) as Value)
}

function redacted(value: Json, secrets: readonly string[]): Json {
  if (typeof value === 'string') return secrets.reduce((text, secret) => text.replaceAll(secret, '***'), value)
  if (value === null || typeof value !== 'object') return value
  if (Array.isArray(value)) return value.map((one) => redacted(one, secrets))
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, redacted(one, secrets)]))
}

const SHORTEST_SECRET = 4

/** The texts that masking changed, longest first, so that one inside another is not left half. */
function secretsOf(args: Json, masked: Json): string[] {
  const found: string[] = []
  const walk = (whole: Json, shown: Json | undefined): void => {
    if (typeof whole === 'string') {
      if (whole !== shown && whole.length >= SHORTEST_SECRET) found.push(whole)
    } else if (Array.isArray(whole)) {
      for (const [index, one] of whole.entries()) walk(one, Array.isArray(shown) ? shown[index] : undefined)
    } else if (whole !== null && typeof whole === 'object') {
      const inner = shown !== null && typeof shown === 'object' && !Array.isArray(shown) ? shown : undefined
      for (const [key, one] of Object.entries(whole)) walk(one, inner?.[key])
    }
  }
  walk(args, masked)
  return found.sort((a, b) => b.length - a.length)
}

const PROBLEMS = 20
const PROBLEM_CHARACTERS = 200

/** Short enough to be sent whatever nonsense came in. */
function argsInvalid(asked: Asked, problems: Problem[]): ErrorBody {
  const short = problems
    .slice(0, PROBLEMS)
    .map(({ path, message }) => ({ path: path.slice(0, PROBLEM_CHARACTERS), message: message.slice(0, PROBLEM_CHARACTERS) }))
  const [first] = short
  return {
    code: 'args-invalid',
    message: `${asked.plugin}/${asked.command}: ${first?.path} ${first?.message}${problems.length > 1 ? ` (and ${problems.length - 1} more)` : ''}`,
    problems: short,
  }
}

function problem(code: ErrorCode, path: string, message: string): ErrorBody {
  return { code, message: `${path} ${message}`, problems: [{ path, message }] }
}

function parseInstant(text: string): number {
  return typeof text === 'string' && INSTANT.test(text) ? Date.parse(text) : Number.NaN
}

function shallowEnough(value: Json, depth: number): boolean {
  if (value === null || typeof value !== 'object') return true
  if (depth === 0) return false
  return (Array.isArray(value) ? value : Object.values(value)).every((one) => shallowEnough(one, depth - 1))
}
