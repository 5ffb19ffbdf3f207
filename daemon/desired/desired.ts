/** HQ's desired config over the shop's own file: performs what the desired machine decides. */
import { createHash } from 'node:crypto'
import { buildConfig, type Config } from '../config.ts'
import { canonicalJson } from '../contract/canonical.ts'
import { CONFIG_SCHEMA } from '../contract/config-schema.ts'
import { asFailure, type Problem } from '../contract/errors.ts'
import type { Json, JsonObject } from '../contract/json.ts'
import type { Clock, Manifest } from '../contract/plugin.ts'
import type { DownDesired, UpReported } from '../contract/uplink.ts'
import type { Journal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import { mask } from '../schema.ts'
import { forbiddenPaths } from './allowed.ts'
import {
  type DesiredEffect,
  type DesiredEvent,
  type DesiredRecord,
  type DesiredState,
  desiredMachine,
  initialDesired,
  type Verdict,
  versionOf,
  type Wanted,
} from './desired.machine.ts'
import { isObject, mergePatch } from './merge-patch.ts'

export interface DesiredOptions {
  journal: Journal
  /** The shop's own config as its file has it, before defaults (`LoadedConfig.source`). */
  source: JsonObject
  /** What the plugins say of a config. Asked before applying, not by `boot`: the plugins are not known then. */
  check: (config: Config) => Problem[]
  /** Makes the running daemon match. Resolves with what did not come up; nothing means that all is healthy. */
  apply: (config: Config) => Promise<Problem[]>
  /** For masking: a digest that is sent must not be one of a password. */
  manifests: () => Manifest[]
  clock: Clock
  log: Log
}

export interface Desired {
  /** The config to start with: the file, under the last config of HQ that held. Rejects only when the file itself is wrong. */
  boot(): Promise<Config>
  /** Once the daemon runs: tries once more what it died of last time, and reports. */
  resume(): void
  /** The highest version that was dealt with: `up/sync` says it. */
  readonly version: number
  /** From `dn/desired`, which may be anything. Never throws. */
  receive(desired: DownDesired): void
  /** What to say on `up/reported`; undefined while HQ has never wanted anything. */
  reported(): UpReported | undefined
  /** Hears each report, also a repeated one. */
  follow(listener: (reported: UpReported) => void): () => void
  /** The file was edited and read again: the same desired config over the new one, when it still fits. Resolves with the effective config. */
  rebase(source: JsonObject): Promise<Config>
}

const SPACE = 'desired'
const KEY = 'record'
const ERRORS_REPORTED = 50

export function createDesired(options: DesiredOptions): Desired {
  return new DesiredShell(options)
}

class DesiredShell implements Desired {
  readonly #options: DesiredOptions
  readonly #listeners = new Set<(reported: UpReported) => void>()
  #source: JsonObject
  #state: DesiredState = initialDesired({})
  #effective: Config | undefined
  #verdict: Verdict | undefined

  constructor(options: DesiredOptions) {
    this.#options = options
    this.#source = options.source
  }

  get version(): number {
    return versionOf(this.#state)
  }

  reported(): UpReported | undefined {
    if (!this.#verdict) return undefined
    const { version, status, errors } = this.#verdict
    return { version, status, errors: errors.slice(0, ERRORS_REPORTED), digest: this.#digest() }
  }

  follow(listener: (reported: UpReported) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async boot(): Promise<Config> {
    const record = (await this.#options.journal.space(SPACE).get(KEY)) as unknown as DesiredRecord | undefined
    this.#state = initialDesired(record ?? {})
    return this.#overlay()
  }

  async rebase(source: JsonObject): Promise<Config> {
    // Says what is wrong with the file before anything is touched.
    buildConfig(source)
    this.#source = source
    return this.#overlay()
  }

  resume(): void {
    this.#step({ kind: 'resume' })
  }

  receive(desired: DownDesired): void {
    const { version, config, digest } = desired as Partial<DownDesired>
    if (!Number.isSafeInteger(version) || version === undefined || version < 1 || !isObject(config)) {
      this.#options.log.warn(
        { code: 'desired-invalid' },
        'HQ sent a desired config without a version above 0 or without a config; it was ignored',
      )
      return
    }
    this.#step({ kind: 'received', wanted: { version, patch: config, ...(digest === undefined ? {} : { digest: String(digest) }) } })
  }

  /** Where HQ's config no longer fits the file, the file wins: somebody in the shop has edited it. */
  async #overlay(): Promise<Config> {
    const { good, trying } = this.#state.record
    try {
      this.#effective = this.#build(good?.patch)
    } catch (error) {
      const failure = asFailure(error, 'config-invalid')
      this.#effective = buildConfig(this.#source)
      if (!good) throw error
      const verdict: Verdict = {
        version: good.version,
        status: 'rolled-back',
        errors: failure.problems.map(({ path, message }) => ({ path, message: `no longer fits the shop's own config file: ${message}` })),
      }
      this.#state.record = { ...(trying ? { trying } : {}), verdict }
      this.#options.log.warn(
        { version: good.version, code: 'desired-invalid' },
        `HQ's config no longer fits the file; the file wins: ${failure.message}`,
      )
      await this.#store(this.#state.record).catch((reason: unknown) =>
        this.#options.log.warn({ code: asFailure(reason).code }, asFailure(reason).message),
      )
    }
    this.#verdict = this.#state.record.verdict
    return this.#effective
  }

  #build(patch: JsonObject | undefined): Config {
    return buildConfig(patch === undefined ? this.#source : (mergePatch(this.#source, patch) as JsonObject))
  }

  #step(event: DesiredEvent): void {
    for (const effect of desiredMachine.step(this.#state, event)) this.#perform(effect)
  }

  #perform(effect: DesiredEffect): void {
    switch (effect.kind) {
      case 'check':
        this.#step({ kind: 'checked', problems: this.#check(effect.wanted) })
        return
      case 'store':
        this.#store(effect.record).then(
          () => this.#step({ kind: 'stored' }),
          (error: unknown) => this.#step({ kind: 'store-failed', message: asFailure(error, 'journal-failed').message }),
        )
        return
      case 'apply':
        this.#apply(effect.patch).then(
          (problems) => this.#step({ kind: 'applied', problems }),
          () => undefined,
        )
        return
      case 'roll-back':
        this.#apply(effect.patch).then(
          (problems) => this.#step({ kind: 'rolled-back', problems }),
          () => undefined,
        )
        return
      case 'report':
        this.#verdict = effect.verdict
        this.#tell()
        return
      case 'log':
        this.#logVerdict(effect.verdict)
        return
    }
  }

  #check(wanted: Wanted & { digest?: string }): Problem[] {
    const forbidden = forbiddenPaths(wanted.patch)
    if (forbidden.length > 0) return forbidden
    try {
      const digest = sha256(canonicalJson(wanted.patch))
      if (wanted.digest !== undefined && wanted.digest.toLowerCase() !== digest)
        return [
          { path: 'digest', message: `is ${wanted.digest}, but the config that came with it has ${digest}: it was changed on its way` },
        ]
      return this.#options.check(this.#build(wanted.patch))
    } catch (error) {
      const { problems, message } = asFailure(error, 'config-invalid')
      return problems.length > 0 ? [...problems] : [{ path: '', message }]
    }
  }

  /** Never rejects: what goes wrong is a problem of that config. */
  async #apply(patch: JsonObject | undefined): Promise<Problem[]> {
    try {
      const config = this.#build(patch)
      const problems = await this.#options.apply(config)
      this.#effective = config
      return problems
    } catch (error) {
      const { problems, message } = asFailure(error)
      return problems.length > 0 ? [...problems] : [{ path: '', message }]
    }
  }

  async #store(record: DesiredRecord): Promise<void> {
    await this.#options.journal.commit({ puts: [{ space: SPACE, key: KEY, value: record as unknown as Json }] })
  }

  #tell(): void {
    const reported = this.reported()
    if (reported) for (const listener of this.#listeners) listener(reported)
  }

  #digest(): string {
    const shown = mask(CONFIG_SCHEMA, structuredClone(this.#effective ?? {}) as unknown as JsonObject)
    const manifests = new Map(this.#options.manifests().map((one) => [one.name, one]))
    const sections = isObject(shown.plugins) ? shown.plugins : {}
    // A section whose plugin is not known may hold anything.
    const plugins = Object.entries(sections).map(([name, section]) => {
      const manifest = manifests.get(name)
      return [name, manifest ? mask(manifest.config, section) : '***'] as const
    })
    return sha256(canonicalJson({ ...shown, plugins: Object.fromEntries(plugins) }))
  }

  #logVerdict({ version, status, errors }: Verdict): void {
    const text = errors.map(({ path, message }) => `${path}: ${message}`).join('; ')
    if (status === 'applied') this.#options.log.info({ version }, 'the config that HQ wants is applied')
    else this.#options.log.warn({ version, status, code: 'desired-invalid' }, `the config that HQ wants is ${status}: ${text}`)
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
