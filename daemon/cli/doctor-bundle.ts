/** `shopwire doctor --bundle FILE`: what somebody far away needs to help, with nothing in it that opens a door. */
import { writeFile } from 'node:fs/promises'
import { arch, cpus, freemem, hostname, loadavg, platform, release, totalmem, uptime } from 'node:os'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { readSource } from '../config.ts'
import { CONFIG_SCHEMA } from '../contract/config-schema.ts'
import type { Json, JsonObject, JsonSchema } from '../contract/json.ts'
import { mask } from '../schema.ts'
import { VERSION } from '../version.ts'
import type { DoctorReport } from './doctor.ts'
import type { Facts } from './doctor-facts.ts'

const LOG_LINES = '500'

/** Writes JSON, gzipped when the name ends in `.gz`; only its owner may read it. */
export async function writeBundle(file: string, facts: Facts, report: DoctorReport): Promise<void> {
  const [log, addresses, usb, disks] = await Promise.all([
    facts.run('journalctl', ['-u', 'shopwire', '-n', LOG_LINES, '--no-pager', '-o', 'cat']),
    facts.run('ip', ['-brief', 'address']),
    facts.run('lsusb', []),
    facts.run('df', ['-h']),
  ])
  const bundle: JsonObject = {
    made: new Date(facts.now).toISOString(),
    version: VERSION,
    node: process.version,
    machine: {
      hostname: hostname(),
      system: `${platform()} ${release()} ${arch()}`,
      cpus: cpus().length,
      memoryFree: freemem(),
      memoryTotal: totalmem(),
      load: loadavg(),
      uptimeSeconds: Math.round(uptime()),
    },
    checks: report.checks as unknown as Json,
    status: (facts.status ?? null) as unknown as Json,
    statusFault: facts.statusFault ? { ...facts.statusFault.toBody(), problems: [] } : null,
    configFile: facts.file ?? null,
    config: maskedConfig(facts),
    tools: { addresses: addresses ?? null, usb: usb ?? null, disks: disks ?? null },
    log: log?.split('\n') ?? null,
  }
  const text = `${JSON.stringify(scrub(bundle), undefined, 2)}\n`
  await writeFile(file, file.endsWith('.gz') ? await promisify(gzip)(text) : text, { mode: 0o600 })
}

/** The file's own content: marked secrets by their schemas, and by their names what no schema knows. */
function maskedConfig({ file, manifests }: Facts): Json {
  if (file === undefined) return null
  let source: JsonObject
  try {
    // `${NAME}` stays as it stands: what the environment holds is nobody's business.
    source = readSource(file, new Proxy({}, { get: (_env, name) => `\${${String(name)}}` }))
  } catch {
    return null
  }
  const masked = mask(CONFIG_SCHEMA, source)
  const sections = masked.plugins
  if (sections === null || typeof sections !== 'object' || Array.isArray(sections)) return masked
  const plugins = Object.entries(sections).map(([name, section]): [string, Json] => {
    const schema = manifests.find((one) => one.name === name)?.config as JsonSchema | undefined
    return [name, mask(schema, section)]
  })
  return { ...masked, plugins: Object.fromEntries(plugins) }
}

const SECRET_NAME = /pass(word|phrase)?|secret|token|credential|api-?key|private-?key|hash$/i

/** Everything once more, by name and by shape: pay codes, card numbers, credentials in URLs, MAC addresses, PEM keys. */
export function scrub(value: Json, key = ''): Json {
  if (typeof value === 'string') return SECRET_NAME.test(key) && !/file$/i.test(key) ? '***' : scrubText(value)
  if (Array.isArray(value)) return value.map((one) => scrub(one, key))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, scrub(one, name)]))
}

function scrubText(text: string): string {
  return text
    .replace(/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, '***')
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/@]+@/gi, '$1***@')
    .replace(/\b[0-9a-f]{2}([:-])[0-9a-f]{2}(\1[0-9a-f]{2}){4}\b/gi, '**:**:**:**:**:**')
    .replace(/("?(?:pass(?:word|phrase)?|secret|token|credential)s?"?\s*[:=]\s*)("[^"]*"|[^\s,;}]+)/gi, '$1***')
    .replace(/(?<!\d)(\d{2})\d{10,}(\d{4})(?!\d)/g, '$1***$2')
}
