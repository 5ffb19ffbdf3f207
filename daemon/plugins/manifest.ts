/** `plugin.json`: found, read and checked as data. No code of a plugin runs here. */
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join, relative } from 'node:path'
import { Failure, type Problem } from '../contract/errors.ts'
import type { JsonObject, JsonSchema } from '../contract/json.ts'
import { type Manifest, PLUGIN_API } from '../contract/plugin.ts'
import { NAME } from '../contract/topics.ts'
import { check, SchemaSet, schemaFault } from '../schema.ts'

/** A plugin folder that has been read: what may be started. */
export interface Bundle {
  /** Real path of the folder. */
  dir: string
  /** Real path of the entry file, inside `dir`. */
  entry: string
  manifest: Manifest
  schemas: SchemaSet
  /** plugin.json as it stood: the same text needs no second compilation of its schemas. */
  text: string
}

/** Bytes. A manifest is a page or two. */
const MANIFEST_MOST = 1024 * 1024

/** Not the last levels of `shop/{plugin}/{device}/…` that mean something else. */
const EVENT_NAME = NAME.source.replace('^', '^(?!(?:state|result|cmd)$)')

const name: JsonSchema = { type: 'string', pattern: NAME.source, description: 'lower-case letters, digits and "-", at most 32' }
const schema: JsonSchema = { type: 'object' }

export const MANIFEST_SCHEMA: JsonSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'version', 'api', 'entry'],
  properties: {
    name,
    version: {
      type: 'string',
      maxLength: 64,
      pattern: '^(0|[1-9]\\d*)\\.(0|[1-9]\\d*)\\.(0|[1-9]\\d*)(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$',
      description: 'semantic version, as 1.4.0',
    },
    api: { type: 'string', minLength: 1, maxLength: 16 },
    entry: { type: 'string', maxLength: 255, pattern: '^[^\\u0000\\\\]+\\.(js|mjs|cjs|ts)$', description: 'an ES module or CommonJS file' },
    description: { type: 'string', maxLength: 1000 },
    permissions: {
      type: 'array',
      uniqueItems: true,
      items: {
        type: 'string',
        pattern:
          '^(serial|usb|input|network|bluetooth|net-admin|store|hq|pseudonym|call:[a-z][a-z0-9-]{0,31}|subscribe:(\\*|shopwire\\.[a-z0-9.-]*\\*?))$',
        description: 'serial, usb, input, network, bluetooth, net-admin, store, hq, pseudonym, call:{plugin} or subscribe:shopwire.{type}',
      },
    },
    match: {
      type: 'array',
      items: {
        type: 'object',
        additionalProperties: false,
        properties: {
          usb: { type: 'string', pattern: '^[0-9a-f]{4}:([0-9a-f]{4}|[0-9a-f]{0,3}\\*)$', description: 'vid:pid, hex, lower case' },
          hid: { type: 'string', pattern: '^[0-9a-f]{4}:([0-9a-f]{4}|[0-9a-f]{0,3}\\*)$', description: 'vid:pid, hex, lower case' },
          mdns: { type: 'string', minLength: 1 },
          kind: { enum: ['serial', 'usb-printer', 'hid', 'network'] },
          name: { type: 'string' },
          confidence: { type: 'number', minimum: 0, maximum: 100 },
          config: { type: 'object' },
        },
      },
    },
    config: schema,
    events: {
      type: 'object',
      propertyNames: { pattern: EVENT_NAME, description: 'a name, but not state, result or cmd: those topics have a meaning of their own' },
      additionalProperties: schema,
    },
    commands: {
      type: 'object',
      propertyNames: { pattern: NAME.source },
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          description: { type: 'string' },
          args: schema,
          repeatable: { type: 'boolean' },
          concurrent: { type: 'boolean' },
          timeoutMs: { type: 'integer', minimum: 1, maximum: 3_600_000 },
        },
      },
    },
  },
}

/**
 * Reads and checks `{dir}/plugin.json`. Throws `plugin-manifest-invalid`, `plugin-api-unsupported` or `plugin-path-unsafe`.
 *
 * @param trusted its schemas came with the daemon and were compiled by its tests: they wait until they are needed.
 * @param known the same folder as it was read before; its compiled schemas are kept while plugin.json is the same.
 */
export function readBundle(dir: string, options: { trusted?: boolean; known?: Bundle | undefined } = {}): Bundle {
  const root = real(dir, dir)
  const file = join(root, 'plugin.json')
  const text = readText(file, root)
  const known = options.known?.text === text ? options.known : undefined
  const manifest = known?.manifest ?? parseManifest(text, file, options.trusted === true)
  return { dir: root, entry: entryOf(root, manifest.entry, file), manifest, schemas: known?.schemas ?? new SchemaSet(manifest), text }
}

/** Checks the text of a manifest; `file` stands in the messages. */
export function parseManifest(text: string, file: string, trusted = false): Manifest {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(file, [{ path: file, message: `is not JSON: ${(error as Error).message}` }])
  }
  refusePaths(value, file)
  refuseApi(value, file)
  refuseReserved(value, file)
  const problems = check(MANIFEST_SCHEMA, value)
  if (problems.length > 0) throw invalid(file, problems)
  const manifest = value as Manifest
  if (!trusted) refuseSchemas(manifest, file)
  return manifest
}

/** Before everything else: a name or entry that points elsewhere is told apart from one that is only misspelt. */
function refusePaths(value: unknown, file: string): void {
  const { name, entry } = (value ?? {}) as Record<string, unknown>
  if (typeof name === 'string' && (/[/\\\0]/.test(name) || name.includes('..')))
    throw new Failure('plugin-path-unsafe', `${file}: name ${JSON.stringify(name)} is a path; a name is lower-case letters, digits and "-"`)
  if (typeof entry === 'string' && (isAbsolute(entry) || entry.includes('\0') || entry.split(/[/\\]/).includes('..')))
    throw new Failure('plugin-path-unsafe', `${file}: entry ${JSON.stringify(entry)} leaves the plugin folder`)
}

/** Before the rest of the schema: a manifest of a later API may well have keys that this one does not know. */
function refuseApi(value: unknown, file: string): void {
  const { api } = (value ?? {}) as Record<string, unknown>
  if (typeof api === 'string' && api !== PLUGIN_API)
    throw new Failure(
      'plugin-api-unsupported',
      `${file}: api ${JSON.stringify(api)} is not one this daemon speaks; it speaks "${PLUGIN_API}"`,
    )
}

/** Events of the gateway's own begin with these: a plugin by such a name could forge them. */
const RESERVED = ['gateway', 'plugin', 'command', 'journal', 'visit']

function refuseReserved(value: unknown, file: string): void {
  const { name } = (value ?? {}) as Record<string, unknown>
  if (typeof name === 'string' && RESERVED.includes(name))
    throw invalid(file, [{ path: 'name', message: `must not be ${JSON.stringify(name)}: the gateway itself is ${RESERVED.join(', ')}` }])
}

function refuseSchemas(manifest: Manifest, file: string): void {
  const all: [string, JsonSchema | undefined][] = [
    ['config', manifest.config],
    ...Object.entries(manifest.events ?? {}).map(([key, one]): [string, JsonSchema] => [`events.${key}`, one]),
    ...Object.entries(manifest.commands ?? {}).map(([key, one]): [string, JsonSchema | undefined] => [`commands.${key}.args`, one.args]),
  ]
  const problems = all.flatMap(([path, one]) => {
    if (!one) return []
    const text = JSON.stringify(one)
    // An `$async` schema answers every question with a promise, and `$id`s of two plugins would meet in one registry.
    if (text.includes('"$async"')) return [{ path, message: 'must not be an $async schema' }]
    if (text.includes('"$id"')) return [{ path, message: 'must not carry an $id' }]
    const fault = schemaFault(one)
    return fault === undefined ? [] : [{ path, message: `is not a JSON Schema: ${fault}` }]
  })
  if (problems.length > 0) throw invalid(file, problems)
}

function readText(file: string, root: string): string {
  if (real(file, root) !== file) throw new Failure('plugin-path-unsafe', `${file}: plugin.json is a link out of its place`)
  const stat = statSync(file)
  if (!stat.isFile()) throw invalid(file, [{ path: file, message: 'is not a file' }])
  if (stat.size > MANIFEST_MOST) throw invalid(file, [{ path: file, message: `is larger than ${MANIFEST_MOST} bytes` }])
  return readFileSync(file, 'utf8')
}

function entryOf(root: string, entry: string, file: string): string {
  const path = real(join(root, entry), file)
  const inside = relative(root, path)
  if (inside.startsWith('..') || isAbsolute(inside))
    throw new Failure('plugin-path-unsafe', `${file}: entry ${JSON.stringify(entry)} is a link out of the plugin folder`)
  const stat = statSync(path)
  if (!stat.isFile() || stat.size === 0) throw invalid(file, [{ path: 'entry', message: `${entry} is not a file with anything in it` }])
  return path
}

function real(path: string, file: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    throw invalid(file, [{ path, message: code === 'ENOENT' ? 'is missing' : `cannot be read (${code ?? 'error'})` }])
  }
}

function invalid(file: string, problems: Problem[]): Failure {
  return new Failure('plugin-manifest-invalid', `${file}: ${problems.map((one) => `${one.path} ${one.message}`).join('; ')}`, problems)
}

/** The section with defaults filled in, or what is wrong with it. `section` is not changed. */
export function checkSection(bundle: Pick<Bundle, 'schemas'>, section: JsonObject): { config: JsonObject; problems: Problem[] } {
  const config = structuredClone(section)
  return { problems: bundle.schemas.config(config), config }
}
