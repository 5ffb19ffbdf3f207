/** What the doctor knows before it looks: the config, the running daemon's word, the plugins' manifests. Each may be missing. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { askTimedated } from '../clock-sync.ts'
import { type Config, findConfig, loadConfig } from '../config.ts'
import type { CommandResult } from '../contract/command.ts'
import { asFailure, Failure, type Problem } from '../contract/errors.ts'
import type { Json } from '../contract/json.ts'
import type { Manifest } from '../contract/plugin.ts'
import type { Status } from '../http/api.ts'
import { DaemonClient, SOCKET_NAME } from './client.ts'

export interface Facts {
  /** The config file; undefined when the embedded default serves. */
  file: string | undefined
  config: Config | undefined
  /** Why there is no config, or what is wrong with a plugin's section. */
  problems: readonly Problem[]
  dataDir: string
  status: Status | undefined
  /** Why there is no status. */
  statusFault: Failure | undefined
  manifests: readonly Manifest[]
  /** Now, and whether a time server has set the clock; undefined when nobody can tell. */
  now: number
  clockSet: boolean | undefined
  /** Runs a command of a running plugin's single instance; rejects when it cannot. */
  command: (plugin: string, command: string) => Promise<Json>
  /** Runs a program; undefined when it is not there or fails. */
  run: (program: string, args: string[]) => Promise<string | undefined>
}

export interface FactsParts {
  /** As given by `--config`. */
  configFile: string | undefined
  env: NodeJS.ProcessEnv
  /** Folders that hold plugin folders, beside the config's own `pluginDirs`. */
  pluginDirs: string[]
  /** Problems of the plugin sections, as `shopwire check` finds them. */
  checkSections: (config: Config) => Problem[] | Promise<Problem[]>
  run: Facts['run']
  /** Milliseconds the daemon has to answer. */
  answerMs?: number
  clockSet?: () => Promise<boolean | undefined>
}

const ANSWER_MS = 5_000

/** Never rejects. */
export async function gatherFacts(parts: FactsParts): Promise<Facts> {
  const file = findConfig(parts.configFile, parts.env)
  const { config, problems } = await readConfig(parts, file)
  const dataDir = config?.dataDir ?? looseDataDir(file) ?? './data'
  const [status, clockSet] = await Promise.all([
    askDaemon(dataDir, parts.answerMs ?? ANSWER_MS),
    (parts.clockSet ?? askTimedated)().catch(() => undefined),
  ])
  return {
    file,
    config,
    problems,
    dataDir,
    ...status,
    manifests: [...parts.pluginDirs, ...(config?.pluginDirs ?? [])].flatMap(manifestsIn),
    now: Date.now(),
    clockSet,
    command: (plugin, command) => runCommand(dataDir, plugin, command),
    run: parts.run,
  }
}

async function readConfig(parts: FactsParts, file: string | undefined): Promise<Pick<Facts, 'config' | 'problems'>> {
  let config: Config
  try {
    config = loadConfig(file, parts.env).config
  } catch (error) {
    const failure = asFailure(error, 'config-unreadable')
    return {
      config: undefined,
      problems: failure.problems.length > 0 ? failure.problems : [{ path: file ?? 'config', message: failure.message }],
    }
  }
  try {
    return { config, problems: await parts.checkSections(config) }
  } catch (error) {
    return { config, problems: [{ path: 'plugins', message: asFailure(error).message }] }
  }
}

/** A config that cannot be loaded may still say where the daemon's socket is. */
function looseDataDir(file: string | undefined): string | undefined {
  if (file === undefined) return undefined
  try {
    return /^dataDir:\s*["']?([^"'#\n]+?)["']?\s*(?:#.*)?$/m.exec(readFileSync(file, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}

async function askDaemon(dataDir: string, answerMs: number): Promise<Pick<Facts, 'status' | 'statusFault'>> {
  let handle: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    handle = setTimeout(() => reject(new Error(`the daemon has not answered for ${Math.round(answerMs / 1_000)} s`)), answerMs)
  })
  try {
    const status = await Promise.race([new DaemonClient(join(dataDir, SOCKET_NAME)).get<Status>('/api/v1/status'), late])
    return { status, statusFault: undefined }
  } catch (error) {
    return { status: undefined, statusFault: asFailure(error, 'internal') }
  } finally {
    clearTimeout(handle)
  }
}

async function runCommand(dataDir: string, plugin: string, command: string): Promise<Json> {
  const client = new DaemonClient(join(dataDir, SOCKET_NAME))
  const { result, error } = await client.call<CommandResult>('POST', `/api/v1/cmd/${plugin}/-/${command}`, {}, () => true)
  if (error) throw new Failure(error.code, error.message)
  return result ?? null
}

/** Whatever can be read; a broken plugin is the config check's matter. */
function manifestsIn(folder: string): Manifest[] {
  try {
    return readdirSync(folder).flatMap((name) => {
      try {
        return [JSON.parse(readFileSync(join(folder, name, 'plugin.json'), 'utf8')) as Manifest]
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}
