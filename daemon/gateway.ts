/**
 * The whole daemon, put together:
 *
 *     device -> plugin -> event -> journal -> { LAN broker, HQ link, ledger, dashboard }
 *     HQ | LAN | HTTP | CLI -> command -> dispatch -> plugin -> result -> journal -> reply
 */
import { mkdirSync } from 'node:fs'
import { arch, hostname, platform } from 'node:os'
import { join } from 'node:path'
import { SOCKET_NAME } from './cli/client.ts'
import { bootId, iso, systemClock } from './clock.ts'
import { createClockState } from './clock-sync.ts'
import { type Config, isLoopback, type LoadedConfig } from './config.ts'
import { asFailure, Failure, type Problem } from './contract/errors.ts'
import type { Json, JsonObject } from './contract/json.ts'
import { PLUGIN_API } from './contract/plugin.ts'
import type { UpInfo, UpLog } from './contract/uplink.ts'
import { createDesired } from './desired/desired.ts'
import { DiscoveredDevices } from './discovered-devices.ts'
import { createDiscovery } from './discovery/discovery.ts'
import { createDispatch } from './dispatch/dispatch.ts'
import { Commands } from './gateway-commands.ts'
import { healthOf, upHealthOf } from './health.ts'
import { createHttp } from './http/server.ts'
import { openJournal } from './journal/journal.ts'
import { createLedger } from './ledger/ledger.ts'
import { Lifecycle } from './lifecycle.ts'
import { createHqLink, type HqLink } from './links/hq-link.ts'
import { createLanLink } from './links/lan-link.ts'
import { createLog } from './log.ts'
import { builtinDir, dashboardDir, docsDir, runnerFile } from './paths.ts'
import { createPlugins } from './plugins/plugins.ts'
import { pseudonymKey } from './pseudonyms.ts'
import { Shop } from './shop.ts'
import { createSystemd } from './systemd.ts'
import { VERSION } from './version.ts'

/** Each part's share of the 10 s that SIGTERM is given. */
const STOP_DEADLINE_MS = 3_000

/** What runs may finish; the rest is answered `unknown`, within the part's deadline. */
const COMMAND_GRACE_MS = 2_000

/** Small heaps and one helper thread: the same work in a third less memory (docs/performance.md). */
const PLUGIN_FLAGS = ['--max-semi-space-size=1', '--v8-pool-size=1']

export interface Gateway {
  /** Reads the config file again and applies what has changed. A broken file changes nothing and is logged. */
  reload(): Promise<void>
  stop(): Promise<void>
}

export interface GatewayParts {
  load: () => LoadedConfig
  env: NodeJS.ProcessEnv
}

/** Resolves once the shop can work: journal, plugins, LAN and API. HQ may be away for days. */
export async function startGateway(parts: GatewayParts): Promise<Gateway> {
  const loaded = parts.load()
  const clock = systemClock
  let tap: ((entry: UpLog) => void) | undefined
  const log = createLog({
    level: loaded.config.log.level,
    clock,
    tap: (level, fields, message) => tap?.({ time: iso(clock.wall()), level, message, fields }),
  })
  const lifecycle = new Lifecycle(clock, log)
  try {
    return await assemble()
  } catch (error) {
    await lifecycle.stop(STOP_DEADLINE_MS)
    throw error
  }

  async function assemble(): Promise<Gateway> {
    // What is effective now: the file, what was discovered and added, and HQ's desired config over both.
    let config: Config = loaded.config
    const { dataDir } = config
    mkdirSync(dataDir, { recursive: true, mode: 0o750 })
    const demo = parts.env.SHOPWIRE_DEMO === '1'
    const clockState = createClockState({ clock })
    const bootid = bootId()
    const since = iso(clock.wall())
    const shop = new Shop()

    const journal = await openJournal({
      file: join(dataDir, 'journal.db'),
      identity: () => ({ gateway: config.gateway.id, store: config.gateway.store }),
      clock,
      clockState,
      bootId: bootid,
      ...limitsOf(config),
      log,
    })
    lifecycle.started('journal', () => journal.close())
    journal.hold(config.hq ? 'hq' : undefined)

    const ledger = createLedger({
      journal,
      clock,
      clockState,
      timeZone: config.gateway.timeZone,
      settings: config.visits,
      keepMs: () => config.journal.maxAgeMs,
      log,
    })

    let hqLink: HqLink | undefined
    const plugins = createPlugins({
      journal,
      call: callPlugin,
      ask: async (plugin, request, args, options) => {
        if (!hqLink)
          throw new Failure('hq-unreachable', config.hq ? 'the link to HQ has not started yet' : 'this shop has no hq in its config')
        return hqLink.ask(plugin, request, args, options)
      },
      shop,
      clock,
      log,
      gateway: () => ({ id: config.gateway.id, store: config.gateway.store, demo }),
      pseudonyms: pseudonymKey(config.privacy, dataDir),
      builtinDir: builtinDir(),
      pluginDirs: config.pluginDirs,
      runner: { file: runnerFile(), execArgv: PLUGIN_FLAGS, timeZone: config.gateway.timeZone },
      // Not `plugins` in it: that is where the shipped config looks for third-party plugins, and it is watched.
      stateDir: dataDir,
      sections: {},
    })
    const commands = new Commands(plugins, {
      ping: () => ({ time: iso(clock.wall()), version: VERSION, since }),
      stats: (query) => ledger.stats(query),
      shipLog: (level, seconds) => hqLink?.sendLogs(seconds, level as UpLog['level']),
    })
    const dispatch = await createDispatch({ journal, target: commands, clock, clockState, log })
    const submit = dispatch.submit.bind(dispatch)

    let applying: Promise<unknown> = Promise.resolve()
    const discovered = await DiscoveredDevices.open(journal)
    const desired = createDesired({
      journal,
      source: discovered.over(loaded.source),
      check: (next) => plugins.check(next.plugins),
      apply,
      manifests: () => plugins.manifests(),
      clock,
      log,
    })
    config = await desired.boot()
    applyOwn(config)

    const lan = createLanLink({ config: config.lan, gateway: config.gateway.id, version: VERSION, journal, submit, shop, clock, log })
    await lan.start()
    lifecycle.started('LAN link', () => lan.stop())

    await ledger.start()
    lifecycle.started('ledger', () => ledger.stop())

    const health = { journal, plugins, shop, clock, clockState }
    const discovery = createDiscovery({
      manifests: () => plugins.manifests(),
      configured: () => config.plugins,
      auto: () => config.discovery.auto,
      announce: config.discovery.announce,
      gateway: config.gateway.id,
      services: () => announced(config, lan.port(), http.port()),
      add: async (plugin, device, deviceConfig) => {
        await discovered.add(plugin, device, deviceConfig)
        const problems = await rebase(loaded.source)
        if (problems.length > 0) throw new Failure('config-invalid', `${plugin}/${device} could not be added`, problems)
      },
      clock,
      log,
    })
    const http = createHttp({
      config: config.http,
      gateway: () => ({ id: config.gateway.id, store: config.gateway.store, version: VERSION, demo }),
      socketFile: join(dataDir, SOCKET_NAME),
      journal,
      dispatch,
      plugins,
      shop,
      discovery,
      ledger,
      health: () => healthOf(health),
      dashboardDir: dashboardDir(),
      docsDir: docsDir(),
      clock,
      log,
    })
    await http.start()
    lifecycle.started('HTTP', () => http.stop())

    await plugins.configure(config.plugins)
    await plugins.start()
    lifecycle.started('plugins', () => plugins.stop())
    await dispatch.resume()
    lifecycle.started('dispatch', () => dispatch.stop(COMMAND_GRACE_MS))

    if (config.hq) {
      hqLink = createHqLink({
        config: config.hq,
        gateway: config.gateway.id,
        version: VERSION,
        journal,
        submit,
        desired,
        info: () => infoOf(config, shop, bootid),
        health: () => upHealthOf(health, process.uptime()),
        shop,
        clock,
        log,
      })
      const link = hqLink
      tap = (entry) => link.log(entry)
      const stopFollowing = shop.follow((change) => {
        if (change.kind !== 'link') link.changed('info')
      })
      desired.follow(() => link.changed('reported'))
      link.start()
      desired.resume()
      lifecycle.started('HQ link', () => {
        tap = undefined
        stopFollowing()
        return link.stop()
      })
    } else shop.setLink({ name: 'hq', state: 'off', since, detail: 'stand-alone: no hq in the config' })

    await discovery.start()
    lifecycle.started('discovery', () => discovery.stop())

    const systemd = createSystemd({ env: parts.env, pid: process.pid, clock, log, progressing: () => healthOf(health).ok })
    await systemd.ready(`${config.gateway.id}: ${shop.devices().length} devices`)
    systemd.start()
    lifecycle.started('systemd', () => systemd.stopping())
    log.info({ gateway: config.gateway.id, version: VERSION, http: config.http.listen, dataDir }, 'ready')

    return {
      async reload() {
        try {
          const problems = await rebase(parts.load().source)
          for (const { path, message } of problems) log.error({}, `the config file was not taken: ${path}: ${message}`)
          if (problems.length === 0) log.info({}, 'the config file was read again')
        } catch (error) {
          log.error({ code: asFailure(error).code }, `the config file was not taken: ${asFailure(error).message}`)
        }
      },
      stop: () => lifecycle.stop(STOP_DEADLINE_MS),
    }

    /** One after the other: HQ's config and an edited file may come at the same moment. */
    function apply(next: Config): Promise<Problem[]> {
      const applied = applying.then(async () => {
        config = next
        applyOwn(next)
        const { errors } = await plugins.configure(next.plugins)
        // What is in use and what is still free has changed.
        discovery.scan().catch(() => {})
        return errors
      })
      applying = applied.catch(() => {})
      return applied
    }

    /** The same desired config over a changed file. What the plugins would refuse is not applied at all. */
    async function rebase(source: JsonObject): Promise<Problem[]> {
      const next = await desired.rebase(discovered.over(source))
      const problems = plugins.check(next.plugins)
      return problems.length > 0 ? problems : apply(next)
    }

    function applyOwn(next: Config): void {
      log.setLevel(next.log.level)
      journal.setLimits(limitsOf(next))
      ledger.configure(next.visits)
    }

    async function callPlugin(plugin: string, device: string, command: string, args: Json): Promise<Json> {
      const answer = await dispatch.submit({ plugin, device, command, args, from: 'plugin' })
      if (answer.status === 'done') return answer.result ?? null
      const { code, message, problems } = answer.error ?? { code: 'internal' as const, message: `the command ended as ${answer.status}` }
      throw new Failure(code, message, problems)
    }
  }
}

const limitsOf = (config: Config) => ({ maxAgeMs: config.journal.maxAgeMs, maxBytes: config.journal.maxBytes })

/** What other machines can reach; a listener on loopback is nobody else's business. */
function announced(config: Config, lanPort: number, httpPort: number): { type: string; port: number }[] {
  const lanListen = config.lan.listen
  return [
    ...(lanPort > 0 && lanListen !== undefined && !isLoopback(lanListen) ? [{ type: '_mqtt._tcp', port: lanPort }] : []),
    ...(isLoopback(config.http.listen) ? [] : [{ type: '_http._tcp', port: httpPort }]),
  ]
}

function infoOf(config: Config, shop: Shop, bootid: string): UpInfo {
  const devices = shop.devices()
  return {
    store: config.gateway.store,
    tags: [...config.gateway.tags],
    host: { name: hostname(), platform: platform(), arch: arch(), node: process.versions.node, bootid },
    versions: { shopwire: VERSION, api: PLUGIN_API },
    plugins: shop.plugins().map(({ name, version, status }) => ({
      name,
      version,
      state: status,
      devices: devices
        .filter((one) => one.plugin === name)
        .map(({ device, state, detail }) => ({ name: device, state, ...(detail === undefined ? {} : { detail }) })),
    })),
  }
}
