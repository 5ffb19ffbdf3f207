/** What a CLI command may touch: its arguments, two streams, the environment, and the wish to stop. */
import { type ParseArgsConfig, parseArgs, styleText } from 'node:util'
import { type ErrorCode, Failure } from '../contract/errors.ts'

export interface Io {
  out(line: string): void
  err(line: string): void
  env: NodeJS.ProcessEnv
  /** Aborted by SIGINT and SIGTERM. */
  signal: AbortSignal
  /** Whether `out` is a terminal that wants colour (honours NO_COLOR). */
  colour: boolean
  /** Columns of the terminal; 100 when piped. */
  columns: number
}

/** Returns the exit code: 0 done, 1 the answer is no, 2 usage, 3 the daemon or broker can't be reached. */
export type CliCommand = (args: string[], io: Io) => Promise<number>

/** The words of the call are off: exit code 2. */
export class UsageError extends Error {}

const UNREACHABLE: readonly ErrorCode[] = ['daemon-unreachable', 'broker-unreachable']

export function exitCode(error: unknown): number {
  if (error instanceof UsageError) return 2
  return error instanceof Failure && UNREACHABLE.includes(error.code) ? 3 : 1
}

/** node:util's parseArgs, its complaints as usage errors. */
export function parse<Config extends ParseArgsConfig>(config: Config): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config)
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}

type Style = Parameters<typeof styleText>[0]

export function paint(io: Io, style: Style, text: string): string {
  return io.colour ? styleText(style, text) : text
}

/** A machine state as icon + word + colour: blue and orange rather than green and red. */
export function stateMark(io: Io, state: string): string {
  if (['online', 'running', 'ok'].includes(state)) return paint(io, 'blue', `● ${state}`)
  if (['connecting', 'starting', 'off', 'stopped'].includes(state)) return paint(io, 'gray', `○ ${state}`)
  return paint(io, 'yellow', `▲ ${state}`)
}

/** "3 s", "5 min", "2 h", "4 d" since an RFC 3339 instant. */
export function age(since: string | undefined, nowMs: number): string {
  if (since === undefined) return 'never'
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(since)) / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

/** Text columns on a terminal: East Asian wide characters take two (Unicode TR11). */
export function displayWidth(text: string): number {
  let width = 0
  for (const char of text)
    width += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(char) ? 2 : 1
  return width
}

/** Rows as aligned columns, two spaces apart; colour must be applied after. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = []
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, displayWidth(cell))
  return rows.map((row) =>
    row
      .map((cell, at) => (at === row.length - 1 ? cell : cell + ' '.repeat((widths[at] ?? 0) - displayWidth(cell))))
      .join('  ')
      .trimEnd(),
  )
}
