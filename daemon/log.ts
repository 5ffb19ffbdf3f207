/** pino behind the contract's small `Logger`, written synchronously (a transport would need its own thread and file), flood-proof. */
import { destination, pino } from 'pino'
import type { JsonObject } from './contract/json.ts'
import type { Clock, Logger } from './contract/plugin.ts'

export interface Log extends Logger {
  /** Keys that every line of the child carries. */
  child(fields: JsonObject): Log
}

type Level = 'debug' | 'info' | 'warn' | 'error'

/** The same message, from the same place, at most this often in a minute; the rest is counted. */
const PER_MINUTE = 10
const MINUTE_MS = 60_000

export interface LogOptions {
  level: Level
  clock: Clock
  /** Takes the finished JSON lines; standard output when absent. */
  write?: (line: string) => void
  /** Hears every line that is not held back, whatever the level: `up/log`. */
  tap?: (level: Level, fields: JsonObject, message: string) => void
}

/** The root of all logs: its level is config, and may change while running. */
export interface RootLog extends Log {
  setLevel(level: Level): void
}

export function createLog(options: LogOptions): RootLog {
  const sink = options.write ? { write: options.write } : destination({ dest: 1, sync: true })
  const root = pino({ level: options.level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, sink)
  const seen = new Map<string, { since: number; count: number }>()

  /** How many equal lines were held back before this one, or undefined when this one is to be held back too. */
  const admit = (key: string): number | undefined => {
    const now = options.clock.mono()
    const entry = seen.get(key)
    if (!entry || now - entry.since >= MINUTE_MS) {
      if (seen.size > 1_000) seen.clear()
      seen.set(key, { since: now, count: 1 })
      return entry ? Math.max(0, entry.count - PER_MINUTE) : 0
    }
    entry.count += 1
    return entry.count <= PER_MINUTE ? 0 : undefined
  }

  const build = (fixed: JsonObject, place: string): Log => {
    const at = (level: Level) => (fields: JsonObject, message: string) => {
      if (!root.isLevelEnabled(level) && !options.tap) return
      const held = admit(`${place}${level}${String(fields.plugin ?? '')}/${String(fields.device ?? '')}${message}`)
      if (held === undefined) return
      const all = { ...fixed, ...fields, ...(held > 0 ? { heldBack: held } : {}) }
      root[level](all, message)
      options.tap?.(level, all, message)
    }
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => build({ ...fixed, ...fields }, place + JSON.stringify(fields)),
    }
  }
  return {
    ...build({}, ''),
    setLevel: (level) => {
      root.level = level
    },
  }
}
