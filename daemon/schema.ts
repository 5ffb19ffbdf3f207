/** JSON Schema at the doors: problems as `path: what is wrong, what is allowed`, defaults filled in, secrets masked. */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import type { Problem } from './contract/errors.ts'
import type { Json, JsonObject, JsonSchema } from './contract/json.ts'
import type { Manifest } from './contract/plugin.ts'

const ajv = new Ajv({ allErrors: true, verbose: true, useDefaults: true, strict: false, logger: false, allowUnionTypes: true })
const compiled = new WeakMap<JsonSchema, ValidateFunction>()

/** Validates `value` in place (defaults are filled in). Paths are prefixed with `at`. */
export function check(schema: JsonSchema, value: unknown, at = ''): Problem[] {
  let validate = compiled.get(schema)
  if (!validate) {
    validate = ajv.compile(schema)
    compiled.set(schema, validate)
  }
  if (validate(value)) return []
  return dedupe(
    (validate.errors ?? [])
      .filter((error) => !['if', 'anyOf', 'oneOf'].includes(error.keyword) || (validate.errors ?? []).length === 1)
      .map((error) => problem(error, at)),
  )
}

/** Whether `schema` is one that can be compiled; why not otherwise. */
export function schemaFault(schema: JsonSchema): string | undefined {
  try {
    ajv.compile(schema)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function dedupe(problems: Problem[]): Problem[] {
  const seen = new Set<string>()
  return problems.filter((one) => {
    const key = `${one.path} ${one.message}`
    return seen.has(key) ? false : seen.add(key)
  })
}

function problem(error: ErrorObject, at: string): Problem {
  const path = [
    at,
    ...error.instancePath
      .split('/')
      .slice(1)
      .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~')),
  ].filter((part) => part !== '')
  const params = error.params as Record<string, unknown>
  switch (error.keyword) {
    case 'additionalProperties': {
      const known = Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? {})
      return {
        path: [...path, String(params.additionalProperty)].join('.'),
        message: known.length > 0 ? `is not known here; known are ${known.join(', ')}` : 'is not known here',
      }
    }
    case 'required':
      return { path: [...path, String(params.missingProperty)].join('.'), message: 'is missing' }
    case 'enum':
      return {
        path: path.join('.'),
        message: `must be one of ${(params.allowedValues as unknown[]).map((one) => JSON.stringify(one)).join(', ')}`,
      }
    case 'type':
      return { path: path.join('.'), message: `must be ${([] as unknown[]).concat(params.type).join(' or ')}` }
    case 'pattern': {
      const hint = (error.parentSchema as { description?: string } | undefined)?.description
      return { path: path.join('.'), message: `must match ${String(params.pattern)}${hint ? ` (${hint})` : ''}` }
    }
    case 'propertyNames':
      return { path: [...path, String(params.propertyName)].join('.'), message: 'is not an allowed name' }
    default:
      return { path: path.join('.'), message: error.message ?? 'is not valid' }
  }
}

const MASK = '***'

/** A copy of `value` with every `x-secret` property of its schema masked. Same object when there is no secret in the schema. */
export function mask<Value extends Json>(schema: JsonSchema | undefined, value: Value): Value {
  return schema && hasSecret(schema) ? (masked(schema, value) as Value) : value
}

const secretive = new WeakMap<JsonSchema, boolean>()

function hasSecret(schema: JsonSchema): boolean {
  let known = secretive.get(schema)
  if (known === undefined) {
    known = JSON.stringify(schema).includes('"x-secret":true')
    secretive.set(schema, known)
  }
  return known
}

function masked(schema: JsonSchema, value: Json): Json {
  if (schema['x-secret'] === true) return value === null ? null : maskText(value)
  const branches = [
    schema,
    ...(['allOf', 'anyOf', 'oneOf'] as const).flatMap((key) => (Array.isArray(schema[key]) ? (schema[key] as JsonSchema[]) : [])),
  ]
  if (Array.isArray(value)) {
    const items = branches.map((one) => one.items).find((one) => one !== undefined) as JsonSchema | undefined
    return items ? value.map((one) => masked(items, one)) : value
  }
  if (value === null || typeof value !== 'object') return value
  const out: JsonObject = {}
  for (const [key, inner] of Object.entries(value)) {
    const found = branches
      .map(
        (one) =>
          (one.properties as Record<string, JsonSchema> | undefined)?.[key] ??
          (typeof one.additionalProperties === 'object' ? (one.additionalProperties as JsonSchema) : undefined),
      )
      .find((one) => one !== undefined)
    out[key] = found ? masked(found, inner) : inner
  }
  return out
}

/** Pay codes keep their first 2 and last 4 digits; anything shorter or of another kind is hidden whole. */
function maskText(value: Json): Json {
  return typeof value === 'string' && /^\d{12,}$/.test(value)
    ? `${value.slice(0, 2)}${'*'.repeat(value.length - 6)}${value.slice(-4)}`
    : MASK
}

/** A manifest's schemas, compiled when first needed. */
export class SchemaSet {
  readonly manifest: Manifest

  constructor(manifest: Manifest) {
    this.manifest = manifest
  }

  /** Problems of `plugins.{name}`; fills in defaults. */
  config(config: JsonObject, at = `plugins.${this.manifest.name}`): Problem[] {
    return check(this.manifest.config ?? CONFIG_NONE, config, at)
  }

  event(event: string, data: JsonObject): Problem[] {
    const schema = this.manifest.events?.[event]
    if (!schema)
      return [
        {
          path: event,
          message: `is not an event of ${this.manifest.name}; declared are ${Object.keys(this.manifest.events ?? {}).join(', ') || 'none'}`,
        },
      ]
    return check(schema, data)
  }

  bulk(event: string): boolean {
    return this.manifest.events?.[event]?.['x-bulk'] === true
  }

  /** The event's data with its secrets masked: what may be journaled. */
  maskEvent(event: string, data: JsonObject): JsonObject {
    return mask(this.manifest.events?.[event], data)
  }

  args(command: string, args: Json): Problem[] {
    return check(this.manifest.commands?.[command]?.args ?? ARGS_NONE, args, 'args')
  }

  maskConfig(config: JsonObject): JsonObject {
    return mask(this.manifest.config, config)
  }
}

const CONFIG_NONE: JsonSchema = { type: 'object', additionalProperties: false }
const ARGS_NONE: JsonSchema = { type: 'object', additionalProperties: false }
