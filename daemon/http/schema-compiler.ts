/**
 * Fastify's schema door, on the daemon's own schema check: one wording for problems everywhere, nothing stripped in
 * silence, and neither of Fastify's compilers is loaded (they cost start time and memory).
 */
import type { FastifyInstance, FastifySchemaCompiler } from 'fastify'
import type { Problem } from '../contract/errors.ts'
import type { JsonSchema } from '../contract/json.ts'
import { check } from '../schema.ts'
import { RequestInvalid } from './errors.ts'

export function setCompilers(app: FastifyInstance): void {
  app.setValidatorCompiler(validator)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
}

const validator: FastifySchemaCompiler<JsonSchema> =
  ({ schema, httpPart }) =>
  (value: unknown) => {
    const problems = httpPart === 'body' ? check(schema, value) : checkText(schema, value)
    return problems.length === 0 ? { value } : { error: new RequestInvalid(problems) }
  }

/** Query and path values arrive as text: those the schema calls numbers or booleans become such first. */
function checkText(schema: JsonSchema, value: unknown): Problem[] {
  const bag = value as Record<string, unknown>
  const properties = (schema.properties ?? {}) as Record<string, JsonSchema>
  for (const [key, property] of Object.entries(properties)) {
    const text = bag[key]
    if (typeof text !== 'string') continue
    if (property.type === 'integer' && /^-?\d{1,15}$/.test(text)) bag[key] = Number(text)
    if (property.type === 'boolean' && (text === 'true' || text === 'false')) bag[key] = text === 'true'
  }
  return check(schema, bag)
}
