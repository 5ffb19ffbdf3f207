/** The gateway's config: read, checked whole, defaults filled in, frozen. Relative paths are relative to the working directory. */
import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { parseDocument } from 'yaml'
import { CONFIG_SCHEMA } from './contract/config-schema.ts'
import { Failure, type Problem } from './contract/errors.ts'
import type { JsonObject } from './contract/json.ts'
import type { VisitSettings } from './ledger/visits.machine.ts'
import type { Rotation } from './pseudonyms.ts'
import { check } from './schema.ts'

export interface LanUser {
  name: string
  /** `scrypt:N:r:p:salt:hash`, as `shopwire password` prints it. */
  passwordHash: string
  /** Topic filters this user may publish to, and subscribe to. */
  publish: string[]
  subscribe: string[]
}

export interface Config {
  gateway: { id: string; store: string; timeZone?: string; tags: string[] }
  dataDir: string
  log: { level: 'debug' | 'info' | 'warn' | 'error' }
  http: { listen: string; token?: string; tokenFile?: string; passwordHash?: string }
  lan: { listen?: string; url?: string; username?: string; password?: string; passwordFile?: string; caFile?: string; users: LanUser[] }
  hq?: {
    url: string
    caFile?: string
    certFile?: string
    keyFile?: string
    username?: string
    password?: string
    passwordFile?: string
    ack: 'hq' | 'broker'
  }
  journal: { maxAgeMs: number; maxBytes: number }
  /** Durations in ms. */
  visits: Readonly<VisitSettings>
  pluginDirs: string[]
  discovery: { auto: boolean; announce: boolean }
  privacy: { keyFile?: string; rotate: Rotation }
  plugins: Record<string, JsonObject>
}

/** Where the config was found, and the text's own content before defaults: what HQ's desired config is merged over. */
export interface LoadedConfig {
  file: string
  source: JsonObject
  config: Config
}

const CANDIDATES = ['config/shopwire.yaml', '/etc/shopwire/shopwire.yaml']

/** `--config`, else `$SHOPWIRE_CONFIG`, else the usual places; undefined when there is none: the embedded default then serves. */
export function findConfig(given: string | undefined, env: NodeJS.ProcessEnv): string | undefined {
  return given ?? env.SHOPWIRE_CONFIG ?? CANDIDATES.find((file) => existsSync(file))
}

/** Reads and checks a config file, or the embedded default. Rejects with `config-unreadable` or `config-invalid`, every problem listed. */
export function loadConfig(file: string | undefined, env: NodeJS.ProcessEnv): LoadedConfig {
  const source = file === undefined ? { gateway: { id: hostId() } } : readSource(file, env)
  return { file: file ?? 'embedded default', source, config: buildConfig(source) }
}

/** The file as plain JSON, with `${NAME}` replaced from the environment. */
export function readSource(file: string, env: NodeJS.ProcessEnv): JsonObject {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Failure('config-unreadable', `${file}: ${(error as Error).message}`, [], error)
  }
  const document = parseDocument(text, { prettyErrors: true })
  const fault = document.errors[0]
  if (fault) throw new Failure('config-unreadable', `${file}: ${fault.message}`, [{ path: file, message: fault.message }])
  const missing: Problem[] = []
  const source = substitute(document.toJS() ?? {}, env, '', missing) as JsonObject
  if (missing.length > 0) throw invalid(missing)
  if (source === null || typeof source !== 'object' || Array.isArray(source))
    throw invalid([{ path: file, message: 'must be a mapping of keys to values' }])
  return source
}

/** Checks `source` (never changed) and gives the frozen config. Rejects with `config-invalid`. */
export function buildConfig(source: JsonObject): Config {
  const filled = structuredClone(source)
  const problems = [...check(CONFIG_SCHEMA, filled)]
  if (problems.length === 0) problems.push(...crossCheck(filled as unknown as RawConfig))
  if (problems.length > 0) throw invalid(problems)
  const raw = filled as unknown as RawConfig
  const { maxAge, maxSize } = raw.journal
  const config: Config = {
    ...raw,
    gateway: { ...raw.gateway, id: raw.gateway.id ?? '' },
    journal: { maxAgeMs: parseDuration(maxAge), maxBytes: parseSize(maxSize) },
    visits: {
      leaveGrace: parseDuration(raw.visits.leaveGrace),
      momentHold: parseDuration(raw.visits.momentHold),
      longest: parseDuration(raw.visits.longest),
      sleepingDays: raw.visits.sleepingDays,
    },
  }
  return deepFreeze(config)
}

type RawConfig = Omit<Config, 'journal' | 'gateway' | 'visits'> & {
  gateway: Omit<Config['gateway'], 'id'> & { id?: string }
  visits: { leaveGrace: string; momentHold: string; longest: string; sleepingDays: number }
  journal: { maxAge: string; maxSize: string }
}

function crossCheck(raw: RawConfig): Problem[] {
  const problems: Problem[] = []
  if (raw.gateway.id === undefined)
    problems.push({ path: 'gateway.id', message: 'is missing; lower-case letters, digits and "-", 3 to 48 of them' })
  const { timeZone } = raw.gateway
  if (timeZone !== undefined && !isTimeZone(timeZone))
    problems.push({ path: 'gateway.timeZone', message: `must be an IANA time zone, such as Asia/Shanghai; got ${timeZone}` })
  if (raw.lan.url !== undefined && raw.lan.users.length > 0)
    problems.push({ path: 'lan.users', message: 'belongs to the embedded broker; with lan.url the broker there has its own users' })
  if (raw.lan.url === undefined && raw.lan.listen !== undefined && !isLoopback(raw.lan.listen) && raw.lan.users.length === 0)
    problems.push({ path: 'lan.users', message: `is required because lan.listen (${raw.lan.listen}) is reachable beyond this machine` })
  if (
    !isLoopback(raw.http.listen) &&
    raw.http.token === undefined &&
    raw.http.tokenFile === undefined &&
    raw.http.passwordHash === undefined
  )
    problems.push({
      path: 'http.tokenFile',
      message: `or http.passwordHash is required because http.listen (${raw.http.listen}) is reachable beyond this machine`,
    })
  if (raw.hq && (raw.hq.certFile === undefined) !== (raw.hq.keyFile === undefined))
    problems.push({ path: 'hq.keyFile', message: 'and hq.certFile go together' })
  return problems
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** The host's name as a gateway id. */
function hostId(): string {
  const id = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, 48)
  return id.length >= 3 ? id : `gw-${id}`
}

export function isLoopback(listen: string): boolean {
  const { host } = parseListen(listen)
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}

/** `host:port`, `[v6]:port`. The schema has made sure of the shape. */
export function parseListen(listen: string): { host: string; port: number } {
  const at = listen.lastIndexOf(':')
  return { host: listen.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(listen.slice(at + 1)) }
}

/** A secret given in place or as a file. Rejects with `secret-unreadable`. */
export function readSecret(value: string | undefined, file: string | undefined, path: string): string | undefined {
  if (file === undefined) return value
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new Failure('secret-unreadable', `${path}: cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'error'}`, [], error)
  }
}

function parseDuration(text: string): number {
  const [, amount, unit] = /^(\d+)(s|m|h|d)$/.exec(text) ?? []
  return Number(amount) * { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as 's' | 'm' | 'h' | 'd']
}

function parseSize(text: string): number {
  const [, amount, unit] = /^(\d+)(KB|MB|GB)$/.exec(text) ?? []
  return Number(amount) * { KB: 2 ** 10, MB: 2 ** 20, GB: 2 ** 30 }[unit as 'KB' | 'MB' | 'GB']
}

function substitute(value: unknown, env: NodeJS.ProcessEnv, path: string, missing: Problem[]): unknown {
  if (typeof value === 'string')
    return value.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_all, name: string) => {
      const found = env[name]
      if (found === undefined) missing.push({ path, message: `names \${${name}}, which is not set in the environment` })
      return found ?? ''
    })
  if (Array.isArray(value)) return value.map((one, index) => substitute(one, env, `${path}.${index}`, missing))
  if (value !== null && typeof value === 'object')
    return Object.fromEntries(
      Object.entries(value).map(([key, one]) => [key, substitute(one, env, path === '' ? key : `${path}.${key}`, missing)]),
    )
  return value
}

function invalid(problems: Problem[]): Failure {
  return new Failure(
    'config-invalid',
    `the config has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}: ${problems.map((one) => `${one.path}: ${one.message}`).join('; ')}`,
    problems,
  )
}

function deepFreeze<Value>(value: Value): Value {
  if (value !== null && typeof value === 'object') {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
